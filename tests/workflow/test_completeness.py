"""Tracks that are provably complete are not planned again, and no change is overlooked that Snakemake would see."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import measure, planning, project
from conftest import REPOSITORY, copy_project, loop, write
from mirflow import features
from mirflow.core import layout
from mirflow.library.scan import scan
from mirflow.workflow import completeness, launch
from mirflow.workflow.completeness import Ledger
from mirflow.workflow.shares import WHOLE, Share

SKIP = ["--config", "skip=[timbral, per_stem_harmonic, per_stem_rhythm, stem_quality, bpm_essentia]"]


@pytest.mark.parametrize(
    ("options", "can"),
    [
        ([], True),
        (["-n", *SKIP, "beats={decoder: peaks}"], True),
        (["--configfile", "config/full.yaml", "mine.yaml", "--resources", "gpu=1"], True),
        (["--configfile=mine.yaml"], True),
        (["results/T/T.INFO"], False),
        (["-n", "results/T/T.INFO"], False),
        (["-F"], False),
        (["--forcerun", "stems"], False),
        (["--until", "full_mix"], False),
        (["--snakefile", "other"], False),
    ],
)
def test_snakemake_decides_where_its_options_do(options, can):
    assert completeness.can_be_told(options) is can


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A copy of the project, a library, one of whose tracks is bad, and results that `mirflow run` has made twice."""
    root = tmp_path_factory.mktemp("complete")
    project = copy_project(root / "project")
    for track in ("one", "one/two"):
        write(root / f"music/{track}.wav", loop(1.5))
    (root / "music/bad.mp3").write_text("no music")
    environment = os.environ | {"PYTHONPATH": str(project / "scripts")}
    program = "from mirflow.workflow import launch; launch.AT_ONCE = 0; from mirflow.commands import main; main({})"

    def run(*further: str) -> str:
        call = ["run", "--library", str(root / "music"), "--results", str(root / "out"), "-j", "2", *further]
        done = subprocess.run(
            [sys.executable, "-c", program.format(call)], cwd=project, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.stdout

    assert "2 of 3 tracks complete, 1 failed" in run("--", *SKIP)
    return run, root


def pending(said: str) -> set[str]:
    """Return the tracks with pending work that a dry run names."""
    lines = said.partition("with pending work")[2].splitlines()
    return {line.rpartition(":")[0].strip() for line in lines if line.startswith("  ")}


def test_only_what_failed_is_planned_again(made):
    run, _ = made
    assert pending(run("--", "-n", *SKIP)) == {"bad"}


def touch(path: Path) -> None:
    os.utime(path, (time.time(), time.time()))


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


CHANGES = {  # what is changed → by what
    "music/one.wav": touch,
    "out/one/full_mix.flac": touch,
    "out/one/features/tempo.json": touch,
    "out/one/two/two.BEATS_GRID": append,
    "out/one/drums.mp3": Path.unlink,
    "out/one/one.INFO": Path.unlink,
    "out/one/features/loudness.json": Path.unlink,
    "out/.mirflow/merged/one/done": Path.unlink,
    "out/.mirflow/merged/one/records.json": Path.unlink,
}
ASKED = {  # in these cases Snakemake itself is asked, too: `--all` asks it about every track
    "music/one.wav": touch,
    "project/scripts/mirflow/features/tempo.py": lambda path: path.write_text(f"{path.read_text()}\nEDITED = True\n"),
}


@contextlib.contextmanager
def changed(path: Path, change: Callable[[Path], object]) -> Iterator[None]:
    content, status = path.read_bytes(), path.stat()
    try:
        change(path)
        yield
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", CHANGES)
def test_snakemake_is_asked_about_a_track_where_any_file_is_another(made, change):
    _, root = made
    library, results = scan(root / "music"), str(root / "out")
    with open(root / "out/.mirflow/complete.json") as file:
        of_all = json.load(file)["of_all"]
    assert Ledger(results, library, WHOLE, of_all).pending(library.tracks) == ["bad"]
    with changed(root / change, CHANGES[change]):
        found = Ledger(results, library, WHOLE, of_all).pending(library.tracks)
        assert found == ["bad", "one/two" if "two" in change else "one"]


@pytest.mark.parametrize("change", ASKED)
def test_what_snakemake_sees_is_not_overlooked(made, change):
    run, root = made
    with changed(root / change, ASKED[change]):
        found = pending(run("--", "-n", *SKIP))
        assert found == pending(run("--all", "--", "-n", *SKIP)) and "one" in found


@pytest.mark.parametrize("options", [["stems={bitrate: 128}"]])
def test_another_setting_is_not_overlooked(made, options):
    run, _ = made
    assert pending(run("--", "-n", "--config", *options)) == pending(run("--all", "--", "-n", "--config", *options))


def with_keys_of_others(info: Path) -> None:
    content = json.loads(info.read_text())
    info.unlink()  # a clone shares its files with the others
    info.write_text(json.dumps({"theirs": 1} | content))


def replaced(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


EVERY_KIND = [  # what is changed of a track, how, and whether that makes work
    ("source", lambda path: replaced(path, path.read_bytes() + b"\0"), True),  # and so it is a longer one
    ("source", lambda path: path.rename(path.with_name("moved.wav")), None),
    ("source", Path.unlink, None),
    ("full_mix", Path.unlink, False),
    ("full_mix", lambda path: replaced(path, b""), True),
    ("tempo", Path.unlink, False),  # it is in the .INFO already
    ("tempo", lambda path: replaced(path, b""), True),
    ("onsets", lambda path: replaced(path, path.read_bytes() + b"9.000000\n"), True),
    ("info", Path.unlink, True),
    ("info", lambda path: replaced(path, b""), False),
    ("info", with_keys_of_others, False),
    ("record", Path.unlink, False),  # then only times count
    ("none", lambda path: None, False),
]


def test_make_run_and_snakemake_see_the_same_after_every_kind_of_change(tmp_path, monkeypatch):
    copy = project.copy(tmp_path / "project")
    heavy = [name for name in features.names() if name not in ("loudness", "tempo")]
    settings = f"skip=[{', '.join(['duplicates', *heavy])}]"
    monkeypatch.setattr(project, "SETTINGS", (settings,))
    library, results = planning.clone(planning.make_seed(copy, tmp_path / "seed"), tmp_path / "all", len(EVERY_KIND))
    program = "from mirflow.workflow import launch; launch.AT_ONCE = 0; from mirflow.commands import main; main({})"
    call = ["run", "--library", str(library), "--results", str(results), "-j", "2", "--"]
    calls = {
        "make run": [sys.executable, "-c", program.format([*call, "-n", "--config", settings])],
        "snakemake": project.snakemake(library, results, "-j", "2", "-n", "--logger", "mirflow"),
    }
    first = measure.run([sys.executable, "-c", program.format([*call, "--config", settings])], copy)
    assert "Nothing to be done" in first.output
    with open(results / ".mirflow/complete.json") as file:
        assert len(json.load(file)["tracks"]) == len(EVERY_KIND)
    expected = {"Artist 0000/moved"}
    for (what, change, makes_work), track in zip(EVERY_KIND, scan(library).tracks.copy(), strict=True):
        files = layout.track_files(str(results), track)
        change(Path({
            "source": f"{library}/{track}.wav", "full_mix": files.full_mix, "tempo": files.fragment("tempo"),
            "onsets": files.grid("onsets"), "info": files.info, "none": files.info,
            "record": layout.own(str(results), "merged", track, "records.json"),
        }[what]))  # fmt: skip
        expected |= {track} if makes_work else set()
    found = {name: pending(measure.run(command, copy).output) for name, command in calls.items()}
    assert found["make run"] == found["snakemake"] == expected


def test_a_state_is_that_of_the_tracks_own_files(tmp_path):
    for track in ("a", "a/b"):
        write(tmp_path / f"music/{track}.wav", loop(0.1))
        (tmp_path / "out" / track / "features").mkdir(parents=True)
        (tmp_path / "out" / track / "features/x.json").write_text(track)
    library, results = scan(tmp_path / "music"), str(tmp_path / "out")
    ledger = Ledger(results, library, WHOLE, "all")
    ledger.note(ledger.states(["a", "a/b"]))
    again = Ledger(results, library, Share(1, 2), "all")
    assert again.pending(["a", "a/b"]) == []
    assert Ledger(results, library, WHOLE, "other code").pending(["a"]) == ["a"]
    (tmp_path / "out/a/b/features/x.json").write_text("longer")
    assert again.pending(["a", "a/b"]) == ["a/b"]
    # What has changed since Snakemake was asked is not written down.
    before = again.states(["a"])
    (tmp_path / "out/a/new.json").touch()
    again.note(before)
    assert again.pending(["a"]) == ["a"]


def test_files_that_settings_name_count(tmp_path, monkeypatch):
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text("one")
    options = ["--config", f"describe={{prompts: {prompts}}}", f"models={tmp_path}"]
    first = completeness.state_of_all(options)
    assert completeness.state_of_all(["-n", *options, "--resources", "gpu=1"]) == first != completeness.state_of_all([])
    prompts.write_text("another")
    assert completeness.state_of_all(options) != first


def test_the_folder_of_the_project_is_this_one():
    assert layout.PROJECT == REPOSITORY and launch.AT_ONCE <= launch.BATCH_TRACKS
