"""Band levels of tones and of noise."""

import numpy as np
import pytest

from mirflow import features
from mirflow.core.audio import Audio

RATE = 44100
BANDS = {"bass": (20, 120), "body": (120, 600), "mid": (600, 2500), "air": (2500, 22000)}


def measure(samples, rate=RATE):
    values = features.measure("multiband_rms", {"full_mix": Audio(np.atleast_2d(samples).astype(np.float32), rate)})
    return {key.removeprefix("rms_energy_"): value for key, value in values.items()}


def tone(frequency, seconds=5, rate=RATE):
    """Return a full-scale sine with fades of half a second. Abrupt edges would have energy in all bands."""
    time = np.arange(int(seconds * rate)) / rate
    fade = np.minimum(1, np.minimum(time, time[::-1]) / 0.5)
    return np.sin(np.pi / 2 * fade) ** 2 * np.sin(2 * np.pi * frequency * time)


@pytest.mark.parametrize(("frequency", "band"), [(60, "bass"), (300, "body"), (1200, "mid"), (10000, "air")])
@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_a_full_scale_sine_has_minus_3_db_in_its_band_only(frequency, band, rate):
    values = measure(tone(frequency, rate=rate), rate)
    steady = (4 + 2 * 0.5 * 3 / 8) / 5  # energy relative to a tone without fades; a fade has 3/8 of it
    assert values.pop(band) == pytest.approx(10 * np.log10(steady / 2), abs=0.001)
    assert max(values.values()) < -70


def test_white_noise_is_proportional_to_bandwidth_and_pink_noise_to_octaves():
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(30 * RATE))
    frequency = np.fft.rfftfreq(30 * RATE, 1 / RATE)
    for slope, width in ((0, lambda low, high: high - low), (1, lambda low, high: np.log(high / low))):
        samples = np.fft.irfft(spectrum / np.maximum(frequency, 1) ** (slope / 2))
        values = measure(0.3 * samples / np.abs(samples).max())
        for band, edges in BANDS.items():
            expected = 10 * np.log10(width(*edges) / width(*BANDS["air"]))
            assert values[band] - values["air"] == pytest.approx(expected, abs=0.5 if band == "bass" else 0.2)


def test_channels_in_anti_phase_do_not_cancel_and_a_silent_channel_halves_the_energy():
    samples = 0.5 * tone(300)
    expected = measure(samples)["body"]
    assert measure([samples, samples])["body"] == pytest.approx(expected, abs=1e-6)
    assert measure([samples, -samples])["body"] == pytest.approx(expected, abs=1e-6)
    assert measure([samples, 0 * samples])["body"] == pytest.approx(expected - 3.01, abs=0.01)


def test_every_sample_has_the_same_weight():
    """The sum of the bands is the energy of a burst, wherever it is, also at both ends."""
    burst = np.random.default_rng(1).standard_normal(500) * np.hanning(500) * 0.2
    for start in (0, 20_000, 3 * RATE - 500):
        samples = np.zeros(3 * RATE)
        samples[start : start + 500] = burst
        power = sum(10 ** (value / 10) for value in measure(samples).values())
        assert power == pytest.approx(
            np.mean(samples**2), rel=0.03
        )  # the bands lack the energy below 20 Hz and above 22 kHz


def test_silence_is_at_the_floor():
    assert set(measure(np.zeros((2, RATE))).values()) == {-120}
