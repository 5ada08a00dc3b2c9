"""Loading a model from its files: they are checked, and the loaded model is cached for the next command."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from mirflow.core.errors import MirflowError
from mirflow.models import accelerator, cache, catalogue, download


@dataclass
class Loaded:
    """A loaded model.

    Attributes
    ----------
    value : what the loader returned
    files : its files: name → sha256
    """

    value: Any
    files: dict[str, str]

    def close(self) -> None:
        """Free its memory."""
        self.value = None
        accelerator.release()


def load(
    loader: Callable[..., Any],
    files: Sequence[str | PathLike],
    device: str = "auto",
    models: Iterable[str] = (),
    **options: Any,
) -> Loaded:
    """Return a model, loaded by ``loader(files, device, **options)`` unless the same one is cached.

    It is loaded again when a file has changed, or when the loader, device, entries or options are others.

    Parameters
    ----------
    files : all files of the model
    device : "auto" or "cpu"
    models : entries of config/models.yaml that the files belong to: files must have the hashes there. Without entries
        the files are only hashed

    Raises
    ------
    MirflowError : a file is missing or has another hash than its entry says; or an error of the loader
    """
    paths = [Path(file).absolute() for file in files]  # not resolved: behind a link, a file may have another name
    names = tuple(models)

    def fresh() -> Loaded:
        sha256 = verified(paths, names)
        return Loaded(loader(paths, device, **options), sha256)

    changed = tuple((str(path), path.stat().st_mtime_ns if path.exists() else 0) for path in paths)
    key = (loader.__module__, loader.__qualname__, changed, device, names, repr(sorted(options.items())))
    return cache.get(key, fresh)


def verified(paths: Sequence[Path], models: Sequence[str]) -> dict[str, str]:
    """Return file name → sha256, after comparing the hashes with those in config/models.yaml.

    Raises
    ------
    MirflowError : a file is missing, or has another hash than its entry says
    """
    known = [file for model in models for file in catalogue.files(model)]
    if models and len(known) != len(paths):
        raise MirflowError(f"{', '.join(models)}: {len(known)} files are expected, {len(paths)} are given")
    if known:
        return {file.name: download.verify(file, at=at) for file, at in zip(known, paths, strict=True)}
    for path in paths:
        if not path.is_file():
            raise MirflowError(f"{path}: no such file")
    return {path.name: download.sha256(path) for path in paths}
