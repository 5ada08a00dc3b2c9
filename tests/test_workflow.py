"""The whole workflow, end to end, on real audio files: good ones, strange ones and bad ones."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import RATE, REPOSITORY, copy_project, jobs, loop, run_snakemake, write
from mirflow import features
from mirflow.library.scan import scan

# Names that break carelessly written workflows, each on a good file.
ODD = [
    "Song one.flac",
    'it\'s "quoted" {x} $(y).flac',
    "Кино/01 - Группа.FLAC",
    "a\nb.wav",
    "-rf.mp3",
    ".hidden.flac",
    "x <remix> & `tick`; *.flac",
]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project, so that tests may add features to it and nothing is written into the repository."""
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("music")
    for index, name in enumerate(ODD):
        write(root / name, loop(6 + index / 4))
    music = loop(6)
    write(root / "kinds/silent.wav", np.zeros((3 * RATE, 2)))
    write(root / "kinds/one sample.wav", np.full((1, 1), 0.5))
    write(root / "kinds/short.wav", loop(0.3))
    write(root / "kinds/mono 8 kHz.wav", loop(6, 8000, 1), 8000)
    write(root / "kinds/96 kHz.flac", loop(6, 96000), 96000, subtype="PCM_24")
    write(root / "kinds/six channels.flac", loop(6, channels=6))
    write(root / "bad/nan.wav", np.where(np.arange(RATE)[:, None] == 4410, np.nan, 0.1), subtype="FLOAT")
    (root / "bad/empty.flac").touch()
    (root / "bad/text.mp3").write_text("this is no music\n" * 100)
    whole = write(root / "bad/truncated.flac", music).read_bytes()
    (root / "bad/truncated.flac").write_bytes(whole[: len(whole) // 2])
    (root / "cover.jpg").write_bytes(b"\xff\xd8")
    return root


GOOD = len(ODD) + 6
BAD = {"bad/nan": "NaN or infinite", "bad/empty": "empty", "bad/text": "not an audio file", "bad/truncated": "damaged"}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out") / "results"


def listing(library: Path) -> dict[str, tuple]:
    """Return everything below a directory: path → kind, time of change, content."""
    found = {}
    for path in sorted(library.rglob("*")):
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        found[str(path.relative_to(library))] = (status.st_mode, path.is_file() and status.st_mtime_ns, content)
    return found


@pytest.fixture(scope="module")
def untouched(library) -> dict[str, tuple]:
    """The library before the first run."""
    return listing(library)


@pytest.fixture(scope="module")
def shells(tmp_path_factory) -> Path:
    """A folder with a shell that leaves a line in `started` for each time that it is started."""
    folder = tmp_path_factory.mktemp("shells")
    real = shutil.which("bash")
    (folder / "bash").write_text(f"#!{real}\necho >> '{folder}/started'\nexec {real} \"$@\"\n")
    (folder / "bash").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def first(project, library, results, untouched, shells):
    """The first run over the whole library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{shells}:{os.environ['PATH']}")
        return run_snakemake(cwd=project, library=library, results=results)


def info_files(results: Path) -> dict[str, Path]:
    return {str(path.parent.relative_to(results)): path for path in sorted(results.rglob("*.INFO"))}


def test_good_tracks_complete_and_bad_ones_fail_alone_with_their_reason(first, library, results):
    assert first.returncode != 0
    tracks = scan(library, exclude=results).tracks
    assert set(info_files(results)) == set(tracks) - set(BAD)
    assert len(info_files(results)) == GOOD
    summary = first.stdout[
        first.stdout.index(f"mirflow: {GOOD} of {GOOD + len(BAD)} tracks complete, {len(BAD)} failed") :
    ]
    for track, reason in BAD.items():
        line = next(line for line in summary.splitlines() if f"failed      {track}: full_mix: " in line)
        assert tracks[track].name in line and reason in line
    assert f"results in {results}" in summary
    assert "cover.jpg\tskipped\tnot an audio extension" in (results / ".mirflow/library.tsv").read_text()


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def test_every_info_is_strict_and_has_every_key(first, results):
    keys = {field.key for feature in features.built_in() for field in feature.fields}
    for path in info_files(results).values():
        info = json.loads(path.read_bytes(), parse_constant=refuse)
        assert keys | {"duplicate_group", "split", "_provenance"} == set(info), path
        assert len(info["_provenance"]["source"]["sha256"]) == 64
        assert info["_provenance"]["stems"]["backend"] == "embedded"
        assert info["_provenance"]["beats"]["backend"] == "embedded"
        assert info["_provenance"]["beats"]["decoder"] == "hmm"
        for feature in features.built_in():
            assert info["_provenance"]["features"][feature.name]["version"] == feature.version


def test_each_track_has_its_artifacts(first, results):
    for track in info_files(results):
        folder, name = results / track, track.rpartition("/")[2]
        for file in (
            "full_mix.flac",
            "drums.mp3",
            "bass.mp3",
            "other.mp3",
            "vocals.mp3",
            f"{name}.BEATS_GRID",
            f"{name}.DOWNBEATS",
            f"{name}.ONSETS",
        ):
            assert (folder / file).is_file(), f"{track}: {file}"


def test_the_music_is_measured_right(first, results):
    info = json.loads(info_files(results)["Song one"].read_text())
    assert info["bpm_is_defined"] == 1 and info["bpm"] in (pytest.approx(120, abs=1), pytest.approx(60, abs=1))
    assert info["tonic"] == 9 and info["tonic_scale"] == "minor"
    silent = json.loads(info_files(results)["kinds/silent"].read_text())
    assert silent["bpm"] is None and silent["lufs"] is None and silent["tonic"] is None and silent["onset_count"] == 0


def test_a_second_run_tries_the_bad_ones_again_and_nothing_else(first, project, library, results):
    planned = run_snakemake("-n", cwd=project, library=library, results=results)
    assert jobs(planned.stdout)["full_mix"] == len(BAD) == jobs(planned.stdout)["info"]
    hidden = library.with_name("bad")
    shutil.move(library / "bad", hidden)
    try:
        again = run_snakemake(cwd=project, library=library, results=results)
        assert again.returncode == 0 and "Nothing to be done" in again.stdout
    finally:
        shutil.move(hidden, library / "bad")


TOY = """
from mirflow.core.feature import Feature, Field

FEATURE = Feature("toy", 1, ("full_mix",), (Field("toy_seconds", "s", bounds=(0, 1e9), meaning="length"),))


def measure(full_mix):
    return {"toy_seconds": full_mix.duration}
"""


def test_what_is_added_or_changed_is_made_and_nothing_else(first, project, library, results, tmp_path):
    good = tmp_path / "good"
    shutil.copytree(library, good, ignore=shutil.ignore_patterns("bad"))
    run_snakemake("--touch", cwd=project, library=library, results=results)

    def planned(**config):
        return jobs(run_snakemake("-n", cwd=project, library=library, results=results, **config).stdout)

    shutil.move(library / "bad", library.with_name("bad"))
    features = project / "scripts/mirflow/features"
    try:
        assert planned() == {"duplicates": 1}, "the library has fewer tracks"
        other = features / "saturation.py"
        text = other.read_text()
        (features / "toy.py").write_text(TOY)
        assert planned() == {"feature_toy": GOOD, "info": GOOD}
        done = run_snakemake(cwd=project, library=library, results=results)
        assert done.returncode == 0 and planned() == {}
        assert json.loads(info_files(results)["Song one"].read_text())["toy_seconds"] == pytest.approx(6.0)

        other.write_text(text.replace('"""', '"""Another docstring. ', 1) + "\n# a comment\n")
        assert planned() == {}, "a comment changes no value"
        other.write_text(text + "\nEDITED = 1\n")
        assert planned() == {"feature_saturation": GOOD, "info": GOOD}, "another feature became out of date"
        other.write_text(text)
        assert planned() == {}

        (features / "toy.py").write_text(TOY.replace('"toy", 1', '"toy", 2'))
        assert planned() == {"feature_toy": GOOD, "info": GOOD}
        assert planned(skip="[toy]") == {"info": GOOD}
    finally:
        (features / "toy.py").unlink(missing_ok=True)
        shutil.move(library.with_name("bad"), library / "bad")


def test_keys_of_other_people_survive_everything(first, project, library, results):
    path = info_files(results)["Song one"]
    target = [str(path), str(results / ".mirflow/merged/Song one/done")]
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"mine": [1.0, None, "ü"]} | content))

    again = run_snakemake(
        *target, "--forcerun", "info", "--rerun-triggers", "mtime", cwd=project, library=library, results=results
    )
    assert again.returncode == 0, again.stdout
    assert json.loads(path.read_text())["mine"] == [1.0, None, "ü"]

    whole = path.read_text()
    path.write_text("{ corrupt")
    failed = run_snakemake(
        *target, "--forcerun", "info", "--rerun-triggers", "mtime", cwd=project, library=library, results=results
    )
    assert failed.returncode != 0 and path.read_text() == "{ corrupt"
    assert f"{path}: not valid JSON" in failed.stdout
    path.write_text(whole)
    repaired = run_snakemake(*target, "--rerun-triggers", "mtime", cwd=project, library=library, results=results)
    assert repaired.returncode == 0 and jobs(repaired.stdout) == {"info": 1}
    assert json.loads(path.read_text())["mine"] == [1.0, None, "ü"]

    rerun = run_snakemake(str(path), "--forceall", cwd=project, library=library, results=results)
    assert rerun.returncode == 0, rerun.stdout
    assert path.read_text() == whole, "a full rerun of the same version gives the same bytes"


def test_warm_and_cold_give_the_same_bytes(first, project, library, results, tmp_path):
    cold = tmp_path / "cold"
    done = run_snakemake(cwd=project, library=library / "Song one.flac", results=cold, warm="false")
    assert done.returncode == 0, done.stdout
    compared = 0
    for path in sorted((cold / "Song one").rglob("*")):
        if path.is_file() and path.suffix not in (".lock", ".INFO"):
            assert path.read_bytes() == (results / "Song one" / path.relative_to(cold / "Song one")).read_bytes(), path
            compared += 1
    assert compared > 20


def test_a_warm_job_needs_no_shell(first, results, shells):
    made = len(list(results.rglob("features/*.json")))
    started = len((shells / "started").read_text().splitlines())
    assert made > 200 and started < 20, "but for the first jobs, before a worker listens"


def test_pictures_of_the_beats_are_made_when_asked_for(first, project, library, results):
    made = [results / f"Song one/rhythm/beats.{suffix}" for suffix in ("png", "wav")]
    done = run_snakemake(*map(str, made), cwd=project, library=library / "Song one.flac", results=results)
    assert done.returncode == 0, done.stdout
    assert made[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    clicks, rate = soundfile.read(made[1])
    assert rate == RATE and len(clicks) == 6 * RATE


def test_a_model_backend_is_one_setting_away_and_claims_the_gpu(project, library, tmp_path):
    song = library / "Song one.flac"
    planned = run_snakemake("-n", "-p", cwd=project, library=song, results=tmp_path / "r", beats="{backend: beat_this}")
    assert jobs(planned.stdout)["model_file_beat_this_final0_ckpt"] == 1
    job = planned.stdout[planned.stdout.index("rule beat_activations:") :].partition("\n\n")[0]
    assert "gpu=1" in job and "mirflow --model beat_activations" in planned.stdout


def test_any_single_file_is_a_target(project, library, tmp_path):
    target = tmp_path / "r/Song one/features/loudness.json"
    planned = run_snakemake("-n", str(target), cwd=project, library=library, results=tmp_path / "r")
    assert jobs(planned.stdout) == {"full_mix": 1, "stems": 1, "feature_loudness": 1}
    unknown = run_snakemake(
        "-n", str(tmp_path / "r/Nope/Nope.INFO"), cwd=project, library=library, results=tmp_path / "r"
    )
    assert unknown.returncode != 0 and "no track 'Nope'" in unknown.stdout


def test_settings_reach_the_rules(project, library, tmp_path):
    song = library / "Song one.flac"
    planned = run_snakemake(
        "-n",
        "-p",
        cwd=project,
        library=song,
        results=tmp_path / "r",
        stems="{format: flac, bitrate: 128, backend: embedded}",
        beats="{decoder: peaks, backend: embedded}",
        skip="[chroma]",
    )
    assert "drums.flac" in planned.stdout and "--format flac --bitrate 128" in planned.stdout
    assert "--decoder peaks" in planned.stdout
    assert "feature_chroma" not in planned.stdout and "feature_tempo" in planned.stdout


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"stemz": 1}, "stemz: no such setting (did you mean stems?)"),
        ({"library": "/nowhere/at/all"}, "/nowhere/at/all: no such file or directory"),
    ],
)
def test_bad_settings_end_the_run_before_it_starts(project, library, tmp_path, config, message):
    refused = run_snakemake(cwd=project, **({"library": library, "results": tmp_path / "r"} | config))
    assert refused.returncode != 0 and message in refused.stdout
    assert not (tmp_path / "r").exists()


def test_no_name_stops_the_others(project, tmp_path):
    """Names that repeat themselves, that are as long as a file system takes, and that are those of artifacts."""
    names = [
        "Nooooooooooooooooooooooo",
        "ha" * 25,
        "音" * 83 + "ab",
        "e" * 251,
        "a",
        "a/stems.json/b",
        "a/features/tempo.json/c",
    ]
    for name in names:
        write(tmp_path / f"music/{name}.wav", loop(0.5))
    done = run_snakemake(cwd=project, library=tmp_path / "music", results=tmp_path / "r")
    assert done.returncode == 0, done.stdout
    assert f"{len(names)} of {len(names)} tracks complete" in done.stdout
    again = run_snakemake("-n", cwd=project, library=tmp_path / "music", results=tmp_path / "r")
    assert "Nothing to be done" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--results", ""), "a directory is expected, the setting is empty"),
        (("--library", ""), "the path is empty"),
        (("--jobs", "many"), "a number from 1 on is expected, or all; got 'many'"),
        (("--jobs", "0"), "a number from 1 on is expected, or all; got '0'"),
        (("--batch", "0"), "--batch: at least one track is needed, got 0"),
        (("--library", "/no/where"), "/no/where: no such file or directory"),
    ],
)
def test_wrong_arguments_are_refused_at_once_with_the_reason(tmp_path, arguments, message):
    write(tmp_path / "music/a.wav", loop(0.3))
    given = {"--library": str(tmp_path / "music"), "--results": str(tmp_path / "r")} | dict([arguments])
    command = [sys.executable, "-m", "mirflow", "run", *(part for pair in given.items() for part in pair)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "r").exists()


def test_two_runs_on_the_same_results_do_not_meet(project, library, tmp_path):
    claimed = tmp_path / "r/.mirflow/lock"
    claimed.parent.mkdir(parents=True)
    with claimed.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = run_snakemake(cwd=project, library=library / "Song one.flac", results=tmp_path / "r")
    assert refused.returncode != 0 and "another run is at work on these results" in refused.stdout
    assert not (tmp_path / "r/Song one").exists()


def test_the_library_is_never_modified(first, library, untouched):
    """After all runs of this file: the same files, with the same content and times."""
    assert len(untouched) > GOOD + len(BAD)
    assert listing(library) == untouched
