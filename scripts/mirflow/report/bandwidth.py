"""Where the spectrum of a track ends: lossy encoders with low bit rates leave out what is above a frequency.

The frequency is that of the steepest cliff of the mean spectrum of the loudest channel: above it, all bands are at
least `CLIFF` dB below those just beneath it. Spectra of music fall by a few dB in this distance. Without a cliff it is
half of the sampling rate. Own definition.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mirflow.core import artifacts, layout
from mirflow.core.errors import MirflowError

EXCERPTS, SECONDS = 3, 2.0  # of a track that are heard, spread evenly
BAND = 250.0  # Hz
BENEATH = 6  # bands just beneath a cliff, whose median counts
SLOPE = 3  # bands that a cliff may take to fall
CLIFF = 20.0  # dB
LOWEST = 4000.0  # Hz; cliffs below it are those of instruments


def measure(samples: np.ndarray, rate: int) -> float | None:
    """Return where the spectrum ends in Hz, None for silence and for less than 16 ms.

    Parameters
    ----------
    samples : [channel, n]
    rate : Hz
    """
    from scipy import signal

    width = int(2 * rate / BAND)  # two bins in a band
    if samples.shape[1] < 2 * width:
        return None
    loudest = samples[np.square(samples).sum(axis=1).argmax()]
    frequencies, power = signal.welch(loudest, rate, window="blackmanharris", nperseg=width)
    energy = np.bincount((frequencies / BAND).astype(int), power)[: int(rate / 2 / BAND)]
    if not energy.max():
        return None
    levels = 10 * np.log10(energy / energy.max() + 1e-14)
    best, where = CLIFF, rate / 2
    for edge in range(max(BENEATH, int(LOWEST / BAND)), len(levels) - 2 * SLOPE):
        fall = np.median(levels[edge - BENEATH : edge]) - levels[edge + SLOPE :].max()
        if fall > best:
            best, where = fall, edge * BAND
    return where


def read(path: str | os.PathLike) -> float | None:
    """Measure excerpts of an audio file; None also where it cannot be read."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            length = int(SECONDS * file.samplerate)
            parts = []
            for start in np.linspace(0, max(0, file.frames - length), EXCERPTS).astype(int):
                file.seek(int(start))
                parts.append(file.read(length, dtype="float32", always_2d=True))
            return measure(np.concatenate(parts).T, file.samplerate)
    except (soundfile.LibsndfileError, OSError):
        return None


def of_tracks(results: str, tracks: Iterable[str], threads: int = 1) -> dict[str, float | None]:
    """Measure full_mix.flac of tracks; of those that have not changed, the earlier answer counts.

    Raises
    ------
    MirflowError : the answers cannot be written down
    """
    notes = layout.own(results, "report", "bandwidth.json")
    known = _known(notes)
    files = {track: layout.track_files(results, track).full_mix for track in tracks}
    stamps = {track: _stamp(path) for track, path in files.items()}
    new = [track for track, stamp in stamps.items() if stamp and known.get(track, [""])[0] != stamp]
    with ThreadPoolExecutor(threads) as pool:
        found = dict(zip(new, pool.map(lambda track: read(files[track]), new), strict=True))
    known |= {track: [stamps[track], where] for track, where in found.items()}
    if new:
        artifacts.write_json(notes, known)
    return {track: known[track][1] for track, stamp in stamps.items() if stamp}


def _known(path: str) -> dict[str, list]:
    try:
        return {track: note for track, note in artifacts.read_json(path).items() if len(note) == 2}
    except (OSError, MirflowError, TypeError):
        return {}


def _stamp(path: str) -> str:
    try:
        status = Path(path).stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"
