"""The onset strength of Böck & Widmer (2013), SuperFlux: how much the bands of a spectrum rise from frame to frame.

It has a maximum filter over frequency, which suppresses vibrato. Magnitudes are relative to the level of the signal, so
the gain does not matter.
"""

from functools import cache

import numpy as np

RATE = 44100  # Hz; audio with other rates is resampled
FRAME = 2048  # samples
HOP = 441  # samples: 100 frames/s
LEAD_FRAMES = 5  # frames of silence before time 0, so that an onset at time 0 has a spectrum before it
BANDS_PER_OCTAVE = 24
LOWEST, HIGHEST = 30.0, 16000.0  # Hz
PASSBAND = 0.9  # of the Nyquist frequency: the band that a resampler keeps
GAIN = 100.0  # of relative magnitudes before the logarithm: sounds 40 dB below the signal's level still count
LAG_FRAMES = 2  # frames between the two spectra that are compared
SILENT_DB = -70.0  # dB re full scale (RMS); a signal whose loudest frame is below it has no onsets
ACTIVE_DB = 60.0  # frames further below the loudest one do not count for the signal's level

BACKGROUND_PERCENTILE = 25  # of the frames: the level of a band's stationary sound
BLOCK = 1024  # frames that are transformed at a time, to limit memory


@cache
def _bands(highest: float) -> np.ndarray:
    """Return triangular bands on a logarithmic frequency axis up to `highest` Hz, float32 [bin, band].

    No two bands have the same centre bin.
    """
    octaves = np.arange(0, np.log2(highest / LOWEST), 1 / BANDS_PER_OCTAVE)
    edges = np.unique(np.round(LOWEST * 2**octaves * FRAME / RATE).astype(int))
    bands = np.zeros((FRAME // 2 + 1, len(edges) - 2), dtype=np.float32)
    for band, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        bands[low : centre + 1, band] = np.linspace(0, 1, centre - low + 1)
        bands[centre : high + 1, band] = np.linspace(1, 0, high - centre + 1)
    return bands


def _band_magnitudes(samples: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Return the magnitudes in the bands, float32 [frame, band].

    Frame i is centred on sample (i - LEAD_FRAMES) * HOP.

    Parameters
    ----------
    samples : float32 [n] at `RATE`
    bands : float32 [bin, band], from `_bands`
    """
    from scipy.fft import rfft

    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)
    # No frame extends beyond the end: many tracks end abruptly, and zeros after the end would cause an onset.
    samples = np.pad(samples, (FRAME // 2 + LEAD_FRAMES * HOP, 0))
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    magnitudes = np.empty((len(frames), bands.shape[1]), dtype=np.float32)
    for start in range(0, len(frames), BLOCK):
        magnitudes[start : start + BLOCK] = np.abs(rfft(frames[start : start + BLOCK] * window)) @ bands
    return magnitudes


def is_silent(mono: np.ndarray) -> bool:
    """Return whether no frame of `mono`, float32 [n] at `RATE`, has an RMS level above `SILENT_DB`."""
    energy = np.add.reduceat(np.square(mono, dtype=np.float64), np.arange(0, len(mono), FRAME)) if len(mono) else [0.0]
    return bool(np.max(energy) / FRAME <= 10 ** (SILENT_DB / 10))


def decibels(samples: np.ndarray, rate: int) -> np.ndarray | None:
    """Return the level of each band above 40 dB below the level of the signal, float32 [frame, band]; None in silence.

    Parameters
    ----------
    samples : float32 [n] at `RATE`
    rate : of the recording, in Hz
    """
    samples = samples - samples.mean(dtype=np.float64).astype(np.float32) if len(samples) else samples
    if is_silent(samples):
        return None
    # Bands above the Nyquist frequency of the recording are empty, and would only lower the mean.
    magnitudes = _band_magnitudes(samples, _bands(min(HIGHEST, PASSBAND * rate / 2)))
    energy = np.square(magnitudes, dtype=np.float64).sum(axis=1)
    level = np.sqrt(energy[energy >= energy.max() * 10 ** (-ACTIVE_DB / 10)].mean())
    found = 20 * np.log10(1 + magnitudes * np.float32(GAIN / level))
    # Stationary sounds, such as noise, must not cause an onset at the start. So the frames before and at the start get
    # at least the background level of each band.
    first_complete = LEAD_FRAMES + FRAME // 2 // HOP + 1  # the first frame that does not extend before the start
    if len(found) > first_complete:
        background = np.percentile(found[first_complete:], BACKGROUND_PERCENTILE, axis=0).astype(np.float32)
        found[:first_complete] = np.maximum(found[:first_complete], background)
    return found


def increase(levels: np.ndarray) -> np.ndarray:
    """Return the increase of each band over the spectrum `LAG_FRAMES` frames earlier, at least 0 [frame, band]."""
    from scipy.ndimage import maximum_filter1d

    rise = np.zeros_like(levels)
    rise[LAG_FRAMES:] = np.maximum(levels[LAG_FRAMES:] - maximum_filter1d(levels[:-LAG_FRAMES], 3, axis=1), 0)
    return rise


def frame_times(frames: np.ndarray) -> np.ndarray:
    """Return the times of frames of `envelope` in seconds, midway between the two spectra that are compared.

    Parameters
    ----------
    frames : indices [k]
    """
    return (np.asarray(frames) - LEAD_FRAMES - LAG_FRAMES / 2) * HOP / RATE
