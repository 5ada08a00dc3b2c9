"""Tempo of grids with known intervals."""

import numpy as np
import pytest

from mirflow.registry import measure


def tempo(beats):
    return measure("tempo", {"beats": np.asarray(beats)})


def test_a_break_of_forty_seconds_does_not_move_the_tempo():
    beats = np.arange(200) * 60 / 140
    beats[100:] += 40
    found = tempo(beats)
    assert found["bpm"] == pytest.approx(140.0)
    assert (found["beat_count"], found["bpm_is_defined"]) == (200, 1)
    assert found["beat_regularity"] == pytest.approx(198 / 199)


def test_missed_and_doubled_beats_do_not_move_the_tempo():
    beats = np.delete(np.arange(100) * 0.5, [20, 50, 51])
    beats = np.sort(np.concatenate([beats, [40.25]]))
    assert tempo(beats)["bpm"] == pytest.approx(120)


def test_the_tempo_is_a_mean_of_what_is_near_the_median():
    # intervals 0.48 and 0.52 in turn: 120, though no interval is 0.5
    assert tempo(np.cumsum([0, *np.tile([0.48, 0.52], 20)]))["bpm"] == pytest.approx(120)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 7])
def test_a_few_beats_have_no_tempo(count):
    assert tempo(np.arange(count) * 0.5) == {
        "bpm": None, "beat_count": count, "bpm_is_defined": 0, "beat_regularity": None,
    }  # fmt: skip


def test_beats_without_a_common_interval_have_no_tempo():
    beats = np.cumsum(np.geomspace(0.3, 1.5, 40))  # every interval 4 % longer: 5 of 39 lie within 10 % of the median
    found = tempo(beats)
    assert (found["bpm"], found["bpm_is_defined"]) == (None, 0)


def test_regularity_has_no_tempo_in_it():
    jitter = np.random.default_rng(0).uniform(-0.04, 0.04, 200)  # of a beat
    values = [tempo((np.arange(200) + jitter) * 60 / bpm)["beat_regularity"] for bpm in (60, 120, 200)]
    assert values[1:] == [pytest.approx(values[0])] * 2
    assert 0.4 < values[0] < 0.95


def test_a_slow_accelerando_is_regular():
    assert tempo(np.cumsum(np.geomspace(0.6, 0.5, 60)))["beat_regularity"] == 1.0
