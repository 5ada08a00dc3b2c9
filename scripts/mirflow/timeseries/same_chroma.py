"""The chroma that the autoencoder SAME of Stable Audio 3 learned to predict: three registers of 128 bins a latent."""

from functools import cache

import numpy as np

from mirflow.core.audio import Audio, resample
from mirflow.timeseries.files import Series

RATE = 44100  # Hz
FRAME, HOP = 8192, 4096  # samples
BINS = 128  # C lies at bin 2: the filter bank rolls A by 30 bins, though three semitones are 32
REGISTERS = ((1.0, 1.0), (5.0, 1.5), (9.0, 1.0))  # centre and width in octaves above A0
BLOCK = 256  # frames that are transformed at a time


def series(full_mix: Audio) -> Series:
    """Return the chroma at the rate of the latents, float32 [register, bin, frame], of ceil(n / `HOP`) frames.

    It is the logarithm of magnitudes, so it depends on the level of the sound.

    Source
    ------
    arXiv 2605.18613, section 3.3.2; the training code of stable-audio-tools
    """
    samples = resample(full_mix.samples, full_mix.rate, RATE)
    return Series(chroma(samples), "log magnitude", "full mix", 0.0, RATE / HOP)


def chroma(samples: np.ndarray) -> np.ndarray:
    """Return the chroma of samples, float32 [register, bin, frame].

    Parameters
    ----------
    samples : float32 [channel, n] at `RATE`
    """
    from scipy.fft import rfft

    count = -(-samples.shape[1] // HOP)
    whole = (samples.shape[1] - FRAME) // HOP + 1  # frames that lie within the sound
    if whole < 1:
        return np.zeros((len(REGISTERS), BINS, count), np.float32)
    window = np.sin(np.pi * np.arange(FRAME) / FRAME).astype(np.float32)
    scale = np.full(FRAME // 2 + 1, np.sqrt(2 / FRAME), np.float32)
    scale[[0, -1]] = np.sqrt(1 / FRAME)
    frames = [np.lib.stride_tricks.sliding_window_view(channel, FRAME)[::HOP] for channel in samples]
    found = np.empty((len(REGISTERS) * BINS, whole), np.float32)
    for begin in range(0, whole, BLOCK):
        magnitudes = [np.abs(rfft(each[begin : begin + BLOCK] * window, axis=1)) for each in frames]
        levels = np.log1p(np.mean(magnitudes, axis=0) * scale)
        found[:, begin : begin + BLOCK] = _filters() @ levels.T
    return _interpolated(found, count).reshape(len(REGISTERS), BINS, count)


def _interpolated(values: np.ndarray, count: int) -> np.ndarray:
    """Stretch the last axis to `count` frames, as torch's linear interpolation without aligned corners does it."""
    place = (np.arange(count) + 0.5) * values.shape[1] / count - 0.5
    place = np.clip(place, 0, values.shape[1] - 1)
    low = place.astype(int)
    high = np.minimum(low + 1, values.shape[1] - 1)
    share = (place - low).astype(np.float32)
    return values[:, low] * (1 - share) + values[:, high] * share


@cache
def _filters() -> np.ndarray:
    """Return the filters of all registers, float32 [register and bin, frequency]."""
    import librosa

    banks = [
        librosa.filters.chroma(
            sr=RATE, n_fft=FRAME, n_chroma=BINS, ctroct=centre, octwidth=width, norm=1, dtype=np.float64
        )
        for centre, width in REGISTERS
    ]
    return np.concatenate(banks).astype(np.float32)
