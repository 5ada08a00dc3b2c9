"""Artifacts of an earlier version that stay valid, because the newer version has other values only for some sources."""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.library.full_mix import OPUS_RATE


def renewed(recorded: Iterable[str], output: str) -> list[str]:
    """Return what was recorded of an artifact, with the newer version where it would be made in the same way today.

    Parameters
    ----------
    recorded : "name: value" for all that it depends on, as `mirflow.core.identity.made_by` names it
    output : the path of the artifact
    """
    items = list(recorded)
    for (kind, before, after), is_valid in STILL_VALID.items():
        old = f"version: {before}"
        if f"kind: {kind}" in items and old in items and is_valid(Path(output).parent):
            items[items.index(old)] = f"version: {after}"
    return items


@functools.cache
def _has_usual_sound(folder: Path) -> bool:
    """Whether full_mix.flac is what version 2 makes: it differs for surround sound, and for Opus at other rates."""
    try:
        source: dict[str, Any] = artifacts.read_json(folder / "source.json")
    except (OSError, MirflowError):
        return False
    is_slow_opus = source.get("codec") == "OPUS" and source.get("rate") != OPUS_RATE
    return source.get("channels", 3) <= 2 and not is_slow_opus


# (kind, version, newer version) → whether the artifact of that kind in a folder is valid for the newer one as well.
STILL_VALID: dict[tuple[str, int, int], Callable[[Path], bool]] = {("full_mix", 1, 2): _has_usual_sound}
