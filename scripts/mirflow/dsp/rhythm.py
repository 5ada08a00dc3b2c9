"""Rhythm descriptors of onsets in their metre: syncopation, complexity and evenness, for the mix and for stems."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mirflow.dsp import metre

LONGEST_INTERVAL = 16  # sixteenths; longer intervals are clipped to it
FEWEST_ONSETS = 3  # they have two intervals, which can be compared


@dataclass(frozen=True)
class Complexity:
    """Statistics of the inter-onset intervals. All are None with fewer than `FEWEST_ONSETS` onsets.

    Attributes
    ----------
    entropy : of the intervals in sixteenths, divided by log2(`LONGEST_INTERVAL`), in [0, 1]
    evenness : 1 - nPVI / 200, in [0, 1]
    mean, std : mean and standard deviation of the intervals in seconds
    """

    entropy: float | None = None
    evenness: float | None = None
    mean: float | None = None
    std: float | None = None


def round_half_up(values: np.ndarray) -> np.ndarray:
    """Round to the nearest integers, halves up, int [k].

    np.round rounds halves to even numbers, so onsets midway between two sixteenths would move in different directions.
    """
    return np.floor(np.asarray(values) + 0.5).astype(int)


def syncopation(
    *, onsets: np.ndarray, beats: np.ndarray, downbeats: np.ndarray, division: int
) -> tuple[float | None, float | None]:
    """Measure syncopation after Longuet-Higgins & Lee, and the share of onsets on the beat.

    Onsets are quantised to the nearest sixteenth. A note is syncopated when there is no note on the next position that
    is metrically stronger, nor between the two. Its score is the difference of the two metrical weights. The sum of the
    scores of a bar is divided by the largest possible sum in that metre. The result is the mean over all bars that
    contain notes, except the last of them, because the note that follows it is unknown. If there is only one such bar,
    it is treated as a loop.

    Parameters
    ----------
    onsets, beats, downbeats : seconds, ascending
    division : sixteenths in a beat, from `metre.division`

    Returns
    -------
    syncopation, in [0, 1]
    share of onsets whose nearest sixteenth is a beat, in [0, 1]

    Both are None with fewer than two beats, and when no onset has a position in the beat grid.

    Source
    ------
    Longuet-Higgins & Lee 1984, The rhythmic interpretation of monophonic music, Music Perception 1(4)
    Fitch & Rosenfeld 2007, Perception and production of syncopated rhythms, Music Perception 25(1)
    """
    beats = np.unique(beats)
    if len(beats) < 2:
        return None, None
    position = metre.positions(np.asarray(onsets, dtype=np.float64), beats)
    steps = round_half_up(position[np.isfinite(position)] * division)
    if not len(steps):
        return None, None
    on_beat_ratio = float(np.mean(steps % division == 0))

    notes = np.unique(steps)
    bars = []  # the arguments of `_bar_score` for each bar with notes
    for first_beat, beat_count in metre.bars(len(beats), metre.downbeat_indices(beats, np.asarray(downbeats))):
        start, end = first_beat * division, (first_beat + beat_count) * division
        begin, end_index = np.searchsorted(notes, [start, end])
        if begin < end_index:
            next_note = notes[end_index] - start if end_index < len(notes) else notes[begin] - start + (end - start)
            bars.append((metre.weights(beat_count, division), [*(notes[begin:end_index] - start), next_note]))
    return float(np.mean([_bar_score(*bar) for bar in bars[:-1] or bars])), on_beat_ratio


def _bar_score(weights: tuple[int, ...], notes: list[int]) -> float:
    """Return the syncopation of a bar, divided by the largest possible one in its metre, in [0, 1].

    Parameters
    ----------
    weights : metrical weight of each sixteenth of the bar
    notes : sixteenths with notes, counted from the start of the bar, ascending; the last one is the first note after
        the bar
    """
    score = 0
    for step, next_note in pairwise(notes):
        stronger = _next_stronger(weights, step)
        if stronger is not None and next_note > stronger:
            score += (*weights, 0)[stronger] - weights[step]
    # The score is largest when the notes are on all positions of the weakest level and nowhere else.
    return score / (sum(weights) - min(weights) * len(weights))


def _next_stronger(weights: tuple[int, ...], step: int) -> int | None:
    """Return the next step with a larger weight, at the latest the next downbeat; None when the step is a downbeat."""
    if weights[step] == 0:
        return None
    return next((later for later in range(step + 1, len(weights)) if weights[later] > weights[step]), len(weights))


def complexity(*, onsets: np.ndarray, beats: np.ndarray, division: int) -> Complexity:
    """Measure the entropy and the evenness of the inter-onset intervals.

    Parameters
    ----------
    onsets, beats : seconds, ascending
    division : sixteenths in a beat, from `metre.division`. With fewer than two beats, the unit of the intervals is
        their median instead of a sixteenth

    Source
    ------
    nPVI: Grabe & Low 2002, Durational variability in speech and the rhythm class hypothesis, Laboratory Phonology 7
    """
    onsets, beats = np.unique(onsets), np.unique(beats)
    if len(onsets) < FEWEST_ONSETS:
        return Complexity()
    intervals = np.diff(onsets)
    in_units = (
        np.diff(metre.elapsed_beats(onsets, beats)) * division if len(beats) > 1 else intervals / np.median(intervals)
    )
    counts = np.bincount(np.clip(round_half_up(in_units), 1, LONGEST_INTERVAL))
    share = counts[counts > 0] / len(intervals)
    entropy = np.sum(share * np.log2(1 / share)) / np.log2(LONGEST_INTERVAL)
    first, second = intervals[:-1], intervals[1:]
    npvi = 100 * np.mean(np.abs(first - second) / ((first + second) / 2))
    return Complexity(
        entropy=min(float(entropy), 1.0),  # rounding may exceed 1
        evenness=float(1 - npvi / 200),
        mean=float(intervals.mean()),
        std=float(intervals.std()),
    )
