"""The pieces that a network is trained on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


class Pieces(list):
    """All pieces in a folder, in the order in which they were found.

    Parameters
    ----------
    pattern : of their files' names
    read : file → piece
    """

    def __init__(self, folder: Path, pattern: str, read: Callable[[Path], Any]) -> None:
        super().__init__()
        self.folder, self.pattern, self.read, self.known = folder, pattern, read, set()
        self.look()

    def look(self) -> None:
        """Read those that have been made since the last look: a training may begin while pieces are made."""
        for path in sorted(set(self.folder.glob(self.pattern)) - self.known):
            self.known.add(path)
            self.append(self.read(path))
