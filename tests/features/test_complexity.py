"""Complexity and evenness of inter-onset intervals with known entropy and nPVI."""

import numpy as np
import pytest

from mirflow.features import measure

BEATS = np.arange(0, 60, 0.5)
SIXTEENTH = 0.125  # s
NO_BEATS = np.array([])


def onsets(intervals, repeats=1):
    return np.concatenate([[0.0], np.cumsum(np.tile(intervals, repeats))])


def complexity(times, beats=BEATS):
    return measure("complexity", {"onsets": times, "beats": beats})


@pytest.mark.parametrize("beats", [BEATS, NO_BEATS], ids=["beats", "no beats"])
def test_a_pulse_is_not_complex_even_with_a_jitter_of_1_ms(beats):
    pulse = onsets([0.5], 100)
    jitter = np.random.default_rng(0).uniform(-0.001, 0.001, len(pulse))
    assert complexity(pulse, beats) == {
        "rhythmic_complexity": 0.0, "rhythmic_evenness": pytest.approx(1), "ioi_mean": pytest.approx(0.5),
        "ioi_std": pytest.approx(0, abs=1e-9),
    }  # fmt: skip
    jittered = complexity(pulse + jitter, beats)
    assert jittered["rhythmic_complexity"] == 0.0
    assert jittered["rhythmic_evenness"] > 0.99


def test_the_entropy_of_known_distributions():
    two_lengths = complexity(onsets([2 * SIXTEENTH, 4 * SIXTEENTH], 50))  # 1 bit of log2(16) = 4 bits
    assert two_lengths["rhythmic_complexity"] == pytest.approx(1 / 4)
    all_lengths = complexity(onsets(SIXTEENTH * np.arange(1, 17)))  # each length once: maximal entropy
    assert all_lengths["rhythmic_complexity"] == pytest.approx(1)


def test_the_npvi_of_a_known_sequence():
    # |1-2| / 1.5, |2-1| / 1.5, |1-4| / 2.5: nPVI = 100 / 3 * (2/3 + 2/3 + 6/5) = 84.4; intervals 2 +- sqrt(1.5)
    statistics = complexity(onsets([0.25, 0.5, 0.25, 1.0]))
    assert statistics["rhythmic_evenness"] == pytest.approx(1 - (2 / 3 + 2 / 3 + 6 / 5) / 6)
    assert statistics["ioi_mean"] == pytest.approx(0.5)
    assert statistics["ioi_std"] == pytest.approx(np.sqrt((0.25**2 + 0 + 0.25**2 + 0.5**2) / 4))


@pytest.mark.parametrize("beats", [BEATS, NO_BEATS], ids=["beats", "no beats"])
def test_one_long_gap_changes_little(beats):
    pulse = onsets([0.5], 60)
    gap = np.where(pulse > 15, pulse + 20, pulse)
    # one interval in 60 has another length: the entropy is that of the probability 1/60, 0.12 of 4 bits
    assert complexity(gap, beats)["rhythmic_complexity"] == pytest.approx(0.0305, abs=1e-3)
    assert complexity(gap, beats)["rhythmic_evenness"] > 0.95


def test_the_tempo_does_not_matter():
    rhythm, beats = onsets(SIXTEENTH * np.array([3, 3, 4, 2, 4]), 20), np.arange(0, 60, 0.5)
    values = []
    for bpm in (60, 120, 200):
        statistics = complexity(rhythm * 120 / bpm, beats * 120 / bpm)
        values.append((statistics["rhythmic_complexity"], statistics["rhythmic_evenness"]))
    assert values[1:] == [pytest.approx(values[0])] * 2


def test_intervals_after_the_end_of_the_grid_are_measured_in_its_last_beat_interval():
    rhythm = onsets([2 * SIXTEENTH, 4 * SIXTEENTH], 50)
    assert complexity(rhythm, BEATS[10:30])["rhythmic_complexity"] == pytest.approx(1 / 4)


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 2.0], [1.0, 1.0, 2.0]])
def test_fewer_than_three_onsets_have_no_complexity(times):
    assert set(complexity(np.array(times)).values()) == {None}
