"""Saturation of the full mix: passages where a channel is clipped, or constantly near full scale."""

import numpy as np

from mirflow.core.audio import Audio
from mirflow.core.feature import Feature, Field
from mirflow.dsp.spectrum import frame_length

# Flat tops: consecutive samples at the peak of the channel.
FLAT_SAMPLES = 3  # least number of samples at 44.1 kHz, and at all lower rates
FLAT_TOLERANCE = 1e-3  # relative to the peak of the channel
FLAT_LEVEL = 10 ** (-1 / 20)  # a channel with a lower peak (-1 dBFS) is not clipped
# Hot passages: consecutive frames with a peak near full scale.
HOT_FRAME = 256  # samples at 44.1 kHz
HOT_LEVEL = 0.95  # peak of a frame; full scale is 1
HOT_SECONDS = 0.010  # least duration
GAP_SECONDS = 0.020  # longest gap inside a passage

FEATURE = Feature(
    name="saturation",
    version=2,
    inputs=("full_mix",),
    fields=(
        Field(
            "saturation_ratio",
            "ratio",
            bounds=(0, 1),
            range=(0, 1),
            meaning="share of the time in which a channel is clipped (flat tops), or has peaks above 0.95 for 10 ms",
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
    passages = [part for channel in full_mix.samples for part in _channel_passages(channel, full_mix.rate)]
    joined = _join(np.concatenate([np.zeros((0, 2), dtype=int), *passages]), GAP_SECONDS * full_mix.rate)
    return {
        "saturation_ratio": float(np.diff(joined, axis=1).sum() / count) if count else 0.0,
        "saturation_count": len(joined),
    }


def _channel_passages(channel: np.ndarray, rate: int) -> list[np.ndarray]:
    """Return the flat tops and the hot passages of a channel [n], each int [passage, (start, end)] in samples."""
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
