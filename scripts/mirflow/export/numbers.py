"""The numbers that a model is conditioned on: which, in which range, and what stands where one does not exist."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mirflow import features
from mirflow.core.errors import MirflowError
from mirflow.core.feature import Field
from mirflow.export.items import SPLITS, Excluded, Item
from mirflow.export.settings import Settings

PERCENTILES = (0.5, 99.5)
KNOWN = "_known"  # suffix of the number that says whether another one exists
NARROW = 0.05  # share of a range: items that differ by less are hardly told apart
FEWEST = 1e-6  # relative; ranges that are narrower are those of a constant


@dataclass(frozen=True)
class Column:
    """A number that a model is conditioned on.

    Attributes
    ----------
    key : its name in ``.INFO``, and the id of the conditioner
    low, high : the range of the conditioner; values outside are clamped there
    median : of the train split, for items where the number does not exist
    flagged : whether a second number, <key>_known, says if it exists
    """

    key: str
    low: float
    high: float
    median: float
    flagged: bool

    @property
    def conditioners(self) -> dict[str, tuple[float, float]]:
        """The ids of its conditioners, each with its range."""
        return {self.key: (self.low, self.high)} | ({self.key + KNOWN: (0, 1)} if self.flagged else {})

    def numbers(self, item: Item) -> dict[str, float]:
        """Return the numbers of an item, by the ids of the conditioners."""
        value = item.info.get(self.key)
        known = value is not None
        return {self.key: value if known else self.median} | ({self.key + KNOWN: int(known)} if self.flagged else {})


@dataclass
class Choice:
    """What was chosen, and what there is to say about it.

    Attributes
    ----------
    columns : the numbers
    dropped : key → why it is no conditioner
    clipped : key → share of the train items outside of the range of the conditioner, where there are any
    narrow : key → share of the range in which nearly all train items lie, where that is small
    """

    columns: list[Column] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    clipped: dict[str, float] = field(default_factory=dict)
    narrow: dict[str, float] = field(default_factory=dict)

    def numbers(self, item: Item) -> dict[str, float]:
        """Return all numbers of an item, by the ids of the conditioners."""
        return {name: value for column in self.columns for name, value in column.numbers(item).items()}

    @property
    def conditioners(self) -> dict[str, tuple[float, float]]:
        """The ids of all conditioners, each with its range."""
        return {name: span for column in self.columns for name, span in column.conditioners.items()}


def declared() -> dict[str, Field]:
    """Return the numbers that features declare with a range, by key."""
    fields = (field for feature in features.all_features() for field in feature.fields)
    return {field.key: field for field in fields if field.kind in (float, int) and field.range is not None}


def wanted(items: Sequence[Item], settings: Settings) -> dict[str, Field]:
    """Return the numbers that the items can be conditioned on: those that users named, or all that were measured.

    Raises
    ------
    MirflowError : a named one is no number of a feature, or was not measured
    """
    known = declared()
    if unknown := [key for key in settings.numbers if key not in known]:
        raise MirflowError(f"export.numbers: {', '.join(unknown)}: no feature has such a number (docs/features.md)")
    measured = {key for item in items for key in item.info}
    if missing := [key for key in settings.numbers if key not in measured]:
        raise MirflowError(f"export.numbers: {', '.join(missing)}: not measured in any item (skipped, or switched off)")
    return {key: field for key, field in known.items() if key in (settings.numbers or measured) and key in measured}


def admit(items: Sequence[Item], fields: Mapping[str, Field]) -> tuple[list[Item], list[Excluded]]:
    """Separate the items that have all their numbers (which may be null) from those that lack one, or have nonsense."""
    good, bad = [], []
    for item in items:
        reason = _flaw(item.info, fields)
        good.append(item) if reason is None else bad.append(Excluded(item.track, item.crop, reason))
    return good, bad


def _flaw(info: Mapping[str, Any], fields: Mapping[str, Field]) -> str | None:
    missing = [key for key in fields if key not in info]
    if missing:
        return f"its .INFO lacks {', '.join(missing[:5])}{' and others' if len(missing) > 5 else ''}"
    for key, one in fields.items():
        value = info[key]
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return f"its .INFO says {key} = {value!r}, which is no number"
        if one.bounds and not one.bounds[0] <= value <= one.bounds[1]:
            return f"its .INFO says {key} = {value!r}, outside of the bounds {one.bounds[0]:g} to {one.bounds[1]:g}"
    return None


def choose(items: Sequence[Item], fields: Mapping[str, Field], settings: Settings) -> Choice:
    """Decide what a model is conditioned on. All decisions rest on the train split alone.

    A conditioner divides by its range, so a number that is the same in all train items is left out: it would be NaN in
    training, and nothing could be learned from it.
    """
    choice = Choice()
    train = [item for item in items if item.split == SPLITS[0]]
    for key, declared_field in fields.items():
        values = sorted(item.info[key] for item in train if item.info[key] is not None)
        if "." in key:
            choice.dropped[key] = "no dot may be in the name of a conditioner"
        elif not values:
            choice.dropped[key] = "null in all items"
        elif values[0] == values[-1]:
            choice.dropped[key] = f"the same in all items ({values[0]:g})"
        else:
            span = _span(values, declared_field, settings.ranges)
            flagged = settings.nulls == "median" and len(values) < len(train)
            choice.columns.append(Column(key, *span, _percentile(values, 50), flagged))
            outside = sum(not span[0] <= value <= span[1] for value in values)
            if outside:
                choice.clipped[key] = outside / len(values)
            low, high = (_percentile(values, percent) for percent in PERCENTILES)
            if (used := (high - low) / (span[1] - span[0])) < NARROW:
                choice.narrow[key] = used
    return choice


def reject(items: Sequence[Item], choice: Choice) -> tuple[list[Item], list[Excluded]]:
    """Separate the items that have a value for every number from those with a null."""
    good, bad = [], []
    for item in items:
        nulls = [column.key for column in choice.columns if item.info[column.key] is None]
        more = " and others" if len(nulls) > 5 else ""
        if nulls:
            bad.append(Excluded(item.track, item.crop, f"null: {', '.join(nulls[:5])}{more} (export.nulls)"))
        else:
            good.append(item)
    return good, bad


def _span(values: Sequence[float], declared_field: Field, ranges: str) -> tuple[float, float]:
    """Return the range of a conditioner.

    Parameters
    ----------
    values : ascending, not all equal
    """
    if ranges == "registry":
        return declared_field.range
    low, high = (_percentile(values, percent) for percent in PERCENTILES)
    if high - low <= FEWEST * max(abs(low), abs(high)):  # nearly all are equal
        low, high = values[0], values[-1]
    return float(f"{low:.7g}"), float(f"{high:.7g}")


def _percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile of ascending values, interpolated."""
    place = (len(values) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)
