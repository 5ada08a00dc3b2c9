"""Labels and scores out of a network's output: which model makes which key stands in models.yaml (``head``) alone."""

import importlib.metadata
from pathlib import Path

import numpy as np

from mirflow import artifacts, models, networks, registry, tensorflow
from mirflow.errors import MirflowError
from mirflow.info import PROVENANCE
from mirflow.registry import Feature, Field, Setting

VERSION = 1  # raise it when values change
DIGITS = 4  # decimals of the probabilities in .INFO
LOWEST_TEMPO = 30  # 1/min, of TempoCNN's first class; the others follow in steps of one
SETTINGS = (
    Setting("threshold", 0.1, "labels that are less likely stay out of .INFO; the fragment has all", bounds=(0, 1)),
    Setting("top", 10, "at most so many labels go into .INFO", bounds=(1, 1000)),
)


def features() -> tuple[Feature, ...]:
    """Return a feature per head of the catalogue."""
    return tuple(declare(name) for name in names())


def names() -> tuple[str, ...]:
    """Return the models of the catalogue that are heads."""
    return tuple(name for name, entry in models.entries().items() if "head" in entry)


def chosen(backend: str, wanted: list[str]) -> tuple[str, ...]:
    """Return the heads that a run makes: those that are not optional, and the wanted ones of those that are.

    Raises
    ------
    MirflowError : a wanted one is none
    """
    optional = [name for name in names() if models.entry(name)["head"].get("optional")]
    if unknown := set(wanted) - set(optional):
        raise MirflowError(f"labels.optional: {', '.join(sorted(unknown))}: none of {', '.join(optional)}")
    return tuple(name for name in names() if backend != "none" and (name not in optional or name in wanted))


def options(feature: Feature, labels: dict) -> str:
    """Return the settings of a head as arguments of its command: only those that differ from the default."""
    differing = [s for s in feature.settings if labels[s.name] != s.default]
    return " ".join(f"--{setting.name} {labels[setting.name]}" for setting in differing)


def head_entry(name: str) -> dict:
    """Return what the catalogue says of a head.

    Raises
    ------
    MirflowError : when the model is none
    """
    head = models.entry(name).get("head")
    if head is None:
        raise MirflowError(f"models.yaml: {name} is no head; there are {', '.join(names())}")
    networks.network_entry(head["network"])
    return head


def declare(name: str) -> Feature:
    """Return a head's declaration."""
    head, purpose = head_entry(name), models.entry(name)["purpose"]
    framing = networks.FRAMINGS[networks.network_entry(head["network"])["algorithm"]]
    undefined = f"in silence, or shorter than {framing.shortest:.0f} s"
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
    optional = f", labels.optional: [{name}]" if head.get("optional") else ""
    return Feature(
        name=name,
        version=VERSION,
        inputs=("full_mix",),
        fields=fields,
        settings=SETTINGS if "labels" in head else (),
        backend=tensorflow.PACKAGE,
        models=tuple(dict.fromkeys((head["network"], name))),
        requires=f"labels.backend: essentia{optional}",
    )


def measure(name: str, patches: networks.Patches, threshold: float = 0.1, top: int = 10) -> dict:
    """Measure what one head says of a track.

    Parameters
    ----------
    patches : output of the head's network
    threshold, top : of the labels that go into ``.INFO``

    Returns
    -------
    The fragment: the head's keys, ``_probabilities`` (label → mean over the patches, all of them) and ``_provenance``.

    Raises
    ------
    MirflowError : a file of the head is missing, damaged or another one; or its classes are not those that are expected
    """
    head, feature = head_entry(name), declare(name)
    own = {file.name: models.verify(file) for file in models.files(name) if name != head["network"]}
    output = _through_graph(name, head, patches.output, bool(own))
    if "tempo" in head:
        values, extra = {head["tempo"]: tempo(output)}, {}
    else:
        classes = _classes(name, head)
        if len(output) and output.shape[1] != len(classes):
            where = models.folder() / networks.graph_file(name if own else head["network"]).name
            raise MirflowError(f"{where} has {output.shape[1]} outputs, but {name} has {len(classes)} classes")
        means = output.mean(axis=0, dtype=np.float64) if len(output) else None
        every = dict(zip(classes, means, strict=True)) if means is not None else None
        extra = {"_probabilities": every}
        if "labels" in head:
            values = {head["labels"]: likely(every, threshold, top) if every else None}
        else:
            missing = set(head["keys"].values()) - set(classes)
            if missing:
                raise MirflowError(f"models.yaml: {name}: no class {', '.join(missing)} among {', '.join(classes)}")
            values = {key: float(every[label]) if every else None for key, label in head["keys"].items()}
    origin = {
        "feature": name,
        "version": feature.version,
        "backend": feature.backend,
        "backend_version": importlib.metadata.version(feature.backend),
        "model": patches.model | own,
    }
    given = {"threshold": threshold, "top": top}
    differing = {s.name: given[s.name] for s in feature.settings if given[s.name] != s.default}
    if differing:
        origin["settings"] = differing
    return {**registry.check(feature, values), **extra, PROVENANCE: origin}


def _through_graph(name: str, head: dict, output: np.ndarray, has_files: bool) -> np.ndarray:
    """Return the head's own output, float32 [patch, class]; that of its network when it has no graph."""
    if not len(output) or not has_files:
        return output
    file = networks.graph_file(name)
    nodes = {"input": head.get("input", "model/Placeholder"), "output": head.get("output", "model/Softmax")}
    return tensorflow.run("TensorflowPredict2D", output, models.folder() / file.name, known=bool(file.sha256), **nodes)


def _classes(name: str, head: dict) -> list[str]:
    if "classes" in head:
        return list(head["classes"])
    found = [models.folder() / file.name for file in models.files(name) if Path(file.name).suffix == ".json"]
    if len(found) != 1:
        raise MirflowError(f"models.yaml: {name}: neither classes nor one file that ends in .json")
    classes = artifacts.read_json(found[0]).get("classes")
    if not isinstance(classes, list) or not classes or not all(isinstance(label, str) for label in classes):
        raise MirflowError(f"{found[0]}: Essentia's metadata with a list of classes is expected")
    if len(set(classes)) != len(classes):
        raise MirflowError(f"{found[0]}: a class is there twice")
    return classes


def likely(probabilities: dict[str, float], threshold: float, top: int) -> dict[str, float]:
    """Return the likeliest labels, most likely first; equal ones in the order of the classes."""
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    return {label: round(float(p), DIGITS) for label, p in ranked[:top] if p >= threshold}


def tempo(output: np.ndarray) -> float | None:
    """Return the tempo (1/min) that most patches are for (TempoCNN's classes [patch, 256]); of equals the slowest."""
    if not len(output):
        return None
    return float(LOWEST_TEMPO + np.bincount(output.argmax(axis=1)).argmax())
