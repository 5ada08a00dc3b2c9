"""Where times lie in beats and bars, and how strong the positions of a bar are.

Two ways to count beats: the *position* (2.5 is midway between the beats with index 2 and 3) says where in its bar a
time lies, and exists only where beats are; the *clock* counts the beats that pass between any two times.
"""

from functools import cache
from itertools import pairwise

import numpy as np

NEIGHBOURS = 9  # intervals whose median is the local beat
GAP = 1.5  # an interval of more local beats than this is a break in the grid, not a beat
BINARY, TERNARY = 4, 6  # sixteenths in a beat: two eighths of two, three eighths of two
OFF_BEAT = 1 / 12  # beat: onsets nearer to a beat do not say how beats are divided
TERNARY_EVIDENCE = 0.75  # half of what thirds of beats alone would give; see `division`
FEWEST_OFF_BEAT = 8  # onsets that may decide it


def local_beats(intervals: np.ndarray) -> np.ndarray:
    """Return the median of the `NEIGHBOURS` intervals around each (fewer at the ends), float64 [k] in their unit."""
    if not len(intervals):
        return np.zeros(0)
    half = NEIGHBOURS // 2
    padded = np.pad(np.asarray(intervals, dtype=np.float64), half, constant_values=np.nan)
    return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, NEIGHBOURS), axis=1)


def positions(times: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Return beat positions, interpolated linearly between beats.

    The grid is continued by one local beat before the first beat, after the last one and into a `GAP`. Further away a
    position would be invented: NaN.

    Parameters
    ----------
    times : s [k]
    beats : s [n], strictly ascending, at least two

    Returns
    -------
    float64 [k], from -1 to n, or NaN
    """
    local = local_beats(np.diff(beats))
    local = np.concatenate([local[:1], local, local[-1:]])  # one for each interval of the continued grid
    grid = np.concatenate([[beats[0] - local[0]], beats, [beats[-1] + local[-1]]])
    found = np.interp(times, grid, np.arange(-1, len(beats) + 1), left=np.nan, right=np.nan)
    interval = np.clip(np.searchsorted(grid, times, side="right") - 1, 0, len(local) - 1)
    beat = local[interval]
    margin = 1 / (2 * BINARY)  # beat: half a sixteenth
    since, until = (times - grid[interval]) / beat, (grid[interval + 1] - times) / beat
    in_gap = np.where(since < 1 - margin, interval - 1 + since, np.where(until <= margin, interval - until, np.nan))
    return np.where(np.diff(grid)[interval] > GAP * beat, in_gap, found)


def clock(times: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Return elapsed beats since the first beat, float64 [k]: as many in a gap or outside as local beats fit there.

    Parameters
    ----------
    times : s [k]
    beats : s [n], strictly ascending, at least two
    """
    intervals = np.diff(beats)
    local = local_beats(intervals)
    elapsed = np.concatenate([[0.0], np.cumsum(np.where(intervals > GAP * local, intervals / local, 1.0))])
    before = np.minimum(times - beats[0], 0.0) / local[0]
    after = np.maximum(times - beats[-1], 0.0) / local[-1]
    return before + np.interp(times, beats, elapsed) + after


def division(*, onsets: np.ndarray, beats: np.ndarray) -> int:
    """Return how many sixteenths a beat of this music has: `BINARY`, or `TERNARY` (6/8, 12/8, shuffle).

    A grid of beats does not say how beats are divided; the onsets off the beat do. At thirds of a beat
    cos(2 pi 3 position) is 1 and cos(2 pi 4 position) is -1/2; at quarters the first is 0 or less and the second is 1.
    Ternary when the mean difference exceeds `TERNARY_EVIDENCE` (onsets spread evenly give -0.04) in at least
    `FEWEST_OFF_BEAT` onsets.

    Parameters
    ----------
    onsets : s [k]
    beats : s [n], strictly ascending
    """
    if len(beats) < 2:
        return BINARY
    position = positions(onsets, beats)
    position = position[np.isfinite(position)]
    position = position[np.abs(position - np.round(position)) > OFF_BEAT]
    if len(position) < FEWEST_OFF_BEAT:
        return BINARY
    evidence = np.mean(np.cos(2 * np.pi * 3 * position) - np.cos(2 * np.pi * 4 * position))
    return TERNARY if evidence > TERNARY_EVIDENCE else BINARY


def bars(beat_count: int, downbeats: np.ndarray) -> list[tuple[int, int]]:
    """Return (index of the first beat, number of beats) of bars that cover the beats -1 to `beat_count`.

    A bar reaches from downbeat to downbeat, however many beats that is. Beats before the first downbeat (a pick-up) and
    after the last fill bars of the commonest length, the shortest of these when several are. With fewer than two
    downbeats no bar is known: every beat is then a bar of its own, which says no more than the beats do.

    Parameters
    ----------
    beat_count : number of beats
    downbeats : indices of beats [m], strictly ascending
    """
    starts = list(downbeats) if len(downbeats) > 1 else [0, 1]
    commonest = int(np.bincount(np.diff(starts)).argmax())
    while starts[0] > -1:
        starts.insert(0, starts[0] - commonest)
    while starts[-1] <= beat_count:
        starts.append(starts[-1] + commonest)
    return [(int(start), int(end - start)) for start, end in pairwise(starts)]


def downbeat_indices(beats: np.ndarray, downbeats: np.ndarray) -> np.ndarray:
    """Return the index of the beat at each downbeat, int [m] strictly ascending, without downbeats away from beats.

    Parameters
    ----------
    beats, downbeats : s [n], [m]; n at least two
    """
    position = positions(downbeats, beats)
    index = np.round(position[np.isfinite(position)]).astype(int)
    return np.unique(index[(index >= 0) & (index < len(beats))])


@cache
def weights(beats_per_bar: int, division: int) -> tuple[int, ...]:
    """Return the metrical weight of each sixteenth of a bar: 0 for the downbeat, one less for each level below.

    The levels are those of Longuet-Higgins & Lee (1984): a bar divides into two or three parts, and so on down to
    sixteenths. The prime factors of the number of beats come in ascending order (4 = 2 2, 6 = 2 3, 9 = 3 3); 5 and 7,
    whose grouping (3 + 2 or 2 + 3) a grid does not tell, are one level of equal beats. A binary beat is 2 2, a
    ternary one 3 2.

    Parameters
    ----------
    beats_per_bar : at least 1
    division : `BINARY` or `TERNARY`
    """
    factors, rest, prime = [], beats_per_bar, 2
    while rest > 1:
        while rest % prime == 0:
            factors.append(prime)
            rest //= prime
        prime += 1
    factors += [2, 2] if division == BINARY else [3, 2]
    steps = beats_per_bar * division
    result = np.full(steps, -len(factors))
    spacing = 1
    for level in range(len(factors) - 1, -1, -1):
        spacing *= factors[level]
        result[::spacing] = -level
    return tuple(result.tolist())
