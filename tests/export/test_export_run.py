"""Exports as a part of the workflow: what they wait for, when they are made again, what is left out and said."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import REPOSITORY, jobs, loop, run_snakemake, write
from mirflow.core import layout

SKIP = "[chroma,complexity,multiband_rms,onsets,per_stem_harmonic,per_stem_rhythm,saturation,spectral,stem_quality,"
SKIP += "syncopation,timbral,tonality,bpm_essentia]"  # what takes time


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A library with a good track of a bad name, a bad one, and its results."""
    root = tmp_path_factory.mktemp("run")
    write(root / "music/Bass.flac", loop(6))
    write(root / "music/two.wav", 0.7 * loop(5, channels=1))
    (root / "music/bad.mp3").write_text("no music\n" * 50)
    return root / "music", root / "results"


def run(places, *arguments: str) -> subprocess.CompletedProcess:
    library, results = places
    command = [
        sys.executable,
        "-m",
        "mirflow",
        "run",
        "--library",
        library,
        "--results",
        results,
        "-j",
        "2",
        *arguments,
    ]
    return subprocess.run(
        command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False
    )


def test_an_export_is_made_of_what_is_complete_and_says_what_is_not(places, tmp_path_factory):
    _, results = places
    done = run(places, "--export", "stable_audio_3", "--", "--config", f"skip={SKIP}")
    assert done.returncode == 1  # a track has failed
    line = "mirflow: export stable_audio_3: 2 items + 1 excluded = 3 planned; 2 train;"
    line += f" in {results}/.export/stable_audio_3"
    assert line in done.stdout.splitlines()
    assert "not an audio file of a known kind" in (results / ".export/stable_audio_3/excluded.tsv").read_text()


def pending(places, *arguments: str, **config: object) -> dict[str, int]:
    library, results = places
    done = run_snakemake(
        "-n", "export_stable_audio_3", *arguments, library=library, results=results, skip=SKIP, **config
    )
    assert "Nothing to be done" in done.stdout or jobs(done.stdout), done.stdout
    return jobs(done.stdout)


def test_it_is_out_of_date_exactly_when_what_it_holds_changes(places):
    _, results = places
    assert pending(places) == {}
    # In a process of its own, which knows the rule of the export alone, the same holds.
    assert pending(places, "--allowed-rules", "export_stable_audio_3") == {}
    assert pending(places, warm="false") == {}
    assert pending(places, export="{prompt: keys}") == {"export_stable_audio_3": 1}
    info = layout.track_files(str(results), "two").info
    with open(info) as file:
        content = json.load(file)
    with open(info, "w") as file:
        json.dump(content | {"mine": 1}, file)
    assert pending(places) == {"export_stable_audio_3": 1}


def test_another_place_is_a_setting_and_what_is_there_is_kept(places, tmp_path):
    out = tmp_path / 'my "exports", 1'
    done = run(places, "--export", "huggingface", "--out", str(out), "--", "--config", f"skip={SKIP}")
    assert (out / "train/metadata.jsonl").exists(), done.stdout
    assert done.stdout.count("mirflow: export huggingface: 2 items") == 1 and "for 0 tracks" not in done.stdout
    (out / "notes.txt").write_text("mine")
    done = run(
        places, "--export", "huggingface", "--out", str(out), "--", "--config", f"skip={SKIP}", "export={prompt: keys}"
    )
    assert done.returncode and "notes.txt" in done.stdout and (out / "notes.txt").read_text() == "mine"
    assert (out / "train/metadata.jsonl").exists()


def test_exported_crops_are_the_crops_of_the_mix_or_of_a_stem_sample_by_sample(places, tmp_path):
    _, results = places
    crops = ("--", "--config", f"skip={SKIP}", "crops={mode: bars, bars: 1, stems: true}")
    done = run(places, "--export", "stable_audio_tools", "--out", str(tmp_path / "mix"), *crops)
    settings = json.dumps({"crops": True, "sound": "bass"})
    command = [sys.executable, "-m", "mirflow", "export", "stable_audio_tools", "--results", results]
    subprocess.run([*command, "--settings", settings, "-o", tmp_path / "bass"], cwd=REPOSITORY, check=True)
    for sound, stem in (("mix", None), ("bass", "bass")):
        rows = [json.loads(line) for line in (tmp_path / sound / "manifest.jsonl").read_text().splitlines()]
        for track in ("Bass", "two"):
            files = layout.track_files(str(results), track)
            listed = json.loads(Path(files.crops).read_text())["crops"]
            mine = [row for row in rows if row["track"] == track]
            assert [row["crop"] for row in mine] == [one["index"] for one in listed] and len(listed) > 1, done.stdout
            for row, one in zip(mine, listed, strict=True):
                exported, rate = soundfile.read(tmp_path / sound / row["file"], dtype="int32", always_2d=True)
                crop = files.crop_stem(one["index"], stem) if stem else files.crop(one["index"])
                own, own_rate = soundfile.read(crop, dtype="int32", always_2d=True)
                assert rate == own_rate == 44100 and np.array_equal(exported, np.broadcast_to(own, exported.shape))
                assert (row["start"], row["valid_frames"]) == (one["start_sample"], one["valid_samples"])


def test_tables_are_made_by_a_rule(places):
    _, results = places
    done = run(places, "--export", "tables", "--", "--config", f"skip={SKIP}")
    assert (results / "library.parquet").exists() and (results / "library.csv").exists(), done.stdout
    assert "bad,/" in (results / "library.csv").read_text().replace('"', "")
    done = run_snakemake("-n", "tables", library=places[0], results=results, skip=SKIP)
    assert "Nothing to be done" in done.stdout


def test_an_unknown_target_is_refused_at_once(places):
    done = run(places, "--export", "stable_audio")
    assert done.returncode == 2 and "invalid choice: 'stable_audio'" in done.stdout
