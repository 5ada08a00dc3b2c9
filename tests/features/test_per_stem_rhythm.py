"""Rhythm of stems with known onsets."""

import numpy as np
import pytest

from mirflow.core.audio import Audio
from mirflow.features import measure
from mirflow.features.per_stem_rhythm import density

RATE = 44100
SECONDS = 21  # not a whole number of windows
BEATS = np.arange(0, SECONDS, 0.5)


def stem(times, seconds=SECONDS):
    samples = np.zeros((2, round(seconds * RATE)), dtype=np.float32)
    samples[:, np.round(np.asarray(times) * RATE).astype(int)] = 0.3
    return Audio(samples, RATE)


def sum_of(sounds):
    return Audio(sum(sound.samples for sound in sounds.values()), RATE)


@pytest.fixture(scope="module")
def values():
    sixteenths = np.arange(0, SECONDS, 0.125)
    stems = {"drums": sixteenths, "bass": BEATS, "other": BEATS[:-1] + 0.25, "vocals": []}
    grids = {"onsets": sixteenths, "beats": BEATS, "downbeats": BEATS[::4]}
    sounds = {name: stem(times) for name, times in stems.items()}
    return measure("per_stem_rhythm", {"full_mix": sum_of(sounds)} | sounds | grids)


def rhythm(values, name):
    keys = (
        "onset_density_average",
        "onset_density_variance",
        "syncopation",
        "rhythmic_complexity",
        "rhythmic_evenness",
    )
    return [values[f"{key}_{name}"] for key in keys]


def test_a_steady_pulse_has_a_constant_density(values):
    assert rhythm(values, "bass") == [2.0, 0.0, 0.0, 0.0, pytest.approx(1)]
    assert rhythm(values, "drums") == [8.0, 0.0, 0.0, 0.0, pytest.approx(1, abs=0.005)]


def test_off_beat_eighths_have_the_syncopation_of_the_mix(values):
    evenness = pytest.approx(1, abs=1e-4)  # onsets are at whole samples
    assert rhythm(values, "other") == [2.0, 0.0, pytest.approx(7 / 15), 0.0, evenness]  # see test_syncopation


def test_a_silent_stem_has_a_density_of_zero_and_no_rhythm(values):
    assert rhythm(values, "vocals") == [0.0, 0.0, None, None, None]


def test_what_is_silent_depends_on_the_mix_and_not_on_its_level():
    sounds = {name: stem(BEATS) for name in ("drums", "bass", "other", "vocals")}
    sounds["vocals"] = Audio(sounds["vocals"].samples * np.float32(1e-3), RATE)
    sounds["bass"] = Audio(sounds["bass"].samples * np.float32(1e-5), RATE)
    grids = {"onsets": BEATS, "beats": BEATS, "downbeats": BEATS[::4]}
    found = []
    for gain in (1, 0.01, 1e-4):
        quiet = {name: Audio(sound.samples * np.float32(gain), RATE) for name, sound in sounds.items()}
        found.append(measure("per_stem_rhythm", {"full_mix": sum_of(quiet)} | quiet | grids))
    assert found[1] == found[2] == pytest.approx(found[0])
    assert rhythm(found[0], "vocals")[0] == 2.0 and rhythm(found[0], "bass")[0] == 0.0


def test_only_complete_windows_count_for_the_density():
    # the windows that start at 0, 2, 4 and 6 s have 8, 4, 0 and 0 onsets; one that starts at 8 s would be incomplete
    average, variance = density(np.arange(0, 4, 0.5), 10.5)
    assert average == pytest.approx(3 / 4)
    assert variance == pytest.approx(np.var([2, 1, 0, 0]))


def test_the_density_of_a_pulse_near_the_edges_of_the_windows_is_constant():
    pulse = np.maximum(np.arange(0, 60, 0.5) - 0.002, 0)  # MP3 moves attacks by milliseconds, except the first one
    assert density(pulse, 60.0) == (2.0, 0.0)


def test_a_stem_shorter_than_a_window_has_no_density_unless_it_is_silent():
    assert density(np.array([0.1, 0.6]), 3.9) == (None, None)
    assert density(np.array([]), 3.9) == (0.0, 0.0)
