"""The cache of loaded models: at most one, which stays loaded for the next command where the process lives on."""

import sys
from collections.abc import Callable, Hashable
from typing import Any, Protocol

# Nothing else of the package, nor numpy: servers import this before they say how many threads there may be.

keeps = False  # whether this process runs more commands with the same model; set in the processes of the model server


class Closable(Protocol):
    """What the cache can hold."""

    def close(self) -> None:
        """Free its memory."""


_cached: list[tuple[Hashable, Any]] = []


def get(key: Hashable, load: Callable[[], Closable]) -> Any:
    """Return the model that is cached under `key`; otherwise free the cached one first, then load.

    When `load` raises, the cache is empty.
    """
    if _cached and _cached[0][0] != key:
        drop()
    if not _cached:
        if keeps:
            print("mirflow: loading the model", file=sys.stderr, flush=True)
        _cached.append((key, load()))
    return _cached[0][1]


def drop() -> None:
    """Free the cached model."""
    while _cached:
        _cached.pop()[1].close()
