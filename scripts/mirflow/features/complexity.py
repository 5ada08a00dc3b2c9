"""Rhythmic complexity of the full mix: statistics of the inter-onset intervals."""

import numpy as np

from mirflow.core.feature import Feature, Field
from mirflow.dsp import metre, rhythm

FEATURE = Feature(
    name="complexity",
    version=1,
    inputs=("onsets", "beats"),
    fields=(
        Field("rhythmic_complexity", "ratio", bounds=(0, 1), range=(0, 1),
              meaning="entropy of the inter-onset intervals in sixteenths (1 to 16), divided by log2(16)",
              undefined="there are fewer than 3 onsets"),
        Field("rhythmic_evenness", "ratio", bounds=(0, 1), range=(0, 1),
              meaning="1 - nPVI / 200 of the inter-onset intervals; 1 when all are equal",
              undefined="there are fewer than 3 onsets"),
        Field("ioi_mean", "s", bounds=(0, np.inf), range=(0, 2), meaning="mean inter-onset interval",
              undefined="there are fewer than 3 onsets"),
        Field("ioi_std", "s", bounds=(0, np.inf), range=(0, 2),
              meaning="standard deviation of the inter-onset intervals", undefined="there are fewer than 3 onsets"),
    ),
    cite="Shannon 1948; Grabe & Low 2002, Laboratory Phonology 7 (nPVI)",
)  # fmt: skip


def measure(onsets: np.ndarray, beats: np.ndarray) -> dict[str, float | None]:
    """Measure the complexity and evenness of the rhythm.

    Parameters
    ----------
    onsets, beats : seconds, ascending [k], [n]

    Returns
    -------
    rhythmic_complexity, rhythmic_evenness : in [0, 1]
    ioi_mean, ioi_std : seconds

    All are None with fewer than three onsets.
    """
    statistics = rhythm.complexity(onsets=onsets, beats=beats, division=metre.division(onsets=onsets, beats=beats))
    return {
        "rhythmic_complexity": statistics.entropy,
        "rhythmic_evenness": statistics.evenness,
        "ioi_mean": statistics.mean,
        "ioi_std": statistics.std,
    }
