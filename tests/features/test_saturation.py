"""Clipped passages with known times and durations."""

import numpy as np
import pytest

from mirflow import features
from mirflow.core.audio import Audio

RATE = 44100


def measure(samples, rate=RATE):
    values = features.measure("saturation", {"full_mix": Audio(np.atleast_2d(samples).astype(np.float32), rate)})
    return values["saturation_ratio"], values["saturation_count"]


def quiet(seconds=2):
    return 0.3 * np.sin(2 * np.pi * 441 * np.arange(int(seconds * RATE)) / RATE)


def test_one_clipped_channel_of_two_is_sufficient():
    loud = np.clip(3 * np.sin(2 * np.pi * 441 * np.arange(2 * RATE) / RATE), -1, 1)
    ratio, count = measure([loud, np.zeros_like(loud)])
    assert ratio == pytest.approx(1, abs=0.01) and count == 1
    assert measure([loud, loud]) == (ratio, count)
    assert measure(-loud) == (ratio, count)


def test_a_flat_top_has_at_least_three_samples_and_a_peak_near_full_scale():
    for length, level, expected in ((2, 1.0, (0, 0)), (3, 1.0, (3 / (2 * RATE), 1)), (3, 0.88, (0, 0))):
        samples = quiet()
        samples[1000 : 1000 + length] = level
        assert measure(samples) == pytest.approx(expected, rel=1e-9), (length, level)


def test_clipping_below_full_scale_is_found():
    samples = np.clip(2 * np.sin(2 * np.pi * 441 * np.arange(RATE) / RATE), -0.92, 0.92)
    ratio, count = measure(samples)
    assert ratio == pytest.approx(1, abs=0.01) and count == 1


def test_hot_passages_last_10_ms_and_are_merged_over_gaps_of_20_ms():
    spikes = np.zeros(2 * RATE)
    spikes[20 * 256 + 100] = 0.97  # one frame of 5.8 ms is too short
    assert measure(spikes) == (0, 0)
    spikes[22 * 256 + 100] = 0.96  # after a gap of one frame: one passage of three frames
    assert measure(spikes) == pytest.approx((3 * 256 / (2 * RATE), 1))
    spikes[40 * 256 + 100] = spikes[41 * 256 + 100] = 0.96  # 18 frames (104 ms) later: a second passage
    assert measure(spikes) == pytest.approx((5 * 256 / (2 * RATE), 2))


def test_overlapping_passages_of_two_channels_are_merged():
    left, right = quiet(), quiet()
    left[1000:1100] = 0.94  # below the level of hot frames
    right[1050:1200] = -0.94  # overlaps
    right[50000:50010] = 0.94
    assert measure([left, right]) == pytest.approx(((200 + 10) / (2 * RATE), 2))


def test_unclipped_audio_and_silence_have_no_saturation():
    assert measure(quiet()) == (0, 0)
    assert measure(np.zeros((2, RATE))) == (0, 0)


def test_the_sampling_rate_does_not_matter():
    for rate in (22050, 48000, 96000):
        loud = np.clip(3 * np.sin(2 * np.pi * 441 * np.arange(2 * rate) / rate), -1, 1)
        loud[rate:] *= 0.1
        ratio, count = measure(loud, rate)
        assert ratio == pytest.approx(0.5, abs=0.01) and count == 1
