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


def pad(seed, seconds=30, rate=44100):
    """Chords with soft attacks at irregular times."""
    random, sound, at = np.random.default_rng(seed), np.zeros(seconds * rate), 0.0
    while at < seconds - 1:
        length = random.uniform(1.5, 4)
        time = np.arange(int(min(length + 1, seconds - at) * rate)) / rate
        envelope = np.minimum(1, time / 0.3) * np.clip((length + 1 - time) / 0.8, 0, 1)
        begin = int(at * rate)
        for note in random.integers(40, 65) + np.array([0, 7, 12, 16]):
            tone = np.sin(2 * np.pi * 440 * 2 ** ((note - 69) / 12) * time + random.uniform(0, 6))
            sound[begin : begin + len(time)] += 0.1 * tone * envelope
        at += length
    return sound


def applause(seed, claps, seconds=30, rate=44100):
    random, sound = np.random.default_rng(seed), np.zeros((seconds + 1) * rate)
    clap = np.exp(-np.arange(rate // 50) / rate / 0.004)
    for at in (random.uniform(0, seconds, claps) * rate).astype(int):
        sound[at : at + len(clap)] += 0.3 * random.uniform(0.2, 1) * random.standard_normal(len(clap)) * clap
    return sound


SECONDS = np.arange(20 * 44100) / 44100
NO_PULSE = {
    "noise": np.random.default_rng(1).standard_normal(30 * 44100) / 4,
    "pad": pad(0),
    "applause": applause(0, 2000),
    "few claps": applause(1, 150),
    "drone": sum(np.sin(2 * np.pi * 110 * k * SECONDS + k) / 8 / k for k in range(1, 8)),
    "steady sine": np.sin(2 * np.pi * 440 * SECONDS),
}


@pytest.mark.parametrize("name", NO_PULSE)
def test_what_does_not_pulse_has_no_tempo(name):
    assert bpm(NO_PULSE[name], 44100) is None


def test_soft_single_notes_have_a_tempo():
    time = SECONDS % 0.5
    notes = 0.7 * np.sin(2 * np.pi * 440 * time) * np.minimum(1, time / 0.02) * np.minimum(1, (0.5 - time) / 0.02)
    assert bpm(notes, 44100) == pytest.approx(120, rel=0.03)
