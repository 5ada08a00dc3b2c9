"""Stem quality of sines with known levels and correlations."""

import numpy as np
import pytest

from mirflow import features
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.core.layout import STEMS

RATE = 44100


def sine(amplitude: float, frequency: float, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return np.tile(amplitude * np.sin(2 * np.pi * frequency * time), (2, 1)).astype(np.float32)


def measure(mix: np.ndarray, rate: int = RATE, stem_rate: int = RATE, **parts: np.ndarray) -> dict:
    silence = np.zeros_like(next(iter(parts.values())))
    inputs = {name: Audio(parts.get(name, silence), stem_rate) for name in STEMS}
    return features.measure("stem_quality", {"full_mix": Audio(mix, rate), **inputs})


def test_levels_silence_and_correlation_of_two_sines():
    drums, bass = sine(0.5, 1000), sine(0.5, 100)
    drums[:, RATE:] = 0
    values = measure(drums + bass, drums=drums, bass=bass)
    assert values["stem_rms_bass"] == pytest.approx(-9.03, abs=0.01)  # 0.5 / sqrt 2
    assert values["stem_rms_drums"] == pytest.approx(-12.04, abs=0.01)  # half of the time
    assert values["stem_peak_bass"] == pytest.approx(-6.02, abs=0.01)
    assert values["stem_silence_bass"] == 0
    assert values["stem_silence_drums"] == pytest.approx(0.5, abs=0.02)
    assert values["stem_correlation_bass"] == pytest.approx((2 / 3) ** 0.5, abs=1e-3)  # 2/3 of the power of the mix
    assert values["stem_correlation_drums"] == pytest.approx((1 / 3) ** 0.5, abs=1e-3)
    assert values["stem_residual"] < -140


def test_a_stem_of_zeros_is_silent():
    mix = sine(0.5, 100)
    values = measure(mix, bass=mix)
    assert (values["stem_rms_vocals"], values["stem_peak_vocals"], values["stem_correlation_vocals"]) == (None,) * 3
    assert values["stem_silence_vocals"] == 1
    assert values["stem_residual"] == -200


def test_silence_is_relative_to_the_mix():
    drums, bass = sine(0.5, 1000), sine(0.5, 100)
    drums[:, RATE:] *= 0.01  # 43 dB below the mix, of which it is a half
    loud = measure(drums + bass, drums=drums, bass=bass)["stem_silence_drums"]
    assert loud == measure(0.01 * (drums + bass), drums=0.01 * drums, bass=0.01 * bass)["stem_silence_drums"] == 0
    drums[:, RATE:] *= 0.5  # 49 dB
    assert measure(drums + bass, drums=drums, bass=bass)["stem_silence_drums"] == pytest.approx(0.5, abs=0.02)


def test_an_offset_is_no_level():
    mix = sine(0.5, 100)
    values = measure(mix + 0.05, bass=mix, other=np.full_like(mix, 0.05))
    assert values["stem_rms_bass"] == pytest.approx(-9.03, abs=0.01)
    assert values["stem_silence_other"] == 1
    assert values["stem_rms_other"] is None or values["stem_rms_other"] < -120


def test_the_residual_is_the_difference_of_mix_and_stems():
    mix = sine(0.5, 100)
    assert measure(mix, bass=0.9 * mix)["stem_residual"] == pytest.approx(-20, abs=0.01)


def test_a_silent_mix_has_no_residual():
    assert measure(np.zeros((2, 1000), np.float32), bass=np.zeros((2, 1000), np.float32))["stem_residual"] is None


def test_a_surround_mix_at_96_khz_is_compared_with_stereo_stems_at_48_khz():
    mix = np.zeros((6, 2 * 96000), np.float32)
    mix[:2] = sine(0.5, 100, rate=96000)
    values = measure(mix, 96000, 48000, bass=sine(0.5, 100, rate=48000))
    assert values["stem_residual"] < -40
    assert values["stem_correlation_bass"] == pytest.approx(1, abs=1e-3)


def test_stems_with_another_duration_are_an_error():
    with pytest.raises(MirflowError, match=r"lasts 1\.000 s"):
        measure(sine(0.5, 100), bass=sine(0.5, 100, seconds=1))
