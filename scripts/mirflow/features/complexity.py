"""Rhythmic complexity of the full mix: how varied and how even the intervals between onsets are."""

import numpy as np

from mirflow.dsp import metre, rhythm
from mirflow.registry import Feature, Field

FEATURE = Feature(
    name="complexity",
    version=1,
    inputs=("onsets", "beats"),
    fields=(
        Field("rhythmic_complexity", "ratio", bounds=(0, 1), range=(0, 1),
              meaning="entropy of the inter-onset intervals in sixteenths (1 to 16) over log2(16)",
              undefined="fewer than 3 onsets"),
        Field("rhythmic_evenness", "ratio", bounds=(0, 1), range=(0, 1),
              meaning="1 - nPVI / 200 of the inter-onset intervals: 1 when each is as long as the next",
              undefined="fewer than 3 onsets"),
        Field("ioi_mean", "s", bounds=(0, np.inf), range=(0, 2), meaning="mean inter-onset interval",
              undefined="fewer than 3 onsets"),
        Field("ioi_std", "s", bounds=(0, np.inf), range=(0, 2),
              meaning="standard deviation of the inter-onset intervals", undefined="fewer than 3 onsets"),
    ),
    cite="Shannon 1948; Grabe & Low 2002, Laboratory Phonology 7 (nPVI)",
)  # fmt: skip


def measure(onsets: np.ndarray, beats: np.ndarray) -> dict[str, float | None]:
    """Measure complexity and evenness.

    Parameters
    ----------
    onsets, beats : s, ascending [k], [n]

    Returns
    -------
    the keys of `FEATURE`
    """
    found = rhythm.complexity(onsets=onsets, beats=beats, division=metre.division(onsets=onsets, beats=beats))
    return {
        "rhythmic_complexity": found.entropy,
        "rhythmic_evenness": found.evenness,
        "ioi_mean": found.mean,
        "ioi_std": found.std,
    }
