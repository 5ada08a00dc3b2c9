"""Syncopation of the full mix: onsets on metrically weak positions that are followed by rests on strong ones."""

import numpy as np

from mirflow.core.feature import Feature, Field
from mirflow.dsp import metre, rhythm

FEATURE = Feature(
    name="syncopation",
    version=1,
    inputs=("onsets", "beats", "downbeats"),
    fields=(
        Field("syncopation", "ratio", bounds=(0, 1), range=(0, 0.6),
              meaning="Longuet-Higgins & Lee score of a bar, divided by the largest score in its metre; mean over bars "
                      "with notes",
              undefined="there are fewer than two beats, or no onset lies between beats"),
        Field("on_beat_ratio", "ratio", bounds=(0, 1), range=(0, 1),
              meaning="share of onsets whose nearest sixteenth is a beat",
              undefined="there are fewer than two beats, or no onset lies between beats"),
    ),
    cite="Longuet-Higgins & Lee 1984, Music Perception 1(4); Fitch & Rosenfeld 2007, Music Perception 25(1)",
)  # fmt: skip


def measure(onsets: np.ndarray, beats: np.ndarray, downbeats: np.ndarray) -> dict[str, float | None]:
    """Measure syncopation.

    Parameters
    ----------
    onsets, beats, downbeats : seconds, ascending [k], [n], [m]

    Returns
    -------
    syncopation, on_beat_ratio : in [0, 1]; None when undefined
    """
    division = metre.division(onsets=onsets, beats=beats)
    value, on_beat_ratio = rhythm.syncopation(onsets=onsets, beats=beats, downbeats=downbeats, division=division)
    return {"syncopation": value, "on_beat_ratio": on_beat_ratio}
