"""What a feature declares about itself: name, version, inputs, keys with their units and bounds, settings, models.

A feature is one module in `mirflow.features`: its ``FEATURE`` says what it measures, its ``measure`` measures it. The
rule, the command, the fragment, the keys in ``.INFO``, the table in the documentation and the contract tests follow.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mirflow.core.layout import EMBEDDING, INPUTS, ON_REQUEST

OPTIONAL = "_optional"  # the key, in fragments, that lists keys which a fragment may lack
PROVENANCE = "_provenance"  # the key, in fragments and in ``.INFO``, that says where values come from


@dataclass(frozen=True)
class Field:
    """One key of a feature.

    Attributes
    ----------
    key : its name in the fragment and in ``.INFO``
    unit : "LUFS", "s", "1/s", "ratio", "name" ...
    bounds : what is possible, inclusive; a value outside raises. None for texts
    range : what a number conditioner is trained on, from real music; applied on export only
    meaning : one line for the table of features
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

    Its value reaches ``measure`` as a keyword argument and makes the fragments out of date when it changes.
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
    inputs : names out of `mirflow.core.layout.INPUTS`, the keyword arguments of ``measure``; or the embedding of a
        network, "labels/<name>", which reaches ``measure`` as ``embedding``
    fields : the keys that ``measure`` returns, all of them, always
    cite : where the definitions come from
    settings : choices of the user
    backend : the installed package that does the essential work, named with its version in the provenance; None when
        that is this project's own code
    models : names in config/models.yaml whose files it needs. The module's ``load(files, device)`` loads them, and what
        it returns reaches ``measure`` as ``model``
    gpu : whether the model runs on a GPU where there is one (the rule claims gpu=1, and the model stays loaded)
    environment : which of ``envs/`` has its packages: "base" or "models"
    memory : MB that it takes for a track of 20 minutes, where that is not the usual amount for its inputs
    own_process : whether it uses a library that must not be forked after it was used, such as TensorFlow
    section : of the settings, where its own stand ("" means ``features: <name>``)
    switches : settings that must all have a value (or, for lists, hold it) for it to be made; none: always made
    """

    name: str
    version: int
    inputs: tuple[str, ...]
    fields: tuple[Field, ...]
    cite: str = ""
    settings: tuple[Setting, ...] = ()
    backend: str | None = None
    models: tuple[str, ...] = ()
    gpu: bool = False
    environment: str = "base"
    memory: int | None = None
    own_process: bool = False
    section: str = ""
    switches: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for name in self.inputs if name not in INPUTS and not name.startswith(EMBEDDING)]
        if unknown or not self.inputs:
            raise ValueError(f"feature {self.name}: inputs must be out of {INPUTS}, got {self.inputs}")
        keys = [field.key for field in self.fields]
        if len(set(keys)) != len(keys) or not keys:
            raise ValueError(f"feature {self.name}: at least one key is needed, and each only once")
        if any(key.startswith("_") for key in keys):
            raise ValueError(f"feature {self.name}: keys with a leading underscore are reserved")

    @property
    def requested_by(self) -> list[str]:
        """The settings that bring its inputs, where these are made on request only."""
        return [ON_REQUEST[name] for name in self.inputs if name in ON_REQUEST]

    @property
    def on_request(self) -> bool:
        """Whether it is made only with some setting."""
        return bool(self.switches or self.requested_by)

    @property
    def requires(self) -> str:
        """The settings that bring it, as they are written; empty when it is always made."""
        lists = {"labels.optional"}
        switches = [f"{name}: [{value}]" if name in lists else f"{name}: {value}" for name, value in self.switches]
        return ", ".join([*switches, *self.requested_by])

    def is_wanted(self, config: Mapping[str, Any]) -> bool:
        """Whether the settings ask for it (`skip` among them)."""
        wanted = self.name not in config["skip"] and all(_holds(config, *switch) for switch in self.switches)
        return wanted and not any(_holds(config, setting, "none") for setting in self.requested_by)

    def chosen(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the user's values for its settings, and ``device`` where it has a model."""
        place = config.get(self.section, {}) if self.section else config["features"].get(self.name, {})
        values = {setting.name: place.get(setting.name, setting.default) for setting in self.settings}
        return values | ({"device": place.get("device", "auto")} if self.models else {})


def _holds(config: Mapping[str, Any], name: str, wanted: str) -> bool:
    """Whether the setting of a dotted name has a value, or holds it."""
    value: Any = config
    for part in name.split("."):
        value = value[part]
    return wanted in value if isinstance(value, list) else value == wanted


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
