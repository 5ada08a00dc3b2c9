"""Heads: labels and scores computed from an embedding.

Each entry of config/models.yaml with a section ``head`` is a feature: the entry alone says which keys it gives.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.feature import Feature, Field, Setting
from mirflow.core.layout import CONFIG, EMBEDDING
from mirflow.labels import embedding
from mirflow.models import catalogue, graphs

VERSION = 1  # raise it when values change
CLASSES = CONFIG / "labels"  # <head>.txt: the names of its outputs
METADATA = ".json"  # suffix of Essentia's metadata of a head
DIGITS = 4  # decimals of the probabilities in .INFO
LOWEST_TEMPO = 30  # 1/min, TempoCNN's first class; the next ones follow in steps of one
SETTINGS = (
    Setting("threshold", 0.1, "labels that are less likely stay out of .INFO; the fragment has all", bounds=(0, 1)),
    Setting("top", 10, "at most so many labels go into .INFO", bounds=(1, 1000)),
)


def features() -> tuple[Feature, ...]:
    """Return the declarations of all heads of the catalogue."""
    return tuple(declare(name) for name in names())


def names() -> tuple[str, ...]:
    """Return the names of the models that are heads."""
    return tuple(name for name, entry in catalogue.entries().items() if "head" in entry)


def check_optional(wanted: list[str]) -> None:
    """Check the setting ``labels.optional``.

    Raises
    ------
    MirflowError : it names something that is not an optional head
    """
    optional = [name for name in names() if catalogue.entry(name)["head"].get("optional")]
    if unknown := set(wanted) - set(optional):
        raise MirflowError(f"labels.optional: {', '.join(sorted(unknown))}: none of {', '.join(optional)}")


def head_entry(name: str) -> dict:
    """Return the section ``head`` of a model's entry.

    Raises
    ------
    MirflowError : it has no such section
    """
    head = catalogue.entry(name).get("head")
    if head is None:
        raise MirflowError(f"models.yaml: {name} is not a head; the heads are {', '.join(names())}")
    embedding.network_entry(head["network"])
    return head


def declare(name: str) -> Feature:
    """Return the declaration of a head, as a feature."""
    head, purpose = head_entry(name), catalogue.entry(name)["purpose"]
    stem = head.get("stem", "")
    silence = f"where {stem} stay below {embedding.SILENT_STEM_DB:.0f} dBFS" if stem else "in silence"
    undefined = f"{silence}, or shorter than {embedding.shortest(head['network']):.0f} s"
    if "labels" in head:
        meaning = f"{purpose}: label → probability, mean over the track; the likeliest ones, the fragment has all"
        fields = (Field(head["labels"], "probability", meaning=meaning, undefined=undefined, kind=dict),)
    elif "tempo" in head:
        tempo = (LOWEST_TEMPO, LOWEST_TEMPO + 255)
        fields = (Field(head["tempo"], "1/min", bounds=tempo, range=(40, 208), meaning=purpose, undefined=undefined),)
    else:
        bounds = tuple(head.get("bounds", (0, 1)))
        unit = "score" if "bounds" in head else "probability"
        fields = tuple(
            Field(key, unit, bounds=bounds, range=bounds, meaning=f"{purpose}: {label}, mean over the track",
                  undefined=undefined)
            for key, label in head["keys"].items()
        )  # fmt: skip
    return Feature(
        name=name,
        version=VERSION,
        inputs=(f"{EMBEDDING}{head['network']}{f'.{stem}' if stem else ''}",),
        fields=fields,
        settings=SETTINGS if "labels" in head else (),
        backend=graphs.PACKAGE,
        models=(name,),
        memory=500,
        own_process=True,
        section="labels",
        switches=(("labels.backend", "essentia"), *((("labels.optional", name),) if head.get("optional") else ())),
    )


@dataclass(frozen=True)
class Graph:
    """A loaded head.

    Attributes
    ----------
    classes : names of the outputs; empty for a tempo
    path : its graph; None where the output of the network is already that of the head
    trusted : whether the catalogue has the graph's hash
    """

    classes: tuple[str, ...]
    path: Path | None
    trusted: bool


@dataclass(frozen=True)
class Head:
    """A head of the catalogue, with what a feature's module has: FEATURE, load, measure."""

    name: str

    @property
    def FEATURE(self) -> Feature:
        """Its declaration."""
        return declare(self.name)

    def load(self, files: Sequence[Path], device: str) -> Graph:
        """Load it from its files, in the order of its entry; `device` is ignored, since a head always runs on the CPU.

        Raises
        ------
        MirflowError : its entry has no graph or no classes, or the file with the classes is damaged
        """
        head = head_entry(self.name)
        own = dict(zip(catalogue.files(self.name), files, strict=True)) if head["network"] != self.name else {}
        classes = () if "tempo" in head else _classes(self.name, head, files)
        if not own:
            return Graph(classes, None, True)
        file = embedding.graph_file(self.name)
        return Graph(classes, own[file], bool(file.sha256))

    def measure(
        self, embedding: embedding.Patches, model: Graph, threshold: float = 0.1, top: int = 10
    ) -> dict[str, Any]:
        """Compute the head's labels or scores of a track.

        Parameters
        ----------
        embedding : output of the head's network
        threshold, top : at most `top` labels with at least this probability go into ``.INFO``

        Returns
        -------
        The head's keys; except for a tempo also ``_probabilities``: every label → its mean over the patches

        Raises
        ------
        MirflowError : the graph is damaged, or its outputs do not fit the classes of the entry
        """
        return values(self.name, head_entry(self.name), embedding, model, threshold, top)


def values(
    name: str, head: dict, patches: embedding.Patches, model: Graph, threshold: float = 0.1, top: int = 10
) -> dict[str, Any]:
    """Return what a head says of a track, by its entry in the catalogue: see `Head.measure`."""
    output = _through_graph(head, patches.output, model)
    if "tempo" in head:
        return {head["tempo"]: tempo(output)}
    if len(output) and output.shape[1] != len(model.classes):
        where = model.path or ", ".join(patches.model_files)
        raise MirflowError(f"{where} has {output.shape[1]} outputs, but {name} has {len(model.classes)} classes")
    means = output.mean(axis=0, dtype=np.float64) if len(output) else None
    every = dict(zip(model.classes, means, strict=True)) if means is not None else None
    if "labels" in head:
        return {head["labels"]: likely(every, threshold, top) if every else None, "_probabilities": every}
    missing = set(head["keys"].values()) - set(model.classes)
    if missing:
        raise MirflowError(f"models.yaml: {name}: no class {', '.join(missing)} among {', '.join(model.classes)}")
    numbers = {key: float(every[label]) if every else None for key, label in head["keys"].items()}
    return numbers | {"_probabilities": every}


def _through_graph(head: dict, output: np.ndarray, model: Graph) -> np.ndarray:
    """Return the head's output, float32 [patch, class]; without a graph of its own, that of its network."""
    if not len(output) or model.path is None:
        return output
    nodes = {"input": head.get("input", "model/Placeholder"), "output": head.get("output", "model/Softmax")}
    return graphs.run("TensorflowPredict2D", output, model.path, trusted=model.trusted, **nodes)


def _classes(name: str, head: dict, files: Sequence[Path]) -> tuple[str, ...]:
    """Return the names of a head's outputs: of its entry, of metadata among its files, or of config/labels."""
    if "classes" in head:
        return tuple(head["classes"])
    found = [path for path in files if path.suffix == METADATA]
    if len(found) > 1:
        raise MirflowError(f"models.yaml: {name}: at most one file that ends in {METADATA} is expected")
    return _of_metadata(found[0]) if found else _of_project(name)


def _of_metadata(path: Path) -> tuple[str, ...]:
    """Return the classes in a .json file of Essentia's metadata."""
    classes = artifacts.read_json(path).get("classes")
    if not isinstance(classes, list) or not classes or not all(isinstance(label, str) for label in classes):
        raise MirflowError(f"{path}: Essentia's metadata with a list of classes is expected")
    if len(set(classes)) != len(classes):
        raise MirflowError(f"{path}: a class is listed twice")
    return tuple(classes)


@cache
def _of_project(name: str) -> tuple[str, ...]:
    """Return the classes of config/labels, one a line, in the order of the graph's outputs.

    They are Essentia's. Its metadata is not downloaded, since its authors have changed it more than once, and so the
    order of the names could change under the same graph.
    """
    path = CLASSES / f"{name}.txt"
    if not path.is_file():
        raise MirflowError(f"models.yaml: {name}: it needs classes, a {METADATA} file of metadata, or {path}")
    classes = tuple(path.read_text(encoding="utf-8").splitlines())
    if len(set(classes)) != len(classes) or not all(classes):
        raise MirflowError(f"{path}: a class a line is expected, each once")
    return classes


def classes_identity(name: str) -> str:
    """Return what identifies the classes of a head that stand in config/labels, for ``made_by``; "" for others."""
    head = head_entry(name)
    own = "classes" in head or "tempo" in head or any(file.name.endswith(METADATA) for file in catalogue.files(name))
    return "" if own else _digest(_of_project(name))


def recalled_classes(model: str, today: str) -> str:
    """Return the identity of the classes that a head had which was made with a file of metadata.

    Parameters
    ----------
    model : what was noted of its files (`catalogue.identity`)
    today : its classes today; the answer where the metadata is gone
    """
    for item in model.split():
        path = catalogue.folder() / item.rpartition(":")[0]
        if path.suffix == METADATA and path.is_file():
            try:
                return _digest(_of_metadata(path))
            except MirflowError:
                return ""
    return today


def _digest(classes: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(classes).encode()).hexdigest()[:12]


def likely(probabilities: dict[str, float], threshold: float, top: int) -> dict[str, float]:
    """Return the likeliest labels, most likely first; equally likely ones in the order of the classes."""
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    return {label: round(float(p), DIGITS) for label, p in ranked[:top] if p >= threshold}


def tempo(output: np.ndarray) -> float | None:
    """Return the tempo (1/min) that is the likeliest one in most patches; the slowest of several.

    Parameters
    ----------
    output : of TempoCNN, [patch, 256]: a class for each tempo
    """
    if not len(output):
        return None
    return float(LOWEST_TEMPO + np.bincount(output.argmax(axis=1)).argmax())
