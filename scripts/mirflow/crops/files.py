"""The files of a track's crops: sound and grids, cut out of those of the track at the same samples."""

from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np

from mirflow.core import artifacts, audio
from mirflow.core.audio import Audio
from mirflow.crops.plan import Crop
from mirflow.transcribe.notes import DrumNotes

# Seconds. The first sound of a crop is often that of a drum on the downbeat: what fades in must stay short.
FADE_IN, FADE_OUT = 0.001, 0.005


def cut(sound: Audio, crop: Crop, rate: int, total: int) -> Audio:
    """Cut a crop out of the full mix, or out of a stem.

    It starts and ends with a short fade, except where the track itself starts and ends.

    Parameters
    ----------
    rate : Hz, of the full mix; a stem with another rate (as MP3 has it) is cut at the nearest samples of its own
    total : samples of the full mix

    Returns
    -------
    with the rate and the channels of `sound`, without padding
    """
    start, end = (_at_rate(place, rate, sound.rate) for place in (crop.start, crop.end))
    samples = sound.samples[:, start:end].copy()
    if samples.shape[1] < end - start:  # a stem may lack the last samples of the mix
        samples = np.pad(samples, ((0, 0), (0, end - start - samples.shape[1])))
    if crop.start > 0:
        fade = _fade(FADE_IN, sound.rate, samples.shape[1])
        samples[:, : len(fade)] *= fade
    if crop.end < total:
        fade = _fade(FADE_OUT, sound.rate, samples.shape[1])
        samples[:, samples.shape[1] - len(fade) :] *= fade[::-1]
    return replace(sound, samples=samples)


def cut_times(times: np.ndarray, crop: Crop, rate: int) -> np.ndarray:
    """Return those of a track's times that lie in a crop, in seconds from its start.

    Parameters
    ----------
    times : seconds, ascending
    rate : Hz, of the full mix
    """
    place = np.round(times * rate)
    within = (place >= crop.start) & (place < crop.end)
    return np.maximum(times[within] - crop.start / rate, 0.0)  # a crop starts on the sample nearest to a downbeat


def cut_notes(notes: DrumNotes, crop: Crop, rate: int) -> DrumNotes:
    """Return those of a track's drum notes that lie in a crop, with times from its start.

    Parameters
    ----------
    rate : Hz, of the full mix
    """
    place = np.round(notes.times * rate)
    inside = (place >= crop.start) & (place < crop.end)
    times = np.maximum(notes.times[inside] - crop.start / rate, 0.0)
    return DrumNotes(times, notes.drums[inside], notes.pitches[inside], notes.velocities[inside], crop.valid / rate)


def write(path: str | PathLike, part: Audio, crop: Crop, rate: int, subtype: str) -> None:
    """Write the sound of a crop as a FLAC file, atomically, with its padding.

    Parameters
    ----------
    part : what `cut` returned
    rate : Hz, of the full mix
    subtype : PCM_16 or PCM_24
    """
    samples = np.zeros((len(part.samples), _at_rate(crop.length, rate, part.rate)), np.float32)
    samples[:, : part.samples.shape[1]] = part.samples
    with (
        artifacts.atomic_write(path) as temporary,
        audio.open_for_writing(temporary, part.rate, len(samples), format="FLAC", subtype=subtype) as file,
    ):
        file.write(np.ascontiguousarray(samples.T))


def subtype(path: str | PathLike) -> str:
    """Return the subtype in which the samples of an audio file can be kept as they are: PCM_16 or PCM_24."""
    import soundfile

    return "PCM_16" if soundfile.info(Path(path)).subtype in ("PCM_16", "PCM_S8") else "PCM_24"


def _fade(seconds: float, rate: int, most: int) -> np.ndarray:
    """Return the rising half of a Hann window, float32 [n]."""
    count = min(int(seconds * rate), most)
    return (0.5 - 0.5 * np.cos(np.pi * np.arange(count) / max(count, 1))).astype(np.float32)


def _at_rate(samples: int, rate: int, other: int) -> int:
    return samples if rate == other else round(samples * other / rate)
