"""Merging the fragments of a track into its ``.INFO``."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock, Timeout

from mirflow import features
from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.feature import OPTIONAL, PROVENANCE
from mirflow.metadata import lookup, tags

VERSION = 1  # raise it when other content comes out of the same fragments
LOCK_TIMEOUT = 60  # seconds
LIBRARY_KEYS = ("duplicate_group", "split")  # what depends on all tracks (mirflow.workflow.whole_library)


def keys() -> tuple[str, ...]:
    """Return all keys that mirflow may write into an ``.INFO``, in their order there."""
    of_features = (field.key for feature in features.all_features() for field in feature.fields)
    return (*tags.KEYS, *lookup.KEYS, *LIBRARY_KEYS, *of_features)


def merge(existing: dict, fragments: list[dict], records: dict[str, dict], ours: Iterable[str] | None = None) -> dict:
    """Merge fragments into the content of an ``.INFO``.

    Parameters
    ----------
    existing : what the file holds now; keys that no feature declares belong to somebody else and are kept as they are
    fragments : the features' fragments, each with its ``_provenance``; other keys with an underscore stay out. What
        ``_optional`` lists and the fragment lacks does not exist any more: it leaves the ``.INFO``
    records : what the other steps say of themselves, by name: ``source``, ``stems`` ...
    ours : what `keys` returns, for those who merge much

    Returns
    -------
    The new content. Its order depends on the keys alone, not on the order in which they came: tags, the features' keys
    as declared, then other people's in their old order, then ``_provenance``.

    Raises
    ------
    MirflowError : when the existing ``_provenance`` is not an object
    """
    before = existing.get(PROVENANCE, {})
    if not isinstance(before, dict) or not isinstance(before.get("features", {}), dict):
        raise MirflowError(f"{PROVENANCE} is not an object")
    merged = dict(existing)
    origins = dict(before.get("features", {}))
    for fragment in fragments:
        origin = dict(fragment[PROVENANCE])
        origins[origin.pop("feature")] = origin
        for key in fragment.get(OPTIONAL, ()):
            merged.pop(key, None)
        merged.update({key: value for key, value in fragment.items() if not key.startswith("_")})
    ordered = {key: merged[key] for key in (keys() if ours is None else ours) if key in merged}
    ordered |= {key: value for key, value in merged.items() if key not in ordered and key != PROVENANCE}
    others = {key: value for key, value in before.items() if key not in records and key != "features"}
    ordered[PROVENANCE] = {**records, **others, "features": dict(sorted(origins.items()))}
    return ordered


def add(path: str | os.PathLike, fragment: dict, ours: Iterable[str] | None = None) -> bool:
    """Merge one fragment into an ``.INFO`` that exists, unless that has its values; return whether it was written.

    Parameters
    ----------
    ours : what `keys` returns, for those who merge much

    Raises
    ------
    MirflowError : as `rewrite`
    """
    if not os.path.exists(path):
        return False
    existing = artifacts.read_json(path)
    try:
        if merge(existing, [fragment], {}, ours) == existing:
            return False
    except MirflowError as error:
        raise MirflowError(f"{path}: {error}") from error
    rewrite(path, lambda now: merge(now, [fragment], {}, ours))
    return True


def update(path: str | os.PathLike, fragments: list[Path], records: dict[str, Path]) -> None:
    """Merge fragment files and records into the ``.INFO`` at `path`, under its lock, atomically.

    Raises
    ------
    MirflowError : when the ``.INFO`` or a fragment is no JSON object; the ``.INFO`` is then left as it is
    """
    loaded = [artifacts.read_json(fragment) for fragment in fragments]
    said = {name: artifacts.read_json(record) for name, record in records.items()}
    rewrite(path, lambda existing: merge(existing, loaded, said))


def rewrite(path: str | os.PathLike, change: Callable[[dict], dict]) -> None:
    """Replace the content of an ``.INFO`` by what `change` returns for it, under its lock, atomically.

    Parameters
    ----------
    change : gets what the file holds, an empty dictionary where there is no file

    Raises
    ------
    MirflowError : when the ``.INFO`` is no JSON object, or `change` raises; it is then left as it is
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT):
            existing = artifacts.read_json(path) if path.exists() else {}
            try:
                content = artifacts.json_bytes(change(existing))
            except (MirflowError, ValueError) as error:
                raise MirflowError(f"{path}: {error}") from error
            artifacts.write_bytes(path, content)
    except Timeout as error:
        raise MirflowError(f"{path}: another program has held {path.name}.lock for {LOCK_TIMEOUT} s") from error
