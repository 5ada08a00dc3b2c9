"""Syncopation against scores worked out by hand with the weights 0 -4 -3 -4 -2 -4 -3 -4 -1 -4 -3 -4 -2 -4 -3 -4 of 4/4.

The largest score of a 4/4 bar is 15: notes on all eight weakest sixteenths and nowhere else, before positions of the
weights -3 -2 -3 -1 -3 -2 -3 and 0 (the next downbeat), each gain the difference to -4: 1 2 1 3 1 2 1 4.
"""

import numpy as np
import pytest

from mirflow.registry import measure

BARS = 16


def song(steps, bpm=120.0, beats_per_bar=4, division=4):
    """Return onsets at these sixteenths of each of `BARS` bars, with their beats and downbeats."""
    beats = 60 / bpm * np.arange(BARS * beats_per_bar + 1)
    onsets = np.add.outer(np.arange(BARS) * beats_per_bar * division, np.array(steps)).ravel() * 60 / bpm / division
    return {"onsets": onsets, "beats": beats, "downbeats": beats[::beats_per_bar]}


@pytest.mark.parametrize(
    ("steps", "score", "on_beat"),
    [
        (range(16), 0, 1 / 4),  # sixteenths: no stronger position stays empty
        ([0, 4, 8, 12], 0, 1),
        ([0, 2, 4, 6, 8, 10, 12, 14], 0, 1 / 2),
        # off-beat eighths, weight -3, before the beats 2 (-2), 3 (-1), 4 (-2), 1 (0): 1 + 2 + 1 + 3
        ([2, 6, 10, 14], 7, 0),
        # son clave: 3 (-4) holds over 4 (-2), 6 (-3) over 8 (-1); 0, 10 and 12 are answered: 2 + 2
        ([0, 3, 6, 10, 12], 4, 2 / 5),
        # backbeat alone: 4 (-2) holds over 8 (-1), 12 (-2) over the next bar (0): 1 + 2
        ([4, 12], 3, 1),
        ([1, 3, 5, 7, 9, 11, 13, 15], 15, 0),
        # a note that holds on counts once, for the next stronger position, however long it holds: 2 (-3) over 4 (-2)
        ([0, 2], 1, 1 / 2),
        # of two notes before one empty position the last one syncopates: 13 (-4) is followed by 14 (-3), which holds
        ([13, 14], 3, 0),
    ],
)
def test_bars_of_four_four_score_as_worked_out_by_hand(steps, score, on_beat):
    found = measure("syncopation", song(list(steps)))
    assert found["syncopation"] == pytest.approx(score / 15, abs=1e-9)
    assert found["on_beat_ratio"] == pytest.approx(on_beat)


def test_three_four():
    # weights of the off-beat eighths -2, of the beats 0 -1 -1: 1 + 1 + 2; largest: 1 2 1 2 1 3 = 10
    assert measure("syncopation", song([2, 6, 10], beats_per_bar=3))["syncopation"] == pytest.approx(4 / 10)


def test_six_eight_has_sixteenths_of_its_own():
    # the last eighth of each half bar (-2) holds over the second half (-1) and over the next bar (0): 1 + 2;
    # largest: sixteenths (-3) before the eighths and beats: 1 1 2 1 1 3 = 9
    found = measure("syncopation", song([4, 10], beats_per_bar=2, division=6))
    assert found["syncopation"] == pytest.approx(3 / 9)
    assert measure("syncopation", song(range(12), beats_per_bar=2, division=6))["syncopation"] == 0


def test_the_tempo_does_not_matter_even_with_a_few_milliseconds_of_jitter():
    clave = [0, 3, 6, 10, 12]
    jitter = np.random.default_rng(0).uniform(-0.01, 0.01, 5 * BARS)
    values = []
    for bpm in (60, 120, 200):
        played = song(clave, bpm)
        values.append(measure("syncopation", played | {"onsets": np.maximum(played["onsets"] + jitter, 0)}))
    assert values[0] == values[1] == values[2]


def test_an_accelerando_does_not_matter():
    steady = song([0, 3, 6, 10, 12])
    faster = {key: 20 * (1 - np.exp(-times / 60)) for key, times in steady.items()}
    # between two beats the tempo changes as well, by less than what moves a note to another sixteenth
    assert measure("syncopation", faster) == measure("syncopation", steady)


def test_empty_bars_do_not_count_and_a_break_in_the_grid_does_no_harm():
    inputs = song([2, 6, 10, 14])
    half = BARS * 2  # s, the middle: what comes after moves by half a minute, without beats in between
    later = {key: np.where(times >= half / 2, times + 30, times) for key, times in inputs.items()}
    assert measure("syncopation", later)["syncopation"] == pytest.approx(7 / 15)
    first_half = inputs | {"onsets": inputs["onsets"][inputs["onsets"] < half / 2]}
    assert measure("syncopation", first_half)["syncopation"] == pytest.approx(7 / 15)


def test_a_pick_up_is_counted_against_the_bar_that_it_leads_into():
    # four beats before the first downbeat, empty but for the last eighth (-3), which holds over that downbeat (0)
    inputs = song([0, 4, 8, 12])
    onsets = np.concatenate([[1.75], inputs["onsets"][inputs["onsets"] > 2]])
    found = measure("syncopation", inputs | {"onsets": onsets, "downbeats": inputs["downbeats"][1:]})
    assert found["syncopation"] == pytest.approx(3 / 15 / (BARS - 1))  # the last bar, with no bar after it, is left out


@pytest.mark.parametrize("last", range(1, 16))
def test_a_cut_in_mid_bar_changes_nothing(last):
    inputs = song(range(16))
    assert measure("syncopation", inputs | {"onsets": inputs["onsets"][:-last]})["syncopation"] == 0


def test_a_single_bar_is_a_loop():
    inputs = song([2, 6, 10, 14])
    assert measure("syncopation", inputs | {"onsets": inputs["onsets"][:4]})["syncopation"] == pytest.approx(7 / 15)


def test_without_downbeats_each_beat_is_a_bar():
    # off-beat eighths before beats that are all bars: (0 - -1) of at most 1 + 2
    found = measure("syncopation", song([2, 6, 10, 14]) | {"downbeats": np.array([])})
    assert found == {"syncopation": pytest.approx(1 / 3), "on_beat_ratio": 0.0}


@pytest.mark.parametrize("missing", ["onsets", "beats"])
def test_without_onsets_or_beats_there_is_no_syncopation(missing):
    found = measure("syncopation", song([0, 4]) | {missing: np.array([])})
    assert found == {"syncopation": None, "on_beat_ratio": None}
