"""What the report draws of a track: waveform, loudness of the mix and its stems, chroma, beats, crops, in a few kB."""

import base64
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np

from mirflow.core.audio import Audio
from mirflow.dsp import loudness, pitch_class, spectrum

VERSION = 1  # raise it when values change
WAVEFORM, LOUDNESS, CHROMA = 1200, 240, 160  # columns of each picture, at most
LOWEST_LUFS, LUFS_STEP = (
    -70.0,
    0.5,
)  # a byte of loudness is a number of steps above the lowest; 0 is all that is quieter
CHROMA_LEVELS = 15  # four bits for each pitch class
WINDOW = 3.0  # s, of short-term loudness (EBU Tech 3341)
MOST_TIMES = 1500  # more beats than that cannot be told apart in the picture, so none are kept
TIMES_PER_SECOND = 100  # times are whole hundredths of a second


def measure(
    full_mix: Audio,
    stems: Mapping[str, Audio],
    *,
    beats: np.ndarray,
    downbeats: np.ndarray,
    crops: Iterable[tuple[float, float]] = (),
) -> dict[str, Any]:
    """Measure what is drawn of a track. Every picture spans the whole track; its columns have equal length.

    Parameters
    ----------
    full_mix : the track
    stems : by name
    beats, downbeats : seconds
    crops : start and end of each, in seconds

    Returns
    -------
    seconds : duration
    peak : highest absolute sample of any channel
    waveform : the same of each column relative to `peak`, as bytes (255 is `peak`) in base64
    loudness : "mix" and each stem → short-term loudness of each column, as bytes in base64 (see `LUFS_STEP`)
    chroma : of the mix, C first in each column, relative to the strongest pitch class of the column; four bits each,
        the first of two in the upper half of a byte, in base64. Silent columns are 0
    beats, downbeats : the first time and then the differences, in hundredths of a second; empty when there are more
        than `MOST_TIMES`
    crops : start and end of each in hundredths of a second, as one list
    """
    highest = np.abs(full_mix.samples).max(axis=0, initial=0.0)
    peak = float(highest.max(initial=0.0))
    sounds = {"mix": full_mix, **stems}
    return {
        "seconds": full_mix.duration,
        "peak": peak,
        "waveform": _encode(np.round(_maxima(highest, WAVEFORM) / (peak or 1.0) * 255)),
        "loudness": {name: _encode(_loudness(sound)) for name, sound in sounds.items()},
        "chroma": _encode(_chroma(full_mix)),
        "beats": _differences(beats),
        "downbeats": _differences(downbeats),
        "crops": [_hundredths(time) for time in chain.from_iterable(crops)],
    }


def _encode(values: np.ndarray) -> str:
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode()


def _hundredths(seconds: float) -> int:
    return round(float(seconds) * TIMES_PER_SECOND)


def _differences(times: np.ndarray) -> list[int]:
    """Return the first of some times and then the differences; these are shorter to write, and their sums exact."""
    if len(times) > MOST_TIMES:
        return []
    return np.diff(np.round(times * TIMES_PER_SECOND).astype(int), prepend=0).tolist()


def _starts(count: int, columns: int) -> np.ndarray:
    """Return where each of at most so many columns of `count` values begins; none is empty."""
    columns = min(count, columns)
    return np.arange(columns) * count // max(columns, 1)


def _maxima(values: np.ndarray, columns: int) -> np.ndarray:
    return np.maximum.reduceat(values, _starts(len(values), columns)) if len(values) else values


def _loudness(sound: Audio) -> np.ndarray:
    """Return the loudness of 3 s around each column, or of the column where it is longer, in steps above the lowest."""
    powers = loudness.step_powers(sound.samples, sound.rate, sound.layout)
    edges = np.append(_starts(len(powers), LOUDNESS), len(powers))
    centre = (edges[1:] + edges[:-1]) / 2
    half = np.maximum(WINDOW / loudness.STEP_SECONDS, np.diff(edges)) / 2
    begin = np.maximum(np.round(centre - half), 0).astype(int)
    end = np.minimum(np.round(centre + half), len(powers)).astype(int)
    total = np.concatenate([[0.0], np.cumsum(powers)])
    mean = np.maximum(total[end] - total[begin], 0.0) / np.maximum(end - begin, 1)
    lufs = loudness.power_to_loudness(np.maximum(mean, 1e-30))
    return np.clip(np.round((lufs - LOWEST_LUFS) / LUFS_STEP), 0, 255)


def _chroma(sound: Audio) -> np.ndarray:
    """Return the chroma of each column, two pitch classes to a byte, uint8 [6 * column]."""
    frequency = spectrum.frequencies(sound.rate, pitch_class.FRAME)
    half = spectrum.transform_length(sound.rate, pitch_class.FRAME) // 2
    padded = np.pad(sound.samples, ((0, 0), (half, half)))
    tuning = pitch_class.tuning_of(sound)
    chromas, energies = [], []
    for magnitude in spectrum.magnitudes(padded, sound.rate, frame=pitch_class.FRAME, hop=pitch_class.HOP):
        power = np.square(magnitude, dtype=np.float64)
        chromas.append(pitch_class.fold_to_chroma(power, frequency, tuning))
        energies.append(power.sum(axis=1))
    frames = np.concatenate(chromas) * pitch_class.active(np.concatenate(energies))[:, None]
    columns = np.add.reduceat(frames, _starts(len(frames), CHROMA))
    strongest = columns.max(axis=1, keepdims=True)
    levels = np.round(columns / np.where(strongest > 0, strongest, 1) * CHROMA_LEVELS).astype(np.uint8).ravel()
    return levels[0::2] << 4 | levels[1::2]
