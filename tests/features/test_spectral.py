"""Spectral shape of noise, sines and impulses with known moments."""

import numpy as np
import pytest
import soxr

from mirflow import features
from mirflow.core.audio import Audio

RATE = 44100


def measure(samples, rate=RATE):
    return features.measure("spectral", {"full_mix": Audio(np.atleast_2d(samples).astype(np.float32), rate)})


def noise(seconds, slope=0.0, rate=RATE, seed=0):
    """Return noise whose power is proportional to frequency ** -slope: 0 is white noise, 1 is pink noise."""
    count = int(seconds * rate)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    spectrum /= np.maximum(np.fft.rfftfreq(count, 1 / rate), 10) ** (slope / 2)
    samples = np.fft.irfft(spectrum, count)
    return 0.3 * samples / np.abs(samples).max()


def test_white_noise_has_the_theoretical_flatness_and_a_uniform_spectrum():
    values = measure(noise(10))
    assert values["spectral_flatness"] == pytest.approx(np.exp(-np.euler_gamma), abs=0.01)
    assert values["spectral_skewness"] == pytest.approx(0, abs=0.03)
    assert values["spectral_kurtosis"] == pytest.approx(1.8, abs=0.03)  # of a uniform distribution
    # for independent Rayleigh magnitudes E[u v] = mean² / mean square = pi / 4; overlapping frames have less flux
    independent = np.sqrt(2 - 2 * np.pi / 4)
    assert 0.5 * independent < values["spectral_flux"] < independent


def test_pink_noise_has_the_theoretical_moments():
    lowest, highest = 43.07, 16000
    mean_of_log = -(highest * np.log(highest) - lowest * np.log(lowest) - (highest - lowest)) / (highest - lowest)
    expected = np.exp(-np.euler_gamma) * np.exp(mean_of_log) / (np.log(highest / lowest) / (highest - lowest))
    assert measure(noise(20, slope=1))["spectral_flatness"] == pytest.approx(expected, rel=0.05)

    # magnitudes are proportional to f^-1/2: moments of that density
    def moment(order):
        return (highest ** (order + 0.5) - lowest ** (order + 0.5)) / (order + 0.5) / (2 * (highest**0.5 - lowest**0.5))

    mean, variance = moment(1), moment(2) - moment(1) ** 2
    skewness = (moment(3) - 3 * mean * moment(2) + 2 * mean**3) / variance**1.5
    kurtosis = (moment(4) - 4 * mean * moment(3) + 6 * mean**2 * moment(2) - 3 * mean**4) / variance**2
    values = measure(noise(20, slope=1))
    assert values["spectral_skewness"] == pytest.approx(skewness, rel=0.05)
    assert values["spectral_kurtosis"] == pytest.approx(kurtosis, rel=0.05)


def test_a_stationary_sine_has_no_flatness_and_no_flux():
    values = measure(0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE))
    assert values["spectral_flatness"] < 1e-4
    assert values["spectral_flux"] < 1e-3
    assert values["spectral_kurtosis"] > 50


def test_an_impulse_has_a_flatness_of_one():
    impulse = np.zeros(2048)
    impulse[1024] = 1
    assert measure(impulse)["spectral_flatness"] == pytest.approx(1, abs=1e-4)


def test_level_polarity_and_duplicated_channels_do_not_matter():
    samples = noise(2, slope=1)
    expected = measure(samples)
    for other in (samples * 1e-3, -samples, np.stack([samples, samples])):
        assert measure(other) == pytest.approx(expected, rel=1e-3)


def test_frames_60_db_below_the_loudest_do_not_count():
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    hiss = 1e-5 * noise(5)
    assert measure(np.concatenate([tone, hiss]))["spectral_flatness"] < 0.01


def test_the_sampling_rate_does_not_matter():
    samples = noise(5, slope=1, rate=96000)
    expected = measure(samples, 96000)
    for rate in (44100, 48000):
        values = measure(soxr.resample(samples, 96000, rate, quality="VHQ"), rate)
        assert values["spectral_flatness"] == pytest.approx(expected["spectral_flatness"], rel=0.01)
        assert values["spectral_flux"] == pytest.approx(expected["spectral_flux"], rel=0.01)
        assert values["spectral_skewness"] == pytest.approx(expected["spectral_skewness"], abs=0.02)
        assert values["spectral_kurtosis"] == pytest.approx(expected["spectral_kurtosis"], rel=0.02)


def test_values_do_not_depend_on_the_block_length(monkeypatch):
    samples = noise(2)
    expected = measure(samples)
    monkeypatch.setattr("mirflow.dsp.spectrum.BLOCK", 5 * 2048)
    assert measure(samples) == pytest.approx(expected, rel=1e-6)


def test_values_are_undefined_for_silence_constants_and_less_than_one_frame():
    for samples in (np.zeros(RATE), np.full(RATE, 0.5), np.ones(1), noise(0.04)):
        assert set(measure(samples).values()) == {None}
