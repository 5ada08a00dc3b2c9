"""Tempo from the beat grid: beats per minute, how many beats, how regular."""

import numpy as np

from mirflow.dsp import metre
from mirflow.registry import Feature, Field

SAME_TEMPO = 0.10  # intervals this close to the median are beats of the main tempo, the others breaks and missed beats
REGULAR = 0.05  # intervals this close to the local beat are regular
FEWEST_BEATS = 8
LEAST_SHARE = 0.5  # of the intervals have to agree on a tempo

FEATURE = Feature(
    name="tempo",
    version=1,
    inputs=("beats",),
    fields=(
        Field("bpm", "1/min", bounds=(0, np.inf), range=(40, 300),
              meaning="60 over the mean of the beat intervals within 10 % of their median",
              undefined="when bpm_is_defined is 0"),
        Field("beat_count", "count", bounds=(0, np.inf), range=(0, 2000), meaning="number of beats", kind=int),
        Field("bpm_is_defined", "0 or 1", bounds=(0, 1), range=(0, 1), kind=int,
              meaning="at least 8 beats, and half of the intervals within 10 % of their median"),
        Field("beat_regularity", "ratio", bounds=(0, 1), range=(0, 1),
              meaning="share of beat intervals within 5 % of the median of the nine around them",
              undefined="fewer than 8 beats"),
    ),
    cite="own definition",
)  # fmt: skip


def measure(beats: np.ndarray) -> dict[str, float | int | None]:
    """Measure the tempo.

    Parameters
    ----------
    beats : s, ascending [k]

    Returns
    -------
    the keys of `FEATURE`; `bpm` in beats per minute
    """
    intervals = np.diff(np.unique(beats))
    enough = len(intervals) >= FEWEST_BEATS - 1
    same_tempo = intervals[_within(SAME_TEMPO, intervals, np.median(intervals))] if enough else intervals[:0]
    defined = enough and len(same_tempo) >= LEAST_SHARE * len(intervals)
    regular = _within(REGULAR, intervals, metre.local_beats(intervals))
    return {
        "bpm": float(60 / same_tempo.mean()) if defined else None,
        "beat_count": len(beats),
        "bpm_is_defined": int(defined),
        "beat_regularity": float(regular.mean()) if enough else None,
    }


def _within(share: float, intervals: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return which intervals differ from the reference by at most this share of it; 1e-9 beyond is rounding."""
    return np.abs(intervals - reference) <= (share + 1e-9) * reference
