"""Count, density and strength of the onsets of a mix."""

import numpy as np
import pytest

from mirflow.core.audio import Audio
from mirflow.dsp.onsets import detect
from mirflow.features import measure

RATE = 44100


def clicks(seconds=60, rate=RATE, weak=1.0):
    samples = np.zeros((1, seconds * rate), dtype=np.float32)
    samples[0, :: rate // 2] = 0.5
    samples[0, ::rate] *= weak
    return Audio(samples, rate)


def onsets(mix):
    return measure("onsets", {"full_mix": mix, "onsets": np.round(detect(mix.mono(), mix.rate).times, 6)})


def test_two_clicks_per_second_have_a_density_of_two():
    values = onsets(clicks())
    assert values["onset_count"] == 120
    assert values["onset_density"] == pytest.approx(2.0)


def test_the_strength_varies_with_accents_only():
    equal, accented = onsets(clicks(weak=1.0)), onsets(clicks(weak=0.1))
    # also at the first click, which is at the first sample
    assert equal["onset_strength_std"] < 0.02 * equal["onset_strength_mean"]
    assert accented["onset_strength_std"] > 0.2 * accented["onset_strength_mean"]


def test_the_strength_is_measured_at_the_onset():
    mix = clicks()
    strengths = detect(mix.mono(), RATE).strengths
    assert onsets(mix)["onset_strength_mean"] == pytest.approx(strengths.mean())
    assert strengths.min() > 1


def test_level_and_number_of_channels_do_not_matter():
    mix = clicks(10, weak=0.3)
    expected = pytest.approx(onsets(mix), rel=1e-4)
    assert onsets(Audio(mix.samples * np.float32(0.1), RATE)) == expected
    assert onsets(Audio(np.repeat(mix.samples, 2, axis=0), RATE)) == expected


def test_silence_has_no_onsets_and_no_strength():
    assert onsets(Audio(np.zeros((2, RATE), dtype=np.float32), RATE)) == {
        "onset_count": 0, "onset_density": 0.0, "onset_strength_mean": None, "onset_strength_std": None,
    }  # fmt: skip
