"""Which trained models the settings ask for, and what is there of their files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirflow import features
from mirflow.core.errors import MirflowError
from mirflow.core.layout import EMBEDDING, own
from mirflow.labels import embedding
from mirflow.models import catalogue, download
from mirflow.models.catalogue import File
from mirflow.stems import trained
from mirflow.transcribe import backends
from mirflow.workflow import progress


@dataclass(frozen=True)
class Need:
    """A model of config/models.yaml that is needed.

    Attributes
    ----------
    model : its name
    because : the settings that ask for it, as they are written
    makes : what it makes: keys of ``.INFO``, or artifacts
    """

    model: str
    because: str
    makes: tuple[str, ...]

    @property
    def files(self) -> tuple[File, ...]:
        """Its files."""
        return catalogue.files(self.model)


def needs(config: Mapping[str, Any]) -> list[Need]:
    """Return what a run with these settings needs, each model once.

    Raises
    ------
    MirflowError : a setting names a model that does not exist
    """
    found: dict[str, Need] = {}

    def add(model: str, because: str, *makes: str) -> None:
        known = found.get(model, Need(model, because, ()))
        found[model] = Need(model, known.because, (*known.makes, *(one for one in makes if one not in known.makes)))

    stems, beats, describe = config["stems"], config["beats"], config["describe"]
    if stems["backend"] != "embedded":
        add(trained.entry(stems["backend"], stems["model"]), f"stems.backend: {stems['backend']}", "stems")
    if beats["backend"] == "beat_this":
        add(beats["model"], f"beats.backend: {beats['backend']}", "beats")
    drums = backends.MODELS.get(config["transcribe"]["drums"])
    if drums:
        add(drums, f"transcribe.drums: {config['transcribe']['drums']}", "drums.mid")
    if config["transcribe"]["drum_stems"] != "none":
        chosen = config["transcribe"]["drum_stems"]
        add(chosen, f"transcribe.drum_stems: {chosen}", "drum_stems")
    for feature in features.wanted(config):
        keys = [field.key for field in feature.fields]
        for name in feature.inputs:
            if name.startswith(EMBEDDING):
                add(embedding.of_stem(name.removeprefix(EMBEDDING))[0], feature.requires, *keys)
        for name in feature.models:
            add(name, feature.requires, *keys)
    for name in config["labels"]["embeddings"]:
        add(embedding.of_stem(name)[0], f"labels.embeddings: [{name}]", "embeddings")
    if describe["backend"] != "none":
        because = f"describe.backend: {describe['backend']}"
        for setting, chosen in (("model", because), ("projector", because), ("condense_model", ""), ("tokenizer", "")):
            if describe[setting] in catalogue.entries():
                add(describe[setting], chosen or f"describe.{setting}: {describe[setting]}", "texts")
    for name in found:
        catalogue.entry(name)
    return list(found.values())


def check_licences(needed: list[Need], allow: list[str]) -> None:
    """Refuse models whose licences are not allowed (``licences.allow``; an empty list allows all).

    Raises
    ------
    MirflowError : names each such model, its licence and the setting that asks for it
    """
    refused = [need for need in needed if allow and not set(licences(need)) <= set(allow)]
    if refused:
        lines = [f"  {need.because}: {need.model} stands under {' and '.join(licences(need))}" for need in refused]
        raise MirflowError("\n".join([f"licences.allow has only {', '.join(allow)}:", *lines]))


def licences(need: Need) -> list[str]:
    """Return the licences of a model, all of which hold."""
    return (catalogue.entry(need.model).get("licence") or "none stated").split(" and ")


LICENCES = ("model", "licence", "holder", "setting", "makes")


def licence_rows(needed: list[Need]) -> list[tuple[str, ...]]:
    """Return the rows of a table of licences, with the columns `LICENCES`."""
    return [
        (
            need.model,
            " and ".join(licences(need)),
            catalogue.entry(need.model).get("licence_note", ""),
            need.because,
            ", ".join(need.makes),
        )
        for need in needed
    ]


def write_licences(results: str, needed: list[Need]) -> None:
    """Write down the licences of the models of a run: what is made with a model stands under its licence."""
    path = Path(own(results, "licences.tsv"))
    if needed:
        progress.write_table(path, LICENCES, licence_rows(needed))
    else:
        path.unlink(missing_ok=True)


def files(needed: list[Need]) -> dict[File, Need]:
    """Return the files of models, each once: a file may belong to several."""
    found: dict[str, tuple[File, Need]] = {}
    for need in needed:
        for file in need.files:
            found.setdefault(file.name, (file, need))
    return dict(found.values())


def every_model() -> list[Need]:
    """Return all models of the catalogue, as if each were needed."""
    return [Need(name, "", ()) for name in catalogue.entries()]


@dataclass(frozen=True)
class State:
    """What is there of a file.

    Attributes
    ----------
    there : bytes of it, None if it is missing
    begun : bytes that an interrupted download has left
    hash : "known" (in models.yaml), "recorded" (at the first download), "unknown"
    """

    there: int | None
    begun: int
    hash: str


def state(file: File) -> State:
    """Look for a file in the models' folder; it is not read."""
    path = catalogue.folder() / file.name
    part = path.with_name(f"{path.name}.part")
    try:
        recorded = "recorded" if download.recorded(file) else "unknown"
    except MirflowError:
        recorded = "unknown"
    return State(_size(path), _size(part) or 0, "known" if file.sha256 else recorded)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
