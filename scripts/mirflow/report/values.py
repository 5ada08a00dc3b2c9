"""What all tracks of a library hold, read once: numbers, texts, labels and captions, with where they come from."""

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from mirflow import features
from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.feature import PROVENANCE, Field
from mirflow.core.layout import track_files
from mirflow.describe.prompts import KEY as CAPTION
from mirflow.report.condition import Condition

if TYPE_CHECKING:
    import pandas

NAMES = ("track", "source", "seconds")  # what is known of every track, beside its keys
NOT_CAPTIONS = (f"{CAPTION}model", f"{CAPTION}conflicts")


@dataclass
class Library:
    """The values of all tracks that could be read.

    Attributes
    ----------
    results : where they lie
    sources : track id → source file, of all tracks of the library, also those that failed
    failed : track id → why it has no values
    numbers : a row for each track, a column for each key; NaN where a value is null or missing
    missing : whether a track's .INFO lacks the key, in the form of `numbers`; null values are not missing
    texts : the same for short texts, None where there is none
    captions : key → track id → text
    labels : key → track id → label → probability
    conflicts : track id → caption → what contradicts the measurements
    origins : track id → ``_provenance``
    """

    results: str
    sources: dict[str, str]
    failed: dict[str, str]
    numbers: "pandas.DataFrame"
    missing: "pandas.DataFrame"
    texts: "pandas.DataFrame"
    captions: dict[str, dict[str, str]] = field(default_factory=dict)
    labels: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    conflicts: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    origins: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def tracks(self) -> list[str]:
        """The ids of the tracks that have values."""
        return list(self.numbers.index)

    @property
    def frame(self) -> "pandas.DataFrame":
        """What conditions can ask for: a row for each track, with `NAMES`, numbers, texts, and the likeliest labels."""
        import pandas as pd

        sources = [self.sources[track] for track in self.tracks]
        seconds = [self.source(track).get("duration") for track in self.tracks]
        about = pd.DataFrame(dict(zip(NAMES, (self.tracks, sources, seconds), strict=True)), index=self.tracks)
        likeliest = {
            key: [max(one, key=one.get) if (one := found.get(track)) else None for track in self.tracks]
            for key, found in sorted(self.labels.items())
        }
        labels = pd.DataFrame(likeliest, index=self.tracks, dtype=object)
        return pd.concat([about, self.numbers, self.texts, labels], axis=1)

    def check(self, key: str) -> None:
        """Check that there is a key.

        Raises
        ------
        MirflowError : no track has it
        """
        known = [*self.numbers, *self.texts, *self.labels]
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise MirflowError(f"{key}: no track has such a key{f' (did you mean {near[0]}?)' if near else ''}")

    def where(self, condition: Condition) -> "Library":
        """Return the tracks that meet a condition, without those that failed."""
        frame = self.frame[sorted(condition.keys)]
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        kept = [track for track, row in zip(self.tracks, rows, strict=True) if condition.holds(row)]
        chosen = set(kept)

        def of(found: dict[str, Any]) -> dict[str, Any]:
            return {track: value for track, value in found.items() if track in chosen}

        return Library(
            self.results,
            self.sources,
            {},
            self.numbers.loc[kept],
            self.missing.loc[kept],
            self.texts.loc[kept],
            {key: of(found) for key, found in self.captions.items()},
            {key: of(found) for key, found in self.labels.items()},
            of(self.conflicts),
            of(self.origins),
        )

    def source(self, track: str) -> dict[str, Any]:
        """Return what a track's provenance says of its source file."""
        return self.origins[track].get("source") or {}


@cache
def declared() -> dict[str, tuple[Field, str]]:
    """Return key → its declaration, and the feature that makes it."""
    return {field.key: (field, feature.name) for feature in features.all_features() for field in feature.fields}


def read(results: str, tracks: Mapping[str, str], failed: Mapping[str, str]) -> Library:
    """Read the .INFO files of a library.

    Parameters
    ----------
    results : their directory
    tracks : id → source file, of all tracks
    failed : ids of tracks that are not complete → why; these are not read, since their .INFO may be old
    """
    import pandas as pd

    unread = dict(failed)
    infos: dict[str, dict[str, Any]] = {}
    for track in tracks:
        if track not in failed:
            try:
                infos[track] = artifacts.read_json(track_files(results, track).info)
            except FileNotFoundError:
                unread[track] = "its .INFO is gone"
            except (MirflowError, OSError) as error:
                unread[track] = " ".join(str(error).split())
    kinds = _kinds(infos)
    ids = list(infos)
    numbers = {key: [_number(info.get(key)) for info in infos.values()] for key, kind in kinds.items() if kind is float}
    missing = {key: [key not in info for info in infos.values()] for key in numbers}
    texts = {key: [_text(info.get(key)) for info in infos.values()] for key, kind in kinds.items() if kind is str}
    library = Library(
        str(results),
        dict(tracks),
        unread,
        pd.DataFrame(numbers, index=ids, dtype=float),
        pd.DataFrame(missing, index=ids, dtype=bool),
        pd.DataFrame(texts, index=ids, dtype=object),
    )
    for track, info in infos.items():
        origin = info.get(PROVENANCE)
        library.origins[track] = origin if isinstance(origin, dict) else {}
        for key, value in info.items():
            if kinds.get(key) is dict and isinstance(value, dict):
                found = {label: p for label, p in value.items() if _number(p) is not None}
                library.labels.setdefault(key, {})[track] = found
            elif is_caption(key) and isinstance(value, str):
                library.captions.setdefault(key, {})[track] = value
        conflicts = info.get(f"{CAPTION}conflicts")
        if isinstance(conflicts, dict) and conflicts:
            library.conflicts[track] = conflicts
    return library


def find(root: str) -> list[str]:
    """Return the ids of all tracks that have an .INFO below a folder, whatever made it; crops are none."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name != "crops" and not name.startswith("."))
        if f"{os.path.basename(folder)}.INFO" in names and folder != root:
            found.append(os.path.relpath(folder, root))
    return sorted(found)


def is_caption(key: str) -> bool:
    """Whether a key holds a description in words."""
    return key.startswith(CAPTION) and key not in NOT_CAPTIONS


def _kinds(infos: Mapping[str, Mapping[str, Any]]) -> dict[str, type]:
    """Return key → float, str or dict, the declared keys first; keys that hold something else are left out."""
    kinds = {float: float, int: float, str: str, dict: dict}
    seen: dict[str, set[type]] = {}
    for info in infos.values():
        for key, value in info.items():
            if not key.startswith(("_", CAPTION)) and key not in NAMES:
                seen.setdefault(key, set()).add(type(value))
    found = {key: kinds[field.kind] for key, (field, _) in declared().items() if key in seen}
    for key, types in sorted(seen.items()):
        if key not in found and (types := types - {type(None)}):
            if types <= {int, float, bool}:
                found[key] = float
            elif types <= {str, list}:
                found[key] = str
            elif types == {dict}:
                found[key] = dict
    return found


def _number(value: Any) -> float | None:
    """Return a number, or None for anything else; whole numbers too large for a float are none."""
    if isinstance(value, bool | int | float):
        try:
            return float(value) if math.isfinite(value) else None
        except OverflowError:
            return None
    return None


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        return "; ".join(one for one in value if isinstance(one, str)) or None
    return value if isinstance(value, str) else None
