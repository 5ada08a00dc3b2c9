"""Beats in a bar, from the beat grid and the downbeats."""

import numpy as np

from mirflow.core.feature import Feature, Field
from mirflow.dsp import metre

LEAST_SHARE = 0.5  # of the bars that must have the most frequent number of beats

FEATURE = Feature(
    name="beats_per_bar",
    version=1,
    inputs=("beats", "downbeats"),
    fields=(
        Field("beats_per_bar", "count", bounds=(1, np.inf), range=(1, 12), kind=int,
              meaning="most frequent number of beats from one downbeat to the next",
              undefined="under half of the bars have that number, or there is no whole bar"),
    ),
    cite="own definition",
)  # fmt: skip


def measure(beats: np.ndarray, downbeats: np.ndarray) -> dict[str, int | None]:
    """Count the beats of the bars.

    Parameters
    ----------
    beats, downbeats : seconds, ascending [k], [m]

    Returns
    -------
    beats_per_bar : the most frequent number of beats in a bar, of several equally frequent ones the smallest; or None
    """
    beats = np.unique(beats)
    starts = metre.downbeat_indices(beats, downbeats) if len(beats) > 1 else np.zeros(0, int)
    counts, frequency = np.unique(np.diff(starts), return_counts=True)
    if not len(counts) or frequency.max() < LEAST_SHARE * frequency.sum():
        return {"beats_per_bar": None}
    return {"beats_per_bar": int(counts[frequency.argmax()])}
