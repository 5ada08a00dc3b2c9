"""The choice of what hears drums (setting ``transcribe.drums``), and loading of its network.

A backend is a module of this package with ``VERSION``, ``THRESHOLDS``, ``WITH_MIX`` (whether it hears the mix beside
the stem), ``load(files, device)``, and ``hits(drums, network)``, which returns activations [frame, drum], or a pair of
these and of velocities (`DrumActivations`).
"""

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

from mirflow.core.audio import Audio
from mirflow.models import catalogue, loading
from mirflow.transcribe import hearing
from mirflow.transcribe.activations import DRUMS, DrumActivations

# Backend → its model in config/models.yaml; "" for one that needs no file
MODELS = {"embedded": "", "adtof": "adtof_frame_rnn"}
NAMES = tuple(MODELS)


def module(backend: str) -> ModuleType:
    """Return the module of a backend."""
    return importlib.import_module(f"mirflow.transcribe.{backend}")


def thresholds(backend: str, chosen: Mapping[str, float]) -> list[float]:
    """Return the thresholds of peaks, for each of `DRUMS`: the user's, or those of the backend where these are 0."""
    return [float(chosen.get(drum) or module(backend).THRESHOLDS[drum]) for drum in DRUMS]


def choose(
    backend: str, files: Sequence[str | PathLike] = (), entry: str = "", device: str = "auto"
) -> tuple[Callable[..., DrumActivations], dict[str, Any]]:
    """Return the function that estimates drum activations (see `hearing.activations`), and their provenance.

    Parameters
    ----------
    backend : one of `NAMES`
    files : the weights; default: those of the entry
    entry : name in config/models.yaml, whose hashes the files must have; "": no comparison
    device : "auto" or "cpu"

    Raises
    ------
    MirflowError : a file is missing, or has another hash than its entry says
    """
    made = module(backend)
    files = files or (catalogue.path(entry or MODELS[backend]) if MODELS[backend] else ())
    loaded = loading.load(made.load, files, device, [entry] if entry else [])
    record = {"backend": backend, "version": made.VERSION}
    if loaded.files:
        record["model"] = {"name": entry or Path(files[0]).name, "sha256": ", ".join(loaded.files.values())}

    def heard(drums: Audio, full_mix: Audio, own: Sequence[Audio] = ()) -> DrumActivations:
        return hearing.activations(
            drums, full_mix, lambda sound: made.hits(sound, loaded.value), own, with_mix=made.WITH_MIX
        )

    return heard, record
