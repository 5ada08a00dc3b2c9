"""Tempo of grids with known intervals."""

import numpy as np
import pytest

from mirflow.features import measure


def tempo(beats):
    return measure("tempo", {"beats": np.asarray(beats)})


def test_a_break_of_40_s_does_not_change_the_tempo():
    beats = np.arange(200) * 60 / 140
    beats[100:] += 40
    values = tempo(beats)
    assert values["bpm"] == pytest.approx(140.0)
    assert (values["beat_count"], values["bpm_is_defined"]) == (200, 1)
    assert values["beat_regularity"] == pytest.approx(198 / 199)


def test_missing_and_extra_beats_do_not_change_the_tempo():
    beats = np.delete(np.arange(100) * 0.5, [20, 50, 51])
    beats = np.sort(np.concatenate([beats, [40.25]]))
    assert tempo(beats)["bpm"] == pytest.approx(120)


def test_the_tempo_is_the_mean_of_intervals_near_the_median():
    # alternating intervals of 0.48 and 0.52 s: 120 beats per minute, although no interval is 0.5 s
    assert tempo(np.cumsum([0, *np.tile([0.48, 0.52], 20)]))["bpm"] == pytest.approx(120)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 7])
def test_fewer_than_eight_beats_have_no_tempo(count):
    assert tempo(np.arange(count) * 0.5) == {
        "bpm": None, "beat_count": count, "bpm_is_defined": 0, "beat_regularity": None,
    }  # fmt: skip


def test_beats_without_a_common_interval_have_no_tempo():
    beats = np.cumsum(np.geomspace(0.3, 1.5, 40))  # each interval is 4 % longer: 5 of 39 are within 10 % of the median
    values = tempo(beats)
    assert (values["bpm"], values["bpm_is_defined"]) == (None, 0)


def test_the_regularity_does_not_depend_on_the_tempo():
    jitter = np.random.default_rng(0).uniform(-0.04, 0.04, 200)  # of a beat
    values = [tempo((np.arange(200) + jitter) * 60 / bpm)["beat_regularity"] for bpm in (60, 120, 200)]
    assert values[1:] == [pytest.approx(values[0])] * 2
    assert 0.4 < values[0] < 0.95


def test_a_slow_accelerando_is_regular():
    assert tempo(np.cumsum(np.geomspace(0.6, 0.5, 60)))["beat_regularity"] == 1.0
