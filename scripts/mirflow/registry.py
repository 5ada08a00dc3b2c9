"""What a feature declares about itself, and how the features are found.

A feature is one module in `mirflow.features`: its ``FEATURE`` says what it measures, its ``measure`` measures it. The
rules, the commands, the fragments, the merged ``.INFO``, the README's table and the contract tests all follow from this
declaration: nothing else lists the features.
"""

import hashlib
import importlib
import importlib.util
import math
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mirflow.errors import MirflowError

STEMS = ("drums", "bass", "other", "vocals")
GRIDS = ("beats", "downbeats", "onsets")
INPUTS = ("full_mix", *STEMS, *GRIDS)  # what a feature may ask for, and the names of its arguments


@dataclass(frozen=True)
class Field:
    """One key of a feature.

    Attributes
    ----------
    key : its name in the fragment and in ``.INFO``
    unit : "LUFS", "s", "1/s", "ratio", "name" ...
    bounds : what is possible, inclusive; a value outside raises. None for texts
    range : what a number conditioner is trained on, from real music; applied on export only
    meaning : one line for the README's table
    undefined : when the value is null; None when it always exists
    kind : float, int, str or dict
    """

    key: str
    unit: str
    bounds: tuple[float, float] | None = None
    range: tuple[float, float] | None = None
    meaning: str = ""
    undefined: str | None = None
    kind: type = float


@dataclass(frozen=True)
class Setting:
    """A choice that users have about a feature: ``features: <feature>: <name>`` in the settings.

    Its value reaches ``measure`` as a keyword argument and makes the fragments stale when it changes.
    """

    name: str
    default: float | int | str | bool
    meaning: str
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Feature:
    """What a feature module declares.

    Attributes
    ----------
    name : also the name of the module, the command, the fragment and (``feature_<name>``) the rule
    version : raise it when values change
    inputs : names out of `INPUTS`, the keyword arguments of ``measure``
    fields : the keys that ``measure`` returns, all of them, always
    cite : where the definitions come from
    settings : choices of the user
    backend : the installed package that does the essential work, named with its version in the provenance; None when
        that is this project's own code
    models : names in config/models.yaml of the models that it needs
    requires : the setting that brings it; empty when it is always made
    """

    name: str
    version: int
    inputs: tuple[str, ...]
    fields: tuple[Field, ...]
    cite: str = ""
    settings: tuple[Setting, ...] = ()
    backend: str | None = None
    models: tuple[str, ...] = ()
    requires: str = ""

    def __post_init__(self) -> None:
        unknown = set(self.inputs) - set(INPUTS)
        if unknown or not self.inputs:
            raise ValueError(f"feature {self.name}: inputs must be out of {INPUTS}, got {self.inputs}")
        keys = [field.key for field in self.fields]
        if len(set(keys)) != len(keys) or not keys:
            raise ValueError(f"feature {self.name}: keys must be there, and unique")
        if any(key.startswith("_") for key in keys):
            raise ValueError(f"feature {self.name}: keys with a leading underscore are reserved")


@cache
def feature_names() -> tuple[str, ...]:
    """Return the names of all features, sorted: the modules of `mirflow.features`."""
    package = importlib.import_module("mirflow.features")
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")))


def module(name: str) -> ModuleType:
    """Import the module of one feature."""
    return importlib.import_module(f"mirflow.features.{name}")


@cache
def feature(name: str) -> Feature:
    """Return the declaration of one feature, checked against the name of its module."""
    declared = module(name).FEATURE
    if declared.name != name:
        raise ValueError(f"features/{name}.py declares the name {declared.name!r}: both must be equal")
    return declared


@cache
def features() -> tuple[Feature, ...]:
    """Return the declarations of all modules of `mirflow.features`, sorted by name.

    Raises
    ------
    ValueError : when two features claim one key
    """
    return _distinct(tuple(feature(name) for name in feature_names()))


def all_features() -> tuple[Feature, ...]:
    """Return all declarations: those of `features`, then those of `mirflow.model_features`, which need a trained model.

    Raises
    ------
    MirflowError : when two features have one name or claim one key: people may describe models of their own
    """
    package = importlib.import_module("mirflow.model_features")
    modules = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))
    found = [importlib.import_module(f"{package.__name__}.{name}").features() for name in modules]
    try:
        return _distinct((*features(), *(declared for several in found for declared in several)))
    except ValueError as error:
        raise MirflowError(f"models.yaml: {error}") from error


def _distinct(found: tuple[Feature, ...]) -> tuple[Feature, ...]:
    owner: dict[str, Feature] = {}
    for declared in found:
        for key in (f"the name {declared.name}", *(field.key for field in declared.fields)):
            if owner.setdefault(key, declared) is not declared:
                raise ValueError(f"features {owner[key].name} and {declared.name} both declare {key}")
    return found


@cache
def source_identity(name: str) -> str:
    """Return a hash of the source that decides a feature's values: its module and the `mirflow.dsp` modules it imports.

    Other features do not count, so a change in one never recomputes another.
    """
    return module_identity(f"mirflow.features.{name}")


@cache
def module_identity(name: str) -> str:
    """Return a hash of a module's source and of the `mirflow.dsp` modules it imports."""
    digest = hashlib.sha256()
    for path in _sources(name):
        digest.update(path.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


_DSP_IMPORT = re.compile(r"^\s*(?:from\s+mirflow\.dsp\s+import\s+([\w, ]+)|from\s+mirflow\.dsp\.(\w+)\s+import)", re.M)


def _sources(root: str) -> list[Path]:
    """Return the file of module `root`, then those of the `mirflow.dsp` modules that it imports, transitively."""
    todo, seen = [root], {}
    while todo:
        name = todo.pop()
        spec = importlib.util.find_spec(name)
        if name in seen or spec is None or spec.origin is None:
            continue
        seen[name] = Path(spec.origin)
        for names, single in _DSP_IMPORT.findall(seen[name].read_text()):
            todo += [f"mirflow.dsp.{part.split()[0]}" for part in (single or names).split(",") if part.strip()]
    return [seen.pop(root), *(seen[name] for name in sorted(seen))]


def check(declared: Feature, values: dict[str, Any]) -> dict[str, Any]:
    """Return `values` in the declared order, checked.

    Raises
    ------
    ValueError : a key is missing or undeclared, a kind is wrong, a number is not finite or outside its bounds, a value
        is None though it is always defined
    """
    keys = [field.key for field in declared.fields]
    if set(values) != set(keys):
        raise ValueError(f"{declared.name}: declared keys and returned keys differ: {set(values) ^ set(keys)}")
    for field in declared.fields:
        value = values[field.key]
        if value is None:
            if field.undefined is None:
                raise ValueError(f"{declared.name}: {field.key} is None, but is declared to exist always")
        elif field.kind in (float, int):
            if isinstance(value, bool) or not math.isfinite(value) or (field.kind is int and value != int(value)):
                raise ValueError(f"{declared.name}: {field.key} = {value!r} is not a finite {field.kind.__name__}")
            if field.bounds and not field.bounds[0] <= value <= field.bounds[1]:
                raise ValueError(f"{declared.name}: {field.key} = {value!r} is outside its bounds {field.bounds}")
        elif not isinstance(value, field.kind):
            raise ValueError(f"{declared.name}: {field.key} = {value!r} is no {field.kind.__name__}")
    return {
        field.key: (int(v) if field.kind is int and (v := values[field.key]) is not None else values[field.key])
        for field in declared.fields
    }


def measure(name: str, inputs: dict[str, Any], settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run one feature on loaded inputs and check what it returns.

    Parameters
    ----------
    inputs : for each name in ``FEATURE.inputs``: an `Audio` for the mix and the stems, times in seconds [k] for grids
    settings : values for ``FEATURE.settings``; missing ones take their default

    Returns
    -------
    key → value, in the order of ``FEATURE.fields``
    """
    declared = feature(name)
    chosen = {setting.name: setting.default for setting in declared.settings} | (settings or {})
    function: Callable = module(name).measure
    return check(declared, function(**{key: inputs[key] for key in declared.inputs}, **chosen))
