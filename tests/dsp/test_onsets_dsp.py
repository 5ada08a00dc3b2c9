"""Onset detection: clicks at known times, sounds without onsets, and rendered pieces with known notes."""

import csv

import numpy as np
import pytest

from conftest import SHARED
from mirflow.core import audio
from mirflow.dsp import onset_network
from mirflow.dsp.onsets import _refine_to_attacks, detect, envelope, strengths

RATE = 44100
PIECES = SHARED / "eval" / "dev30"


def clicks(times: np.ndarray, seconds: float, rate: int = RATE) -> np.ndarray:
    samples = np.zeros(round(seconds * rate), dtype=np.float32)
    samples[np.round(times * rate).astype(int)] = 0.5
    return samples


def tone(seconds: float, hertz: float, rate: int = RATE) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float, deviation: float) -> np.ndarray:
    return (deviation * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_clicks_are_found_with_the_precision_of_a_sample(rate):
    expected = np.arange(0, 10, 0.5)
    np.testing.assert_allclose(detect(clicks(expected, 10, rate), rate).times, expected, atol=1.5 / rate)


@pytest.mark.parametrize("error", [-0.008, -0.0005, 0.0005, 0.008])
def test_the_attack_of_a_click_is_found_from_both_sides(error):
    expected = np.array([0.0, 1, 2])
    times = _refine_to_attacks(clicks(expected, 3), RATE, np.maximum(expected + error, 0))
    np.testing.assert_array_equal(times, expected)


def test_decaying_tones_in_weak_noise_are_found():
    expected = np.arange(0.25, 20, 0.5)
    knock = np.exp(-30 * np.arange(RATE // 2) / RATE) * tone(0.5, 880)
    knocks = np.concatenate([np.zeros(RATE // 4), *[knock] * 40])[: 20 * RATE].astype(np.float32)
    times = detect(knocks + noise(20, 0.0001), RATE).times
    np.testing.assert_allclose(times, expected, atol=0.003)


def test_clicks_at_intervals_of_80_ms_are_found():
    expected = np.arange(0.5, 5, 0.08)
    np.testing.assert_allclose(detect(clicks(expected, 6), RATE).times, expected, atol=0.001)


def test_notes_over_a_sustained_chord_are_found():
    samples = sum(tone(8, hertz) for hertz in (131, 165, 196)).astype(np.float32)
    entries = np.arange(1, 7, 0.75)
    for entry in entries:
        start = round(entry * RATE)
        note = tone(0.5, 523) * np.exp(-8 * np.arange(RATE // 2) / RATE).astype(np.float32)
        samples[start : start + RATE // 2] += note
    times = detect(samples, RATE).times
    assert times[0] == pytest.approx(0, abs=0.01)
    np.testing.assert_allclose(times[1:], entries, atol=0.02)


@pytest.mark.parametrize("hertz", [220, 440, 880])
@pytest.mark.parametrize("gain", [0.05, 0.7])
def test_repeated_sines_with_soft_ends_are_found(hertz, gain):
    time = np.arange(RATE // 2) / RATE
    note = gain * np.sin(2 * np.pi * hertz * time) * np.minimum(1, np.minimum(time, time[::-1]) / 0.02)
    samples = np.concatenate([np.zeros(RATE // 2), *[note] * 20, np.zeros(RATE // 2)]).astype(np.float32)
    np.testing.assert_allclose(detect(samples, RATE).times, 0.5 + 0.5 * np.arange(20), atol=0.03)


@pytest.mark.parametrize("attack", [0.05, 0.1, 0.3])
def test_chords_with_soft_attacks_are_found(attack):
    time = np.arange(round(3.2 * RATE)) / RATE
    envelope = np.minimum(1, time / attack) * np.minimum(1, time[::-1])
    samples, entries = np.zeros(26 * RATE), 1 + 3 * np.arange(7)
    for entry, shift in zip(entries, [0, 2, 4, 6, 0, 2, 4], strict=True):
        for note in (48, 55, 64):
            hertz = 440 * 2 ** ((note + shift - 69) / 12)
            tones = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 7))
            samples[entry * RATE : entry * RATE + len(time)] += 0.1 * envelope * tones
    np.testing.assert_allclose(detect(samples.astype(np.float32), RATE).times, entries, atol=0.06)


def slow_note(note: float, seconds: float, attack: float, release: float, partials: int = 8) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    hertz = 440 * 2 ** ((note - 69) / 12)
    tones = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, partials + 1))
    return 0.1 * tones * np.minimum(1, np.minimum(time / attack, time[::-1] / release))


def joined(parts: list[tuple[float, np.ndarray]], seconds: float) -> np.ndarray:
    samples = np.zeros(round(seconds * RATE))
    for start, part in parts:
        at = round(start * RATE)
        samples[at : at + len(part)] += part[: len(samples) - at]
    return samples.astype(np.float32)


def test_a_pad_whose_chords_share_notes_is_found():
    chords, entries = ((57, 60, 64), (57, 62, 65), (55, 60, 64), (55, 59, 62)), 1 + 3 * np.arange(4)
    parts = [(x, slow_note(note, 3.1, 0.3, 0.4)) for x, chord in zip(entries, chords, strict=True) for note in chord]
    np.testing.assert_allclose(detect(joined(parts, 14), RATE).times, entries, atol=0.1)


@pytest.mark.parametrize(("attack", "release", "length"), [(0.15, 0.1, 0.5), (0.08, 0.12, 0.56)])
def test_slow_notes_of_one_pitch_are_found(attack, release, length):
    entries = 0.5 + 0.5 * np.arange(12)
    samples = joined([(x, slow_note(50, length, attack, release)) for x in entries], 7.5)
    np.testing.assert_allclose(detect(samples, RATE).times, entries, atol=0.08)


@pytest.mark.parametrize(("rate", "decay"), [(16, 0.08), (24, 0.05), (27, 0.04)])
def test_the_strokes_of_a_roll_are_found(rate, decay):
    random, entries, time = np.random.default_rng(0), 0.5 + np.arange(3 * rate) / rate, np.arange(RATE // 5) / RATE
    stroke = np.exp(-time / decay)
    parts = [(x, (1 - 0.2 * (k % 2)) * 0.2 * random.standard_normal(len(time)) * stroke) for k, x in enumerate(entries)]
    times = detect(joined(parts, 4), RATE).times
    found = np.abs(entries[:, None] - times).min(axis=1) < 0.012
    assert found.mean() > 0.9 and len(times) <= len(entries)


@pytest.mark.parametrize("length", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("partials", [1, 12], ids=["sine", "synthesiser"])
def test_short_low_notes_are_found(length, partials):
    entries = 0.4 + 1.2 * length * np.arange(20)
    pitches = 28 + np.random.default_rng(0).integers(0, 13, 20)  # E1 to E2
    parts = [(x, slow_note(pitch, length, 0.008, 0.02, partials)) for x, pitch in zip(entries, pitches, strict=True)]
    np.testing.assert_allclose(detect(joined(parts, entries[-1] + 1), RATE).times, entries, atol=0.03)


def test_what_the_network_finds_must_raise_the_level(monkeypatch):
    time = np.arange(3 * RATE) / RATE
    held = (0.3 * np.sin(2 * np.pi * 220 * time) * np.minimum(1, time / 0.5)).astype(np.float32)
    odds = np.full(onset_network.LEAD + 300, -9.0, np.float32)
    odds[onset_network.LEAD + 100] = odds[onset_network.LEAD + 200] = 3.0  # at 1 and 2 s
    monkeypatch.setattr(onset_network, "run", lambda samples: odds)
    assert not len(detect(held, RATE).times)
    struck = held + np.where(time < 2, 0, 0.3 * np.sin(2 * np.pi * 330 * time) * np.exp(-3 * (time - 2)))
    np.testing.assert_allclose(detect(struck.astype(np.float32), RATE).times, [2.0], atol=0.02)


@pytest.mark.parametrize(
    ("sound", "largest_count"),
    [
        (np.zeros(10 * RATE, dtype=np.float32), 0),
        (np.full(10 * RATE, 0.3, dtype=np.float32), 0),
        (noise(10, 3e-5), 0),  # -90 dBFS: dither of 16-bit audio
        (np.zeros(0, dtype=np.float32), 0),
        (np.ones(1, dtype=np.float32), 0),
        (tone(10, 440), 1),  # at the start
        (tone(10.01, 440)[: -RATE // 300], 1),  # the end within a period is no onset
        (tone(10, 440) + tone(10, 443), 1),  # beating is no onset
        (tone(10, 440) + tone(10, 441), 1),
        (tone(10, 440) + tone(10, 464), 1),  # as many a second as strokes of a roll
        (tone(10, 440) * np.linspace(0, 1, 10 * RATE), 1),  # a fade-in
        (tone(10, 440) * (1 + 0.2 * np.sin(2 * np.pi * 5 * np.arange(10 * RATE) / RATE)), 1),  # tremolo
        (noise(20, 0.1), 5),
        (np.cumsum(noise(20, 0.001)), 8),  # Brownian noise
    ],
    ids=[
        "silence",
        "dc",
        "dither",
        "empty",
        "sample",
        "tone",
        "cut",
        "beating",
        "slow beating",
        "fast beating",
        "fade",
        "tremolo",
        "white",
        "brown",
    ],
)
def test_stationary_sounds_have_hardly_any_onsets(sound, largest_count):
    assert len(detect(sound.astype(np.float32), RATE).times) <= largest_count


def test_vibrato_has_no_onsets():
    time = np.arange(10 * RATE) / RATE
    phase = 2 * np.pi * 440 * time + 440 * 0.03 / 6 * np.sin(2 * np.pi * 6 * time)  # half a semitone, 6 Hz
    voice = sum(np.sin(k * phase) / k for k in range(1, 10)).astype(np.float32) * 0.1
    assert len(detect(voice, RATE).times) <= 1


@pytest.mark.parametrize("gain", [0.05, 3.0])
def test_the_gain_does_not_matter(gain):
    samples = clicks(np.arange(0.1, 10, 0.37), 10) + tone(10, 300) + noise(10, 0.002)
    quiet, loud = detect(samples, RATE), detect(samples * np.float32(gain), RATE)
    np.testing.assert_allclose(loud.times, quiet.times, atol=1e-3)
    np.testing.assert_allclose(loud.strengths, quiet.strengths, rtol=1e-4)


def test_strengths_are_those_of_the_envelope_and_larger_for_accents():
    samples = clicks(np.arange(0, 10, 0.5), 10)
    samples[::RATE] *= 0.05  # every second click is 26 dB weaker
    detected = detect(samples, RATE)
    np.testing.assert_array_equal(strengths(envelope(samples, RATE), np.round(detected.times, 6)), detected.strengths)
    assert detected.strengths[1::2].min() > 2 * detected.strengths[::2].max()


@pytest.mark.skipif(not PIECES.is_dir(), reason="needs the shared pieces")
def test_the_onsets_of_rendered_pieces_are_found():
    import mir_eval

    scores = []
    for piece in sorted(PIECES.iterdir()):
        with (piece / "notes.csv").open() as notes:
            starts = np.unique([float(note["time"]) for note in csv.DictReader(notes)])
        merged = [starts[0]]
        for start in starts[1:]:
            if start - merged[-1] >= 0.03:
                merged.append(start)
        mix = audio.read(piece / "mix.flac")
        scores.append(mir_eval.onset.f_measure(np.array(merged), detect(mix.mono(), mix.rate).times, window=0.05)[0])
    assert np.mean(scores) > 0.96  # onset_detect of librosa 0.11 has 0.937
