"""Tempo evidence: which of the periods in the music is the beat."""

import numpy as np

WINDOW = 10.0  # s, holds two bars of slow music
STEP = 1.0  # s
FASTEST, SLOWEST = 250, 40  # beats a minute
USUAL, SPREAD = (
    112,
    0.55,
)  # beats a minute and octaves: log-normal preference of listeners (Parncutt 1994; Moelants 2002)


def intervals(frame_rate: float) -> np.ndarray:
    """Return all intervals of whole frames between `FASTEST` and `SLOWEST`, int64 [interval]."""
    return np.arange(int(np.floor(60 * frame_rate / FASTEST)), int(np.ceil(60 * frame_rate / SLOWEST)) + 1)


def prior(frames: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return the log preference for beats `frames` apart, 0 at its maximum, float32 [interval]."""
    octaves = np.log2(60 * frame_rate / frames / USUAL)
    return (-0.5 * (octaves / SPREAD) ** 2).astype(np.float32)


def autocorrelation(onsets: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return autocorrelations around one moment a `STEP`, float32 [window, lag, band], 1 at lag 0, lags up to `WINDOW`/2... s.

    Parameters
    ----------
    onsets : float32 [frame, band]
    """
    from scipy.fft import irfft, next_fast_len, rfft
    from scipy.ndimage import uniform_filter1d

    size, step = round(WINDOW * frame_rate), round(STEP * frame_rate)
    lags = round(0.7 * size)
    smooth = np.apply_along_axis(np.convolve, 0, onsets, np.hanning(7) / np.hanning(7).sum(), "same")
    centred = smooth - uniform_filter1d(smooth, round(1.5 * frame_rate), axis=0)
    padded = np.pad(centred, ((size // 2, size // 2 + step), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0)[::step]  # [window, band, frame]
    windows = windows[: len(onsets) // step + 1]
    taper = np.hanning(size + 2)[1:-1].astype(np.float32)
    fast = next_fast_len(size + lags)
    spectrum = rfft(windows * taper, fast, axis=2)
    power = irfft(spectrum.real**2 + spectrum.imag**2, fast, axis=2)[:, :, :lags]
    bias = irfft(np.abs(rfft(taper, fast)) ** 2, fast)[:lags]
    zero = np.maximum(power[:, :, :1], 1e-9)
    return np.moveaxis(power / zero * (bias[0] / bias), 2, 1).astype(np.float32)


def at_lags(correlation: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Read autocorrelations at fractional lags, float32 [window, len(lags), band]; 0 beyond the last lag."""
    low = np.minimum(lags.astype(int), correlation.shape[1] - 2)
    part = (lags - low)[:, None]
    value = correlation[:, low] * (1 - part) + correlation[:, low + 1] * part
    return np.where((lags <= correlation.shape[1] - 1)[:, None], value, 0)
