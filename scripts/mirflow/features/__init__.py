"""The features, found by their modules: what each declares, how it is measured, what its fragment holds.

A module of this package is a feature: ``FEATURE`` declares it, ``measure`` computes it. A feature with a trained model
has ``load`` as well. The heads of config/models.yaml (`mirflow.labels.heads`) are features in the same form. Nothing
else lists the features.
"""

import importlib
import importlib.metadata
import pkgutil
from functools import cache
from typing import Any, Protocol

from mirflow import __version__
from mirflow.core.errors import MirflowError
from mirflow.core.feature import PROVENANCE, Feature, check
from mirflow.labels import heads


class Implementation(Protocol):
    """What measures a feature: a module of this package, or a head."""

    FEATURE: Feature

    def measure(self, **inputs: Any) -> dict[str, Any]:
        """Return the keys of the feature; also keys with an underscore, which stay in the fragment."""


def names() -> tuple[str, ...]:
    """Return the names of the modules of this package, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def implementation(name: str) -> Implementation:
    """Return what measures a feature.

    Raises
    ------
    MirflowError : there is none of that name
    """
    if name in names():
        return importlib.import_module(f"{__name__}.{name}")
    if name in heads.names():
        return heads.Head(name)
    raise MirflowError(f"no feature {name!r}")


def declared(name: str) -> Feature:
    """Return the declaration of one feature.

    Raises
    ------
    MirflowError : there is none of that name
    """
    return implementation(name).FEATURE


def built_in() -> tuple[Feature, ...]:
    """Return the declarations of the modules that are made with the default settings, without a trained model."""
    return tuple(feature for feature in of_modules() if not feature.models and not feature.switches)


@cache
def of_modules() -> tuple[Feature, ...]:
    """Return the declarations of all modules of this package, sorted by name.

    Raises
    ------
    ValueError : a declaration has another name than its module, or two features claim one key
    """
    found = tuple(declared(name) for name in names())
    for name, feature in zip(names(), found, strict=True):
        if feature.name != name:
            raise ValueError(f"features/{name}.py declares the name {feature.name!r}: both must be equal")
    return _distinct(found)


def all_features() -> tuple[Feature, ...]:
    """Return all declarations: those of modules without a model, then of those with one, then of the heads.

    Raises
    ------
    MirflowError : when two features have one name or claim one key: people may describe models of their own
    """
    found = sorted(of_modules(), key=lambda feature: (bool(feature.models), feature.on_request))
    try:
        return _distinct((*found, *heads.features()))
    except ValueError as error:
        raise MirflowError(f"models.yaml: {error}") from error


def wanted(config: dict[str, Any]) -> tuple[Feature, ...]:
    """Return what a run with these settings measures, in the order of `all_features`."""
    return tuple(feature for feature in all_features() if feature.is_wanted(config))


def _distinct(found: tuple[Feature, ...]) -> tuple[Feature, ...]:
    owner: dict[str, Feature] = {}
    for feature in found:
        for key in (f"the name {feature.name}", *(field.key for field in feature.fields)):
            if owner.setdefault(key, feature) is not feature:
                raise ValueError(f"features {owner[key].name} and {feature.name} both declare {key}")
    return found


def measure(name: str, inputs: dict[str, Any], settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a feature on loaded inputs; return its values, checked (see `fragment`)."""
    return {key: value for key, value in fragment(name, inputs, settings).items() if not key.startswith("_")}


def fragment(
    name: str, inputs: dict[str, Any], settings: dict[str, Any] | None = None, model: Any = None
) -> dict[str, Any]:
    """Run a feature on loaded inputs; return what its fragment holds: checked values, and where they come from.

    Parameters
    ----------
    inputs : for each name in ``FEATURE.inputs``: an `Audio` for the mix and the stems, times in seconds [k] for grids,
        `mirflow.transcribe.notes.DrumNotes`, `mirflow.labels.embedding.Patches` for an embedding
    settings : values for ``FEATURE.settings``; missing ones take their default
    model : what ``load`` returned, as `mirflow.models.loading.Loaded`

    Returns
    -------
    key → value, in the order of ``FEATURE.fields``, other keys with an underscore, and ``_provenance``
    """
    made = implementation(name)
    feature = made.FEATURE
    chosen = {setting.name: setting.default for setting in feature.settings} | (settings or {})
    given = {key.partition("/")[0].replace("labels", "embedding"): inputs[key] for key in feature.inputs}
    if feature.models:
        given["model"] = model.value
    values = made.measure(**given, **chosen)
    more = {key: value for key, value in values.items() if key.startswith("_")}
    values = check(feature, {key: value for key, value in values.items() if key not in more})

    origin: dict[str, Any] = {"feature": feature.name, "version": feature.version}
    origin["backend"] = feature.backend or "mirflow"
    origin["backend_version"] = importlib.metadata.version(feature.backend) if feature.backend else __version__
    files = {name: sha256 for value in given.values() for name, sha256 in getattr(value, "model_files", {}).items()}
    files |= model.files if model else {}
    if files:
        origin["model"] = files
    if downmixes := {name: sound.downmix for name, sound in given.items() if getattr(sound, "is_mixed_down", False)}:
        origin["downmix"] = {name: weights.tolist() for name, weights in downmixes.items()}
    differing = {s.name: chosen[s.name] for s in feature.settings if chosen[s.name] != s.default}
    if differing:
        origin["settings"] = differing
    return {**values, **more, PROVENANCE: origin}
