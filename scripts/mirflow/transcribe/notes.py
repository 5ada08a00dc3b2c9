"""Drum notes: the peaks of drum activations, with a note of General MIDI and a velocity for each."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from mirflow.core import artifacts
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.transcribe.activations import DRUMS, FRAME_RATE, DrumActivations

VERSION = 1  # of the notes; raise it when they change

# Peaks, as ADTOF is published with them
MEAN_BEFORE, MEAN_AFTER = 10, 1  # frames around a frame, over which the local mean is taken
MAXIMUM_BEFORE, MAXIMUM_AFTER = 2, 1  # frames around a frame, of which a peak is the largest
COMBINED = 2  # frames; of peaks that follow each other at this distance or less, the highest counts

# General MIDI, percussion
KICK, SNARE, CLOSED, OPEN, CRASH, RIDE = 36, 38, 42, 46, 49, 51
LOW_TOM, MID_TOM, HIGH_TOM = 45, 47, 50
PITCHES = {"kick": (KICK,), "snare": (SNARE,), "tom": (LOW_TOM, MID_TOM, HIGH_TOM), "hihat": (CLOSED, OPEN),
           "cymbal": (CRASH, RIDE)}  # fmt: skip

FRAME = 0.046  # s, of the spectra of single notes
# Where the level of each drum is measured, Hz: where it is strong and the others are weak
BANDS = {"kick": (30, 120), "snare": (150, 6000), "tom": (60, 400), "hihat": (7000, 16000), "cymbal": (4000, 16000)}
AFTER, BEFORE = 0.020, -0.030  # s from the onset: the middles of the spectra of a note, and of what sounds before it
LOUD_PERCENTILE, LOUD_VELOCITY = 95, 110  # the level of a drum that has this velocity
# dB of level that 127 times the velocity are over the velocity: sound modules make the amplitude grow with its square
LEVEL_PER_DECADE = 40
# Decay of the highs after a note, from `AFTER` on: open hi-hats and crashes ring on. In between nothing is decided.
DECAY_BAND = (7000, 16000)  # Hz
LATEST, LEAST_FREE = 0.175, 0.115  # s from the onset: where the decay is measured at the latest, and at the earliest
OPEN_DECAY = 100.0  # dB/s; an open hi-hat decays less
RIDE_DECAY = 20.0  # dB/s; a ride cymbal decays more
TOM_BAND = (60, 300)  # Hz
TOM_SPLITS = (95, 135)  # Hz, between the strongest frequencies of low, middle and high toms
BLOCK = 500  # notes whose spectra are computed at a time, to limit memory


@dataclass(frozen=True)
class DrumNotes:
    """The drum notes of a track.

    Attributes
    ----------
    times : onsets in seconds, ascending, float64 [k]
    drums : index in `DRUMS` of each, int [k]
    pitches : its note of General MIDI, int [k]
    velocities : from 1 to 127, int [k]
    duration : of the track, in seconds
    """

    times: np.ndarray
    drums: np.ndarray
    pitches: np.ndarray
    velocities: np.ndarray
    duration: float

    def of(self, drum: str) -> "DrumNotes":
        """Return the notes of one of `DRUMS`."""
        own = self.drums == DRUMS.index(drum)
        return DrumNotes(self.times[own], self.drums[own], self.pitches[own], self.velocities[own], self.duration)

    def save(self, path: str | PathLike) -> None:
        """Write strict JSON atomically, with a note per line: time in seconds, drum, note of General MIDI, velocity."""
        rows = zip(self.times, self.drums, self.pitches, self.velocities, strict=True)
        lines = [f'[{time:.6f}, "{DRUMS[drum]}", {pitch}, {velocity}]' for time, drum, pitch, velocity in rows]
        notes = ",\n".join(lines)
        artifacts.write_bytes(path, f'{{"duration": {self.duration:.6f}, "notes": [\n{notes}\n]}}\n'.encode())

    @staticmethod
    def load(path: str | PathLike) -> "DrumNotes":
        """Read a file that `save` wrote.

        Raises
        ------
        MirflowError : the file holds no drum notes; the message names it
        """
        try:
            content = json.loads(Path(path).read_bytes())
            times = np.array([row[0] for row in content["notes"]], np.float64)
            drums = np.array([DRUMS.index(row[1]) for row in content["notes"]], np.int64)
            pitches, velocities = (np.array([row[i] for row in content["notes"]], np.int64) for i in (2, 3))
            duration = float(content["duration"])
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise MirflowError(f"{path}: not drum notes ({error})") from error
        if not np.isfinite(times).all() or (np.diff(times, prepend=0) < 0).any():
            raise MirflowError(f"{path}: the times of drum notes must be finite and ascending")
        return DrumNotes(times, drums, pitches, velocities, duration)


def read_notes(
    activations: DrumActivations, drums: Audio, thresholds: list[float], own: Sequence[Audio] = ()
) -> DrumNotes:
    """Find the notes in drum activations.

    Parameters
    ----------
    activations : of the track
    drums : the drums stem, samples float32 [channel, n]; it decides the velocities, and which of the notes of a drum
    thresholds : of the peaks above their local mean, for each of `DRUMS`
    own : the drums of the stem, separated, in the order of `DRUMS`: they decide in place of the stem

    Returns
    -------
    the notes, sorted by time and drum
    """
    found = [peaks(activations.hits[:, index], thresholds[index]) for index in range(len(DRUMS))]
    index = np.concatenate([np.full(len(times), drum) for drum, times in enumerate(found)]).astype(np.int64)
    times = np.concatenate(found)
    times = np.round(np.minimum(times, max(activations.duration, 0.0)), 6)
    order = np.lexsort((index, times))
    times, index = times[order], index[order]
    sounds = [sound.mono() for sound in own] or [drums.mono()] * len(DRUMS)
    velocities = np.ones(len(times), np.int64)
    pitches = np.array([PITCHES[DRUMS[drum]][0] for drum in index], np.int64)
    for drum, name in enumerate(DRUMS):
        of_drum = index == drum
        if not of_drum.any():
            continue
        mono = sounds[drum]
        if len(activations.velocities):
            frames = np.clip(np.round(times[of_drum] * FRAME_RATE).astype(int), 0, len(activations.velocities) - 1)
            velocities[of_drum] = np.clip(np.round(127 * activations.velocities[frames, drum]), 1, 127)
        else:
            velocities[of_drum] = velocities_of(onset_levels(mono, drums.rate, times[of_drum], BANDS[name]))
        if name == "tom":
            pitches[of_drum] = toms(mono, drums.rate, times[of_drum])
        if name in ("hihat", "cymbal"):
            rates = decays(mono, drums.rate, times[of_drum], following=times[of_drum] if own else times)
            rings = rates < OPEN_DECAY if name == "hihat" else rates > RIDE_DECAY
            pitches[of_drum] = np.where(rings, OPEN if name == "hihat" else RIDE, pitches[of_drum])
    return DrumNotes(times, index, pitches, velocities, activations.duration)


def peaks(activation: np.ndarray, threshold: float) -> np.ndarray:
    """Return the times of the peaks of an activation.

    The local mean is subtracted first. The time of a peak lies between frames, at the vertex of the parabola through it
    and its neighbours.

    Parameters
    ----------
    activation : in [0, 1], [frame]
    threshold : above the local mean, above 0

    Returns
    -------
    seconds, ascending, float64 [k]

    Source
    ------
    Böck, Krebs & Schedl 2012, Evaluating the online capabilities of onset detection methods, ISMIR
    """
    activation = np.asarray(activation, np.float64)
    if not len(activation):
        return np.zeros(0)

    def around(values: np.ndarray, before: int, after: int) -> np.ndarray:
        return np.lib.stride_tricks.sliding_window_view(np.pad(values, (before, after), "edge"), before + after + 1)

    above = np.maximum(activation - around(activation, MEAN_BEFORE, MEAN_AFTER).mean(axis=1), 0)
    is_peak = (above >= around(above, MAXIMUM_BEFORE, MAXIMUM_AFTER).max(axis=1)) & (above >= max(threshold, 1e-6))
    candidates = np.flatnonzero(is_peak)
    groups = np.split(candidates, np.flatnonzero(np.diff(candidates) > COMBINED) + 1) if len(candidates) else []
    frames = np.array([group[np.argmax(above[group])] for group in groups], int)
    left, middle, right = (np.pad(activation, 1, "edge")[frames + step] for step in range(3))
    curvature = left - 2 * middle + right
    shift = 0.5 * (left - right) / np.where(curvature < 0, curvature, 1)
    shift = np.where(curvature < 0, np.clip(shift, -0.5, 0.5), 0)
    return np.maximum((frames + shift) / FRAME_RATE, 0)


def band_levels(mono: np.ndarray, rate: int, times: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    """Return the power of a band around each time, with a Hann window of `FRAME`: float64 [k].

    Parameters
    ----------
    mono : float32 [n]; zeros before and after it
    rate : Hz
    times : seconds [k]
    band : Hz
    """
    spectra, frequencies = _spectra(mono, rate, times)
    inside = (frequencies >= band[0]) & (frequencies < band[1])
    return np.concatenate([part[:, inside].sum(axis=1) for part in spectra]) if len(times) else np.zeros(0)


def _spectra(mono: np.ndarray, rate: int, times: np.ndarray):
    """Return the power spectra around times, in blocks [k, bin], and the frequencies of the bins in Hz."""
    from scipy.fft import rfft

    length = 2 * round(FRAME * rate / 2)
    window = np.hanning(length).astype(np.float32)
    padded = np.pad(mono, length)
    starts = np.clip(np.round(times * rate).astype(int) + length // 2, 0, len(padded) - length)
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)
    blocks = (starts[begin : begin + BLOCK] for begin in range(0, len(starts), BLOCK))
    return (np.square(np.abs(rfft(frames[block] * window))) for block in blocks), np.fft.rfftfreq(length, 1 / rate)


def onset_levels(mono: np.ndarray, rate: int, times: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    """Return by how much a band is louder after each onset than before it, in dB: float64 [k].

    What rings on from before counts for at most nine tenths of the power.

    Parameters
    ----------
    mono : float32 [n]
    rate : Hz
    times : seconds [k]
    band : Hz
    """
    after, before = (band_levels(mono, rate, times + shift, band) for shift in (AFTER, BEFORE))
    return 10 * np.log10(np.maximum(np.maximum(after - before, 0.1 * after), 1e-20))


def velocities_of(levels: np.ndarray) -> np.ndarray:
    """Turn the levels of one drum's notes into velocities: int [k] from 1 to 127.

    The loud notes of the drum (`LOUD_PERCENTILE`) have `LOUD_VELOCITY`. Others follow from their level as sound modules
    make the level from the velocity. So the gain of a track does not matter.

    Parameters
    ----------
    levels : dB [k], k at least 1
    """
    distance = levels - np.percentile(levels, LOUD_PERCENTILE)
    return np.clip(np.round(LOUD_VELOCITY * 10 ** (distance / LEVEL_PER_DECADE)), 1, 127).astype(np.int64)


def decays(mono: np.ndarray, rate: int, times: np.ndarray, *, following: np.ndarray) -> np.ndarray:
    """Return how fast the highs decay after each note, in dB/s: float64 [k]; NaN where the next note comes too soon.

    Parameters
    ----------
    mono : float32 [n]
    rate : Hz
    times : seconds [k]
    following : of all notes that are heard in the signal, seconds, ascending [n]
    """
    same = 0.03  # s: notes closer than this are one hit of several drums
    next_note = np.append(following, np.inf)[np.searchsorted(following, times + same, side="right")]
    until = np.minimum(next_note - FRAME / 2, np.minimum(times + LATEST, len(mono) / rate - FRAME / 2))
    free = until >= times + LEAST_FREE
    rates = np.full(len(times), np.nan)
    if free.any():
        begin, end = (
            10 * np.log10(np.maximum(band_levels(mono, rate, at, DECAY_BAND), 1e-20))
            for at in (times[free] + AFTER, until[free])
        )
        rates[free] = (begin - end) / (until[free] - times[free] - AFTER)
    return rates


def toms(mono: np.ndarray, rate: int, times: np.ndarray) -> np.ndarray:
    """Return whether each tom is low, middle or high, by its strongest frequency: notes of General MIDI, int [k].

    Parameters
    ----------
    mono : float32 [n]
    rate : Hz
    times : seconds [k], k at least 1
    """
    spectra, frequencies = _spectra(mono, rate, times + AFTER)
    inside = np.flatnonzero((frequencies >= TOM_BAND[0]) & (frequencies < TOM_BAND[1]))
    strongest = np.concatenate([frequencies[inside[part[:, inside].argmax(axis=1)]] for part in spectra])
    return np.array([LOW_TOM, MID_TOM, HIGH_TOM])[np.searchsorted(TOM_SPLITS, strongest)]
