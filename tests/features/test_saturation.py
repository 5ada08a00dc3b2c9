"""Clipped passages with known times and durations."""

import numpy as np
import pytest
import soxr

from audio_files import encoded
from mirflow import features
from mirflow.core import audio
from mirflow.core.audio import Audio
from mirflow.library import full_mix

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


def test_clipping_is_found_at_any_level_and_below_a_stray_peak():
    clipped = np.clip(2 * np.sin(2 * np.pi * 441 * np.arange(RATE) / RATE), -0.92, 0.92)
    for gain in (1, 0.1, 3):
        ratio, count = measure(gain * clipped)
        assert ratio == pytest.approx(1, abs=0.01) and count == 1
    clipped[1000] = 1.0
    assert measure(clipped)[0] == pytest.approx(1, abs=0.01)
    one_sided = np.maximum(2 * np.sin(2 * np.pi * 441 * np.arange(RATE) / RATE), -0.7)
    assert measure(one_sided)[0] == pytest.approx(1, abs=0.01)


def test_passages_have_the_times_at_which_the_sound_is_clipped():
    time = np.arange(3 * RATE) / RATE
    level = np.where((time > 0.5) & (time < 0.8) | (time > 2) & (time < 2.1), 3, 0.3)
    left = np.clip(level * np.sin(2 * np.pi * 441 * time), -1, 1)
    ratio, count = measure(left)
    assert ratio == pytest.approx(0.4 / 3, abs=0.005) and count == 2
    right = np.clip(np.where((time > 0.7) & (time < 1), 3, 0.3) * np.sin(2 * np.pi * 300 * time), -1, 1)
    ratio, count = measure([left, right])
    assert ratio == pytest.approx(0.6 / 3, abs=0.005) and count == 2


TIME = np.arange(4 * RATE) / RATE
UNCLIPPED = {
    **{f"sine of {hertz} Hz": np.sin(2 * np.pi * hertz * TIME) for hertz in (20, 50, 120, 997, 5000, 11025, 15000)},
    "triangle": 2 / np.pi * np.arcsin(np.sin(2 * np.pi * 100 * TIME)),
    "sawtooth": 2 * (100 * TIME % 1) - 1,
    "two sines": (np.sin(2 * np.pi * 200 * TIME) + np.sin(2 * np.pi * 303 * TIME)) / 2,
    "kicks": np.sin(2 * np.pi * 50 * (TIME % 0.5)) * np.exp(-(TIME % 0.5) / 0.09),
    "noise": np.random.default_rng(0).uniform(-1, 1, len(TIME)),
    "sweep": np.sin(2 * np.pi * (20 * TIME + 50 * TIME**2)),
}


@pytest.mark.parametrize("name", UNCLIPPED)
@pytest.mark.parametrize("level", [0.93, 1])
def test_tones_that_are_not_clipped_are_none_whatever_their_peak(name, level):
    assert measure(level * UNCLIPPED[name])[0] < 1e-3


def music(seconds=6):
    """Notes with several partials and decays, and noise: float64 [n], peak 1."""
    time, random = np.arange(seconds * RATE) / RATE, np.random.default_rng(3)
    sound = 0.05 * random.standard_normal(len(time)) * np.exp(-(time % 0.5) / 0.05)
    for hertz in (55, 220, 277.2, 329.6):
        beat = random.choice((0.25, 0.5))
        for partial in range(1, 7):
            tone = np.sin(2 * np.pi * hertz * partial * time + random.uniform(0, 6))
            sound += tone * np.exp(-(time % beat) / 0.3) / partial
    return sound / np.abs(sound).max()


@pytest.mark.parametrize(("codec", "bits"), [("libmp3lame", 320_000), ("aac", 256_000)])
def test_lossy_coding_hides_no_clipping_and_invents_none(tmp_path, codec, bits):
    for gain, least in ((1, 0), (4, 0.3)):
        sound = 0.9 * np.clip(gain * music(), -1, 1)
        expected = measure(sound)[0]
        kind = {"libmp3lame": "mp3", "aac": "mp4"}[codec]
        source = tmp_path / f"a.{kind}"
        source.write_bytes(encoded(np.stack([sound, sound], 1) / 2, codec, kind, RATE, bits))
        full_mix.make(source, tmp_path / "a.flac")
        copy = audio.read(tmp_path / "a.flac").samples
        assert (expected >= least and gain > 1) or expected == 0
        assert measure(copy)[0] == pytest.approx(expected, abs=0.1 if least else 1e-3)


def test_a_limiter_leaves_round_tops():
    sound = 4 * music()
    window = RATE // 100
    loudest = np.lib.stride_tricks.sliding_window_view(np.pad(np.abs(sound), window), 2 * window + 1).max(axis=1)
    gain = 1 / np.maximum(loudest, 1)
    gain = np.convolve(np.pad(gain, window, mode="edge"), np.ones(2 * window + 1) / (2 * window + 1), "valid")
    assert measure(sound * gain)[0] < 0.05


def test_unclipped_audio_and_silence_have_no_saturation():
    assert measure(quiet()) == (0, 0)
    assert measure(np.zeros((2, RATE))) == (0, 0)


def test_the_sampling_rate_does_not_matter():
    for rate in (22050, 48000, 96000):
        loud = np.clip(3 * np.sin(2 * np.pi * 441 * np.arange(2 * rate) / rate), -1, 1)
        loud[rate:] *= 0.1
        ratio, count = measure(loud, rate)
        assert ratio == pytest.approx(0.5, abs=0.01) and count == 1
    sound = np.clip(4 * music(), -1, 1)
    assert measure(soxr.resample(sound, RATE, 96000), 96000)[0] == pytest.approx(measure(sound)[0], abs=0.05)
