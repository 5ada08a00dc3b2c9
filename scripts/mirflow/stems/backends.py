"""Choosing the separator: the backend of the setting ``stems.backend``, loaded where it is a trained one."""

import importlib.metadata
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mirflow.core.audio import Audio
from mirflow.dsp.separation.channels import in_phase
from mirflow.models import catalogue, loading
from mirflow.stems import embedded, trained

NAMES = ("embedded", *trained.BACKENDS)


def choose(
    backend: str,
    files: Sequence[str | PathLike] = (),
    entry: str = "",
    device: str = "auto",
    extra: Sequence[str] = (),
    **running: Any,
) -> tuple[Callable[[Audio], dict[str, np.ndarray]], dict[str, Any]]:
    """Return a function that separates a mix, and what ``stems.json`` records of it.

    Parameters
    ----------
    backend : one of `NAMES`
    files : of a trained backend's model; default: those of its entry
    entry : the model's name in config/models.yaml, whose hashes the files must have; "" with files: no comparison
    device : "auto" or "cpu", of a trained backend
    extra : further stems, of a trained backend (see `trained.separate`)
    running : a value for each key of `trained.DEFAULTS`

    Raises
    ------
    MirflowError : the model is missing, or belongs to another backend
    """
    if backend == "embedded":
        return partial(in_phase, embedded.separate), {"backend": backend, "version": embedded.VERSION}
    if entry or not files:
        entry = trained.entry(backend, entry)
    paths = files or catalogue.path(entry)
    segment = running.pop("segment")
    named = [entry] if entry else []
    loaded = loading.load(trained.load, paths, device, named, backend=backend, segment=segment, entry=entry)
    differing = {n: v for n, v in (running | {"segment": segment}).items() if v != trained.DEFAULTS[n]}
    return partial(in_phase, partial(trained.separate, separator=loaded.value, extra=extra, **running)), {
        "backend": backend,
        "backend_version": importlib.metadata.version(trained.package(backend)),
        "model": {"name": entry or Path(paths[0]).name, "sha256": loaded.files},
        "settings": {name: differing[name] for name in trained.DEFAULTS if name in differing},
    }
