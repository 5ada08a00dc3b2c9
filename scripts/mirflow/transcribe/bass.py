"""The bass line as notes: the pitch of the bass stem by pYIN, cut where the pitch changes and where a note is struck.

Source: Mauch & Dixon 2014, pYIN: a fundamental frequency estimator using probabilistic threshold distributions, ICASSP
"""

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from mirflow.core import artifacts, audio
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.dsp import loudness, onsets
from mirflow.transcribe import notes

VERSION = 3  # of the notes; raise it when they change
RATE = 11025  # Hz, of the signal that is analysed
FRAME, HOP = 1024, 128  # samples
LOWEST, HIGHEST = 27.5, 600.0  # Hz
RESOLUTION = 0.2  # semitones
PIECE, MARGIN = 60.0, 2.0  # s, of a track that are analysed at a time, and what is heard on both sides of them
SILENT_DB = 40.0  # frames further below the loud ones (`LOUD_PERCENTILE`) have no pitch
LOUD_PERCENTILE = 95
SMOOTHED = 7  # frames, of the median of the pitch: 80 ms
SHORTEST = 0.06  # s, of a note
LONGEST_GAP = 0.06  # s without a pitch within a note
AT_ONSET = 0.05  # s; a note that begins so close to an onset begins there
RISE_WINDOW = 0.05  # s before and after a moment, whose levels are compared
RISE_STEP = 0.01  # s
RISE_DB = 2.0  # a larger rise of the level is an onset too: a separated bass has soft attacks
RISE_DISTANCE = 0.06  # s between onsets of both kinds
LEVEL_BAND = (30, 1000)  # Hz, of velocities


@dataclass(frozen=True)
class BassNotes:
    """The notes of a bass line, of which no two sound at a time.

    Attributes
    ----------
    starts, ends : seconds, ascending, float64 [k]
    pitches : MIDI notes, int [k]
    velocities : from 1 to 127, int [k]
    duration : of the track, in seconds
    """

    starts: np.ndarray
    ends: np.ndarray
    pitches: np.ndarray
    velocities: np.ndarray
    duration: float

    def save(self, path: str | PathLike) -> None:
        """Write strict JSON atomically, with a note per line: start and end in seconds, MIDI note, velocity."""
        rows = zip(self.starts, self.ends, self.pitches, self.velocities, strict=True)
        lines = ",\n".join(f"[{start:.6f}, {end:.6f}, {pitch}, {velocity}]" for start, end, pitch, velocity in rows)
        artifacts.write_bytes(path, f'{{"duration": {self.duration:.6f}, "notes": [\n{lines}\n]}}\n'.encode())

    @staticmethod
    def load(path: str | PathLike) -> "BassNotes":
        """Read a file that `save` wrote.

        Raises
        ------
        MirflowError : the file holds no bass notes; the message names it
        """
        try:
            content = json.loads(Path(path).read_bytes())
            rows = np.array(content["notes"], np.float64).reshape(-1, 4)
            duration = float(content["duration"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MirflowError(f"{path}: not bass notes ({error})") from error
        if not np.isfinite(rows).all() or (np.diff(rows[:, :2].ravel(), prepend=0) < 0).any():
            raise MirflowError(f"{path}: the times of bass notes must be finite and ascending")
        return BassNotes(rows[:, 0], rows[:, 1], *rows[:, 2:].astype(np.int64).T, duration)


def read_notes(bass: Audio) -> BassNotes:
    """Find the notes of a bass line.

    Parameters
    ----------
    bass : the bass stem, samples float32 [channel, n]

    Returns
    -------
    the notes; none where the stem is silent (nothing above -70 LUFS)
    """
    mono = bass.mono()
    if loudness.integrated_loudness(loudness.step_powers(bass.samples, bass.rate, bass.layout)) is None:
        return BassNotes(*np.zeros((2, 0)), *np.zeros((2, 0), np.int64), bass.duration)
    pitch = smoothed(pitches(audio.resample(mono, bass.rate, RATE)))
    plucked = onsets.detect(mono, bass.rate).times
    swelled = rises(mono, bass.rate)
    if len(plucked) and len(swelled):
        swelled = swelled[np.abs(plucked[None] - swelled[:, None]).min(axis=1) > RISE_DISTANCE]
    plucked = np.sort(np.concatenate([plucked, swelled]))
    starts, ends, found = segments(pitch, plucked)
    ends = np.minimum(ends, bass.duration)
    velocities = np.zeros(0, np.int64)
    if len(starts):
        velocities = notes.velocities_of(notes.onset_levels(mono, bass.rate, starts, LEVEL_BAND))
    return BassNotes(starts, ends, found, velocities, bass.duration)


def pitches(samples: np.ndarray) -> np.ndarray:
    """Return the pitch of each frame as a MIDI note with decimals, NaN where there is none: float64 [frame].

    Frame k is centred on sample k * `HOP`.

    Parameters
    ----------
    samples : float32 [n] at `RATE`
    """
    import librosa

    count = len(samples) // HOP + 1
    levels = librosa.feature.rms(y=samples, frame_length=FRAME, hop_length=HOP)[0]
    is_loud = levels > np.percentile(levels, LOUD_PERCENTILE) * 10 ** (-SILENT_DB / 20)
    piece, margin = round(PIECE * RATE / HOP), round(MARGIN * RATE / HOP)  # frames
    found = np.full(count, np.nan)
    for begin in range(0, count, piece):
        first = max(begin - margin, 0)
        part = samples[first * HOP : (begin + piece + margin) * HOP]
        frequency, _, _ = librosa.pyin(
            part, fmin=LOWEST, fmax=HIGHEST, sr=RATE, frame_length=FRAME, hop_length=HOP, resolution=RESOLUTION
        )
        kept = frequency[begin - first :][:piece]
        found[begin : begin + len(kept)] = 69 + 12 * np.log2(kept / 440)
    return np.where(is_loud[:count], found, np.nan)


def rises(mono: np.ndarray, rate: int) -> np.ndarray:
    """Return the moments at which the level rises most, by `RISE_DB` or more: seconds, ascending, float64 [k].

    Parameters
    ----------
    mono : float32 [n]
    rate : Hz
    """
    from scipy.ndimage import maximum_filter1d

    window = round(RISE_WINDOW * rate)
    moments = np.round(np.arange(0, len(mono) / rate, RISE_STEP) * rate).astype(int)
    total = np.concatenate([[0.0], np.cumsum(np.square(np.pad(mono, window), dtype=np.float64))])
    at = moments + window
    before, after = (total[at] - total[at - window]) / window, (total[at + window] - total[at]) / window
    rise = 10 * np.log10((after + 1e-9) / (before + 1e-9))
    is_loud = after > np.percentile(after, LOUD_PERCENTILE) * 10 ** (-SILENT_DB / 10) if len(after) else after > 0
    is_peak = rise == maximum_filter1d(rise, 2 * round(RISE_WINDOW / RISE_STEP) + 1)
    return moments[is_peak & is_loud & (rise >= RISE_DB)] / rate


def smoothed(pitch: np.ndarray) -> np.ndarray:
    """Return whole semitones in the tuning of the track, after a running median: float64 [frame], NaN as before."""
    voiced = np.isfinite(pitch)
    if not voiced.any():
        return pitch
    # The mean of angles: a tuning of half a semitone has no side.
    tuning = np.angle(np.exp(2j * np.pi * pitch[voiced]).mean()) / (2 * np.pi)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(pitch - tuning, SMOOTHED // 2, constant_values=np.nan), SMOOTHED
    )
    median = np.full(len(pitch), np.nan)
    median[voiced] = np.nanmedian(windows[voiced], axis=1)
    return np.round(median)


def segments(pitch: np.ndarray, plucked: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut a pitch curve into notes.

    A note begins where the pitch changes, where it appears, and at each onset; it is at least `SHORTEST` long.

    Parameters
    ----------
    pitch : whole semitones, NaN where there is none, [frame]
    plucked : onsets in seconds, ascending [m]

    Returns
    -------
    starts, ends : seconds, float64 [k]
    pitches : int64 [k]
    """
    step = HOP / RATE
    runs: list[list[float]] = []  # [start, end, pitch]
    for frame in np.flatnonzero(np.isfinite(pitch)):
        start, semitone = frame * step, pitch[frame]
        last = runs[-1] if runs else None
        begins = last and bool(np.any((plucked > last[1] - step / 2) & (plucked <= start + step / 2)))
        if last and semitone == last[2] and start - last[1] <= LONGEST_GAP and not begins:
            last[1] = start + step
        else:
            runs.append([start, start + step, semitone])
    runs = _without_blips(runs)
    starts = np.array([run[0] for run in runs])
    ends = np.array([run[1] for run in runs])
    if len(plucked) and len(starts):
        nearest = plucked[np.abs(plucked[None] - starts[:, None]).argmin(axis=1)]
        near = np.abs(nearest - starts) <= AT_ONSET
        starts = np.where(near, nearest, starts)
    order = np.argsort(starts, kind="stable")
    starts, ends, found = starts[order], ends[order], np.array([run[2] for run in runs], np.int64)[order]
    if len(starts):
        ends[:-1] = np.minimum(ends[:-1], starts[1:])
    kept = ends - starts >= SHORTEST / 2
    return starts[kept], ends[kept], found[kept]


def _without_blips(runs: list[list[float]]) -> list[list[float]]:
    """Give runs that are shorter than `SHORTEST` to the neighbour that they touch, and drop those that touch none."""
    kept: list[list[float]] = []
    for index, (start, end, semitone) in enumerate(runs):
        touches = kept and start - kept[-1][1] <= LONGEST_GAP
        if end - start < SHORTEST:
            following = runs[index + 1] if index + 1 < len(runs) else None
            if following and following[0] - end <= LONGEST_GAP and following[1] - following[0] >= SHORTEST:
                following[0] = start  # the pitch of an attack is uncertain
            elif touches:
                kept[-1][1] = end
        else:
            kept.append([start, end, semitone])
    return kept
