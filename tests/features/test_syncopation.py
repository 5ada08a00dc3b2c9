"""Syncopation scores that were calculated by hand.

The metrical weights of 4/4 are 0 -4 -3 -4 -2 -4 -3 -4 -1 -4 -3 -4 -2 -4 -3 -4.

The largest score of a 4/4 bar is 15. It belongs to notes on all eight weakest sixteenths (-4) and nowhere else. The
positions after them have the weights -3 -2 -3 -1 -3 -2 -3 and 0 (the next downbeat). So the notes have the scores
1 2 1 3 1 2 1 4.
"""

import numpy as np
import pytest

from mirflow.features import measure

BARS = 16


def performance(steps, bpm=120.0, beats_per_bar=4, division=4):
    """Return onsets at the given sixteenths of each of `BARS` bars, with the beats and downbeats of these bars."""
    beats = 60 / bpm * np.arange(BARS * beats_per_bar + 1)
    onsets = np.add.outer(np.arange(BARS) * beats_per_bar * division, np.array(steps)).ravel() * 60 / bpm / division
    return {"onsets": onsets, "beats": beats, "downbeats": beats[::beats_per_bar]}


@pytest.mark.parametrize(
    ("steps", "score", "on_beat"),
    [
        (range(16), 0, 1 / 4),  # sixteenths: every stronger position has a note
        ([0, 4, 8, 12], 0, 1),
        ([0, 2, 4, 6, 8, 10, 12, 14], 0, 1 / 2),
        # off-beat eighths (-3) before the beats 2 (-2), 3 (-1), 4 (-2) and 1 (0): 1 + 2 + 1 + 3
        ([2, 6, 10, 14], 7, 0),
        # son clave: 3 (-4) continues over 4 (-2), 6 (-3) continues over 8 (-1); the others do not syncopate: 2 + 2
        ([0, 3, 6, 10, 12], 4, 2 / 5),
        # only the backbeat: 4 (-2) continues over 8 (-1), 12 (-2) continues over the next downbeat (0): 1 + 2
        ([4, 12], 3, 1),
        ([1, 3, 5, 7, 9, 11, 13, 15], 15, 0),
        # a note counts only for the next stronger position, however long it continues: 2 (-3) over 4 (-2)
        ([0, 2], 1, 1 / 2),
        # of two notes before an empty position, only the last one syncopates: 14 (-3), not 13 (-4)
        ([13, 14], 3, 0),
    ],
)
def test_syncopation_of_bars_in_four_four(steps, score, on_beat):
    values = measure("syncopation", performance(list(steps)))
    assert values["syncopation"] == pytest.approx(score / 15, abs=1e-9)
    assert values["on_beat_ratio"] == pytest.approx(on_beat)


def test_syncopation_of_bars_in_three_four():
    # off-beat eighths have the weight -2, and the beats 0 -1 -1: 1 + 1 + 2; the largest score is 1+2+1+2+1+3 = 10
    assert measure("syncopation", performance([2, 6, 10], beats_per_bar=3))["syncopation"] == pytest.approx(4 / 10)


def test_syncopation_of_bars_in_six_eight():
    # the last eighth of each half bar (-2) continues over the second half (-1) and over the next downbeat (0): 1 + 2;
    # the largest score is that of the sixteenths (-3) before eighths and beats: 1+1+2+1+1+3 = 9
    values = measure("syncopation", performance([4, 10], beats_per_bar=2, division=6))
    assert values["syncopation"] == pytest.approx(3 / 9)
    assert measure("syncopation", performance(range(12), beats_per_bar=2, division=6))["syncopation"] == 0


def test_the_tempo_does_not_matter_with_a_jitter_of_10_ms():
    clave = [0, 3, 6, 10, 12]
    jitter = np.random.default_rng(0).uniform(-0.01, 0.01, 5 * BARS)
    values = []
    for bpm in (60, 120, 200):
        played = performance(clave, bpm)
        values.append(measure("syncopation", played | {"onsets": np.maximum(played["onsets"] + jitter, 0)}))
    assert values[0] == values[1] == values[2]


def test_an_accelerando_does_not_matter():
    steady = performance([0, 3, 6, 10, 12])
    faster = {key: 20 * (1 - np.exp(-times / 60)) for key, times in steady.items()}
    # the tempo also changes between beats, but not enough to move a note to another sixteenth
    assert measure("syncopation", faster) == measure("syncopation", steady)


def test_empty_bars_and_breaks_in_the_grid_do_not_count():
    inputs = performance([2, 6, 10, 14])
    middle = BARS  # s; the second half starts 30 s later, without beats in between
    later = {key: np.where(times >= middle, times + 30, times) for key, times in inputs.items()}
    assert measure("syncopation", later)["syncopation"] == pytest.approx(7 / 15)
    first_half = inputs | {"onsets": inputs["onsets"][inputs["onsets"] < middle]}
    assert measure("syncopation", first_half)["syncopation"] == pytest.approx(7 / 15)


def test_a_pick_up_is_a_bar_before_the_first_downbeat():
    # in the bar before the first downbeat, there is one note, the last eighth (-3); it continues over the downbeat (0)
    inputs = performance([0, 4, 8, 12])
    onsets = np.concatenate([[1.75], inputs["onsets"][inputs["onsets"] > 2]])
    values = measure("syncopation", inputs | {"onsets": onsets, "downbeats": inputs["downbeats"][1:]})
    assert values["syncopation"] == pytest.approx(3 / 15 / (BARS - 1))  # without the last bar


@pytest.mark.parametrize("last", range(1, 16))
def test_an_incomplete_last_bar_does_not_matter(last):
    inputs = performance(range(16))
    assert measure("syncopation", inputs | {"onsets": inputs["onsets"][:-last]})["syncopation"] == 0


def test_a_single_bar_is_treated_as_a_loop():
    inputs = performance([2, 6, 10, 14])
    assert measure("syncopation", inputs | {"onsets": inputs["onsets"][:4]})["syncopation"] == pytest.approx(7 / 15)


def test_without_downbeats_every_beat_is_a_bar():
    # off-beat eighths (-1) before beats that are bars (0): 1 of at most 1 + 2
    values = measure("syncopation", performance([2, 6, 10, 14]) | {"downbeats": np.array([])})
    assert values == {"syncopation": pytest.approx(1 / 3), "on_beat_ratio": 0.0}


@pytest.mark.parametrize("missing", ["onsets", "beats"])
def test_without_onsets_or_beats_there_is_no_syncopation(missing):
    values = measure("syncopation", performance([0, 4]) | {missing: np.array([])})
    assert values == {"syncopation": None, "on_beat_ratio": None}
