"""Where the crops of a track lie: on its downbeats, of one length in samples or of a number of bars."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mirflow.core.audio import Audio
from mirflow.dsp import metre

VERSION = 1  # raise it when other crops come out of the same grids, or other files out of the same crops
MULTIPLE = 4096  # samples: the length of each file is a multiple of it, as autoencoders need it
SILENT = 10 ** (-60 / 20)  # peak of what is silence, -60 dBFS
BLOCK_SECONDS = 0.1  # silence is told in blocks of this length
# A beat interval of so many local beat intervals is a break: the grid does not say where bars are there.
BREAK = 3.5
MODES = ("exact", "bars")
TAILS = ("drop", "pad")


@dataclass(frozen=True)
class Choice:
    """What the user chose about crops: the section ``crops`` of the settings.

    Attributes
    ----------
    mode : "exact", crops of `length` samples; "bars", crops of a number of bars
    length : samples, a multiple of `MULTIPLE`; in mode bars of crops of tracks without downbeats
    bars : in a crop, in mode bars
    hop_bars : bars from the start of a crop to that of the next one; 0: the next crop begins where this one ends, or
        on the first downbeat after that
    max_silence : largest share of a crop that may be silence
    tail : what becomes of the last piece, which is shorter than a crop: "drop" or "pad"
    """

    mode: str = "exact"
    length: int = 524288
    bars: int = 4
    hop_bars: int = 0
    max_silence: float = 0.5
    tail: str = "drop"


@dataclass(frozen=True)
class Crop:
    """A part of a track, in samples of its full mix.

    Attributes
    ----------
    start, end : of the music; the end is not part of it
    length : of the file, at least ``end - start``; the rest is padding
    bars : whole bars in it; None where the track has no downbeats
    aligned : whether it starts on a downbeat
    """

    start: int
    end: int
    length: int
    bars: int | None
    aligned: bool

    @property
    def valid(self) -> int:
        """Samples that are music."""
        return self.end - self.start


@dataclass(frozen=True)
class LeftOut:
    """A part of a track that is in no crop, and the reason."""

    start: int
    end: int
    reason: str


@dataclass(frozen=True)
class Plan:
    """The crops of a track in their order, and what was left out."""

    crops: list[Crop]
    left_out: list[LeftOut]


def plan(mix: Audio, *, beats: np.ndarray, downbeats: np.ndarray, choice: Choice) -> Plan:
    """Say where the crops of a track lie.

    Crops start on downbeats. A crop of bars ends on a downbeat as well, which is not part of it. Without any downbeat,
    crops of `Choice.length` follow each other from the start of the track.

    Parameters
    ----------
    mix : the full mix
    beats, downbeats : seconds, ascending
    """
    total = mix.samples.shape[1]
    starts = np.unique(np.round(downbeats * mix.rate).astype(np.int64))
    starts = starts[(starts >= 0) & (starts <= total)]
    if not (starts < total).any():
        found = _regular(total, choice)
    elif choice.mode == "bars":
        edges = _edges(np.unique(beats) * mix.rate, starts, total)
        found = _of_bars(total, edges, _breaks(beats, mix.rate), choice)
    else:
        found = _of_length(total, starts[starts < total], choice)
    reasons = {crop: _silence(mix, crop, choice) for crop in found.crops}
    silent = [LeftOut(crop.start, crop.end, reason) for crop, reason in reasons.items() if reason]
    left_out = sorted([*found.left_out, *silent], key=lambda part: (part.start, part.end))
    return Plan([crop for crop, reason in reasons.items() if not reason], left_out)


def _regular(total: int, choice: Choice) -> Plan:
    """Plan a track without downbeats."""
    length = choice.length
    crops = [Crop(start, start + length, length, None, False) for start in range(0, total - length + 1, length)]
    rest = len(crops) * length
    found = Plan(crops, [])
    if rest < total:
        _end(found, Crop(rest, total, length, None, False), choice, "shorter than a crop")
    return found


def _of_length(total: int, starts: np.ndarray, choice: Choice) -> Plan:
    """Plan crops of equal length that start on downbeats."""
    found = Plan([], _pick_up(starts))
    place = covered = 0
    while place < len(starts):
        start = int(starts[place])
        end = start + choice.length
        last = end > total
        bars = int(np.searchsorted(starts, min(end, total), side="right")) - place - 1
        crop = Crop(start, min(end, total), choice.length, max(bars, 0), True)
        if last:
            _end(found, crop, choice, "shorter than a crop")
            return found
        found.crops.append(crop)
        covered = end
        place = place + choice.hop_bars if choice.hop_bars else int(np.searchsorted(starts, end))
    if covered < total:
        found.left_out.append(LeftOut(covered, total, "after the last downbeat on which a crop could start"))
    return found


def _of_bars(total: int, edges: np.ndarray, breaks: np.ndarray, choice: Choice) -> Plan:
    """Plan crops of equally many bars.

    Parameters
    ----------
    edges : start of each bar and end of the last one, in samples
    breaks : int [k, 2], start and end of each break in the beat grid, in samples
    """
    found = Plan([], _pick_up(edges))
    broken = [bool(((breaks[:, 0] < end) & (breaks[:, 1] > start)).any()) for start, end in pairwise(edges)]
    place = 0
    while place + choice.bars < len(edges):
        of_crop = broken[place : place + choice.bars]
        if any(of_crop):
            after = place + len(of_crop) - of_crop[::-1].index(True)
            reason = "the beat grid has a break, so bars cannot be counted"
            found.left_out.append(LeftOut(int(edges[place]), int(edges[after]), reason))
            place = after
            continue
        start, end = int(edges[place]), int(edges[place + choice.bars])
        found.crops.append(Crop(start, end, _padded(end - start), choice.bars, True))
        place += choice.hop_bars or choice.bars
    if place < len(edges) and edges[place] < total:
        start = int(edges[place])
        bar = int(np.median(np.diff(edges))) if len(edges) > 1 else choice.length
        end = min(total, start + choice.bars * bar)
        rest = Crop(start, end, _padded(end - start), len(edges) - 1 - place, True)
        _end(found, rest, choice, f"fewer than {choice.bars} bars")
        if end < total:
            found.left_out.append(LeftOut(end, total, "after the last bar"))
    return found


def _edges(beats: np.ndarray, starts: np.ndarray, total: int) -> np.ndarray:
    """Return the start of each bar and, where it is known, the end of the last one, in samples.

    No downbeat marks the end of a loop, because nothing sounds there. So a last bar with as many beats as the one
    before ends one beat interval after its last beat, or with the track where that is less than half a beat away.

    Parameters
    ----------
    beats : samples, ascending
    starts : samples of the downbeats, ascending
    """
    if len(starts) < 2:
        return starts
    of_bars = np.searchsorted(beats, [starts[-2] - 1, starts[-1] - 1])
    before, last = of_bars[1] - of_bars[0], len(beats) - of_bars[1]
    if last != before or last < 2:
        return starts
    interval = beats[-1] - beats[-2]
    end = beats[-1] + interval
    if end > total + interval / 2 or beats[-1] >= total:
        return starts
    return np.append(starts, total if abs(end - total) < interval / 2 else round(end)).astype(np.int64)


def _pick_up(starts: np.ndarray) -> list[LeftOut]:
    return [LeftOut(0, int(starts[0]), "before the first downbeat")] if starts[0] else []


def _end(found: Plan, crop: Crop, choice: Choice, reason: str) -> None:
    """Add the last piece of a track to the crops, or to what is left out."""
    if choice.tail == "pad":
        found.crops.append(crop)
    else:
        found.left_out.append(LeftOut(crop.start, crop.end, reason))


def _padded(samples: int) -> int:
    return -(-samples // MULTIPLE) * MULTIPLE


def _breaks(beats: np.ndarray, rate: int) -> np.ndarray:
    """Return start and end of each break in a beat grid, in samples: int [k, 2]."""
    beats = np.unique(beats)
    intervals = np.diff(beats)
    at = np.flatnonzero(intervals > BREAK * metre.local_beats(intervals))
    return np.round(np.stack([beats[at], beats[at + 1]], axis=1) * rate).astype(np.int64)


def _silence(mix: Audio, crop: Crop, choice: Choice) -> str | None:
    """Return why a crop is too silent, or None. Padding is silence."""
    samples = np.abs(mix.samples[:, crop.start : crop.end]).max(axis=0)
    if not samples.size or samples.max() < SILENT:
        return "silent: no sample reaches -60 dBFS"
    block = max(1, round(BLOCK_SECONDS * mix.rate))
    peaks = np.maximum.reduceat(samples, np.arange(0, len(samples), block))
    sizes = np.diff([*range(0, len(samples), block), len(samples)])
    share = (sizes[peaks < SILENT].sum() + crop.length - crop.valid) / crop.length
    return f"{share:.0%} of it is silence" if share > choice.max_silence else None
