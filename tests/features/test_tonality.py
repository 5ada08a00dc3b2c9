"""Harmonic pitch class profile, tonal interval vector and key of cadences in all 24 keys."""

import numpy as np
import pytest
import soxr
from synthesis import cadence, chords, mix_of, silence_like

from mirflow import features
from mirflow.core.audio import Audio
from mirflow.dsp import essentia_algorithms
from mirflow.features import tonality

RATE = 44100


def measure(bass, other, full_mix=None):
    inputs = {"bass": bass, "other": other, "full_mix": full_mix or mix_of(bass, other)}
    return features.measure("tonality", inputs)


def tonality_of_mix(samples, rate=RATE):
    mix = Audio(np.atleast_2d(samples).astype(np.float32), rate)
    return measure(silence_like(mix), silence_like(mix), mix)


def hpcp(values):
    return np.array([values[f"hpcp_{index}"] for index in range(12)])


def tiv(values):
    return np.array([values[f"tiv_{index}"] for index in range(11)])


@pytest.mark.parametrize("scale", ["major", "minor"])
@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize("partials", [1, 6])
def test_the_key_of_cadences_is_found(tonic, scale, partials):
    values = measure(**cadence(tonic, scale, partials=partials))
    assert (values["tonic"], values["tonic_scale"]) == (tonic, scale)
    assert values["tonic_strength"] > 0.6


def test_the_key_of_a_profile_moves_with_the_profile():
    scale = np.array([1, 0, 0.6, 0, 0.8, 0.5, 0, 0.9, 0, 0.5, 0, 0.4])
    for tonic in range(12):
        assert tonality.key_of(np.roll(scale, tonic))[:2] == (tonic, "major")


@pytest.mark.parametrize(
    ("scale", "progression"),
    [
        ("major", [(0, 4, 7), (7, 11, 2), (9, 0, 4), (5, 9, 0)]),  # I V vi IV
        ("major", [(0, 4, 7, 10), (5, 9, 0, 3), (0, 4, 7, 10), (7, 11, 2, 5)]),  # blues
        ("minor", [(0, 3, 7), (8, 0, 3), (5, 8, 0), (7, 11, 2)]),  # i VI iv V
    ],
)
@pytest.mark.parametrize("tonic", [0, 7, 10])
@pytest.mark.parametrize("decibels", [0, 10])
def test_a_bass_without_overtones_does_not_move_the_key_by_a_fifth(scale, progression, tonic, decibels):
    other = chords([[60 + (tonic + note) % 12 for note in chord] for chord in progression], seconds=1.6)
    eighths = [[28 + (tonic + chord[0] - 4) % 12] for chord in progression for _ in range(8)]
    bass = chords(eighths, seconds=0.2, partials=1)
    bass *= np.sqrt(np.mean(other**2) / np.mean(bass**2)) * 10 ** (decibels / 20)
    values = tonality_of_mix(bass + other)
    assert (values["tonic"], values["tonic_scale"]) == (tonic, scale)


@pytest.mark.parametrize("partials", [1, 6])
@pytest.mark.parametrize("notes", [[45], [69], [40, 47], [40, 47, 52], [60, 67]])
def test_a_note_or_a_fifth_has_no_clear_key(notes, partials):
    assert tonality_of_mix(chords([notes], seconds=3, partials=partials))["tonic_strength"] < 0.45


def test_two_keys_that_fit_equally_well_have_a_low_strength():
    loop = chords([[60, 64, 67], [57, 60, 64]] * 3, seconds=0.8)  # C major and A minor in turn
    assert tonality_of_mix(loop)["tonic_strength"] < 0.6


def test_the_pitch_class_of_a_note_has_the_value_one():
    for note in (48, 57, 66, 83):
        profile = hpcp(tonality_of_mix(chords([[note]], seconds=2, partials=1)))
        assert profile[note % 12] == 1 and np.delete(profile, note % 12).max() < 0.9
        assert profile.argmax() == note % 12


@pytest.mark.parametrize("semitones", [1, 6, 11, 12])
def test_transposition_rotates_the_profile_and_the_vector(semitones):
    original, transposed = (
        tonality_of_mix(chords([[48 + s, 52 + s, 55 + s], [53 + s, 57 + s, 60 + s]], seconds=2)) for s in (0, semitones)
    )
    assert hpcp(transposed) == pytest.approx(np.roll(hpcp(original), semitones), abs=0.08)
    complex_vector = [np.append(tiv(values), 0).reshape(6, 2) @ [1, 1j] for values in (original, transposed)]
    expected = complex_vector[0] * np.exp(-2j * np.pi * np.arange(1, 7) * semitones / 12)
    assert complex_vector[1] == pytest.approx(expected, abs=0.08)


def test_the_vector_of_one_pitch_class_has_the_published_weights():
    weights = np.array([3, 8, 11.5, 15, 14.5, 7.5])
    vector = tonality.tonal_interval_vector(np.eye(12)[0])
    assert vector[0::2] == pytest.approx(weights / np.linalg.norm(weights))  # a pulse at C has a real spectrum
    assert vector[1::2] == pytest.approx(np.zeros(5))
    assert tonality.tonal_interval_vector(np.ones(12)) is None
    augmented = tonality.tonal_interval_vector(np.eye(12)[[0, 4, 8]].sum(axis=0))
    assert np.flatnonzero(np.abs(augmented) > 1e-9).tolist() == [
        4,
        10,
    ]  # only k = 3 and k = 6 divide the octave into three parts


def test_the_vector_has_the_norm_one():
    assert np.linalg.norm(tiv(measure(**cadence(3, "minor")))) == pytest.approx(1)


def test_the_tuning_does_not_change_the_key():
    for cents in (-40, 35):
        values = measure(**cadence(6, "minor", a4=440 * 2 ** (cents / 1200)))
        assert (values["tonic"], values["tonic_scale"]) == (6, "minor")


def test_a_cadence_has_a_larger_key_strength_than_noise():
    noise = tonality_of_mix(0.1 * np.random.default_rng(0).standard_normal(5 * RATE))
    assert noise["tonic_strength"] < 0.6 < measure(**cadence(0, "major"))["tonic_strength"]


def test_level_polarity_anti_phase_and_rate_do_not_matter():
    parts = cadence(10, "major")
    expected = measure(**parts)
    for matrix in ([[1e-3]], [[-1]], [[1], [-1]], [[1], [1]]):
        changed = {name: Audio(np.float32(matrix) @ part.samples, RATE) for name, part in parts.items()}
        assert hpcp(measure(**changed)) == pytest.approx(hpcp(expected), abs=1e-3)
    for rate in (22050, 48000, 96000):
        changed = {
            n: Audio(soxr.resample(p.samples[0], RATE, rate, quality="VHQ")[None], rate) for n, p in parts.items()
        }
        assert hpcp(measure(**changed)) == pytest.approx(hpcp(expected), abs=0.02)
        assert measure(**changed)["tonic"] == 10


@pytest.mark.parametrize("a4", [432, 446])
def test_essentia_finds_the_same_keys(a4):
    standard = essentia_algorithms.standard()
    for tonic, scale in ((1, "major"), (6, "minor")):
        mix = mix_of(*cadence(tonic, scale, a4=a4).values())
        name, mode, _ = standard.KeyExtractor(profileType="bgate")(mix.samples[0])
        values = tonality_of_mix(mix.samples)
        assert (values["tonic"], values["tonic_scale"]) == ({"C#": 1, "F#": 6}[name], mode)


def test_silence_has_no_values():
    assert set(tonality_of_mix(np.zeros(RATE)).values()) == {None}
