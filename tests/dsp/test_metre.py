"""Beats and bars: positions, breaks in the grid, pick-ups, bars of unequal length, metrical weights."""

import numpy as np
import pytest

from mirflow.dsp import metre

HALF_SECONDS = np.arange(0, 20, 0.5)


def test_positions_follow_a_changing_tempo():
    beats = np.array([0.0, 1.0, 1.9, 2.7, 3.4])  # accelerando
    np.testing.assert_allclose(metre.positions(np.array([0.5, 1.45, 2.3, 3.4]), beats), [0.5, 1.5, 2.5, 4.0])


def test_positions_are_defined_up_to_one_beat_outside_the_grid():
    positions = metre.positions(np.array([9.4, 9.75, 12.25, 12.6]), np.arange(10, 12.1, 0.5))
    np.testing.assert_allclose(positions, [np.nan, -0.5, 4.5, np.nan])


def test_positions_are_undefined_in_a_break_of_the_grid():
    beats = np.concatenate([np.arange(0, 5.1, 0.5), np.arange(25, 30.1, 0.5)])  # indices 10 and 11 are 20 s apart
    positions = metre.positions(np.array([4.75, 5.0, 5.25, 12.0, 24.5, 24.99, 25.25]), beats)
    np.testing.assert_allclose(positions, [9.5, 10, 10.5, np.nan, np.nan, 10.98, 11.5])


def test_elapsed_beats_are_counted_in_a_break_of_the_grid():
    beats = np.concatenate([np.arange(0, 5.1, 0.5), np.arange(25, 30.1, 0.5)])
    np.testing.assert_allclose(metre.elapsed_beats(np.array([-1.0, 5.0, 25.0, 31.0]), beats), [-2, 10, 50, 62])


def test_a_pick_up_and_the_end_have_bars_of_the_most_frequent_length():
    # a pick-up of one beat, bars of 4, 4, 3 and 4 beats, two beats after the last downbeat
    bars = metre.bars(18, np.array([1, 5, 9, 12, 16]))
    assert bars == [(-3, 4), (1, 4), (5, 4), (9, 3), (12, 4), (16, 4)]


@pytest.mark.parametrize("downbeats", [[], [3]])
def test_without_two_downbeats_every_beat_is_a_bar(downbeats):
    assert metre.bars(3, np.array(downbeats, dtype=int)) == [(-1, 1), (0, 1), (1, 1), (2, 1), (3, 1)]


def test_downbeats_have_the_index_of_the_nearest_beat():
    indices = metre.downbeat_indices(HALF_SECONDS, np.array([-3.0, 0.52, 2.49, 2.51, 60.0]))
    np.testing.assert_array_equal(indices, [1, 5])


@pytest.mark.parametrize(
    ("beats_per_bar", "division", "expected"),
    [
        (4, 4, [0, -4, -3, -4, -2, -4, -3, -4, -1, -4, -3, -4, -2, -4, -3, -4]),  # 4/4
        (3, 4, [0, -3, -2, -3, -1, -3, -2, -3, -1, -3, -2, -3]),  # 3/4
        (2, 6, [0, -3, -2, -3, -2, -3, -1, -3, -2, -3, -2, -3]),  # 6/8, beats are dotted quarters
        (1, 4, [0, -2, -1, -2]),
        (5, 4, [0, -3, -2, -3] + 4 * [-1, -3, -2, -3]),  # 5/4: five equal beats
    ],
)
def test_metrical_weights_of_longuet_higgins_and_lee(beats_per_bar, division, expected):
    assert list(metre.weights(beats_per_bar, division)) == expected


def test_six_beats_are_two_groups_of_three():
    assert metre.weights(6, 4)[::4] == (0, -2, -2, -1, -2, -2)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([0, 1 / 2], metre.BINARY),
        ([0, 1 / 4, 1 / 2, 3 / 4], metre.BINARY),
        ([0], metre.BINARY),
        ([0, 1 / 3, 2 / 3], metre.TERNARY),
        ([0, 2 / 3], metre.TERNARY),  # shuffle
    ],
)
def test_the_onsets_determine_the_division_of_the_beat(parts, expected):
    onsets = np.sort(np.add.outer(HALF_SECONDS, 0.5 * np.array(parts)).ravel())
    onsets += np.random.default_rng(0).normal(
        0, 0.008, len(onsets)
    )  # s, a typical deviation of musicians and detectors
    assert metre.division(onsets=onsets, beats=HALF_SECONDS) == expected


def test_the_division_of_random_onsets_is_binary():
    onsets = np.sort(np.random.default_rng(0).uniform(0, 20, 100))
    assert metre.division(onsets=onsets, beats=HALF_SECONDS) == metre.BINARY
