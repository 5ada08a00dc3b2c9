"""Which backends there are, and which files a model consists of."""

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from mirflow import models
from mirflow.describe.answer import Backend
from mirflow.errors import MirflowError


@dataclass(frozen=True)
class Model:
    """Which model, and how it runs.

    Attributes
    ----------
    backend : a name out of `BACKENDS`
    path : a GGUF file, or a folder for transformers
    projector : the GGUF file that goes with it
    device : auto or cpu
    threads : of the CPU
    """

    backend: str
    path: str
    projector: str = ""
    device: str = "auto"
    threads: int = 1

    def load(self) -> Backend:
        """Load it."""
        return BACKENDS[self.backend](self)


def _gguf(model: Model) -> Backend:
    from mirflow.describe.gguf import Gguf

    return Gguf(model.path, model.projector, model.device, model.threads)


def _gguf_text(model: Model) -> Backend:
    from mirflow.describe.gguf import Text

    return Text(model.path, model.device, model.threads)


def _transformers(model: Model) -> Backend:
    from mirflow.describe.transformers_backend import Transformers

    return Transformers(model.path, model.device, model.threads)


BACKENDS: dict[str, Callable[[Model], Backend]] = {
    "gguf": _gguf,
    "gguf_text": _gguf_text,
    "transformers": _transformers,
}


CHECKPOINT = (".safetensors", ".json", ".jinja", ".txt", ".model")  # suffixes of what a checkpoint's folder is read for


def locate(chosen: str, setting: str) -> list[str]:
    """Return the files that a setting names: those of an entry of config/models.yaml, or the path that it is.

    Raises
    ------
    MirflowError : when it is neither; names the setting
    """
    if not chosen:
        return []
    if chosen in models.entries():
        return models.path(chosen)
    if os.sep not in chosen and not Path(chosen).suffix:
        near = difflib.get_close_matches(chosen, models.entries(), n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise MirflowError(f"{setting}: {chosen!r} is no path, and no model in config/models.yaml{hint}")
    return [str(Path(chosen).expanduser())]


def pair(chosen: str, projector: str) -> tuple[str, str]:
    """Return a model and its projector ("" when it has none), from the settings ``describe.model`` and ``.projector``.

    An entry of config/models.yaml lists the model first, then the projector; the setting goes before it.
    """
    found = locate(chosen, "describe.model")
    other = locate(projector, "describe.projector") or found[1:]
    return next(iter(found), ""), next(iter(other), "")


def files(backend: str, path: str, projector: str) -> list[Path]:
    """Return the files that a model consists of.

    Raises
    ------
    MirflowError : when one is not named or not there; names the setting
    """
    if backend == "none":
        return []
    if not path:
        raise MirflowError(f"describe.model: the backend {backend} needs it; see the README for where to get one")
    model = Path(path)
    if backend == "transformers":
        found = sorted(file for file in model.glob("*") if file.suffix in CHECKPOINT)
        if not (model / "config.json").is_file():
            raise MirflowError(f"describe.model: {model} is no folder with a model in it (config.json is not there)")
        return found
    if not projector:
        raise MirflowError("describe.projector: the backend gguf needs it, the file with mmproj in its name")
    return [model, Path(projector)]


def identity(name: str, paths: list[str | PathLike]) -> dict[str, Any]:
    """Return which model it is: ``name``, and ``files``: file name → bytes and sha256, in the order given.

    Raises
    ------
    MirflowError : when a file cannot be read, or is not the one that config/models.yaml describes
    """
    catalogue = {models.folder() / file.name: file for file in models.files()}
    found: dict[str, dict] = {}
    for path in map(Path, paths):
        try:
            known = catalogue.get(path)
            digest = models.verify(known, path) if known else models.sha256(path)
            found[path.name] = {"bytes": path.stat().st_size, "sha256": digest}
        except OSError as error:
            raise MirflowError(f"{path}: cannot be read ({error.strerror})") from error
    return {"name": name, "files": found}
