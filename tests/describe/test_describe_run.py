"""Texts through Snakemake, from a library to .INFO, with both backends on random models."""

import importlib.util
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import tiny_models
from conftest import REPOSITORY, jobs, loop, run_snakemake, write
from mirflow import features
from mirflow.core.errors import MirflowError
from mirflow.describe import backends
from mirflow.models import catalogue

NEEDS = {"gguf": ("llama_cpp", "gguf"), "transformers": ("torch", "transformers")}
WORDS = 3  # random models repeat themselves sooner or later, which counts as a failure
FIVE = ("full", "technical", "genre_mood", "instrumentation", "structure")


def here(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) for package in packages)


def run(library: Path, results: Path, *arguments: str, **values) -> subprocess.CompletedProcess:
    """Run the workflow with settings `describe: values`, and only the features `measure`."""
    measure = values.pop("measure", ("loudness",))
    others = [name for name in features.names() if name not in measure]
    warm = values.pop("warm", True)
    labels = {"backend": values.pop("labels", "none")}
    described = {"max_tokens": WORDS, "threads": 1, "device": "cpu", **values}
    file = library.parent / "settings.json"
    chosen = {"skip": others, "warm": warm, "models": str(library.parent / "models"), "labels": labels}
    file.write_text(json.dumps({**chosen, "describe": described}))
    return run_snakemake(*arguments, "--configfile", str(file), library=library, results=results)


@pytest.fixture
def library(tmp_path):
    for name, level in (("a", 1.0), ("b", 0.5)):
        write(tmp_path / "music" / f"{name}.wav", loop(12) * level)
    write(tmp_path / "music" / "silent.wav", np.zeros((44100, 2)))
    return tmp_path / "music"


@pytest.fixture(autouse=True)
def this_code(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "scripts"))


def test_without_a_model_nothing_of_it_is_planned(library, tmp_path):
    planned = jobs(run(library, tmp_path / "out", "-n").stdout)
    assert planned["info"] == 3 and not {"describe", "describe_model", "texts"} & set(planned)


def test_one_job_a_text_and_only_the_prompts_that_are_listed(library, tmp_path):
    files = {"model": str(tmp_path / "m.gguf"), "projector": str(tmp_path / "p.gguf")}
    for file in files.values():
        Path(file).touch()
    short = run(library, tmp_path / "out", "-n", backend="gguf", condense_model=files["model"], **files)
    planned = jobs(short.stdout)
    assert (planned["describe"], planned["texts"], planned["describe_model"], planned["condense"]) == (15, 3, 1, 9)
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text("describe: {one: {words: What}, two: {words: 'At {bpm}?'}}")
    files |= {"backend": "gguf", "prompts": str(prompts)}
    planned = jobs(run(library, tmp_path / "out", "-n", measure=("tempo",), **files).stdout)
    assert (planned["describe"], planned["texts"], planned["feature_tempo"]) == (6, 3, 3)
    prompts.write_text("describe: {one: {words: 'Is it {genres}?'}}")
    refused = run(library, tmp_path / "out", "-n", **files)
    assert (
        refused.returncode != 0 and "{genres} needs essentia_genre, which this run does not measure" in refused.stdout
    )
    waited = run(library, tmp_path / "out", "-n", str(tmp_path / "out/a/texts/one.txt"), labels="essentia", **files)
    assert jobs(waited.stdout)["feature_genre_discogs400"] == 1, waited.stdout


@pytest.mark.parametrize(
    ("backend", "model", "projector", "message"),
    [
        ("gguf", "", "", "describe.model: the backend gguf needs it"),
        ("gguf", "m.gguf", "", "describe.projector: the backend gguf needs it"),
        ("transformers", "/nowhere", "", "/nowhere is not a folder with a model in it"),
        (
            "gguf",
            "music-flamingo-q6k",
            "",
            r"describe.model: .* neither a path nor a model .*did you mean music-flamingo-q6_k",
        ),
    ],
)
def test_settings_that_are_not_enough_are_named(backend, model, projector, message):
    with pytest.raises(MirflowError, match=message):
        backends.files(backend, *backends.pair(model, projector))


def test_models_of_the_catalogue_are_fetched_by_name_and_checked(library, tmp_path):
    described = {"backend": "gguf", "condense_model": "granite-4.0-h-tiny", "tokenizer": "t5-base"}
    planned = jobs(run(library, tmp_path / "out", "-n", **described).stdout)  # describe.model has a default
    assert {name for name in planned if name.startswith("model_file")} == {
        "model_file_music_flamingo_hf_i1_Q6_K_gguf",
        "model_file_music_flamingo_hf_mmproj_f16_gguf",
        "model_file_granite_4_0_h_tiny_Q8_0_gguf",
        "model_file_t5_base_tokenizer_json",
    }


def test_a_file_that_is_not_the_one_of_the_catalogue_describes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))
    (tmp_path / "t5-base.tokenizer.json").write_text("{}")
    with pytest.raises(MirflowError, match=r"t5-base.tokenizer.json is not the file that belongs there"):
        backends.identity("t5-base", backends.locate("t5-base", "describe.tokenizer"))


def test_a_model_that_is_not_there_is_said_before_anything_runs(library, tmp_path):
    refused = run(library, tmp_path / "out", "-n", backend="gguf", model="/nowhere.gguf", projector="/p.gguf")
    assert refused.returncode != 0 and "/nowhere.gguf" in refused.stdout


@pytest.mark.parametrize("backend", NEEDS)
def test_from_music_to_info(backend, library, tmp_path):
    if not here(*NEEDS[backend]):
        pytest.skip(f"{', '.join(NEEDS[backend])} not installed")
    if backend == "gguf":
        model = "tiny"  # of the models' own catalogue
        pair = tiny_models.gguf_pair(tmp_path / "models")
        entry = {"purpose": "tests", "files": [{"name": file.name, "url": "https://nowhere.test"} for file in pair]}
        (tmp_path / "models" / "models.yaml").write_text(json.dumps({"models": {model: entry}}))
    else:
        model = tiny_models.transformers_folder(tmp_path / "model")
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text(json.dumps({"describe": {name: {"words": f"What of {name}?"} for name in FIVE}}))
    chosen = {"backend": backend, "model": str(model), "prompts": str(prompts)}
    warm, cold = tmp_path / "warm", tmp_path / "cold"
    done = run(library, warm, **chosen)
    assert done.returncode == 0, done.stdout
    logs = "".join(path.read_text() for path in (warm / ".mirflow" / "logs").glob("*/describe_*.log"))
    assert logs.count("mirflow: encoded") == 2  # five jobs a track, one encoding; silence needs none
    info = json.loads((warm / "a" / "a.INFO").read_text())
    texts = {name: info[f"music_flamingo_{name}"] for name in FIVE}
    assert all(texts.values()) and len(set(texts.values())) > 2
    assert {name: (warm / "a" / "texts" / f"{name}.txt").read_text() for name in FIVE} == {
        name: text + "\n" for name, text in texts.items()
    }
    origin = info["_provenance"]["features"]["music_flamingo"]
    assert origin["heard_seconds"] == 12 and origin["cut_off_seconds"] == 0
    assert origin["texts"]["full"]["decoding"] == {"max_tokens": WORDS, "temperature": 0.0, "top_p": 1.0, "seed": 0}
    assert all(len(digest) == 64 for digest in origin["model"].values())
    assert info["music_flamingo_model"] == ("tiny.Q8_0" if backend == "gguf" else "model")
    silent = json.loads((warm / "silent" / "silent.INFO").read_text())
    assert all(silent[f"music_flamingo_{name}"] is None for name in FIVE)
    assert "Nothing to be done" in run(library, warm, "-n", **chosen).stdout
    # cold, each text has a process and an encoding of its own, and is the same
    targets = [str(cold / "a" / "texts" / f"{name}.txt") for name in ("full", "structure")]
    done = run(library, cold, *targets, warm=False, **chosen)
    assert done.returncode == 0, done.stdout
    for name in ("full", "structure"):
        assert (cold / "a" / "texts" / f"{name}.txt").read_text() == texts[name] + "\n"
    # a changed question makes one text a track again, and only that
    words = json.loads(prompts.read_text())
    words["describe"]["full"]["words"] = "Something else"
    prompts.write_text(json.dumps(words))
    assert jobs(run(library, warm, "-n", **chosen).stdout)["describe"] == 3
