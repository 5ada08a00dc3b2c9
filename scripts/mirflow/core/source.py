"""What the records beside full_mix.flac and the stems say of them: their level in the source, and their channels."""

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mirflow.core import artifacts, audio, layout
from mirflow.core.audio import Audio


def read(path: str | PathLike) -> Audio:
    """Read the full mix or a stem, with the layout of the source where the file has as many channels.

    Raises
    ------
    MirflowError : the file cannot be read as audio, or the record is damaged; the message names it
    """
    sound = audio.read(path)
    if len(sound.samples) <= 2:
        return sound
    names = tuple(_record(_track(path).source_record).get("layout", "").split())
    return replace(sound, layout=names) if len(names) == len(sound.samples) else sound


def read_at_source_level(path: str | PathLike, is_stem: bool) -> Audio:
    """Read the full mix or a stem at the level that it has in the source (see `read`).

    A source beyond full scale is attenuated as a whole for full_mix.flac, and stems beyond full scale all by one gain.
    The records beside the files say by how much; a file without such a record is taken as it is.
    """
    sound, track = read(path), _track(path)
    records = [track.source_record, *([track.stems_record] if is_stem else [])]
    gain_db = sum(_record(record).get("gain_db", 0.0) for record in records)
    return replace(sound, samples=sound.samples * np.float32(10 ** (-gain_db / 20))) if gain_db else sound


def downmix_record(sound: Audio) -> dict[str, list[float]]:
    """Return what to record of the downmix of a sound: the weights of its channels where it is not their mean."""
    return {} if sound.downmix is None else {"downmix": sound.downmix.tolist()}


def _track(path: str | PathLike) -> layout.TrackFiles:
    folder = Path(path).parent
    return layout.TrackFiles(str(folder), folder.name)


def _record(path: str) -> dict[str, Any]:
    """Return the content of a record; nothing where there is none."""
    return artifacts.read_json(path) if Path(path).is_file() else {}
