"""Harmonic movement of chord sequences with known cosine distances."""

import numpy as np
import pytest
import soxr
from synthesis import chords

from mirflow import features
from mirflow.core.audio import Audio

RATE = 44100
C, F_SHARP = [60, 64, 67], [54, 58, 61]  # no pitch class in common
BEATS = np.arange(17) * 0.5


def measure(other, beats=BEATS, bass=None, rate=RATE):
    stems = {"bass": other if bass is None else bass, "other": other}
    inputs = {name: Audio(np.atleast_2d(stem).astype(np.float32), rate) for name, stem in stems.items()}
    values = features.measure("per_stem_harmonic", {"full_mix": of_mix(inputs, rate)} | inputs | {"beats": beats})
    return {key.removeprefix("harmonic_"): value for key, value in values.items()}


def of_mix(stems, rate):
    """Return the mix of stems that may have different numbers of channels and lengths."""
    longest = max(stem.samples.shape[1] for stem in stems.values())
    mono = [np.pad(stem.samples[0], (0, longest - stem.samples.shape[1])) for stem in stems.values()]
    return Audio(np.sum(mono, axis=0)[None], rate)


def test_a_sustained_chord_has_no_movement():
    values = measure(chords([C], seconds=8))
    assert values["movement_other"] == pytest.approx(0, abs=0.01)
    assert values["variance_other"] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("seconds", [0.3, 0.5, 1.0])
def test_alternating_chords_without_common_pitches_have_a_movement_of_one(seconds):
    values = measure(chords([C, F_SHARP] * 8, seconds=seconds, partials=1), beats=np.arange(17) * seconds)
    assert values["movement_other"] == pytest.approx(1, abs=0.03)
    assert values["variance_other"] == pytest.approx(1 - np.sqrt(0.5), abs=0.03)  # two orthogonal unit vectors


def test_a_chord_change_every_fourth_beat_has_a_quarter_of_the_movement():
    sequence = ([C] * 4 + [F_SHARP] * 4) * 2
    values = measure(chords(sequence, seconds=0.5, partials=1))
    assert values["movement_other"] == pytest.approx(3 / 15, abs=0.02)


def test_one_common_tone_of_two():
    values = measure(chords([[60, 64], [60, 67]] * 8, seconds=0.5, partials=1))
    assert values["movement_other"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("bpm", [60, 120, 174])
@pytest.mark.parametrize("notes", [(24, 25), (28, 29), (36, 37), (40, 42)])
@pytest.mark.parametrize("partials", [1, 6])
def test_low_notes_a_semitone_apart_are_told_apart(bpm, notes, partials):
    samples = chords([[note] for note in notes] * 8, seconds=60 / bpm, partials=partials)
    values = measure(samples, beats=np.arange(17) * 60 / bpm)
    assert values["movement_bass"] == pytest.approx(1, abs=0.03)


def test_rests_and_staccato_are_no_movement():
    staccato = np.concatenate([np.concatenate([chords([C], seconds=0.5), np.zeros(RATE // 2)]) for _ in range(8)])
    assert measure(staccato)["movement_other"] == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize("beats", [np.zeros(0), np.array([0.5, 1.0])])
def test_without_beats_intervals_of_half_a_second_are_used(beats):
    samples = chords([C, F_SHARP] * 8, seconds=0.5, partials=1)
    assert measure(samples, beats) == pytest.approx(measure(samples), abs=1e-9)


def test_intervals_longer_than_a_frame_are_analysed_completely():
    values = measure(chords([C, F_SHARP], seconds=5, partials=1), beats=np.array([0, 5.0, 10.0]))
    assert values["movement_other"] == pytest.approx(1, abs=0.05)


def test_each_stem_has_its_own_values_and_a_silent_stem_has_none():
    changing, sustained = chords([C, F_SHARP] * 8, seconds=0.5), chords([C], seconds=8)
    values = measure(changing, bass=sustained)
    assert values["movement_bass"] < 0.01 < values["movement_other"]
    for silent in (np.zeros(8 * RATE), 3e-4 * sustained, 3e-4 * sustained + 0.05):  # an offset is no sound
        values = measure(changing, bass=silent)
        assert values["movement_bass"] is None and values["variance_bass"] is None
        assert values["movement_other"] is not None


def test_level_polarity_anti_phase_and_rate_do_not_matter():
    samples = chords([C, [62, 65, 69], F_SHARP, [55, 59, 62]] * 4, seconds=0.5)
    expected = measure(samples)
    for other in (samples * 1e-4, -samples, [samples, -samples]):
        assert measure(other) == pytest.approx(expected, abs=1e-4)
    for rate in (22050, 48000, 96000):
        assert measure(soxr.resample(samples, RATE, rate, quality="VHQ"), rate=rate) == pytest.approx(
            expected, abs=0.002
        )


def test_beats_after_the_end_and_a_single_audible_beat():
    samples = chords([C], seconds=0.9)
    assert measure(samples, beats=np.array([0, 0.4, 0.8, 1.2, 1.6]))["movement_other"] == pytest.approx(0, abs=0.02)
    assert measure(samples, beats=np.array([0, 5.0, 6.0]))["movement_other"] is None
