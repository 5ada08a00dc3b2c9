"""Separation of the drums stem into drums (setting ``transcribe.drum_stems``), and their files."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mirflow.core import artifacts
from mirflow.core.audio import Audio, open_for_writing
from mirflow.core.errors import MirflowError
from mirflow.core.layout import DRUM_STEMS
from mirflow.models import loading
from mirflow.stems import trained
from mirflow.stems.trained import Separator

VERSION = 1  # raise it when the files change
MODELS = {"mdx23c_drumsep": "mdx23c"}  # name in config/models.yaml → backend

# What separators call the drums that a drum stem consists of.
SOURCES = {
    "kick": ("kick",),
    "snare": ("snare",),
    "tom": ("toms", "tom"),
    "hihat": ("hh", "hihat", "hi-hat"),
    "cymbal": ("cymbals", "ride", "crash"),
}


def folding(sources: Sequence[str]) -> dict[str, np.ndarray]:
    """Return which sources add up to which of `DRUM_STEMS`: name → float32 [source] of 0 and 1.

    Raises
    ------
    MirflowError : there is a drum without a source
    """
    rows = {drum: np.array([source.lower() in SOURCES[drum] for source in sources], np.float32) for drum in DRUM_STEMS}
    missing = [drum for drum, row in rows.items() if not row.any()]
    if missing:
        raise MirflowError(f"it separates {', '.join(sources)}, but {' and '.join(missing)} are needed too")
    return rows


def load(files: Sequence[str | PathLike], entry: str, device: str) -> tuple[Separator, dict[str, Any]]:
    """Return a separator, and what its files' record says of it.

    Parameters
    ----------
    files : of the model
    entry : one of `MODELS`, whose hashes the files must have; "": no comparison, an MDX23C
    device : "auto" or "cpu"

    Raises
    ------
    MirflowError : the model is missing, is another one, or separates no drums; names the file
    """
    backend = MODELS.get(entry, "mdx23c")
    loaded = loading.load(trained.load, files, device, [entry] if entry else [], backend=backend, segment=0.0)
    try:
        folding(loaded.value.sources)
    except MirflowError as error:
        raise MirflowError(f"{files[0]}: {error}") from error
    return loaded.value, {
        "backend": backend,
        "backend_version": importlib.metadata.version(trained.package(backend)),
        "version": VERSION,
        "model": {"name": entry or Path(files[0]).name, "sha256": loaded.files},
    }


def separate(drums: Audio, separator: Separator) -> dict[str, np.ndarray]:
    """Split the drums stem.

    Returns
    -------
    each of `DRUM_STEMS` : float32 [channel, n] like the stem, at its level in the stem
    """
    return trained.separate(drums, separator, folding=folding(separator.sources))


def write(parts: Mapping[str, np.ndarray], rate: int, paths: Sequence[str | PathLike]) -> float:
    """Write the drums as FLAC files of 24 bits, all or none.

    Parameters
    ----------
    parts : each of `DRUM_STEMS`, float32 [channel, n]
    rate : Hz
    paths : in the order of `DRUM_STEMS`

    Returns
    -------
    the gain of all files in dB: 0 unless a drum exceeds full scale
    """
    peak = max(float(np.abs(part).max(initial=0)) for part in parts.values())
    gain = np.float32(min(1.0, 1 / peak if peak else 1.0))
    with ExitStack() as renamed_together:
        for name, path in zip(DRUM_STEMS, paths, strict=True):
            temporary = renamed_together.enter_context(artifacts.atomic_write(path))
            options = {"format": "FLAC", "subtype": "PCM_24"}
            with open_for_writing(temporary, rate, len(parts[name]), **options) as file:
                file.write(np.ascontiguousarray((parts[name] * gain).T))
    return 20 * float(np.log10(gain))
