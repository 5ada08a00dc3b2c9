"""How much of the full mix sits at its ceiling."""

import numpy as np

from mirflow.audio import Audio
from mirflow.dsp.spectrum import frame_length
from mirflow.registry import Feature, Field

FLAT_SAMPLES = 3  # at 44.1 kHz; a lower rate needs as many
FLAT_TOLERANCE = 1e-3  # of the channel's peak
FLAT_LEVEL = 10 ** (-1 / 20)  # quieter peaks are no ceiling
HOT_FRAME = 256  # samples at 44.1 kHz
HOT_LEVEL = 0.95
HOT_SECONDS = 0.010
GAP_SECONDS = 0.020

FEATURE = Feature(
    name="saturation",
    version=1,
    inputs=("full_mix",),
    fields=(
        Field(
            "saturation_ratio",
            "ratio",
            bounds=(0, 1),
            range=(0, 1),
            meaning="share of the time with a channel at its ceiling: flat tops, or peaks of 0.95 for 10 ms",
        ),
        Field(
            "saturation_count",
            "1",
            bounds=(0, 1e9),
            range=(0, 1000),
            meaning="number of such passages; gaps up to 20 ms do not divide them",
            kind=int,
        ),
    ),
    cite="flat-top detection and framewise peaks as defined here",
)


def measure(full_mix: Audio) -> dict[str, float | int]:
    """Find saturated passages in each channel and join them.

    Parameters
    ----------
    full_mix : samples float32 [channel, n], rate in Hz

    Returns
    -------
    saturation_ratio : share of the duration, in [0, 1]
    saturation_count : number of passages
    """
    count = full_mix.samples.shape[1]
    found = [passages for channel in full_mix.samples for passages in _channel_passages(channel, full_mix.rate)]
    joined = _join(np.concatenate([np.zeros((0, 2), dtype=int), *found]), GAP_SECONDS * full_mix.rate)
    return {
        "saturation_ratio": float(np.diff(joined, axis=1).sum() / count) if count else 0.0,
        "saturation_count": len(joined),
    }


def _channel_passages(channel: np.ndarray, rate: int) -> list[np.ndarray]:
    """Return the flat tops and the hot passages of float32 [n], each int [passage, (start, end)] in samples."""
    level = np.abs(channel)
    peak = level.max(initial=0)
    passages = []
    if peak > FLAT_LEVEL:
        flat = _runs(level >= peak * (1 - FLAT_TOLERANCE))
        shortest = max(FLAT_SAMPLES, frame_length(rate, FLAT_SAMPLES))
        passages.append(flat[np.diff(flat, axis=1)[:, 0] >= shortest])
    if peak >= HOT_LEVEL:
        edges = np.arange(0, len(level), frame_length(rate, HOT_FRAME))
        hot = _runs(np.maximum.reduceat(level, edges) >= HOT_LEVEL)
        hot = _join(np.append(edges, len(level))[hot], GAP_SECONDS * rate)
        passages.append(hot[np.diff(hot, axis=1)[:, 0] >= HOT_SECONDS * rate])
    return passages


def _runs(mask: np.ndarray) -> np.ndarray:
    """Return the runs of True in bool [n], int [run, (start, end)]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return edges.reshape(-1, 2)


def _join(passages: np.ndarray, gap: float) -> np.ndarray:
    """Sort passages [passage, (start, end)] by start and merge those with at most `gap` samples between them."""
    if not len(passages):
        return passages
    passages = passages[np.argsort(passages[:, 0], kind="stable")]
    reach = np.maximum.accumulate(passages[:, 1])
    first = np.concatenate([[True], passages[1:, 0] - reach[:-1] > gap])
    return np.stack([passages[first, 0], reach[np.append(np.flatnonzero(first)[1:] - 1, -1)]], axis=1)
