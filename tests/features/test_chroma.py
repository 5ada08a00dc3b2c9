"""Chroma of chords with known pitch classes, with several tunings and transpositions."""

import numpy as np
import pytest
import soxr
from synthesis import cadence, chords, mix_of, silence_like

from mirflow import features
from mirflow.core.audio import Audio
from mirflow.dsp import pitch_class

RATE = 44100


def measure(bass, other, full_mix=None):
    inputs = {"bass": bass, "other": other, "full_mix": full_mix or mix_of(bass, other)}
    return np.array(list(features.measure("chroma", inputs).values()), dtype=float)


def sound(samples, rate=RATE):
    return Audio(np.atleast_2d(samples).astype(np.float32), rate)


def chroma_of_mix(samples, rate=RATE):
    """Return the chroma of a full mix whose stems are silent."""
    mix = sound(samples, rate)
    return measure(silence_like(mix), silence_like(mix), mix)


def test_a_triad_of_sines_has_a_share_of_one_third_in_each_pitch_class():
    chroma = chroma_of_mix(chords([[60, 64, 67]], seconds=4, partials=1))
    assert chroma[[0, 4, 7]] == pytest.approx([1 / 3] * 3, abs=0.03)
    assert chroma.sum() == pytest.approx(1)


@pytest.mark.parametrize("note", [29, 40, 52, 69, 81, 95])
def test_a_note_in_any_octave_has_its_pitch_class(note):
    chroma = chroma_of_mix(chords([[note]], seconds=4, partials=1))
    assert chroma.argmax() == note % 12 and chroma.max() > 0.7


@pytest.mark.parametrize("semitones", [1, 5, 11, 12])
def test_transposition_rotates_the_chroma(semitones):
    def chroma_at(shift):
        return chroma_of_mix(
            chords([[48 + shift, 55 + shift, 64 + shift], [50 + shift, 57 + shift, 65 + shift]], seconds=3)
        )

    assert chroma_at(semitones) == pytest.approx(np.roll(chroma_at(0), semitones), abs=0.01)


@pytest.mark.parametrize("cents", [-40, -15, 30])
def test_the_tuning_does_not_change_the_chroma(cents):
    a4 = 440 * 2 ** (cents / 1200)
    chord = [[48, 55, 64, 71]]
    shifted = chords(chord, seconds=4, a4=a4)
    assert pitch_class.tuning_of(sound(shifted)) == pytest.approx(cents / 100, abs=0.03)
    assert chroma_of_mix(shifted) == pytest.approx(chroma_of_mix(chords(chord, seconds=4)), abs=0.01)


@pytest.mark.parametrize("note", [26, 29, 33, 38])
@pytest.mark.parametrize("cents", [-30, 0, 20])
@pytest.mark.parametrize("seconds", [0.5, 5])
def test_low_tones_without_overtones_have_a_tuning(note, cents, seconds):
    notes = chords([[note]] * round(5 / seconds), seconds=seconds, partials=1, a4=440 * 2 ** (cents / 1200))
    # within the effect of the weight at 440 Hz
    assert pitch_class.tuning_of(sound(notes)) == pytest.approx(cents / 100, abs=0.07)


def test_the_tuning_of_noise_is_near_zero():
    noise = np.random.default_rng(0).standard_normal(10 * RATE)
    assert abs(pitch_class.tuning_of(sound(noise))) < 0.1


def test_the_chroma_correlates_with_that_of_librosa():
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


def test_level_polarity_channels_and_rate_do_not_matter():
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
    # because of the seven missing samples, there are six frames instead of seven
    assert measure(parts["bass"], two, mix_of(*parts.values())) == pytest.approx(measure(**parts), abs=0.02)


def test_silence_has_no_chroma():
    assert np.isnan(chroma_of_mix(np.zeros(RATE))).all()
