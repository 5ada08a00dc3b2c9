"""The whole full preset on a machine without an internet: tiny random models of every real form, fetched and run.

A server on this machine takes the place of the internet, as the proxy for everything; it has the files of the catalogue
under their real addresses, and notes what else is asked for.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml

import loopback
import model_files
import tiny_encoders
import tiny_graphs
import tiny_models
from conftest import REPOSITORY, loop, write
from loopback import Answer
from mirflow import features
from mirflow.core import artifacts
from mirflow.core.layout import CONFIG
from mirflow.labels import heads
from mirflow.models import catalogue
from mirflow.workflow import needs, settings

PACKAGES = ("torch", "demucs", "beat_this", "audiobox_aesthetics", "llama_cpp", "gguf", "tokenizers", "muq")
WORDS = 3  # of an answer: random models repeat themselves sooner or later, which counts as a failure


def demucs(folder: Path, files: list[str]) -> None:
    import tiny_separators

    tiny_separators.demucs(folder / files[0])


def beat_this(folder: Path, files: list[str]) -> None:
    import torch
    from beat_this.model.beat_tracker import BeatThis

    size = {"spect_dim": 128, "transformer_dim": 32, "n_layers": 1}
    state = {f"model.{name}": value for name, value in BeatThis(**size).state_dict().items()}
    torch.save({"hyper_parameters": size, "state_dict": state}, folder / files[0])


def adtof(folder: Path, files: list[str]) -> None:
    import torch

    from mirflow.transcribe import adtof

    state = {name: value.double() for name, value in adtof.network().state_dict().items() if "num_batches" not in name}
    torch.save({"model_weights": state, "model_info": {"n_bins": 84}}, folder / files[0])


def audiobox(folder: Path, files: list[str]) -> None:
    """Of the real size: that of the encoder is fixed in the package."""
    from audiobox_aesthetics.model import aes

    about = {"proj_num_layer": 1, "proj_ln": True, "proj_act_fn": "gelu", "proj_dropout": 0.0, "nth_layer": 13,
             "use_weighted_layer_sum": True, "precision": "bf16", "normalize_embed": True, "output_dim": 1}  # fmt: skip
    about["target_transform"] = {axis: {"mean": 5.0, "std": 1.0} for axis in ("CE", "CU", "PC", "PQ")}
    aes.AesMultiOutput(**about).save_pretrained(folder / "hub")
    for written, name in zip(("model.safetensors", "config.json"), files, strict=True):
        (folder / "hub" / written).rename(folder / name)


def network(folder: Path, files: list[str]) -> None:
    random = np.random.default_rng(1)
    styles = random.normal(0, 0.05, (tiny_graphs.EMBEDDING, tiny_graphs.STYLES))
    tiny_graphs.effnet(folder / files[0], random.normal(0, 0.1, (tiny_graphs.BANDS, tiny_graphs.EMBEDDING)), styles)


def head(folder: Path, files: list[str]) -> None:
    model = next(name for name in heads.names() if files[0] in [file.name for file in catalogue.files(name)])
    about = heads.head_entry(model)
    count = len(about.get("classes") or heads._of_project(model))
    weights = np.random.default_rng(2).normal(0, 0.05, (tiny_graphs.EMBEDDING, count))
    if "PartitionedCall" in about.get("output", ""):
        tiny_graphs.style_head(folder / files[0], weights)
    else:
        tiny_graphs.head(folder / files[0], weights, np.zeros(count), about.get("output", "/Softmax").split("/")[1])


def flamingo(folder: Path, files: list[str]) -> None:
    tiny_models.gguf_model(folder / files[0])
    tiny_models.gguf_projector(folder / files[1])


MAKE = {  # model → what makes its files
    "htdemucs": demucs,
    "beat_this_final0": beat_this,
    "adtof_frame_rnn": adtof,
    "audiobox-aesthetics": audiobox,
    "discogs-effnet": network,
    "clap": tiny_encoders.clap,
    "muq": tiny_encoders.muq,
    "music-flamingo-q6_k": flamingo,
    "granite-4.0-h-tiny": lambda folder, files: tiny_models.gguf_model(folder / files[0]),
    "t5-base": lambda folder, files: model_files.tokenizer(folder / files[0]),
}


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """Settings on top of the preset: all that it leaves out, short answers, a models' folder of the test."""
    root = tmp_path_factory.mktemp("rehearsal")
    prompts = yaml.safe_load((CONFIG / "prompts.yaml").read_text())
    for section in prompts.values():
        for prompt in section.values():
            prompt.pop("max_tokens", None)
    (root / "prompts.yaml").write_text(yaml.safe_dump(prompts))
    described = {"max_tokens": WORDS, "threads": 1, "prompts": str(root / "prompts.yaml")}
    described |= {"condense_model": "granite-4.0-h-tiny", "tokenizer": "t5-base"}
    mine = {"models": str(root / "models"), "describe": described, "labels": {"embeddings": ["clap", "muq"]}}
    (root / "mine.yaml").write_text(yaml.safe_dump(mine))
    return root / "mine.yaml"


def put_on_the_internet(server: loopback.Server, needed: list[needs.Need], made: Path, models: Path) -> set[str]:
    """Make the files, give them under their real addresses, and describe them; return these addresses, without https.

    Where the project knows the hash of a real file, the test knows that of its own. Of the others it is recorded.
    """
    described, addresses = {}, set()
    for need in needed:
        names = [file.name for file in need.files]
        MAKE.get(need.model, head)(made, names)
        for file in need.files:
            body = (made / file.name).read_bytes()
            url = file.url.replace("https:", "http:")
            addresses.add(url)
            answer = Answer(body)
            if "huggingface.co" in url:  # it redirects to where large files lie
                server.answers[f"/cdn/{file.name}"] = answer
                answer = Answer(status=302, headers={"Location": f"http://cdn.test/cdn/{file.name}"})
            server.answers[urlsplit(url).path] = answer
            sha256 = hashlib.sha256(body).hexdigest() if file.sha256 else ""
            described[file.name] = {"name": file.name, "url": url, "sha256": sha256}
    entries = {}
    for name, entry in catalogue.entries().items():  # several models may share a file
        if any(file["name"] in described for file in entry["files"]):
            entries[name] = entry | {"files": [described.get(file["name"], file) for file in entry["files"]]}
    models.mkdir()
    (models / catalogue.OWN_ENTRIES).write_text(yaml.safe_dump({"models": entries}))
    return addresses


def test_the_full_preset_from_the_first_download_to_the_info(config, tmp_path, monkeypatch):
    missing = [package for package in PACKAGES if not importlib.util.find_spec(package)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path / "none"))
    chosen = settings.merged([CONFIG / "full.yaml", config])
    needed, made, models = needs.needs(chosen), tmp_path / "made", config.parent / "models"
    made.mkdir()
    write(tmp_path / "music" / "a track.wav", loop(12))
    with loopback.serving() as internet:
        addresses = put_on_the_internet(internet, needed, made, models)
        busy = next(path for path in internet.answers if path.endswith("final0.ckpt"))
        internet.answers[busy] = [Answer(status=503), internet.answers[busy]]
        internet.answers["/cdn/htdemucs-955717e8.safetensors"].cuts = [10_000]  # and one connection breaks
        proxies = {name: internet.address for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
        environment = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
        command = ["make", "run", "PRESET=full", f"LIBRARY={tmp_path / 'music'}", f"RESULTS={tmp_path / 'out'}",
                   "JOBS=2", f"CONFIG={config}", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/flamingo.done"]  # fmt: skip
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment | proxies, text=True, capture_output=True, timeout=1800
        )
        said = done.stdout + done.stderr
        print(said)
        assert done.returncode == 0, said
        assert "1 of 1 track complete, 0 failed" in said

        # every file was fetched, and nothing else was asked for
        asked = Counter(request.path for request in internet.asked if not request.path.startswith("http://cdn.test/"))
        assert set(asked) == addresses and {request.method for request in internet.asked} == {"GET"}
        files = needs.files(needed)
        assert len(files) >= 22 and all((models / file.name).is_file() for file in files)
        recorded = {path.name.removesuffix(".sha256") for path in models.glob("*.sha256")}
        assert recorded == {file.name for file in files if not file.sha256}
        assert not [path.name for path in models.iterdir() if path.suffix in (".part", ".tag", ".lock")]

    # each model was loaded once
    logs = tmp_path / "out/.mirflow/logs/a track"
    loads = Counter()
    for log in logs.iterdir():
        loads[log.name.split("_")[0].removesuffix(".log")] += log.read_text().count("mirflow: loading the model")
    assert {step: count for step, count in loads.items() if count} == {
        "stems": 1, "beat": 1, "drum": 1, "feature": 1, "describe": 1, "condense": 1, "embedding": 2,
    }, loads  # fmt: skip
    kept = sorted(path.name for path in (tmp_path / "out/a track/labels").iterdir())
    assert kept == ["clap.npz", "discogs-effnet.npz", "discogs-effnet.vocals.npz", "muq.npz"]
    assert "loading the model" in (logs / "feature_audiobox.log").read_text()

    # and the .INFO is complete
    info = artifacts.read_json(tmp_path / "out/a track/a track.INFO")
    keys = {field.key for feature in features.wanted(chosen) for field in feature.fields}
    assert keys <= set(info) and len(keys) > 130
    prompts = yaml.safe_load(Path(chosen["describe"]["prompts"]).read_text())
    texts = [f"music_flamingo_{name}" for section in prompts.values() for name in section]
    assert len(texts) == 8 and all(info[key] for key in texts)
    origin = info["_provenance"]
    assert origin["stems"]["backend"] == "demucs" and origin["beats"]["backend"] == "beat-this"
    assert set(origin["features"]["gender"]["model"]) == {"discogs-effnet-bs64-1.pb", "gender-discogs-effnet-1.pb"}
    licences = (tmp_path / "out/.mirflow/licences.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in licences[1:]] == [need.model for need in needed]
