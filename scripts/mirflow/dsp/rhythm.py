"""What onsets do in their metre: syncopation, complexity, evenness. The same functions serve the mix and the stems."""

from dataclasses import dataclass

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
    following = np.append(notes[1:], np.iinfo(int).max)
    shares = []
    for first_beat, beat_count in metre.bars(len(beats), metre.downbeat_indices(beats, np.asarray(downbeats))):
        weights = (*metre.weights(beat_count, division), 0)  # with the next downbeat
        start = first_beat * division
        inside = slice(*np.searchsorted(notes, [start, start + beat_count * division]))
        if inside.start == inside.stop:
            continue
        score = 0
        for step, next_note in zip(notes[inside] - start, following[inside] - start, strict=True):
            stronger = next((i for i in range(step + 1, len(weights)) if weights[i] > weights[step]), None)
            if stronger is not None and next_note > stronger:
                score += weights[stronger] - weights[step]
        # every note has a stronger position of its own, which gains most from a note at the weakest level before it
        most = sum(weights[:-1]) - min(weights) * (len(weights) - 1)
        shares.append(score / most)
    return float(np.mean(shares)), on_beat_ratio


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
    entropy = -np.sum(share * np.log2(share)) / np.log2(LONGEST)
    first, second = intervals[:-1], intervals[1:]
    npvi = 100 * np.mean(np.abs(first - second) / ((first + second) / 2))
    return Complexity(
        entropy=float(np.clip(entropy, 0, 1)),  # -0.0 and rounding
        evenness=float(1 - npvi / 200),
        mean=float(intervals.mean()),
        std=float(intervals.std()),
    )
