"""``make run``: large libraries are made in batches, each track once, with one display of progress and one summary."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from conftest import REPOSITORY, loop, write
from mirflow import commands
from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.library.scan import Library
from mirflow.workflow import batches, launch, progress
from mirflow.workflow.batches import Batch

TRACKS = ("one", "two", "sub/three", "sub/it's {4}", "five")


def make_run(library: Path, results: Path, *further: str, batch: int = 2) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mirflow", "run", "--library", str(library), "--results", str(results)]
    command += ["-j", "2", "--batch", str(batch), "--", *further]
    return subprocess.run(
        command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts")},
    )  # fmt: skip


def test_batches_make_every_track_once_and_end_with_one_summary(tmp_path):
    library, results = tmp_path / "music", tmp_path / "results"
    for track in TRACKS[:3]:
        write(library / f"{track}.wav", loop(0.3))
    (library / "bad.mp3").write_text("no music")
    done = make_run(library, results, "--until", "full_mix")
    assert done.returncode == 1, done.stdout
    assert len(list(results.rglob("full_mix.flac"))) == 3
    assert re.findall(r"mirflow: tracks (\d) to (\d) of 4: ", done.stdout) == [("1", "2"), ("3", "4")]
    assert done.stdout.count("results in") == 1 and "1 failed, 3 unfinished" in done.stdout
    assert done.stdout.count("failed      bad: full_mix: ") == 1
    shares = [int(share) for share in re.findall(r"^ *(\d+)%", done.stdout, re.M)]
    assert shares == sorted(shares) and shares[-1] >= 50


def test_a_track_and_all_that_belongs_to_it_is_in_one_batch(tmp_path):
    library, results = tmp_path / "music", tmp_path / "results"
    for track in TRACKS:
        write(library / f"{track}.wav", loop(0.3))
    planned = make_run(library, results, "-n", "-q").stdout
    assert [int(n) for n in re.findall(r"^info +(\d+)$", planned, re.M)] == [1, 2, 2]
    assert [int(n) for n in re.findall(r"^full_mix +(\d+)$", planned, re.M)] == [1, 2, 2]


SNAKEMAKE = """
import json, os, sys
from mirflow.workflow import batches
state = batches.batch()
if state.of_library:
    open(f"{sys.argv[1]}.of_library", "w").close()
    sys.exit(0)
print(state.chosen[0], state.chosen[-1], state.before, state.jobs, state.idle, file=open(sys.argv[1], "a"))
what = dict(pair.split("=") for pair in sys.argv[2:]).get(state.chosen[0], "done")
if what != "idle" and what != "refused":
    batches.note(started=True, skip=["chroma"], jobs=state.jobs + 10)
sys.exit(0 if what in ("done", "idle") else 1)
"""


def test_settings_on_the_command_line_are_kept():
    called = launch.command("music", "out", "2", ["-n", "--config", "skip=[chroma]", "--quiet"])
    assert called[called.index("--config") :] == ["--config", *EXPECTED, "skip=[chroma]", "--quiet"]
    assert launch.command("music", "out", "2", [])[-3:] == ["--config", *EXPECTED]


EXPECTED = ['library= "music" ', 'results= "out" ']


def test_a_directory_that_cannot_be_written_is_said_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").write_text("in the way, as a read-only disk would be")
    with pytest.raises(MirflowError, match=r"\.snakemake: cannot be written \(.+\), but Snakemake needs it"):
        launch.check_working_directory()
    (tmp_path / ".snakemake").unlink()
    launch.check_working_directory()
    assert (tmp_path / ".snakemake").is_dir()


def test_without_a_home_caches_are_temporary(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way, as a home of somebody else would be")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr(launch.tempfile, "gettempdir", lambda: str(tmp_path))
    launch.check_working_directory()
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / f"mirflow-cache-{os.getuid()}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    launch.check_working_directory()
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "own")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(launch.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(MirflowError, match="file: cannot be written, but Snakemake needs it: set XDG_CACHE_HOME"):
        launch.check_working_directory()


@pytest.fixture
def fake(tmp_path, monkeypatch, capfd):
    """Run batches of two tracks with a program in Snakemake's place; it takes `first track=what happens`."""
    for track in "abcdef":
        write(tmp_path / f"music/{track}.wav", loop(0.1))
    program = tmp_path / "snakemake.py"
    program.write_text(SNAKEMAKE)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "scripts"))
    monkeypatch.setattr(launch.signal, "signal", lambda *_: None)

    def call(*happens: str, options: list[str] | None = None, **more: bool) -> tuple[int, list[str], str]:
        seen = tmp_path / "seen.txt"
        seen.unlink(missing_ok=True)
        command = [sys.executable, str(program), str(seen), *happens]
        status = launch.run(command, str(tmp_path / "music"), str(tmp_path / "results"), 2, options=options, **more)
        return status, seen.read_text().splitlines(), capfd.readouterr().err

    return call


def test_a_batch_that_fails_leaves_the_others_and_the_status_says_so(fake):
    status, seen, said = fake("a=failed")
    assert status == 1 and seen == ["a b 0 0 0", "c d 2 10 0", "e f 4 20 0"]
    assert "0 of 6 tracks complete" in said
    assert fake()[0] == 0


def test_what_stops_a_batch_before_its_start_stops_all(fake):
    status, seen, said = fake("a=refused")
    assert status == 1 and len(seen) == 1 and said == ""


def test_no_process_starts_where_nothing_concerns_all_tracks(fake, tmp_path, monkeypatch):
    for relating in (False, True):
        assert fake(relating=relating)[0] == 0
        assert (tmp_path / "seen.txt.of_library").exists() == relating
    asked = []
    monkeypatch.setattr(launch, "run", lambda *arguments: asked.append(arguments[-1]) or 0)
    for options in ([], ["--", "--config", "skip=[duplicates]"], ["--", "--config", "skip=[chroma]"]):
        with pytest.raises(SystemExit):
            commands.main(["run", "--library", "music", "--results", "out", *options])
    assert asked == [True, False, True]


def test_nothing_to_be_done_is_said_once(fake):
    status, seen, said = fake("a=idle", "c=idle", "e=idle")
    assert status == 0 and seen[-1] == "e f 4 0 4" and said == launch.NOTHING + "\n"


def test_progress_goes_over_all_batches(tmp_path, monkeypatch, capsys):
    import snakemake_logger_plugin_mirflow as plugin

    file = tmp_path / "batch.json"
    began = progress.time.time() - 300
    Batch(("c", "f"), before=200, size=100, tracks=1000, began=began, idle=150, jobs=1100, failed=3).save(file)
    monkeypatch.setenv(batches.BATCH, str(file))
    handler = plugin.LogHandler(types.SimpleNamespace(dryrun=False), None)
    handler.total, handler.done, handler.all_tracks, handler.tracks = 2200, 1100, 100, 40
    # 50 of the 200 tracks before took time, and half of these 100: 300 s for 100 tracks, 750 are left.
    assert handler._line() == " 25%  2200 jobs  240/1000 tracks  3 failed  5 min 00 s, about 37 min 30 s left"
    handler.failed = 1
    handler.close()
    left = batches.read_batch(file)
    assert (left.jobs, left.failed, left.chosen) == (2200, 4, ("c", "f"))
    assert json.loads(artifacts.json_bytes(left.__dict__))


def test_a_dry_run_names_the_tracks_with_pending_work(capsys):
    import snakemake_logger_plugin_mirflow as plugin

    handler = plugin.LogHandler(types.SimpleNamespace(dryrun=True), None)
    jobs = [{"parent": "sub/", "name": f"{number:02}"} for number in (*range(22), 7)]
    for wildcards in (*jobs, None):
        record = {"event": plugin.LogEvent.JOB_INFO, "wildcards": wildcards}
        handler.emit(logging.makeLogRecord({"levelno": logging.INFO, **record}))
    handler.close()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "mirflow: 22 tracks with pending work" and said[-1] == "  and 2 more"
    assert said[1:9] == [*(f"  sub/{number:02}: 1 job" for number in range(7)), "  sub/07: 2 jobs"]
    assert len(said) == 22


@pytest.mark.parametrize(("idle", "cleared"), [(2, True), (0, False)])
def test_only_the_first_batch_with_work_walks_through_all_results(tmp_path, monkeypatch, idle, cleared):
    left = tmp_path / "out/a/.mirflow-tmp-x.wav"
    left.parent.mkdir(parents=True)
    left.touch()
    Batch(("c", "d"), before=2, size=2, tracks=6, began=0.0, idle=idle).save(tmp_path / "batch.json")
    monkeypatch.setenv(batches.BATCH, str(tmp_path / "batch.json"))
    progress.start(str(tmp_path / "out"), Library(tmp_path))
    assert left.exists() != cleared


def test_where_all_others_are_complete_only_the_folders_of_a_batch_are_looked_at(tmp_path, monkeypatch):
    results = tmp_path / "out"
    left = [
        results / folder / ".mirflow-tmp-x.wav" for folder in ("c/features", ".mirflow/merged/c", ".mirflow", "", "a")
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Batch(("c", "d"), before=2, size=2, tracks=6, began=0.0, idle=0, few=True).save(tmp_path / "batch.json")
    monkeypatch.setenv(batches.BATCH, str(tmp_path / "batch.json"))
    library = Library(tmp_path, dict.fromkeys("abcd", tmp_path))
    progress.start(str(results), library)
    assert [path for path in left if path.exists()] == left[-1:]
    left[0].touch()
    progress.end(str(results), library, progress.Run(made=("c", "d")))
    assert [path for path in left if path.exists()] == left[-1:]


def test_tracks_are_judged_when_any_batch_had_something_to_do(fake, monkeypatch):
    """Not only when the last one had."""
    judged = []
    monkeypatch.setattr(launch, "_judge", lambda *arguments: judged.append(arguments[3]))
    for happens in (["c=idle", "e=idle"], ["a=idle", "c=idle", "e=idle"]):
        fake(*happens, options=[])
    assert judged == [list("abcdef")]


def test_something_of_single_tracks_is_made_in_batches(tmp_path):
    program, seen = tmp_path / "snakemake.py", tmp_path / "seen"
    program.write_text(SNAKEMAKE)
    tracks, environment = list("abcde"), os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts")}
    command = [sys.executable, str(program), str(seen), "a=idle", "c=failed"]
    assert launch._of_tracks(command, tracks, 2, environment, []) == 1, "one batch has failed"
    assert seen.read_text().splitlines() == ["a b 0 0 0", "c d 2 0 2", "e e 4 10 2"], "and the next one was made"


def test_an_interrupt_before_the_first_job_is_one_line(tmp_path):
    """As by Ctrl-C between two batches."""
    (tmp_path / "snakemake.py").write_text("raise KeyboardInterrupt")
    command = [sys.executable, "-m", launch.SNAKEMAKE, "-n"]
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY / "scripts")])
    done = subprocess.run(command, text=True, capture_output=True, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 130 and done.stderr.startswith("mirflow: stopped before the first job")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_a_signal_that_ends_make_ends_the_run(tmp_path):
    """The fake interpreter stands for the one in .venv; a shell between make and it would get the signal alone."""
    python, said = tmp_path / "venv/bin/python", tmp_path / "said"
    python.parent.mkdir(parents=True)
    waits = "for n in $(seq 300); do sleep 0.1; done"
    python.write_text(f"#!/bin/sh\ntrap 'echo stopped >{said}; exit 3' TERM\necho begun >{said}\n{waits}\n")
    python.chmod(0o755)
    (tmp_path / "venv/base.done").touch()
    make = subprocess.Popen(["make", "-s", "run", f"VENV={tmp_path}/venv"], cwd=REPOSITORY, start_new_session=True)
    while not (said.exists() and said.read_text()):
        time.sleep(0.05)
    make.send_signal(signal.SIGTERM)
    make.wait(30)
    assert said.read_text() == "stopped\n"
