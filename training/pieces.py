"""The pieces that a network is trained on."""

import argparse
import multiprocessing
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from mirflow.core import artifacts
from training.score import SPLITS

TOLD = 500  # pieces made between two lines of progress


class Pieces(list):
    """All pieces in a folder, in the order in which they were found.

    Parameters
    ----------
    pattern : of their files' names
    read : file → piece
    wanted : number of a piece → whether it counts
    """

    def __init__(
        self, folder: Path, pattern: str, read: Callable[[Path], Any], wanted: Callable[[int], bool] = lambda _: True
    ) -> None:
        super().__init__()
        self.folder, self.pattern, self.read, self.wanted, self.known = folder, pattern, read, wanted, set()
        self.look()

    def look(self) -> None:
        """Read those that have been made since the last look: a training may begin while pieces are made."""
        for path in sorted(set(self.folder.glob(self.pattern)) - self.known):
            self.known.add(path)
            if self.wanted(int(path.stem)):
                self.append(self.read(path))


def arguments_of(description: str, *folders: str) -> argparse.Namespace:
    """Read the command line of a program that makes pieces: folders, OUT, a set, and the first and number of pieces."""
    parser = argparse.ArgumentParser(description=description)
    for name in (*folders, "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("split", choices=SPLITS)
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    return parser.parse_args()


def make_all(arguments: argparse.Namespace, suffix: str, write: Callable[[int, BinaryIO], None]) -> None:
    """Make the pieces of a command line that are not there, OUT/<set>/<index><suffix>, with a process on each core.

    Parameters
    ----------
    write : makes the piece of an index, which is a function of it alone, and writes it to a file
    """
    folder = arguments.out / arguments.split
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (folder / f"{index:06d}{suffix}" for index in range(arguments.first, arguments.first + arguments.count))
    missing = [path for path in wanted if not path.exists()]
    with multiprocessing.Pool() as pool:
        for done, _ in enumerate(pool.imap_unordered(partial(_make, write), missing), 1):
            if done % TOLD == 0 or done == len(missing):
                print(f"{folder}: {done} of {len(missing)} pieces", flush=True)


def _make(write: Callable[[int, BinaryIO], None], path: Path) -> None:
    with artifacts.atomic_write(path) as temporary, open(temporary, "wb") as file:
        write(int(path.stem), file)
