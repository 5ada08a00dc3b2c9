"""Strokes of fast rolls, 14 to 33 a second, which are too close for the frames of the onset strength.

Short frames follow such strokes, but in noise they also rise by chance. So a stroke counts in a row of strokes alone,
in which the intervals hardly change. The rise is a mean over bands of equal width: all strokes are broad, while single
partials that beat, or narrow bands of noise, fill few bands.
"""

import numpy as np

from mirflow.dsp.superflux import RATE

FRAME, HOP = 512, 220  # samples: 12 ms, 5 ms
LAG = 2  # frames between the two spectra that are compared
BANDS, HIGHEST = 24, 16000.0  # number, Hz
LOWEST_BIN = 2
GAIN = 1e4  # of relative powers before the logarithm: bands 40 dB below the mean level still count
ACTIVE_DB = 60.0  # frames further below the loudest one do not count for the level
BLOCK = 4096  # frames that are transformed at a time, to limit memory

REACH = 2  # frames: a stroke is the largest rise within this distance
LEAST_RISE = 1.2  # dB, of each stroke
USUAL_RISE = 2.8  # dB, least median of a row
SHORTEST, LONGEST = 0.030, 0.072  # s between strokes
CHANGE = 0.2  # of the usual interval, or a frame
RECENT = 8  # strokes that say what is usual
FEWEST = 5  # strokes of a row


def times(samples: np.ndarray) -> np.ndarray:
    """Return the times of the strokes of rolls in seconds, ascending, float64 [k].

    Parameters
    ----------
    samples : float32 [n] at `superflux.RATE`
    """
    from scipy.ndimage import maximum_filter1d

    rise = _rise(samples)
    peaks = np.flatnonzero((rise == maximum_filter1d(rise, 2 * REACH + 1)) & (rise > LEAST_RISE))
    rows = [row for row in _rows(peaks) if len(row) >= FEWEST and np.median(rise[row]) >= USUAL_RISE]
    strokes = np.unique(np.concatenate([np.zeros(0, dtype=int), *rows]))
    return (strokes - LAG / 2) * HOP / RATE


def _rise(samples: np.ndarray) -> np.ndarray:
    """Return the mean change of the bands over the spectrum `LAG` frames earlier, dB [frame].

    Frame i is centred on sample i * HOP.
    """
    from scipy.fft import rfft

    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)
    padded = np.pad(samples, (FRAME // 2, FRAME // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    edges = np.linspace(LOWEST_BIN, HIGHEST / RATE * FRAME, BANDS + 1).astype(int)
    powers = np.empty((len(frames), BANDS), dtype=np.float32)
    for start in range(0, len(frames), BLOCK):
        power = np.square(np.abs(rfft(frames[start : start + BLOCK] * window)))[:, : edges[-1]]
        powers[start : start + BLOCK] = np.add.reduceat(power, edges[:-1], axis=1)
    energy = powers.sum(axis=1, dtype=np.float64)
    level = energy[energy >= energy.max() * 10 ** (-ACTIVE_DB / 10)].mean() / BANDS
    decibels = 10 * np.log10(1 + powers * np.float32(GAIN / max(level, 1e-30)))
    rise = np.zeros(len(decibels))
    rise[LAG:] = (decibels[LAG:] - decibels[:-LAG]).mean(axis=1, dtype=np.float64)
    return rise


def _rows(peaks: np.ndarray) -> list[list[int]]:
    """Divide frames, int [k], ascending, into rows of nearly equal intervals."""
    shortest, longest = SHORTEST * RATE / HOP, LONGEST * RATE / HOP
    rows: list[list[int]] = [[]]
    for peak in peaks:
        row = rows[-1]
        gap = peak - row[-1] if row else np.inf
        usual = np.median(np.diff(row[-RECENT:])) if len(row) > 1 else gap
        if shortest <= gap <= longest and abs(gap - usual) <= max(CHANGE * usual, 1):
            row.append(peak)
        elif gap >= shortest or len(row) < 2:  # otherwise it is an echo within a row
            rows.append([row[-1], peak] if shortest <= gap <= longest else [peak])
    return rows
