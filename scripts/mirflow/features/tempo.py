"""Tempo from the beat grid: beats per minute, number of beats, and their regularity."""

import numpy as np

from mirflow.core.feature import Feature, Field
from mirflow.dsp import metre

SAME_TEMPO = 0.10  # relative to the median; other intervals are breaks, missing beats or extra beats
REGULAR = 0.05  # relative to the local beat interval; other intervals are irregular
FEWEST_BEATS = 8  # with fewer beats, there is no tempo and no regularity
LEAST_SHARE = 0.5  # of the intervals that must be near the median, so that there is a tempo

FEATURE = Feature(
    name="tempo",
    version=1,
    inputs=("beats",),
    fields=(
        Field("bpm", "1/min", bounds=(0, np.inf), range=(40, 300),
              meaning="60 over the mean of the beat intervals within 10 % of their median",
              undefined="bpm_is_defined is 0"),
        Field("beat_count", "count", bounds=(0, np.inf), range=(0, 2000), meaning="number of beats", kind=int),
        Field("bpm_is_defined", "0 or 1", bounds=(0, 1), range=(0, 1), kind=int,
              meaning="1 if there are at least 8 beats, and half of the intervals are within 10 % of their median"),
        Field("beat_regularity", "ratio", bounds=(0, 1), range=(0, 1),
              meaning="share of beat intervals within 5 % of the median of the nine around them",
              undefined="there are fewer than 8 beats"),
    ),
    cite="own definition",
)  # fmt: skip


def measure(beats: np.ndarray) -> dict[str, float | int | None]:
    """Measure the tempo.

    Parameters
    ----------
    beats : seconds, ascending [k]

    Returns
    -------
    bpm : beats per minute, or None
    beat_count : number of beats
    bpm_is_defined : 1 if there is a tempo, otherwise 0
    beat_regularity : in [0, 1], or None
    """
    intervals = np.diff(np.unique(beats))
    has_enough_beats = len(intervals) >= FEWEST_BEATS - 1
    same_tempo = intervals[_within(SAME_TEMPO, intervals, np.median(intervals))] if has_enough_beats else intervals[:0]
    is_defined = has_enough_beats and len(same_tempo) >= LEAST_SHARE * len(intervals)
    is_regular = _within(REGULAR, intervals, metre.local_beats(intervals))
    return {
        "bpm": float(60 / same_tempo.mean()) if is_defined else None,
        "beat_count": len(beats),
        "bpm_is_defined": int(is_defined),
        "beat_regularity": float(is_regular.mean()) if has_enough_beats else None,
    }


def _within(share: float, intervals: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return which intervals differ from the reference by at most this share of the reference, except for rounding."""
    return np.abs(intervals - reference) <= (share + 1e-9) * reference
