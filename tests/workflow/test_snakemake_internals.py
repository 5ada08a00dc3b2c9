"""What is changed of Snakemake: loud where its insides have moved, and what was recorded earlier still counts."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from snakemake.exceptions import WorkflowError
from snakemake.persistence import FileBackupMixin

from mirflow.core import identity
from mirflow.labels import heads
from mirflow.models import catalogue
from mirflow.workflow import snakemake_internals


def test_what_is_gone_from_snakemake_ends_the_run(monkeypatch):
    """A renamed method must not silently take away the protection of other people's keys."""
    with monkeypatch.context() as patch:
        patch.delattr(FileBackupMixin, "backup_output")
        with pytest.raises(WorkflowError, match=r"no FileBackupMixin\.backup_output, which mirflow replaces"):
            snakemake_internals.keep_outputs()


def test_a_replacement_is_in_place_and_the_original_is_given_back():
    owner = SimpleNamespace(method=1)
    assert snakemake_internals.replace(owner, "method", 2) == 1 and owner.method == 2


# What version 0.1.0 recorded of four artifacts: the values of all parameters, as Python writes them, sorted.
LOUDNESS = ["''", "'448ff07eb6e2e66e'", "'feature_loudness'", "1"]
STEMS = ["'95c5773f19108376 5b83635bbd012a26 1'", "'mp3'", "192"]
GRID = ["'457da1d568214275'", "'hmm'"]
ACTIVATIONS = ["'457da1d568214275'"]


@pytest.mark.parametrize(
    ("recorded", "made_of", "changed"),
    [
        (LOUDNESS, (["feature_loudness"], {"settings": ""}), False),
        (LOUDNESS, (["feature_loudness"], {"settings": "--set-x 1"}), True),
        (
            ["''", "'0000000000000000'", "'feature_loudness'", "1"],
            (["feature_loudness"], {"settings": ""}),
            True,
        ),
        (STEMS, (["stems_demucs", "stem_files"], {"format": "mp3", "bitrate": 192}), False),
        (STEMS, (["stems_demucs", "stem_files"], {"format": "mp3", "bitrate": 128}), True),
        (STEMS, (["stems_roformer", "stem_files"], {"format": "mp3", "bitrate": 192}), True),
        (GRID, (["beats_grid"], {"decoder": "hmm"}), False),
        (GRID, (["beats_grid"], {"decoder": "peaks"}), True),
        (ACTIVATIONS, (["beat_activations_embedded"], {}), True),  # which 0.1.0 did not have
        ([], (["info"], {}), False),
    ],
)
def test_results_of_version_0_1_0_are_valid_where_their_values_are_the_same(monkeypatch, recorded, made_of, changed):
    monkeypatch.setattr(identity, "version", lambda kind: "1")
    kinds, settings = made_of
    made_by = identity.made_by(*kinds, **settings)
    job = SimpleNamespace(params={"made_by": made_by})
    assert (set(snakemake_internals.recalled(recorded, made_by)) != set(snakemake_internals.meant(job))) is changed


def test_a_later_version_makes_results_of_0_1_0_out_of_date():
    made_by = identity.made_by("beats_grid", decoder="hmm") | {"version": "2"}
    job = SimpleNamespace(params={"made_by": made_by})
    assert set(snakemake_internals.recalled(GRID, made_by)) != set(snakemake_internals.meant(job))


def test_what_is_recorded_today_is_recalled_as_it_is_but_for_code_that_was_released_since():
    recorded = ["decoder: hmm", "kind: beats_grid", f"version: 1 {next(iter(identity.released()))} 0123456789ab"]
    assert snakemake_internals.recalled(recorded, {}) == [*recorded[:2], "version: 1 0123456789ab"]


NEW = "net.pb:" + "1" * 64 + " head.pb:" + "2" * 64


@pytest.mark.parametrize("first", ["", "1" * 64, "3" * 64])
def test_a_hash_that_has_become_known_makes_nothing_out_of_date_unless_the_file_was_another(
    monkeypatch, tmp_path, first
):
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))
    if first:
        (tmp_path / "net.pb.sha256").write_text(f"{first}  net.pb\n")
    made_by = {"kind": "embedding", "version": "1", "model": NEW}
    model = "net.pb: head.pb:" + "2" * 64
    recorded = ["kind: embedding", "version: 1", f"model: {model}"]
    today = snakemake_internals.meant(SimpleNamespace(params={"made_by": made_by}))
    assert (set(snakemake_internals.recalled(recorded, made_by)) == set(today)) is (first != "3" * 64)
    # and so in the records of 0.1.0
    monkeypatch.setitem(identity.read_versions(), "0.1.0", {"embedding": "abc"})
    assert (set(snakemake_internals.recalled([repr(model), "'abc'"], made_by)) == set(today)) is (first != "3" * 64)


@pytest.mark.parametrize(("metadata", "changed"), [(["a", "b"], False), (["b", "a"], True), (None, False)])
def test_heads_made_with_metadata_count_where_its_order_was_that_of_today(monkeypatch, tmp_path, metadata, changed):
    """Until 0.2.0 the names of a head's outputs came from a file of Essentia's, which was downloaded."""
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))
    if metadata:
        (tmp_path / "net.json").write_text(json.dumps({"classes": metadata}))
    made_by = {
        "kind": "feature_head",
        "version": "1",
        "model": "net.pb:" + "1" * 64,
        "classes": heads._digest(["a", "b"]),
    }
    model = "net.pb:" + "1" * 64 + " net.json:" + "2" * 64
    recorded = ["kind: feature_head", "version: 1", f"model: {model}"]
    today = snakemake_internals.meant(SimpleNamespace(params={"made_by": made_by}))
    assert (set(snakemake_internals.recalled(recorded, made_by)) != set(today)) is changed
    monkeypatch.setitem(identity.read_versions(), "0.1.0", {"feature_head": "abc"})
    assert (set(snakemake_internals.recalled([repr(model), "'abc'"], made_by)) != set(today)) is changed


def test_a_model_file_is_not_fetched_again_because_its_hash_has_become_known():
    made_by = {"kind": "model_file", "version": "1", "sha256": "1" * 64}
    recorded = ["kind: model_file", "version: 1", "sha256: "]
    assert "sha256: " + "1" * 64 in snakemake_internals.recalled(recorded, made_by)
    other = ["kind: model_file", "version: 1", "sha256: " + "2" * 64]
    assert "sha256: " + "2" * 64 in snakemake_internals.recalled(other, made_by)


def test_rules_without_made_by_are_compared_as_snakemake_does():
    assert snakemake_internals.meant(SimpleNamespace(params={"sha256": "1"})) == []


# In a process of its own: the changes stay until its end.
PROGRAM = """
import os, threading, time
import snakemake.benchmark, snakemake.cli
from snakemake.scheduling.job_scheduler import JobScheduler
from mirflow.workflow import snakemake_internals

os.environ["MIRFLOW_WARM"] = "1"
snakemake_internals.schedule_faster()

class Scheduler:
    _open_jobs = threading.Semaphore(0)

due, look_again = Scheduler._open_jobs, JobScheduler._schedule_reevalutation
scheduler = Scheduler()
for _ in range(100):
    look_again(scheduler, 0.2)
assert threading.active_count() == 2, "one timer for all"
assert due.acquire(timeout=5) and not due.acquire(timeout=0.5), "and it comes once"
look_again(scheduler, 0.2)
assert due.acquire(timeout=5), "and again when it is asked for again"

record = snakemake.benchmark.BenchmarkRecord()
with snakemake.benchmark.benchmarked(os.getpid(), record):
    time.sleep(0.1)
assert 0.1 <= record.running_time < 5 and not record.data_collected
assert record.to_tsv(False).count("NA") == 8, record.to_tsv(False)
"""


def test_the_scheduler_starts_one_timer_and_a_warm_job_is_timed():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
