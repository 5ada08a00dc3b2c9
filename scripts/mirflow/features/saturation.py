"""Saturation of the full mix: passages in which a channel is clipped, whatever was done to the sound after that.

A clipped waveform has many tops at one level, the ceiling, and these are flat. Both are measured with a tolerance of
some percent, so that they survive lossy coding and resampling, and relative to the ceiling, so that gain does not
matter. The positive and the negative tops of each channel are examined on their own, in windows of three seconds:

1. Levels pile up at the ceiling: there is more sound within `TOLERANCE` of it than could be by chance, relative to the
   levels just below, and hardly any beyond. A single stray peak does not matter.
2. Tops that reach the ceiling are flat: of the time that the waveform is above `BASE`, it spends `FLAT` within the
   tolerance. A sine spends 72 % at most, at any frequency. So a steady tone, whose tops all have one level, is not
   clipped, and neither are the rounded tops that a limiter leaves.
"""

from itertools import pairwise

import numpy as np

from mirflow.core.audio import Audio
from mirflow.core.feature import Feature, Field

WINDOW_SECONDS = 3.0
BIN = 0.02  # width of the bins of the histogram of levels, in nepers: 2 %
BINS = 50  # levels down to 1 / e of the highest one
TOLERANCE = 3  # bins on both sides of the ceiling
BASE = (
    9  # bins below the ceiling, where the flanks of tops begin: two bands of the width of the tolerance on both sides
)
PILE_UP = 0.3  # least ratio of the time at the ceiling to that between it and the base; music has less, or none
LEAST_SHARE = 1e-3  # of a window that must be at the ceiling
BEYOND = 0.1  # largest ratio of the time beyond the ceiling (overshoots of codecs, stray peaks) to that at it
FLAT = 0.8  # least share of the time of a flat top within the tolerance
FLAT_SHARE = 0.1  # least share of the time at the ceiling that is in flat tops
OVERSAMPLING = 4  # for the shape of tops
SHORTEST = 16  # samples at four times 44.1 kHz (91 microseconds), and at lower rates: shorter tops have no shape
QUIETEST = 10 ** (
    -24 / 20
)  # relative to the peak of the channel; softer windows are left out: quantisation is flat too
GAP_SECONDS = 0.020  # longest gap inside a passage

FEATURE = Feature(
    name="saturation",
    version=3,
    inputs=("full_mix",),
    fields=(
        Field(
            "saturation_ratio",
            "ratio",
            bounds=(0, 1),
            range=(0, 1),
            meaning="share of the time in which a channel is clipped, hard or softly: many flat tops at one level. It "
            "hardly depends on gain, the sampling rate and lossy coding above 128 kbit/s. Not seen: clipping of single "
            "peaks or of pulses below 0.1 ms, limiting, much of it at 128 kbit/s; a square wave looks clipped",
        ),
        Field(
            "saturation_count",
            "1",
            bounds=(0, 1e9),
            range=(0, 1000),
            meaning="number of such passages; passages with a gap of at most 20 ms count as one",
            kind=int,
        ),
    ),
    cite="own definition",
)


def measure(full_mix: Audio) -> dict[str, float | int]:
    """Find the saturated passages of each channel, and merge those of all channels.

    Parameters
    ----------
    full_mix : samples float32 [channel, n], rate in Hz

    Returns
    -------
    saturation_ratio : share of the duration, in [0, 1]
    saturation_count : number of passages
    """
    count = full_mix.samples.shape[1]
    found = [np.zeros((0, 2), dtype=int)]
    windows = max(1, round(count / (WINDOW_SECONDS * full_mix.rate)))
    edges = np.round(np.linspace(0, count, windows + 1)).astype(int)
    for channel in full_mix.samples:
        quietest = QUIETEST * np.abs(channel).max(initial=0)
        for polarity in (1, -1):
            for start, end in pairwise(edges):
                found.append(start + _clipped_tops(polarity * channel[start:end], full_mix.rate, quietest))
    joined = _join(np.concatenate(found), GAP_SECONDS * full_mix.rate)
    return {
        "saturation_ratio": float(np.diff(joined, axis=1).sum() / count) if count else 0.0,
        "saturation_count": len(joined),
    }


def _clipped_tops(samples: np.ndarray, rate: int, quietest: float) -> np.ndarray:
    """Return the tops that reach the ceiling of a window, int [top, (start, end)] in samples; none if not clipped.

    Parameters
    ----------
    samples : [n]; positive tops are examined
    rate : Hz
    quietest : level of the ceiling below which nothing is found
    """
    from scipy.signal import resample_poly

    none = np.zeros((0, 2), dtype=int)
    peak = float(samples.max(initial=0))
    if peak <= quietest:
        return none
    levels = np.maximum(samples.astype(np.float64) / peak, np.exp(-BIN * BINS))
    histogram = np.bincount((-np.log(levels) / BIN).astype(int), minlength=BINS + 1)[:BINS]
    ceiling = _ceiling(histogram, len(samples))
    if ceiling is None or peak * np.exp(-BIN * ceiling) <= quietest:
        return none
    fine = resample_poly(samples, OVERSAMPLING, 1)
    tops = _runs(fine > peak * np.exp(-BIN * (ceiling + BASE)))
    near = np.concatenate([[0], np.cumsum(fine > peak * np.exp(-BIN * (ceiling + TOLERANCE)))])
    at_ceiling = near[tops[:, 1]] - near[tops[:, 0]]
    length = np.diff(tops, axis=1)[:, 0]
    has_shape = (at_ceiling > 0) & (length >= max(SHORTEST, SHORTEST * rate / 44100))
    is_flat = has_shape & (at_ceiling > FLAT * length)
    if at_ceiling[is_flat].sum() < FLAT_SHARE * max(at_ceiling[has_shape].sum(), 1):
        return none
    return np.round(tops[has_shape] / OVERSAMPLING).astype(int)


def _ceiling(histogram: np.ndarray, count: int) -> int | None:
    """Return the bin at whose upper edge levels pile up most; None if they do nowhere.

    Parameters
    ----------
    histogram : number of samples in each bin, from the highest level down
    count : of all samples
    """
    below = np.concatenate([[0], np.cumsum(histogram)])
    edge = np.arange(TOLERANCE, BINS - BASE)
    beyond, there = below[edge - TOLERANCE], below[edge + TOLERANCE] - below[edge - TOLERANCE]
    flank = below[edge + BASE] - below[edge + TOLERANCE]
    is_possible = (there >= max(LEAST_SHARE * count, 1)) & (beyond <= BEYOND * there)
    ratio = np.where(is_possible, there / np.maximum(flank, 1), 0)
    best = int(ratio.argmax())
    return int(edge[best]) if ratio[best] >= PILE_UP else None


def _runs(mask: np.ndarray) -> np.ndarray:
    """Return the runs of True in a mask, bool [n], as int [run, (start, end)]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return edges.reshape(-1, 2)


def _join(passages: np.ndarray, gap: float) -> np.ndarray:
    """Sort passages [passage, (start, end)] by their start, and merge those with at most `gap` samples between them."""
    if not len(passages):
        return passages
    passages = passages[np.argsort(passages[:, 0], kind="stable")]
    latest_end = np.maximum.accumulate(passages[:, 1])
    is_start = np.concatenate([[True], passages[1:, 0] - latest_end[:-1] > gap])
    return np.stack([passages[is_start, 0], latest_end[np.append(np.flatnonzero(is_start)[1:] - 1, -1)]], axis=1)
