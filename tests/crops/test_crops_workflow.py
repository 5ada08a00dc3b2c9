"""Crops in a run: how many jobs, what is made again when, and that nothing stale or half-made is left."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from conftest import RATE, copy_project, jobs, loop, run_snakemake, write
from mirflow import commands, features
from mirflow.core import artifacts, layout

KEPT = ("loudness", "tempo")
SKIP = [feature.name for feature in features.built_in() if feature.name not in KEPT]
JOBS = {"crops", "crop_features", "crop_info"}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("music")
    write(root / "it's {1}/Song.flac", loop(13))
    write(root / "crops.wav", np.zeros((2 * RATE, 1)))
    return root


@pytest.fixture(scope="module")
def run(project, library, tmp_path_factory):
    results = tmp_path_factory.mktemp("out") / "results"

    def started(*options: str, crops: str = "mode: exact, length: 131072", skip: str = ",".join(SKIP)):
        crops = f"{{{crops}, bars: 4, hop_bars: 0, max_silence: 0.5, tail: drop, stems: true}}"
        return run_snakemake(*options, cwd=project, library=library, results=results, crops=crops, skip=f"[{skip}]")

    started.results = results
    return started


@pytest.fixture(scope="module")
def first(run):
    return run()


def test_three_jobs_make_all_crops_of_a_track_and_a_second_run_finds_nothing_to_do(first, run):
    assert first.returncode == 0, first.stdout
    done = jobs(first.stdout)
    assert {rule: done[rule] for rule in JOBS} == dict.fromkeys(JOBS, 2)
    assert "crops of 1 track, " in first.stdout and "1 track without a crop" in first.stdout
    assert "Nothing to be done" in run("-n").stdout
    silent = artifacts.read_json(run.results / "crops/crops/crops.json")
    assert silent["crops"] == [] and silent["left_out"][0]["reason"] == "shorter than a crop"
    folder = run.results / "it's %7B1%7D/Song/crops"
    listed = artifacts.read_json(folder / "crops.json")["crops"]
    assert len(listed) >= 2
    for crop in listed:
        found = json.loads((folder / crop["file"]).with_suffix(".INFO").read_text())
        assert found["source_track"] == "it's %7B1%7D/Song" and found["lufs"] is not None
        assert found["_provenance"]["inherited"] == ["bpm_track", "duplicate_group", "split"]
        assert set(crop["stems"]) == set(layout.STEMS) and all(
            (folder / path).is_file() for path in crop["stems"].values()
        )


def test_what_is_made_again(first, run):
    assert set(jobs(run("-n", crops="mode: exact, length: 262144").stdout)) == JOBS
    assert set(jobs(run("-n", skip=",".join([*SKIP, "tempo"])).stdout)) == {"info", "crop_features", "crop_info"}
    more = jobs(run("-n", skip=",".join(SKIP[1:])).stdout)
    assert set(more) == {f"feature_{SKIP[0]}", "info", "crop_features", "crop_info"}
    assert set(jobs(run("-n", crops="mode: none").stdout)) == {"duplicates"}  # it hands its keys down to crops
    info = run.results / "it's %7B1%7D/Song/Song.INFO"
    artifacts.write_json(info, {**artifacts.read_json(info), "caption": "a waltz"})
    assert set(jobs(run("-n").stdout)) == {"crop_info"}


def test_a_shorter_source_leaves_no_crop_of_the_longer_one(first, run, library):
    write(library / "it's {1}/Song.flac", loop(7))
    again = run()
    assert again.returncode == 0, again.stdout
    folder = run.results / "it's %7B1%7D/Song/crops"
    number = len(artifacts.read_json(folder / "crops.json")["crops"])
    ours = sorted(path.name for path in folder.rglob("Song_*"))
    suffixes = ("flac", "INFO", "INFO.lock", *layout.GRIDS.values(), *(f"{stem}.flac" for stem in layout.STEMS))
    assert 0 < number <= 2 and ours == sorted(f"Song_{i}.{suffix}" for i in range(number) for suffix in suffixes)
    for index in range(number):
        assert artifacts.read_json(folder / f"Song_{index}.INFO")["track_duration"] == 7


def test_a_kill_in_the_middle_leaves_no_list_and_a_rerun_gives_the_same_bytes(tmp_path):
    def command(folder: Path) -> list[str]:
        track = layout.TrackFiles(str(folder), "T")
        grids = [part for name in layout.GRIDS for part in (f"--{name}", track.grid(name))]
        return ["crops", track.full_mix, *grids, "--length", "65536", "--hop-bars", "1", "-o", track.crops]

    def content(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.rglob("crops/*")}

    calm, killed = tmp_path / "calm/T", tmp_path / "killed/T"
    write(calm / "full_mix.flac", loop(60))
    for name, step in (("beats", 0.5), ("downbeats", 1.0), ("onsets", 0.25)):
        artifacts.write_times(layout.TrackFiles(str(calm), "T").grid(name), np.arange(0, 60, step))
    shutil.copytree(calm, killed)
    assert commands.main(command(calm)) == 0
    process = subprocess.Popen([sys.executable, "-m", "mirflow", *command(killed)])
    while not (killed / "crops/T_3.flac").exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "crops/crops.json").exists() and not (killed / "crops/T_58.flac").exists()
    assert commands.main(command(killed)) == 0
    artifacts.remove_unfinished(killed)
    assert content(killed) == content(calm) and len(content(calm)) == 1 + 59 * 4
