"""Texts through Snakemake, from a library to .INFO, with both backends on random models."""

import importlib.util
import json
import os
import sys

import numpy as np
import pytest
import tiny_models
from conftest import REPOSITORY, jobs, loop, run_snakemake, write

NEEDS = {"gguf": ("llama_cpp", "gguf"), "transformers": ("torch", "transformers")}
FIVE = ("full", "technical", "genre_mood", "instrumentation", "structure")


def here(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) for package in packages)


@pytest.fixture(scope="module")
def skip() -> list[str]:
    from mirflow import registry

    return [name for name in registry.feature_names() if name not in ("tempo", "loudness")]


def settings(**values) -> dict:
    return {"describe": json.dumps({"max_tokens": 16, "threads": 1, "device": "cpu", **values})}


@pytest.fixture
def library(tmp_path):
    for name, level in (("a", 1.0), ("b", 0.5)):
        write(tmp_path / "music" / f"{name}.wav", loop(12) * level)
    write(tmp_path / "music" / "silent.wav", np.zeros((44100, 2)))
    return tmp_path / "music"


def test_without_a_model_nothing_of_it_is_planned(library, tmp_path):
    run = run_snakemake("-n", library=library, results=tmp_path / "out")
    assert not {"describe", "describe_model", "texts"} & set(jobs(run.stdout))


def test_one_job_a_text_and_only_the_prompts_that_are_listed(library, tmp_path, skip):
    model, projector = tmp_path / "m.gguf", tmp_path / "p.gguf"
    model.touch(), projector.touch()
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text("describe: {one: {words: What}, two: {words: 'At {bpm}?'}}")
    chosen = settings(backend="gguf", model=str(model), projector=str(projector))
    plan = jobs(run_snakemake("-n", library=library, results=tmp_path / "out", skip=json.dumps(skip), **chosen).stdout)
    assert (plan["describe"], plan["texts"], plan["describe_model"]) == (15, 3, 1)
    chosen = settings(backend="gguf", model=str(model), projector=str(projector), prompts=str(prompts))
    plan = jobs(run_snakemake("-n", library=library, results=tmp_path / "out", skip=json.dumps(skip), **chosen).stdout)
    assert (plan["describe"], plan["texts"]) == (6, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backend": "gguf"}, "describe.model: the backend gguf needs it"),
        ({"backend": "gguf", "model": "m.gguf"}, "describe.projector: the backend gguf needs it"),
        ({"backend": "transformers", "model": "/nowhere"}, "/nowhere is no folder with a model in it"),
        ({"backend": "gguf", "model": "/nowhere.gguf", "projector": "/p.gguf"}, "/nowhere.gguf"),
        ({"backend": "ggguf"}, "'ggguf' is none of none, gguf, transformers"),
        ({"prompts": "/nowhere.yaml"}, "/nowhere.yaml: cannot be read"),
    ],
)
def test_wrong_settings_are_said_before_anything_runs(library, tmp_path, values, message):
    run = run_snakemake("-n", library=library, results=tmp_path / "out", **settings(**values))
    assert run.returncode != 0 and message in run.stdout


@pytest.mark.parametrize("backend", NEEDS)
def test_from_music_to_info(backend, library, tmp_path, skip, monkeypatch):
    if not here(*NEEDS[backend]):
        pytest.skip(f"{', '.join(NEEDS[backend])} not installed")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "scripts"))
    if backend == "gguf":
        model, projector = tiny_models.gguf_pair(tmp_path / "model")
    else:
        model, projector = tiny_models.transformers_folder(tmp_path / "model"), ""
    chosen = settings(backend=backend, model=str(model), projector=str(projector)) | {"skip": json.dumps(skip)}

    def run(results, **more):
        done = run_snakemake(library=library, results=tmp_path / results, **chosen, **more)
        assert done.returncode == 0, done.stdout
        return tmp_path / results

    out = run("warm")
    logs = "".join(path.read_text() for path in (out / ".mirflow" / "logs").glob("*/describe_*.log"))
    assert logs.count("mirflow: encoded") == 2  # five jobs a track, one encoding; silence needs none
    info = json.loads((out / "a" / "a.INFO").read_text())
    texts = {name: info[f"music_flamingo_{name}"] for name in FIVE}
    assert all(texts.values()) and len(set(texts.values())) == 5
    assert {name: (out / "a" / "texts" / f"{name}.txt").read_text() for name in FIVE} == {
        name: text + "\n" for name, text in texts.items()
    }
    assert info["music_flamingo_conflicts"] in ({}, None)
    origin = info["_provenance"]["features"]["music_flamingo"]
    assert origin["heard_seconds"] == 12 and origin["cut_off_seconds"] == 0
    assert origin["texts"]["full"]["decoding"] == {"max_tokens": 16, "temperature": 0.0, "top_p": 1.0, "seed": 0}
    assert all(len(digest) == 64 for digest in origin["model"].values())
    silent = json.loads((out / "silent" / "silent.INFO").read_text())
    assert all(silent[f"music_flamingo_{name}"] is None for name in FIVE)
    # cold, each text has a process and an encoding of its own, and is the same
    cold = run("cold", warm="false")
    for track in ("a", "b"):
        for file in (f"texts/{FIVE[0]}.txt", f"texts/{FIVE[4]}.txt", "features/music_flamingo.json"):
            assert (cold / track / file).read_bytes() == (out / track / file).read_bytes()
    # nothing is made again, and one changed prompt makes one text a track
    again = run_snakemake("-n", library=library, results=out, **chosen)
    assert "Nothing to be done" in again.stdout
