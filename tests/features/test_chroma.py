"""Chroma of chords whose pitch classes are known, at any tuning and transposition."""

import numpy as np
import pytest
import soxr
from synthesis import cadence, chords, mix_of, silence_like

from mirflow import registry
from mirflow.audio import Audio
from mirflow.dsp import pitch_class

RATE = 44100


def measure(bass, other, full_mix=None):
    inputs = {"bass": bass, "other": other, "full_mix": full_mix or mix_of(bass, other)}
    return np.array(list(registry.measure("chroma", inputs).values()), dtype=float)


def sound(samples, rate=RATE):
    return Audio(np.atleast_2d(samples).astype(np.float32), rate)


def alone(samples, rate=RATE):
    """The chroma of a full mix whose stems are empty."""
    mix = sound(samples, rate)
    return measure(silence_like(mix), silence_like(mix), mix)


def test_a_triad_of_sines_has_a_third_in_each_of_its_classes():
    chroma = alone(chords([[60, 64, 67]], seconds=4, partials=1))
    assert chroma[[0, 4, 7]] == pytest.approx([1 / 3] * 3, abs=0.03)
    assert chroma.sum() == pytest.approx(1)


@pytest.mark.parametrize("note", [29, 40, 52, 69, 81, 95])
def test_a_note_of_any_octave_is_its_own_class(note):
    chroma = alone(chords([[note]], seconds=4, partials=1))
    assert chroma.argmax() == note % 12 and chroma.max() > 0.7


@pytest.mark.parametrize("semitones", [1, 5, 11, 12])
def test_transposing_rotates(semitones):
    def at(shift):
        return alone(chords([[48 + shift, 55 + shift, 64 + shift], [50 + shift, 57 + shift, 65 + shift]], seconds=3))

    assert at(semitones) == pytest.approx(np.roll(at(0), semitones), abs=0.01)


@pytest.mark.parametrize("cents", [-40, -15, 30])
def test_instruments_tuned_off_440_hz_give_the_same_chroma(cents):
    a4 = 440 * 2 ** (cents / 1200)
    chord = [[48, 55, 64, 71]]
    shifted = chords(chord, seconds=4, a4=a4)
    assert pitch_class.tuning_of(sound(shifted)) == pytest.approx(cents / 100, abs=0.03)
    assert alone(shifted) == pytest.approx(alone(chords(chord, seconds=4)), abs=0.01)


def test_noise_has_no_tuning():
    noise = np.random.default_rng(0).standard_normal(10 * RATE)
    assert abs(pitch_class.tuning_of(sound(noise))) < 0.1


def test_it_agrees_with_librosa():
    import librosa

    parts = cadence(2, "minor")
    samples = mix_of(*parts.values()).samples[0]
    other = librosa.feature.chroma_cqt(y=samples, sr=RATE, hop_length=2048, norm=2, tuning=0).mean(axis=1)
    assert np.corrcoef(measure(**parts), other)[0, 1] > 0.97


def test_drums_in_the_mix_do_not_count_unless_a_stem_is_silent():
    parts = cadence(0, "major")
    noise = 0.2 * np.random.default_rng(0).standard_normal(parts["bass"].samples.shape)
    drums = Audio(noise.astype(np.float32), RATE)
    mix = mix_of(*parts.values(), drums)
    assert measure(**parts, full_mix=mix) == pytest.approx(measure(**parts))
    only_residue = Audio(1e-5 * parts["bass"].samples, RATE)
    fallback = measure(only_residue, parts["other"], mix)
    assert fallback == pytest.approx(measure(silence_like(mix), parts["other"], mix))
    assert not np.allclose(fallback, measure(**parts), atol=0.01)


def test_level_polarity_anti_phase_channels_and_rate_change_nothing():
    parts = cadence(9, "minor")
    expected = measure(**parts)
    for matrix in ([[1e-3]], [[-1]], [[1], [-1]], [[1], [1]], [[1], [0]] * 3):
        changed = {name: Audio(np.float32(matrix) @ part.samples, RATE) for name, part in parts.items()}
        assert measure(**changed) == pytest.approx(expected, abs=1e-5)
    for rate in (22050, 48000, 96000):
        changed = {n: sound(soxr.resample(p.samples[0], RATE, rate, quality="VHQ"), rate) for n, p in parts.items()}
        assert measure(**changed) == pytest.approx(expected, abs=1e-3)


def test_stems_may_differ_in_channels_and_by_some_samples():
    parts = cadence(4, "major")
    two = Audio(np.repeat(parts["other"].samples[:, :-7], 2, axis=0), RATE)
    # seven samples less are one frame less of seven here
    assert measure(parts["bass"], two, mix_of(*parts.values())) == pytest.approx(measure(**parts), abs=0.02)


def test_silence_has_none():
    assert np.isnan(alone(np.zeros(RATE))).all()
