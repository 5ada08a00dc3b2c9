"""Syncopation of the full mix: how far its onsets contradict the metre."""

import numpy as np

from mirflow.dsp import metre, rhythm
from mirflow.registry import Feature, Field

FEATURE = Feature(
    name="syncopation",
    version=1,
    inputs=("onsets", "beats", "downbeats"),
    fields=(
        Field("syncopation", "ratio", bounds=(0, 1), range=(0, 0.6),
              meaning="Longuet-Higgins & Lee score of a bar over the largest in its metre, mean of bars with notes",
              undefined="fewer than two beats, or no onset among them"),
        Field("on_beat_ratio", "ratio", bounds=(0, 1), range=(0, 1),
              meaning="share of onsets whose nearest sixteenth is a beat",
              undefined="fewer than two beats, or no onset among them"),
    ),
    cite="Longuet-Higgins & Lee 1984, Music Perception 1(4); Fitch & Rosenfeld 2007, Music Perception 25(1)",
)  # fmt: skip


def measure(onsets: np.ndarray, beats: np.ndarray, downbeats: np.ndarray) -> dict[str, float | None]:
    """Measure syncopation.

    Parameters
    ----------
    onsets, beats, downbeats : s, ascending [k], [n], [m]

    Returns
    -------
    the keys of `FEATURE`
    """
    division = metre.division(onsets=onsets, beats=beats)
    value, on_beat_ratio = rhythm.syncopation(onsets=onsets, beats=beats, downbeats=downbeats, division=division)
    return {"syncopation": value, "on_beat_ratio": on_beat_ratio}
