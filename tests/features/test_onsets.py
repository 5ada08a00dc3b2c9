"""Count, density and strength of the onsets of a mix."""

import numpy as np
import pytest

from mirflow.audio import Audio
from mirflow.dsp.onsets import detect
from mirflow.registry import measure

RATE = 44100


def clicks(seconds=60, rate=RATE, weak=1.0):
    samples = np.zeros((1, seconds * rate), dtype=np.float32)
    samples[0, :: rate // 2] = 0.5
    samples[0, ::rate] *= weak
    return Audio(samples, rate)


def onsets(mix):
    return measure("onsets", {"full_mix": mix, "onsets": np.round(detect(mix.mono(), mix.rate).times, 6)})


def test_two_clicks_a_second_have_density_two():
    found = onsets(clicks())
    assert found["onset_count"] == 120
    assert found["onset_density"] == pytest.approx(2.0)


def test_equal_clicks_are_equally_strong_and_accents_are_not():
    equal, accented = onsets(clicks(weak=1.0)), onsets(clicks(weak=0.1))
    # the first one, at the very edge, rises out of nothing like the others
    assert equal["onset_strength_std"] < 0.02 * equal["onset_strength_mean"]
    assert accented["onset_strength_std"] > 0.2 * accented["onset_strength_mean"]


def test_strength_is_read_where_the_onset_is_not_in_the_valley_before():
    mix = clicks()
    strengths = detect(mix.mono(), RATE).strengths
    assert onsets(mix)["onset_strength_mean"] == pytest.approx(strengths.mean())
    assert strengths.min() > 1


def test_level_and_a_second_channel_change_nothing():
    mix = clicks(10, weak=0.3)
    expected = pytest.approx(onsets(mix), rel=1e-4)
    assert onsets(Audio(mix.samples * np.float32(0.1), RATE)) == expected
    assert onsets(Audio(np.repeat(mix.samples, 2, axis=0), RATE)) == expected


def test_silence_has_no_onsets_and_no_strength():
    assert onsets(Audio(np.zeros((2, RATE), dtype=np.float32), RATE)) == {
        "onset_count": 0, "onset_density": 0.0, "onset_strength_mean": None, "onset_strength_std": None,
    }  # fmt: skip
