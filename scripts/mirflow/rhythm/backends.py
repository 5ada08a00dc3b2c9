"""The choice of the backend that estimates beat activations (setting ``beats.backend``), and loading of its network."""

import importlib.metadata
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from mirflow.core.audio import Audio
from mirflow.models import catalogue, loading
from mirflow.rhythm import beat_this, embedded
from mirflow.rhythm.activations import Activations

NAMES = ("embedded", "beat_this")


def choose(
    backend: str, files: Sequence[str | PathLike] = (), entry: str = "", device: str = "auto"
) -> tuple[Callable[[Audio], Activations], dict[str, Any]]:
    """Return the function that estimates beat activations of a mix, and the provenance to record with its results.

    Parameters
    ----------
    backend : one of `NAMES`
    files : the checkpoint of beat_this; default: that of its entry
    entry : its name in config/models.yaml, whose hash the file must have; "": no comparison
    device : "auto" or "cpu", of beat_this

    Raises
    ------
    MirflowError : the checkpoint is missing, or has another hash than its entry says
    """
    if backend == "embedded":
        return embedded.activations, {"backend": backend, "version": embedded.VERSION}
    files = files or (catalogue.path(entry) if entry else ())
    loaded = loading.load(beat_this.load, files, device, [entry] if entry else [])
    (sha256,) = loaded.files.values()
    return partial(beat_this.activations, network=loaded.value), {
        "backend": "beat-this",
        "backend_version": importlib.metadata.version("beat-this"),
        "model": {"name": entry or Path(files[0]).name, "sha256": sha256},
    }
