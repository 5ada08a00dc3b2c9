"""What depends on all tracks at once reaches every .INFO, and makes nothing else again."""

import json
import subprocess
import sys
from pathlib import Path

import mutagen
import numpy as np
import pytest

from conftest import RATE, jobs, run_snakemake, write
from mirflow import features, info
from mirflow.core import artifacts, layout
from mirflow.labels.embedding import Patches
from mirflow.metadata import alike, duplicates, split
from mirflow.workflow import whole_library

SKIP = [feature.name for feature in features.built_in()]


def tune(seed: int, seconds: float = 8) -> np.ndarray:
    """Return a melody that no other seed has: float64 [n, 2]."""
    time = np.arange(int(seconds * RATE)) / RATE
    steps = np.random.default_rng(seed).integers(0, 24, int(seconds * 5) + 1)[(time * 5).astype(int)]
    melody = 0.4 * np.sin(2 * np.pi * 220 * 2 ** (steps / 12) * time)
    return np.stack([melody, melody], axis=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> tuple[Path, Path]:
    """A library of three songs, one damaged file, and the folder for the results."""
    root = tmp_path_factory.mktemp("whole")
    for seed in range(3):
        path = write(root / f"music/Song {seed}.flac", tune(seed))
        tags = mutagen.File(path)
        tags["artist"] = f"Artist {seed}"
        tags.save()
    (root / "music/bad.mp3").write_text("no music")
    return root / "music", root / "results"


def run(place, *arguments, **config):
    return run_snakemake(
        *arguments, cwd=layout.PROJECT, library=place[0],
        results=place[1], skip=f"[{','.join(SKIP)}]", crops="{mode: exact, length: 131072}", **config,
    )  # fmt: skip


def keys(place) -> dict[str, tuple]:
    found = {}
    for path in sorted(place[1].glob("*/*.INFO")):
        content = json.loads(path.read_text())
        found[path.stem] = (content["duplicate_group"], content["split"])
        for crop in path.parent.glob("crops/*.INFO"):
            inherited = json.loads(crop.read_text())
            assert (inherited["duplicate_group"], inherited["split"]) == found[path.stem], crop
    return found


def test_from_the_first_run_to_a_library_that_grows(place):
    music, results = place
    first = run(place)
    assert first.returncode != 0 and "bad: full_mix" in first.stdout
    before = keys(place)
    assert set(before) == {"Song 0", "Song 1", "Song 2"} and {group for group, _ in before.values()} == {None}
    (music / "bad.mp3").unlink()
    assert jobs(run(place, "-n").stdout) == {}, "a track that failed kept the others from being related"

    untouched = {path: path.stat().st_mtime_ns for path in results.glob("Song [12]/**/*.INFO")}
    write(music / "Again.wav", 0.5 * tune(0)[RATE // 2 :])
    planned = jobs(run(place, "-n").stdout)
    assert planned["info"] == planned["full_mix"] == planned["crops"] == 1
    done = run(place)
    assert done.returncode == 0 and "2 tracks in 1 group of the same recording" in done.stdout
    now = keys(place)
    assert now["Again"] == now["Song 0"] and now["Again"][0] and now["Song 0"][1] == before["Song 0"][1]
    assert len(untouched) > 2 and untouched == {path: path.stat().st_mtime_ns for path in untouched}
    assert jobs(run(place, "-n").stdout) == {}
    assert jobs(run(place, "-n", split="{validation: 0.5}").stdout) == {"duplicates": 1}
    heard = jobs(run(place, "-n", labels="{embeddings: [discogs-effnet]}").stdout)
    assert heard["duplicates"] == 1 and "info" not in heard


def test_batches_end_with_what_concerns_all(place):
    music, results = place
    results = results.with_name("in batches")
    command = [sys.executable, "-m", "mirflow", "run", "--library", music, "--results", results, "--jobs", "2"]
    command += ["--batch", "2", "--", "--config", f"skip=[{','.join(SKIP)}]"]
    done = subprocess.run(command, cwd=layout.PROJECT, text=True, capture_output=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "2 tracks in 1 group" in done.stderr and len(keys((music, results))) == 4
    planned = run_snakemake("-n", cwd=layout.PROJECT, library=music, results=results, skip=f"[{','.join(SKIP)}]")
    assert jobs(planned.stdout) == {}
    again = subprocess.run(command, cwd=layout.PROJECT, text=True, capture_output=True, timeout=900)
    assert again.returncode == 0 and "Nothing to be done" in again.stderr


def small(results: Path, **artists: str) -> None:
    """Write what is needed of tracks without sound: tags and .INFO."""
    table = Path(layout.own(results, "library.tsv"))
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text("track\tsource\tstatus\treason\n" + "".join(f"{t}\tx\ttrack\t\n" for t in artists))
    for track, artist in artists.items():
        files = layout.track_files(results, track)
        artifacts.write_json(files.metadata("tags"), {"_artists": [artist]})
        if not Path(files.info).exists():
            artifacts.write_json(files.info, {"theirs": 1})
        artifacts.write_bytes(layout.merge_stamp(results, track), b"")


def test_a_corrupt_info_is_named_and_the_others_are_written(tmp_path):
    results = tmp_path / "r"
    small(results, a="A", b="B", c="C")
    (results / "b/b.INFO").write_text("{")
    with pytest.raises(artifacts.MirflowError, match=r"b\.INFO"):
        whole_library.update(str(results), split.Rule())
    assert {json.loads((results / f"{t}/{t}.INFO").read_text())["theirs"] for t in "ac"} == {1}
    assert all("split" in json.loads((results / f"{t}/{t}.INFO").read_text()) for t in "ac")
    assert (results / "b/b.INFO").read_text() == "{"


def test_features_are_declared_once_and_not_for_each_track(tmp_path, monkeypatch):
    calls, declare = [], info.features.all_features
    monkeypatch.setattr(info.features, "all_features", lambda: calls.append(1) or declare())
    for number, artists in enumerate(({"a": "X"}, {"a": "X", "b": "Y", "c": "Z"})):
        small(tmp_path / str(number), **artists)
        whole_library.update(str(tmp_path / str(number)), split.Rule())
    assert len(calls) == 2
    assert json.loads((tmp_path / "1/c/c.INFO").read_text())["theirs"] == 1


def test_what_sounds_alike_is_a_row_of_the_table_and_in_no_group(tmp_path):
    results = tmp_path / "r"
    small(results, a="A", b="B", c="C")
    rng = np.random.default_rng(0)
    for track, centre in (("a", [5, 0]), ("b", [5, 0]), ("c", [0, 5])):
        output = (centre + rng.standard_normal((100, 2))).astype(np.float32)
        Patches(output, {}).save(layout.track_files(str(results), track).embedding(alike.NETWORK))
    whole_library.update(str(results), split.Rule(), by_embedding=True)
    header, *rows = Path(layout.duplicates_table(results)).read_text().splitlines()
    assert header.split("\t") == list(duplicates.HEADER)
    (row,) = (row.split("\t") for row in rows)
    assert row[:2] == ["alike", ""] and row[3:] == ["", "", "a", "b"] and 0.99 < float(row[2]) <= 1
    assert json.loads((results / "a/a.INFO").read_text())["duplicate_group"] is None
    whole_library.update(str(results), split.Rule())
    assert Path(layout.duplicates_table(results)).read_text().splitlines() == [header]


def test_a_split_is_remembered_until_its_rule_changes(tmp_path):
    results = tmp_path / "r"

    def splits(rule, **artists):
        small(results, **artists)
        whole_library.update(str(results), rule)
        return {t: json.loads((results / f"{t}/{t}.INFO").read_text())["split"] for t in artists}

    many = {f"t{n}": f"Artist {n}" for n in range(40)}
    rule = split.Rule(validation=0.3, test=0.2)
    first = splits(rule, **many)
    assert set(first.values()) == set(split.SPLITS)
    trained = next(track for track, drawn in first.items() if drawn == "train")
    judged = next(track for track, drawn in first.items() if drawn == "test")
    bridged = splits(rule, **many, both=many[judged])  # one more by this artist
    assert bridged == first | {"both": "test"}
    # A track that is gone for a while comes back to where it was, though its artist is known as another one now.
    fewer = {track: artist for track, artist in many.items() if track != trained}
    splits(rule, **fewer)
    assert splits(rule, **fewer, **{trained: "Somebody new"})[trained] == "train"
    assert splits(split.Rule(validation=0, test=0), **many) == dict.fromkeys(many, "train")
