"""Essentia's tempo of clicks, and of sounds without a tempo."""

import numpy as np
import pytest

from mirflow.core.audio import Audio
from mirflow.features import measure


def bpm(samples, rate):
    return measure("bpm_essentia", {"full_mix": Audio(np.atleast_2d(samples).astype(np.float32), rate)})["bpm_essentia"]


@pytest.mark.parametrize(("expected", "rate"), [(100, 44100), (120, 48000)])
def test_the_tempo_of_clicks_is_found(expected, rate):
    samples = np.zeros(20 * rate)
    samples[:: 60 * rate // expected] = 0.5
    assert bpm(samples, rate) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("samples", [0, 1, 4410, 44100, 10 * 44100])
def test_silence_has_no_tempo(samples):
    assert bpm(np.zeros(samples), 44100) is None


@pytest.mark.parametrize("samples", [1, 4410, 30000, 60000])
def test_noise_of_one_second_has_no_tempo(samples):
    assert bpm(0.1 * np.random.default_rng(0).standard_normal(samples), 44100) is None


def test_a_constant_signal_has_no_tempo():
    assert bpm(np.full(10 * 44100, 0.2), 44100) is None
