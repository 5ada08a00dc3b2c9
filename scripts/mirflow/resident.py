"""The one model that a process holds."""

from collections.abc import Callable, Hashable
from typing import Any, Protocol

stays = False  # whether this process lives on after its command: set by the model worker


class Held(Protocol):
    """What can be held."""

    def close(self) -> None:
        """Free its memory."""


_held: list[tuple[Hashable, Any]] = []


def get(key: Hashable, load: Callable[[], Held]) -> Any:
    """Return what is held under `key`; if that is something else, free it first, then load.

    Whatever `load` raises, nothing is held then.
    """
    if _held and _held[0][0] != key:
        drop()
    if not _held:
        _held.append((key, load()))
    return _held[0][1]


def drop() -> None:
    """Free what is held."""
    while _held:
        _held.pop()[1].close()
