"""Sources of one recording: what moves, and the program that says it."""

import json

import numpy as np
import pytest

from benchmarks import sources
from conftest import RATE, loop, write
from mirflow import features
from mirflow.core import audio
from mirflow.dsp import onsets
from mirflow.library import full_mix

# Percent of the range, for keys that may move by more than 2 % (docs/robustness.md; more in so short a piece).
MAY_MOVE = {
    "warmth": 7,
    "hardness": 5,
    "brightness": 4,
    "reverberation": 8,
    "true_peak": 4,
    "rhythmic_complexity": 5,
    "onset_strength_std": 4,
}
MIX_ONLY = [f.name for f in features.built_in() if set(f.inputs) <= {"full_mix", "onsets"} and f.name != "bpm_essentia"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    samples = loop(6.0) + 0.002 * np.random.default_rng(0).standard_normal((6 * RATE, 2))
    file = write(folder / "recording.flac", samples, subtype="PCM_24")
    sources.make_variants(file, folder / "variants", list(sources.VARIANTS), 6)
    return folder / "variants"


def values(folder, name):
    full_mix.make(folder / f"{name}.{sources.VARIANTS[name].suffix}", folder / "decoded.flac")
    sound = audio.read(folder / "decoded.flac")
    inputs = {"full_mix": sound, "onsets": np.round(onsets.detect(sound.mono(), sound.rate).times, 6)}
    return {key: value for feature in MIX_ONLY for key, value in features.measure(feature, inputs).items()}


@pytest.fixture(scope="module")
def reference(recording):
    return values(recording, sources.REFERENCE)


@pytest.mark.parametrize("name", ["mp3 320", "m4a 256", "48 kHz", "20 dB less", "inverted", "10 ms"])
def test_no_number_of_the_mix_moves_more_than_it_may(recording, reference, name):
    found = values(recording, name)
    fields = {field.key: field for feature in features.built_in() for field in feature.fields}
    moved = {}
    for key, value in found.items():
        if value is None or reference[key] is None:
            moved[key] = 0 if value is reference[key] else 100
            continue
        gain = sources.GAIN_DB if name == "20 dB less" and fields[key].unit in sources.LEVELS else 0
        low, top = fields[key].range
        moved[key] = 100 * abs(value - gain - reference[key]) / (top - low)
    assert {key: percent for key, percent in moved.items() if percent > MAY_MOVE.get(key, 2)} == {}


def test_the_table_names_the_key_the_variant_and_the_recording(tmp_path, capsys):
    for name, lufs, brightness in (("flac", -10.0, 60.0), ("mp3 128", -10.1, 54.0), ("20 dB less", -30.0, None)):
        track = tmp_path / "Song" / name
        track.mkdir(parents=True)
        (track / f"{name}.INFO").write_text(json.dumps({"lufs": lufs, "brightness": brightness}))
        for grid, times in (
            ("BEATS_GRID", "1\n2\n"),
            ("DOWNBEATS", ""),
            ("ONSETS", "1\n" if name == "flac" else "1.02\n"),
        ):
            (track / f"{name}.{grid}").write_text(times)
    rows = {line.split()[0]: line for line in sources.report(tmp_path, 2)}
    assert rows["key"].split()[1:5] == ["mp3", "128", "20", "dB"]
    assert rows["brightness"].split()[1:3] == ["10.0", "100.0"] and "Song: 60 → null" in rows["brightness"]
    assert rows["ONSETS"].split()[1:3] == ["100.0", "100.0"]
    assert "lufs" not in rows and "BEATS_GRID" not in rows


def test_the_variants_are_the_recording(recording):
    reference = audio.read(recording / "flac.flac")
    for name in ("inverted", "swapped", "20 dB less", "10 ms"):
        samples = audio.read(recording / f"{name}.flac").samples
        back = {
            "inverted": -samples,
            "swapped": samples[::-1],
            "20 dB less": 10 * samples,
            "10 ms": samples[:, RATE // 100 :],
        }[name]
        np.testing.assert_allclose(back, reference.samples, atol=1e-5)
