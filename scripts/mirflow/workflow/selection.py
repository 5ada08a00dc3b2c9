"""Which tracks of a library a run takes: all, or those that a file lists (the setting `only`)."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError

SHOWN = 3  # unknown ids in a message


def of(tracks: Mapping[str, Path], only: str | os.PathLike) -> dict[str, Path]:
    """Return the tracks that are taken, in the order of the library.

    Parameters
    ----------
    tracks : id → source file, of all tracks
    only : a file with a track id a line; "" takes all

    Raises
    ------
    MirflowError : the file cannot be read, names no track, or one that the library does not have
    """
    if not os.fspath(only):
        return dict(tracks)
    path = Path(only).expanduser()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise MirflowError(f"only: {path}: cannot be read ({why})") from error
    chosen = {line for line in lines if line.strip()}
    if not chosen:
        raise MirflowError(f"only: {path}: names no track")
    if unknown := sorted(chosen - tracks.keys()):
        near = difflib.get_close_matches(unknown[0], tracks, n=1)
        said = ", ".join(unknown[:SHOWN]) + (f" and {len(unknown) - SHOWN} others" if len(unknown) > SHOWN else "")
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise MirflowError(f"only: {path}: the library has no track {said}{hint}; ids are in .mirflow/library.tsv")
    return {track: source for track, source in tracks.items() if track in chosen}


def save(path: str | os.PathLike, tracks: list[str]) -> None:
    """Write a file that `of` reads."""
    artifacts.write_bytes(path, "".join(f"{track}\n" for track in tracks).encode())
