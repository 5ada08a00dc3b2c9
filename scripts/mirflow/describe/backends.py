"""The backends that run a describing model, and the files of a model."""

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from mirflow.core.errors import MirflowError
from mirflow.describe.generation import Backend
from mirflow.models import catalogue, download


@dataclass(frozen=True)
class Model:
    """Which model to load, and how to run it.

    Attributes
    ----------
    backend : one of `BACKENDS`
    files : for gguf the model and its projector, for gguf_text the model, for transformers all files of the folder
    device : "auto" or "cpu"
    threads : CPU threads
    """

    backend: str
    files: tuple[str, ...]
    device: str = "auto"
    threads: int = 1

    def load(self) -> Backend:
        """Load it."""
        return BACKENDS[self.backend](self)


def _gguf(model: Model) -> Backend:
    from mirflow.describe.gguf import Gguf

    return Gguf(*model.files, model.device, model.threads)


def _gguf_text(model: Model) -> Backend:
    from mirflow.describe.gguf import Text

    return Text(*model.files, model.device, model.threads)


def _transformers(model: Model) -> Backend:
    from mirflow.describe.transformers_backend import Transformers

    return Transformers(Path(model.files[0]).parent, model.device, model.threads)


BACKENDS: dict[str, Callable[[Model], Backend]] = {
    "gguf": _gguf,
    "gguf_text": _gguf_text,
    "transformers": _transformers,
}


CHECKPOINT = (".safetensors", ".json", ".jinja", ".txt", ".model")  # suffixes of the files that belong to a checkpoint


def locate(chosen: str, setting: str) -> list[str]:
    """Return the files that the value of a setting stands for: those of an entry of config/models.yaml, or one path.

    Raises
    ------
    MirflowError : the value is neither an entry nor a path; names the setting
    """
    if not chosen:
        return []
    if chosen in catalogue.entries():
        return catalogue.path(chosen)
    if os.sep not in chosen and not Path(chosen).suffix:
        near = difflib.get_close_matches(chosen, catalogue.entries(), n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise MirflowError(f"{setting}: {chosen!r} is neither a path nor a model in config/models.yaml{hint}")
    return [str(Path(chosen).expanduser())]


def pair(chosen: str, projector: str) -> tuple[str, str]:
    """Return a model and its projector ("" without one), from the settings ``describe.model`` and ``.projector``.

    An entry of config/models.yaml lists the model first, then the projector; the setting takes precedence.
    """
    found = locate(chosen, "describe.model")
    other = locate(projector, "describe.projector") or found[1:]
    return next(iter(found), ""), next(iter(other), "")


def files(backend: str, path: str, projector: str) -> list[Path]:
    """Return all files of a model.

    Raises
    ------
    MirflowError : a setting is missing, or its folder holds no model; names the setting
    """
    if backend == "none":
        return []
    if not path:
        raise MirflowError(f"describe.model: the backend {backend} needs it; the README says where to get one")
    model = Path(path)
    if backend == "transformers":
        found = sorted(file for file in model.glob("*") if file.suffix in CHECKPOINT)
        if not (model / "config.json").is_file():
            raise MirflowError(f"describe.model: {model} is not a folder with a model in it (it has no config.json)")
        return found
    if not projector:
        raise MirflowError("describe.projector: the backend gguf needs it: the file with mmproj in its name")
    return [model, Path(projector)]


def identity(name: str, paths: list[str | PathLike]) -> dict[str, Any]:
    """Return what identifies a model: ``name``, and ``files``: file name → bytes and sha256, in the order given.

    Raises
    ------
    MirflowError : a file cannot be read, or has another hash than config/models.yaml says
    """
    described = {catalogue.folder() / file.name: file for file in catalogue.files()}
    found: dict[str, dict] = {}
    for path in map(Path, paths):
        try:
            known = described.get(path)
            digest = download.verify(known, path) if known else download.sha256(path)
            found[path.name] = {"bytes": path.stat().st_size, "sha256": digest}
        except OSError as error:
            raise MirflowError(f"{path}: cannot be read ({error.strerror})") from error
    return {"name": name, "files": found}
