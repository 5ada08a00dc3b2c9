"""The log-mel spectrogram that the beat network reads."""

from functools import cache

import numpy as np

from mirflow.dsp import mel

RATE = 22050  # Hz; beat tracking does not need frequencies above 11 kHz
FRAME = 1024  # samples, 46 ms
HOP = 220  # samples, 10 ms
FRAME_RATE = RATE / HOP  # frames/s
BANDS = 64
LOWEST, HIGHEST = 30.0, 10000.0  # Hz
LOUD_SHARE = 0.9  # the level is normalised by the frame that is louder than this share of the audible frames
SILENCE_DB = 60  # frames further below the loudest one are not audible
GAIN = 3000.0  # of the magnitude in log(1 + gain * magnitude): how much quiet sounds count


@cache
def filters() -> np.ndarray:
    """Return triangular mel filters, float32 [bin, band], each with the sum 1."""
    weights, nearest = mel.triangles(RATE, FRAME, BANDS, LOWEST, HIGHEST)
    weights[nearest, np.arange(BANDS)] += 1e-3  # no filter is empty
    return (weights / weights.sum(axis=0)).astype(np.float32)


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Return the level of each mel band, log10(1 + `GAIN` * magnitude), independent of the gain of the track.

    Parameters
    ----------
    samples : float32 [n] at `RATE`

    Returns
    -------
    float32 [frame, band]. Frame k is centred on sample k * `HOP`; all zero in silence
    """
    from scipy.fft import rfft

    padded = np.pad(samples, (FRAME // 2, FRAME // 2 + HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP][: len(samples) // HOP + 1]
    window = np.hanning(FRAME + 1)[:-1].astype(np.float32) * (2 / FRAME)
    magnitude = np.empty((len(frames), BANDS), np.float32)
    for begin in range(0, len(frames), 1024):
        magnitude[begin : begin + 1024] = np.abs(rfft(frames[begin : begin + 1024] * window, axis=1)) @ filters()
    level = magnitude.max(axis=1, initial=0)
    audible = level[level > level.max(initial=0) * 10 ** (-SILENCE_DB / 20)]
    if not len(audible):
        return np.zeros_like(magnitude)
    return np.log10(1 + np.float32(GAIN * 0.1) * (magnitude / np.quantile(audible, LOUD_SHARE).astype(np.float32)))
