"""Tempo evidence: which of the periods in the music is the beat."""

import numpy as np

WINDOWS = ((12.0, 8.0), (5.0, 3.0))  # s, length and longest lag: bars of slow music, and tempo that changes
STEP = 1.0  # s
FASTEST, SLOWEST = 250, 40  # beats a minute
RATIOS = np.array([1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 2, 3, 4, 5, 6])  # lags, in beats
PAIRS = ((0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (0, 1), (0, 2), (1, 2), (3, 5))  # envelopes correlated


def intervals(frame_rate: float) -> np.ndarray:
    """Return all intervals of whole frames between `FASTEST` and `SLOWEST`, int64 [interval]."""
    return np.arange(int(np.floor(60 * frame_rate / FASTEST)), int(np.ceil(60 * frame_rate / SLOWEST)) + 1)


def novelty(levels: np.ndarray, width: int) -> np.ndarray:
    """Return cosine distances between the means of `levels` [frame, bin] over `width` frames before and after a frame."""
    total = np.concatenate([np.zeros((1, levels.shape[1])), np.cumsum(levels, axis=0, dtype=np.float64)])
    at = np.arange(len(levels))
    before = total[at] - total[np.maximum(at - width, 0)]
    after = total[np.minimum(at + width, len(levels))] - total[at]
    norm = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return (1 - (before * after).sum(axis=1) / np.maximum(norm, 1e-9)) * (norm > 1e-9)


def envelopes(flux: np.ndarray, semitones: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return low, middle, high and whole onset strength, change of the bass and of the chord, float32 [frame, 6]."""
    from scipy.ndimage import uniform_filter1d

    scaled = flux / np.maximum(np.sqrt((flux**2).mean(axis=0)), 1e-6)
    low, middle, high = scaled[:, :2].sum(axis=1), scaled[:, 2:4].sum(axis=1), scaled[:, 4:].sum(axis=1)
    notes = semitones.shape[1]
    chroma = sum(np.pad(semitones[:, i : i + 12], ((0, 0), (0, 12 - min(12, notes - i)))) for i in range(8, notes, 12))
    width = round(0.4 * frame_rate / 4)
    slow = np.stack([novelty(semitones[:, :24], width), novelty(chroma, width)], axis=1)
    at = np.arange(len(flux)) / 4
    changes = np.stack([np.interp(at, np.arange(len(slow)), column) for column in slow.T], axis=1)
    rows = np.column_stack([low, middle, high, low + middle + high, changes]).astype(np.float32)
    smooth = np.apply_along_axis(np.convolve, 0, rows, np.hanning(7) / np.hanning(7).sum(), "same")
    return (smooth - uniform_filter1d(smooth, round(1.5 * frame_rate), axis=0)).astype(np.float32)


def correlations(rows: np.ndarray, frame_rate: float, window: float, reach: float) -> np.ndarray:
    """Return correlations of `PAIRS` of envelopes around one moment a `STEP`, float32 [window, lag, pair].

    Normalised by the energies of the pair, unbiased for the window's taper; lags up to `reach` s.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    size, step, lags = round(window * frame_rate), round(STEP * frame_rate), round(reach * frame_rate)
    padded = np.pad(rows, ((size // 2, size // 2 + step), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0)[::step]  # [window, envelope, frame]
    windows = windows[: len(rows) // step + 1]
    taper = np.hanning(size + 2)[1:-1].astype(np.float32)
    fast = next_fast_len(size + lags)
    spectrum = rfft(windows * taper, fast, axis=2)
    energy = np.sqrt(((windows * taper) ** 2).sum(axis=2))
    bias = irfft(np.abs(rfft(taper, fast)) ** 2, fast)[:lags]
    out = np.empty((len(windows), lags, len(PAIRS)), np.float32)
    for k, (a, b) in enumerate(PAIRS):
        power = irfft((spectrum[:, a] * spectrum[:, b].conj()).real, fast, axis=1)[:, :lags]  # both directions
        out[:, :, k] = power / np.maximum(energy[:, a] * energy[:, b], 1e-6)[:, None] * (bias[0] / bias)
    return out


def features(rows: np.ndarray, frames: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return what is known about each interval in `frames`, float32 [moment, interval, feature], one moment a `STEP`."""
    lags = frames[:, None] * RATIOS
    out = []
    for window, reach in WINDOWS:
        correlation = correlations(rows, frame_rate, window, reach)
        low = np.minimum(lags.astype(int), correlation.shape[1] - 2)
        part = (lags - low).astype(np.float32)[..., None]
        value = correlation[:, low] * (1 - part) + correlation[:, low + 1] * part  # [moment, interval, ratio, pair]
        value *= (lags <= correlation.shape[1] - 1)[..., None]
        out.append(value.reshape(*value.shape[:2], -1))
    octaves = np.log2(60 * frame_rate / frames / 110)
    place = np.broadcast_to(np.stack([octaves, octaves**2], axis=1), (len(value), len(frames), 2))
    return np.concatenate([*out, place], axis=2).astype(np.float32)


def changes(semitones: np.ndarray, at: np.ndarray, span: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how much bass and chord change at the bounds `at` [k] (frames).

    The cosine distance of the mean spectra of the `span` bounds before and after each.
    """
    notes = semitones.shape[1]
    chroma = sum(np.pad(semitones[:, i : i + 12], ((0, 0), (0, 12 - min(12, notes - i)))) for i in range(8, notes, 12))
    out = []
    for levels in (semitones[:, :24], chroma):
        total = np.concatenate([np.zeros((1, levels.shape[1])), np.cumsum(levels, axis=0, dtype=np.float64)])
        bounds = np.clip(np.pad(at, span, mode="edge") + 0.5, 0, len(levels))
        low = np.minimum(bounds.astype(int), len(levels) - 1)
        value = total[low] + (total[low + 1] - total[low]) * (bounds - low)[:, None]
        middle = value[span:-span]
        before, after = middle - value[: -2 * span], value[2 * span :] - middle
        norm = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        out.append((1 - (before * after).sum(axis=1) / np.maximum(norm, 1e-9)) * (norm > 1e-9))
    return out[0], out[1]


def evidence(rows: np.ndarray, frames: np.ndarray, frame_rate: float, weights: np.ndarray) -> np.ndarray:
    """Return the log probability that the beat is each of the intervals `frames`, float32 [moment, interval].

    Log-linear in `features`, so that what counts is which multiples and parts of an interval also repeat, in which
    bands; `weights` [feature].
    """
    score = features(rows, frames, frame_rate) @ weights
    return score - np.logaddexp.reduce(score, axis=1)[:, None]


def nearest(frames: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Return which of the intervals `frames` is nearest to each of `gaps` by ratio, int64."""
    return np.abs(np.log(frames) - np.log(gaps)[..., None]).argmin(axis=-1)
