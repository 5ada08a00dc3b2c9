"""Beats in a bar, on made grids."""

import numpy as np
import pytest

from mirflow import features


def measured(*bars: int, interval: float = 0.5, missing: int = 0):
    """Measure a grid of bars of so many beats, with the downbeat after the last, without some beats at its end."""
    beats = np.arange(sum(bars) + 1) * interval
    downbeats = beats[np.cumsum([0, *bars])]
    inputs = {"beats": beats[: len(beats) - missing], "downbeats": downbeats}
    return features.measure("beats_per_bar", inputs)["beats_per_bar"]


@pytest.mark.parametrize("metre", [2, 3, 4, 5, 7])
def test_every_metre_at_any_tempo(metre):
    assert measured(*[metre] * 8) == measured(*[metre] * 8, interval=0.3) == metre


def test_the_most_frequent_one_of_a_changing_metre_if_half_of_the_bars_agree():
    assert measured(4, 4, 3, 4, 2, 4) == 4
    assert measured(4, 4, 3, 3) == 3, "of two, the smaller"
    assert measured(2, 3, 4, 5) is None


def test_no_bar_no_metre():
    assert features.measure("beats_per_bar", {"beats": np.zeros(0), "downbeats": np.zeros(0)}) == {
        "beats_per_bar": None
    }
    assert features.measure("beats_per_bar", {"beats": np.arange(4.0), "downbeats": np.zeros(1)}) == {
        "beats_per_bar": None
    }
    assert measured(4) == 4 and measured(3, 3, missing=1) == 3
