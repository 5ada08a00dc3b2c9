"""The tempo map of a MIDI file: where seconds lie in beats and bars, from the beat grid and the downbeats.

A quarter note is one beat of the grid. MIDI files begin with a bar, but recordings begin anywhere: the bars are
continued from the first downbeat to the beginning, and the first one there is as much shorter as is missing of it.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from mirflow.dsp import metre

TICKS = 480  # of a quarter note
TEMPO_WITHOUT_BEATS = 120.0  # beats per minute, where the grid has less than two beats
USUAL_BAR = 4  # beats, where there are less than two downbeats
# s: a longer beat is divided, since its ticks would be too long to place a note within 5 ms
LONGEST_BEAT = 4.0
# s: a beat closer to the beginning lies at it; a bar of that length would have a tempo that no program accepts
NEAR_BEGINNING = 0.010
SHORTEST_NOTE = 16  # the first bar is a whole number of sixteenths, which programs accept as a time signature


@dataclass(frozen=True)
class TempoMap:
    """Times and ticks of beats.

    Attributes
    ----------
    times : seconds, strictly ascending from 0, float64 [k], k at least 2
    ticks : the same places in ticks, strictly ascending from 0, int64 [k]; between them the tempo is constant, and
        after the last one it stays
    bars : (tick, beats, note) of each time signature: from that tick on, bars have so many beats of that note value
        (4 is a quarter)
    """

    times: np.ndarray
    ticks: np.ndarray
    bars: tuple[tuple[int, int, int], ...]

    def tempi(self) -> list[tuple[int, int]]:
        """Return (tick, microseconds of a quarter note) of each tempo that differs from the one before.

        The whole microseconds of MIDI are chosen so that their rounding does not add up.
        """
        found: list[tuple[int, int]] = []
        reached = 0.0  # s, where a reader of the file is
        for time, (tick, later) in zip(self.times[1:], pairwise(self.ticks.tolist()), strict=True):
            quarter = max(round((time - reached) * 1e6 * TICKS / (later - tick)), 1)
            reached += quarter * 1e-6 * (later - tick) / TICKS
            if not found or found[-1][1] != quarter:
                found.append((tick, quarter))
        return found

    def at(self, times: np.ndarray) -> np.ndarray:
        """Return the nearest ticks of times in seconds, at least 0: int64 [k]."""
        return np.round(self._ticks(times)).astype(np.int64)

    def quantised(self, times: np.ndarray, steps: int) -> np.ndarray:
        """Return the ticks of the nearest of `steps` equal steps to a beat: int64 [k].

        Steps count from the first beat of the grid, so that beats stay on beats when the first bar is not whole.

        Parameters
        ----------
        times : seconds [k]
        steps : a divisor of `TICKS`
        """
        step = TICKS // steps
        first = int(self.ticks[1]) % step if len(self.ticks) > 2 else 0
        return np.maximum(np.round((self._ticks(times) - first) / step).astype(np.int64) * step + first, 0)

    def _ticks(self, times: np.ndarray) -> np.ndarray:
        times = np.maximum(np.asarray(times, np.float64), 0)
        slope = (self.ticks[-1] - self.ticks[-2]) / (self.times[-1] - self.times[-2])
        beyond = np.maximum(times - self.times[-1], 0) * slope
        return np.interp(times, self.times, self.ticks) + beyond


def tempo_map(beats: np.ndarray, downbeats: np.ndarray) -> TempoMap:
    """Make a tempo map.

    Breaks in the grid, where beats are missing, are filled with beats of about the tempo around them.

    Parameters
    ----------
    beats, downbeats : seconds, ascending [n], [m]; with less than two different beats the tempo is
        `TEMPO_WITHOUT_BEATS`, and bars begin at the beginning
    """
    beats = np.unique(np.maximum(np.asarray(beats, np.float64), 0))
    if len(beats) < 2:
        beat = 60 / TEMPO_WITHOUT_BEATS
        return TempoMap(np.array([0.0, beat]), np.array([0, TICKS]), ((0, USUAL_BAR, 4),))
    starts = metre.downbeat_indices(beats, np.asarray(downbeats, np.float64))
    usual = int(np.bincount(np.diff(starts)).argmax()) if len(starts) > 1 else USUAL_BAR
    beats, places = _without_breaks(beats)
    starts = places[starts]

    if beats[0] < NEAR_BEGINNING:
        beats = np.concatenate([[0.0], beats[1:]])
        lead = Fraction(0)
    else:
        local = metre.local_beats(np.diff(beats))[0]
        lead = Fraction(max(round(beats[0] / local * SHORTEST_NOTE / 4), 1), SHORTEST_NOTE // 4)  # quarters
    first = int(lead * TICKS)
    ticks = first + TICKS * np.arange(len(beats), dtype=np.int64)
    times = np.concatenate([[0.0], beats]) if first else beats
    ticks = np.concatenate([[0], ticks]) if first else ticks
    return TempoMap(times, ticks, tuple(_signatures(starts if len(starts) else np.array([0]), usual, lead)))


def _without_breaks(beats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the beats with breaks filled in, and the place of each old one among them."""
    intervals = np.diff(beats)
    local = metre.local_beats(intervals)
    missing = np.where(intervals > metre.LONGEST_INTERVAL * local, np.round(intervals / local), 1)
    parts = np.maximum(missing, np.ceil(intervals / LONGEST_BEAT)).astype(int)
    places = np.concatenate([[0], np.cumsum(parts)])
    return np.interp(np.arange(places[-1] + 1), places, beats), places


def _signatures(starts: np.ndarray, usual: int, lead: Fraction) -> list[tuple[int, int, int]]:
    """Return (tick, beats, note) of each time signature.

    Parameters
    ----------
    starts : indices of the beats that are downbeats, ascending, at least one
    usual : beats of a bar before the first downbeat and after the last one. Where two downbeats are twice as far apart
        or more, bars of this length are between them
    lead : quarters before the first beat of the grid
    """
    before = lead + int(starts[0])  # quarters before the first downbeat
    bars: list[Fraction] = [before % usual] if before % usual else []
    bars += [Fraction(usual)] * int(before // usual)
    for start, end in pairwise(starts.tolist()):
        whole = max((end - start) // usual - 1, 0)
        bars += [Fraction(usual)] * whole + [Fraction(end - start - whole * usual)]
    bars.append(Fraction(usual))
    found: list[tuple[int, int, int]] = []
    tick = Fraction(0)
    for bar in bars:
        note = 4 * bar.denominator
        if not found or found[-1][1:] != (bar.numerator, note):
            found.append((int(tick), bar.numerator, note))
        tick += bar * TICKS
    return found
