"""The positions of times in beats and bars, and the metrical weights of the positions in a bar.

There are two functions from time to beats. `positions` gives the position in the beat grid: 2.5 is midway between the
beats with the indices 2 and 3. It is defined only where there are beats. `elapsed_beats` counts beats continuously,
also across breaks in the grid.
"""

from functools import cache
from itertools import pairwise

import numpy as np

NEIGHBOURS = 9  # the local beat interval is the median of this many intervals
LONGEST_INTERVAL = 1.5  # local beat intervals; a longer interval is a break in the grid
BINARY, TERNARY = 4, 6  # sixteenths in a beat: two eighths of two sixteenths, or three eighths of two sixteenths
OFF_BEAT = 1 / 12  # beats; onsets closer to a beat are no evidence for the division of beats
TERNARY_EVIDENCE = 0.75  # threshold, half of the evidence of onsets that all lie on thirds of a beat; see `division`
FEWEST_OFF_BEAT_ONSETS = 8  # with fewer onsets off the beat, the division is binary


def local_beats(intervals: np.ndarray) -> np.ndarray:
    """Return the local beat interval at each interval: the median of the `NEIGHBOURS` intervals around it.

    At both ends the median is over fewer intervals.

    Parameters
    ----------
    intervals : beat intervals in seconds [k]

    Returns
    -------
    seconds, float64 [k]
    """
    if not len(intervals):
        return np.zeros(0)
    half = NEIGHBOURS // 2
    padded = np.pad(np.asarray(intervals, dtype=np.float64), half, constant_values=np.nan)
    return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, NEIGHBOURS), axis=1)


def positions(times: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Return the positions of times in the beat grid, interpolated linearly between beats.

    The grid is extended by one local beat interval before the first beat, after the last beat, and at the start of each
    break (see `LONGEST_INTERVAL`). Further away from beats the position is undefined.

    Parameters
    ----------
    times : seconds [k]
    beats : seconds, strictly ascending [n], n at least 2

    Returns
    -------
    beats, float64 [k], from -1 to n; NaN where undefined
    """
    local = local_beats(np.diff(beats))
    local = np.concatenate([local[:1], local, local[-1:]])  # one for each interval of the extended grid
    grid = np.concatenate([[beats[0] - local[0]], beats, [beats[-1] + local[-1]]])
    position = np.interp(times, grid, np.arange(-1, len(beats) + 1), left=np.nan, right=np.nan)
    interval = np.clip(np.searchsorted(grid, times, side="right") - 1, 0, len(local) - 1)
    beat = local[interval]
    margin = 1 / (2 * BINARY)  # half a sixteenth, in beats
    beats_since, beats_until = (times - grid[interval]) / beat, (grid[interval + 1] - times) / beat
    in_break = np.where(
        beats_since < 1 - margin,
        interval - 1 + beats_since,
        np.where(beats_until <= margin, interval - beats_until, np.nan),
    )
    return np.where(np.diff(grid)[interval] > LONGEST_INTERVAL * beat, in_break, position)


def elapsed_beats(times: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Return the number of beats between the first beat and each time, negative before the first beat.

    In a break of the grid, and before and after the grid, the duration is divided by the local beat interval.

    Parameters
    ----------
    times : seconds [k]
    beats : seconds, strictly ascending [n], n at least 2

    Returns
    -------
    beats, float64 [k]
    """
    intervals = np.diff(beats)
    local = local_beats(intervals)
    at_beats = np.concatenate(
        [[0.0], np.cumsum(np.where(intervals > LONGEST_INTERVAL * local, intervals / local, 1.0))]
    )
    before = np.minimum(times - beats[0], 0.0) / local[0]
    after = np.maximum(times - beats[-1], 0.0) / local[-1]
    return before + np.interp(times, beats, at_beats) + after


def division(*, onsets: np.ndarray, beats: np.ndarray) -> int:
    """Return the number of sixteenths in a beat: `BINARY`, or `TERNARY` (6/8, 12/8, shuffle).

    The evidence is in the onsets that are not on a beat. At thirds of a beat, cos(2 pi 3 position) is 1 and
    cos(2 pi 4 position) is -1/2. At quarters of a beat, the first is at most 0 and the second is 1. The division is
    ternary when the mean difference over at least `FEWEST_OFF_BEAT_ONSETS` onsets exceeds `TERNARY_EVIDENCE`. (Onsets
    that are distributed uniformly over the beat have a mean difference of -0.04.)

    Parameters
    ----------
    onsets : seconds [k]
    beats : seconds, strictly ascending [n]
    """
    if len(beats) < 2:
        return BINARY
    position = positions(onsets, beats)
    position = position[np.isfinite(position)]
    position = position[np.abs(position - np.round(position)) > OFF_BEAT]
    if len(position) < FEWEST_OFF_BEAT_ONSETS:
        return BINARY
    evidence = np.mean(np.cos(2 * np.pi * 3 * position) - np.cos(2 * np.pi * 4 * position))
    return TERNARY if evidence > TERNARY_EVIDENCE else BINARY


def bars(beat_count: int, downbeats: np.ndarray) -> list[tuple[int, int]]:
    """Return the bars that cover the beats from -1 to `beat_count`.

    A bar is the part from one downbeat to the next, with any number of beats. Before the first downbeat (where a
    pick-up may be) and after the last one, bars have the most frequent length; of several equally frequent lengths, the
    shortest. With fewer than two downbeats, every beat is a bar.

    Parameters
    ----------
    beat_count : number of beats
    downbeats : indices of beats, strictly ascending [m]

    Returns
    -------
    (index of the first beat, number of beats) of each bar, ascending
    """
    starts = list(downbeats) if len(downbeats) > 1 else [0, 1]
    usual_length = int(np.bincount(np.diff(starts)).argmax())
    while starts[0] > -1:
        starts.insert(0, starts[0] - usual_length)
    while starts[-1] <= beat_count:
        starts.append(starts[-1] + usual_length)
    return [(int(start), int(end - start)) for start, end in pairwise(starts)]


def downbeat_indices(beats: np.ndarray, downbeats: np.ndarray) -> np.ndarray:
    """Return the indices of the beats that are nearest to the downbeats.

    Downbeats whose position in the beat grid is undefined are left out.

    Parameters
    ----------
    beats, downbeats : seconds, ascending [n], [m]; n at least 2

    Returns
    -------
    int [at most m], strictly ascending
    """
    position = positions(downbeats, beats)
    index = np.round(position[np.isfinite(position)]).astype(int)
    return np.unique(index[(index >= 0) & (index < len(beats))])


@cache
def weights(beats_per_bar: int, division: int) -> tuple[int, ...]:
    """Return the metrical weight of each sixteenth of a bar: 0 for the downbeat, and one less for each lower level.

    The metrical levels are those of Longuet-Higgins & Lee: the bar is divided into two or three parts, each of these
    again, and so on down to sixteenths. The number of beats is divided by its prime factors in ascending order:
    4 = 2 · 2, 6 = 2 · 3, 9 = 3 · 3. Five and seven beats are one level of equal beats, because the grid does not show
    their grouping (3 + 2 or 2 + 3). A binary beat is divided by 2, then by 2; a ternary beat by 3, then by 2.

    Parameters
    ----------
    beats_per_bar : at least 1
    division : `BINARY` or `TERNARY`

    Source
    ------
    Longuet-Higgins & Lee 1984, The rhythmic interpretation of monophonic music, Music Perception 1(4)
    """
    factors, remaining, prime = [], beats_per_bar, 2
    while remaining > 1:
        while remaining % prime == 0:
            factors.append(prime)
            remaining //= prime
        prime += 1
    factors += [2, 2] if division == BINARY else [3, 2]
    steps = beats_per_bar * division
    result = np.full(steps, -len(factors))
    spacing = 1
    for level in range(len(factors) - 1, -1, -1):
        spacing *= factors[level]
        result[::spacing] = -level
    return tuple(result.tolist())
