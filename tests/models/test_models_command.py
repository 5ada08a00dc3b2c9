"""The command `models`: what the settings need, fetched and checked before a run, and what was recorded forgotten."""

import hashlib
import json
import os
import re
import subprocess
import sys

import pytest
import yaml

import loopback
import model_files
from conftest import REPOSITORY, jobs, loop, run_snakemake, write
from mirflow import features
from mirflow.core.errors import MirflowError
from mirflow.models import catalogue
from mirflow.workflow import needs, settings


@pytest.fixture
def server():
    with loopback.serving() as running:
        yield running


@pytest.fixture
def folder(server, tmp_path):
    """A models' folder with entries of one's own: a network, and a head of an unknown hash."""
    folder = tmp_path / "my models"
    folder.mkdir()
    graph = model_files.body("net.pb", tmp_path)

    def entry(name: str, sha256: str, **more: object) -> dict:
        about = {"name": name, "url": server.give(name, graph), "sha256": sha256, "size": len(graph)}
        return {"purpose": "tests", "licence": "MIT", "files": [about], **more}

    sha256 = hashlib.sha256(graph).hexdigest()
    models = {
        "ear": entry("ear.pb", sha256, network={"algorithm": "TensorflowPredictMusiCNN"}),
        "mood": entry("mood.pb", "", head={"network": "ear", "classes": ["a", "b"], "keys": {"tiny_mood": "a"}}),
    }
    (folder / catalogue.OWN_ENTRIES).write_text(yaml.safe_dump({"models": models}))
    others = [name for name in catalogue._load(catalogue.CATALOGUE) if name not in models]
    chosen = {"models": str(folder), "labels": {"backend": "essentia"}}
    chosen["skip"] = [name for name in others if "head" in catalogue._load(catalogue.CATALOGUE)[name]]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(chosen))
    return folder


def models(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run the command as a user would."""
    env = os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts")} | environment
    command = [sys.executable, "-m", "mirflow", "models", *map(str, arguments)]
    return subprocess.run(command, env=env, text=True, capture_output=True, timeout=60)


def test_what_is_needed_is_listed_fetched_checked_and_forgotten(server, folder, tmp_path):
    mine = ("--configfile", tmp_path / "mine.yaml")
    listed = models(*mine)
    assert listed.returncode == 0, listed.stderr
    lines = listed.stdout.splitlines()
    assert lines == [
        "ear (MIT; labels.backend: essentia)",
        "  tests",
        "  missing  468 B  ear.pb",
        "mood (MIT; labels.backend: essentia)",
        "  tests",
        "  missing  468 B  mood.pb  sha256 not known",
        "",
        f"2 files in {folder}, 0 there; 936 B to fetch.",
        "Licences: MIT.",
    ]
    assert server.asked == []  # looking is no reason to connect

    missing = models("check", *mine)
    assert missing.returncode == 1 and missing.stderr.count("is missing; without a connection, fetch") == 2

    fetched = models("fetch", *mine)
    assert fetched.returncode == 0, fetched.stderr
    assert fetched.stdout.endswith(f"2 files of 2 in {folder}\n")
    assert len(server.asked) == 2
    assert models(*mine).stdout.splitlines()[-2] == f"2 files in {folder}, 2 there."
    assert "  there  468 B  mood.pb  sha256 of its first download" in models(*mine).stdout
    again = models("fetch", *mine)
    assert again.returncode == 0 and len(server.asked) == 2
    assert models("check", *mine).returncode == 0

    (folder / "mood.pb").write_bytes(loopback.PAGE)
    wrong = models("check", *mine)
    assert (
        wrong.returncode == 1 and "it is a web page" in wrong.stderr and "mirflow models forget mood.pb" in wrong.stderr
    )
    forgotten = models("forget", "mood.pb", "--models", folder)
    assert forgotten.returncode == 0 and "mood.pb: forgotten" in forgotten.stdout
    assert models("forget", "mood", "--models", folder).stderr == (
        f"mirflow: error: mood: no hash is recorded in {folder}\n"
    )
    assert models("forget", "nothing.pb", "--models", folder).returncode == 1


def test_one_file_that_cannot_be_fetched_does_not_stop_the_others(server, folder, tmp_path):
    server.give("ear.pb", status=404)
    fetched = models("--configfile", tmp_path / "mine.yaml", "fetch")
    assert fetched.returncode == 1
    assert "HTTP 404" in fetched.stderr and "1 file of 2" in fetched.stdout and (folder / "mood.pb").exists()


def test_without_models_nothing_is_needed():
    assert models().stdout == "These settings need no trained models.\n"
    assert "no such setting" in models("--configfile", str(REPOSITORY / "config/prompts.yaml")).stderr


def test_the_list_is_what_a_run_fetches(tmp_path, monkeypatch):
    """Of the full preset, with everything that a setting can add to it."""
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path / "models"))
    write(tmp_path / "music/a.wav", loop(1))
    optional = [name for name, entry in catalogue.entries().items() if entry.get("head", {}).get("optional")]
    more = {
        "describe": {"condense_model": "granite-4.0-h-tiny", "tokenizer": "t5-base"},
        "labels": {"optional": optional},
        "stems": {"model": "htdemucs_ft"},
    }
    (tmp_path / "more.yaml").write_text(json.dumps(more))
    preset = REPOSITORY / "config/full.yaml"
    config = settings.merged([preset, tmp_path / "more.yaml"])
    listed = {file.name for file in needs.files(needs.needs(config))}
    planned = run_snakemake(
        "-n", "--configfile", str(preset), str(tmp_path / "more.yaml"),
        library=tmp_path / "music", results=tmp_path / "out", models=tmp_path / "models",
    )  # fmt: skip
    rules = {rule for rule in jobs(planned.stdout) if rule.startswith("model_file_")}
    assert len(listed) > 25 and rules == {f"model_file_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}" for name in listed}


def test_licences_are_written_down_and_others_are_refused_before_anything_runs(server, folder, tmp_path):
    write(tmp_path / "music/a.wav", loop(1))
    content = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    content["skip"] += [name for name in features.names() if name not in content["skip"]]

    def run(*arguments: str, **settings: object) -> subprocess.CompletedProcess:
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content | settings))
        where = {"library": tmp_path / "music", "results": tmp_path / "out"}
        return run_snakemake(*arguments, "--configfile", str(tmp_path / "mine.yaml"), **where)

    refused = run("-n", licences={"allow": ["CC BY 4.0", "Apache-2.0"]})
    assert refused.returncode != 0 and "licences.allow has only CC BY 4.0, Apache-2.0:" in refused.stdout
    assert "labels.backend: essentia: ear stands under MIT" in refused.stdout
    done = run("--until", "full_mix", licences={"allow": ["MIT"]})
    assert done.returncode == 0, done.stdout
    table = (tmp_path / "out/.mirflow/licences.tsv").read_text().splitlines()
    assert table[0].split("\t") == ["model", "licence", "holder", "setting", "makes"]
    assert [row.split("\t")[:2] for row in table[1:]] == [["ear", "MIT"], ["mood", "MIT"]]
    assert table[2].endswith("labels.backend: essentia\ttiny_mood")
    asked = models("licences", "--configfile", tmp_path / "mine.yaml").stdout
    assert asked.splitlines()[1].split()[:2] == ["ear", "MIT"]


@pytest.mark.parametrize("allowed", [["AGPL-3.0"], ["CC BY-NC-SA 4.0"], ["AGPL-3.0", "CC BY-NC-SA 4.0"]])
def test_of_several_licences_all_must_be_allowed(allowed):
    tempo = needs.Need("bpm_tempocnn", "labels.optional: [bpm_tempocnn]", ("bpm_tempocnn",))
    if len(allowed) < 2:
        with pytest.raises(MirflowError, match=r"bpm_tempocnn stands under AGPL-3.0 and CC BY-NC-SA 4.0"):
            needs.check_licences([tempo], allowed)
    else:
        needs.check_licences([tempo], allowed)


def test_tracks_that_wait_for_a_model_are_not_called_complete(server, folder, tmp_path):
    """They were complete without labels; now every model fails."""
    write(tmp_path / "music/a.wav", loop(1))
    content = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    content["skip"] += [name for name in features.names() if name not in ("loudness", *content["skip"])]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "before.yaml").write_text(yaml.safe_dump(content | {"labels": {"backend": "none"}}))
    where = {"library": tmp_path / "music", "results": tmp_path / "out"}
    before = run_snakemake("--logger", "mirflow", "--configfile", str(tmp_path / "before.yaml"), **where)
    assert "1 of 1 track complete" in before.stdout, before.stdout
    for name in ("ear.pb", "mood.pb"):
        server.give(name, status=404)
    after = run_snakemake("--logger", "mirflow", "--configfile", str(tmp_path / "mine.yaml"), **where)
    assert after.returncode != 0
    assert "mirflow: 0 of 1 track complete, 0 failed, 1 unfinished, 2 model files missing" in after.stdout, after.stdout
    assert after.stdout.count("HTTP 404 Not Found") >= 2
    assert "Nothing to be done" in run_snakemake("-n", "--configfile", str(tmp_path / "before.yaml"), **where).stdout
