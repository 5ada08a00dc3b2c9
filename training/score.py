"""Scores: notes and beats in score time, and how they are performed."""

from dataclasses import dataclass, field

import numpy as np

DRUMS = -1  # the "program" of a part that plays drums
SPLITS = ("train", "valid", "test")


@dataclass
class Score:
    """Notes and beats in score time.

    Attributes
    ----------
    notes : list of (start, duration, pitch, velocity, part); start and duration in the unit of `beats`
    parts : the General MIDI program of each part, or `DRUMS`
    beats : float [k], the score time of each beat, ascending
    positions : int [k], position of each beat in its bar, from 1
    """

    beats: np.ndarray
    positions: np.ndarray
    notes: list[tuple[float, float, int, int, int]] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)

    def part(self, program: int) -> int:
        """Add a part, and return its number."""
        self.parts.append(program)
        return len(self.parts) - 1


@dataclass
class Performance:
    """Notes and beats in seconds.

    Attributes
    ----------
    notes : float [note, 5]: start and duration in seconds, pitch, velocity, part
    parts : the General MIDI program of each part, or `DRUMS`
    beats : float [k], seconds
    positions : int [k], from 1
    """

    notes: np.ndarray
    parts: list[int]
    beats: np.ndarray
    positions: np.ndarray


def metre(bars: int, beats_per_bar: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the score times and positions of the beats of equal bars, in beats."""
    count = bars * beats_per_bar
    return np.arange(count, dtype=float), np.arange(count) % beats_per_bar + 1


def tempo_curve(random: np.random.Generator, count: int, bpm: float, style: str) -> np.ndarray:
    """Return the tempo of each beat interval in beats per minute, float [count].

    Parameters
    ----------
    count : number of beat intervals
    bpm : the mean tempo
    style : "steady", "drift", "change", "ramp", "rubato"
    """
    curve = np.full(count, bpm)
    if style == "drift":
        walk = np.cumsum(random.normal(0, 1, count))
        walk -= np.linspace(walk[0], walk[-1], count)
        curve = bpm * np.exp(random.uniform(0.005, 0.03) * walk / max(walk.std(), 1e-6))
    elif style == "change":
        at = random.integers(count // 4, max(3 * count // 4, count // 4 + 1))
        curve[at:] *= np.exp(random.choice([-1, 1]) * random.uniform(0.08, 0.4))
    elif style == "ramp":
        begin, end = np.sort(random.integers(0, count, 2))
        ramp = np.interp(np.arange(count), [begin, end + 1], [0, random.choice([-1, 1]) * random.uniform(0.1, 0.45)])
        curve = bpm * np.exp(ramp)
    elif style == "rubato":
        noise = random.normal(0, 1, count + 16)
        slow = np.convolve(noise, np.hanning(9), "same")[8:-8]
        phrase = random.integers(4, 17)
        curve = np.exp(random.uniform(0.04, 0.14) * slow / max(slow.std(), 1e-6) + random.normal(0, 0.03, count))
        late = np.arange(count) % phrase >= phrase - 2
        curve = bpm * np.where(late, curve * random.uniform(0.7, 1), curve)
    if random.random() < 0.1 and count > 12:
        length = random.integers(3, 9)
        curve[-length:] *= np.linspace(1, random.uniform(0.5, 0.85), length)
    return np.clip(curve, 32, 260)


def swung(time: float, ratio: float, unit: float = 1.0) -> float:
    """Move a score time as swing does: the middle of each `unit` moves to `ratio` of it."""
    whole, rest = divmod(time / unit, 1)
    rest = rest * 2 * ratio if rest < 0.5 else ratio + (rest - 0.5) * 2 * (1 - ratio)
    return (whole + rest) * unit


def perform(score: Score, times: np.ndarray, random: np.random.Generator, jitter: float) -> Performance:
    """Play a score: its beat k is at `times[k]` seconds, and its notes are early or late by chance.

    Parameters
    ----------
    times : seconds of each beat of the score, ascending
    jitter : standard deviation in seconds of a note's deviation; notes of one part that start together deviate together
        by half of it
    """
    notes = np.array(score.notes, float).reshape(-1, 5)
    first, last = score.beats[1] - score.beats[0], score.beats[-1] - score.beats[-2]
    knots = np.concatenate([[score.beats[0] - 8 * first], score.beats, [score.beats[-1] + 8 * last]])
    before, after = times[1] - times[0], times[-1] - times[-2]
    seconds = np.concatenate([[times[0] - 8 * before], times, [times[-1] + 8 * after]])
    begin = np.interp(notes[:, 0], knots, seconds)
    end = np.interp(notes[:, 0] + notes[:, 1], knots, seconds)
    key = np.round(notes[:, 0] * 24).astype(int) * 64 + notes[:, 4].astype(int)
    _, group = np.unique(key, return_inverse=True)
    together = random.normal(0, jitter, group.max(initial=0) + 1)
    begin = begin + np.clip(together[group] + random.normal(0, jitter / 2, len(notes)), -0.05, 0.05)
    notes[:, 0], notes[:, 1] = begin, np.maximum(end - begin, 0.03)
    return Performance(notes, list(score.parts), np.asarray(times, float), np.asarray(score.positions))
