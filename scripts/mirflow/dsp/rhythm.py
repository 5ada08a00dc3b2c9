"""What onsets do in their metre: syncopation, complexity, evenness. The same functions serve the mix and the stems."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mirflow.dsp import metre

LONGEST = 16  # sixteenths: longer intervals count as this one
FEWEST_ONSETS = 3  # two intervals: the fewest that can differ


@dataclass(frozen=True)
class Complexity:
    """Statistics of the inter-onset intervals, all None with fewer than `FEWEST_ONSETS` onsets.

    Attributes
    ----------
    entropy : of the intervals in sixteenths, over log2(`LONGEST`), in [0, 1]
    evenness : 1 - nPVI / 200, in [0, 1]
    mean, std : s
    """

    entropy: float | None = None
    evenness: float | None = None
    mean: float | None = None
    std: float | None = None


def nearest(values: np.ndarray) -> np.ndarray:
    """Round half up, int [k]: unlike rounding half to even, the same everywhere in the bar."""
    return np.floor(np.asarray(values) + 0.5).astype(int)


def syncopation(
    *, onsets: np.ndarray, beats: np.ndarray, downbeats: np.ndarray, division: int
) -> tuple[float | None, float | None]:
    """Measure syncopation after Longuet-Higgins & Lee, and the share of onsets on the beat.

    Onsets are moved to the nearest sixteenth. A note syncopates when the next position stronger than its own passes
    without a note, and no other note comes before that: it scores the difference of the two weights. The sum over a
    bar's notes is divided by the largest that the metre allows; the result is the mean over the bars that have notes.
    What comes after the last of these the music does not say: it is left out, unless it is the only one, which is then
    taken as a loop.

    Parameters
    ----------
    onsets, beats, downbeats : s, ascending
    division : sixteenths in a beat, of `metre.division`

    Returns
    -------
    syncopation, in [0, 1]
    share of onsets whose sixteenth is a beat, in [0, 1]

    Both are None with fewer than two beats and when no onset lies among them.

    Source
    ------
    Longuet-Higgins & Lee 1984, The rhythmic interpretation of monophonic music, Music Perception 1(4)
    Fitch & Rosenfeld 2007, Perception and production of syncopated rhythms, Music Perception 25(1)
    """
    beats = np.unique(beats)
    if len(beats) < 2:
        return None, None
    position = metre.positions(np.asarray(onsets, dtype=np.float64), beats)
    steps = nearest(position[np.isfinite(position)] * division)
    if not len(steps):
        return None, None
    on_beat_ratio = float(np.mean(steps % division == 0))

    notes = np.unique(steps)
    played = []  # of each bar with notes: arguments of `_bar_score`
    for first_beat, beat_count in metre.bars(len(beats), metre.downbeat_indices(beats, np.asarray(downbeats))):
        start, end = first_beat * division, (first_beat + beat_count) * division
        first, after = np.searchsorted(notes, [start, end])
        if first < after:
            next_note = notes[after] - start if after < len(notes) else notes[first] - start + (end - start)
            played.append((metre.weights(beat_count, division), [*(notes[first:after] - start), next_note]))
    return float(np.mean([_bar_score(*bar) for bar in played[:-1] or played])), on_beat_ratio


def _bar_score(weights: tuple[int, ...], notes: list[int]) -> float:
    """Return the syncopation of a bar over the most that its metre allows.

    Parameters
    ----------
    weights : of each step of the bar
    notes : steps with notes, ascending; the last one is the first note after the bar
    """
    score = 0
    for step, next_note in pairwise(notes):
        stronger = _next_stronger(weights, step)
        if stronger is not None and next_note > stronger:
            score += (*weights, 0)[stronger] - weights[step]
    # the most: each position above the weakest level is left out after a note of the weakest level
    return score / (sum(weights) - min(weights) * len(weights))


def _next_stronger(weights: tuple[int, ...], step: int) -> int | None:
    """Return the first later step of more weight, the next downbeat at the latest; None for a downbeat."""
    if weights[step] == 0:
        return None
    return next((later for later in range(step + 1, len(weights)) if weights[later] > weights[step]), len(weights))


def complexity(*, onsets: np.ndarray, beats: np.ndarray, division: int) -> Complexity:
    """Measure how varied and how even the inter-onset intervals are.

    Parameters
    ----------
    onsets, beats : s, ascending
    division : sixteenths in a beat, of `metre.division`. With fewer than two beats the unit of the intervals is not a
        sixteenth but their median

    Source
    ------
    nPVI: Grabe & Low 2002, Durational variability in speech and the rhythm class hypothesis, Laboratory Phonology 7
    """
    onsets, beats = np.unique(onsets), np.unique(beats)
    if len(onsets) < FEWEST_ONSETS:
        return Complexity()
    intervals = np.diff(onsets)
    in_units = np.diff(metre.clock(onsets, beats)) * division if len(beats) > 1 else intervals / np.median(intervals)
    counts = np.bincount(np.clip(nearest(in_units), 1, LONGEST))
    share = counts[counts > 0] / len(intervals)
    entropy = np.sum(share * np.log2(1 / share)) / np.log2(LONGEST)
    first, second = intervals[:-1], intervals[1:]
    npvi = 100 * np.mean(np.abs(first - second) / ((first + second) / 2))
    return Complexity(
        entropy=min(float(entropy), 1.0),  # but for rounding
        evenness=float(1 - npvi / 200),
        mean=float(intervals.mean()),
        std=float(intervals.std()),
    )
