"""The tree of an export: written beside its place, moved there when it is whole; what is not ours is never removed."""

import contextlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.export import convert
from mirflow.export.convert import Form
from mirflow.export.items import Item

CONTENT = ".mirflow.json"  # in a tree: which files it has, and what its sounds were made from
REPORT = "export.json"  # in a tree: what was exported; without it a tree is not whole
LAID = ("bytes", "archive", "offset")  # how long a sound is, and where it lies; not what it was made from
IGNORED = ("__pycache__",)  # what Python makes beside a module


class Tree:
    """A tree that is being written.

    Attributes
    ----------
    place : where it will lie
    root : where it is written
    with_paths : files that hold paths of the tree itself, which set_paths.py rewrites after it was moved
    sounds : file below the root → what it was made from; where an archive holds it, also which one, and from which byte
    """

    def __init__(self, place: Path, root: Path) -> None:
        self.place, self.root = place, root
        self.sounds: dict[str, dict[str, Any]] = {}
        self.with_paths: list[str] = []
        self._before = _content(place)["sounds"]

    def put_sound(self, item: Item, file: str, form: Form, copy: bool = False) -> float:
        """Put the sound of an item into the tree: from the tree that lies there already, if it is the same.

        Returns
        -------
        the gain in dB (see `convert.put`)

        Raises
        ------
        OSError, soundfile.LibsndfileError : the sound cannot be read, or the file cannot be written
        """
        target, status = self.root / file, item.sound.stat()
        made_from = {
            "sound": f"{item.track}/{item.sound.name}",
            "size": status.st_size,
            "changed": status.st_mtime_ns,
            "form": [form.rate, form.multiple, convert.VERSION],
            "copy": copy,
        }
        before = self._before.get(file, {})
        gain = before.get("gain_db", 0.0)
        is_same = {**made_from, "gain_db": gain} == {key: before[key] for key in before if key not in LAID}
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (is_same and self._kept(file, before, links=form.is_met(item))):
            gain = convert.put(item, target, form, copy)
        self.sounds[file] = made_from | {"gain_db": gain, "bytes": target.stat().st_size}
        return gain

    def _kept(self, file: str, before: Mapping[str, Any], links: bool) -> bool:
        """Take a sound from the tree that lies there, if it still has it.

        Parameters
        ----------
        before : what that tree says of it
        links : whether its source could be linked, which is cheaper than taking it out of an archive
        """
        if "archive" not in before:
            old = self.place / file
            return old.is_file() and old.stat().st_size == before["bytes"] and convert.linked(old, self.root / file)
        if links:
            return False
        try:
            with open(self.place / before["archive"], "rb") as archive:
                archive.seek(before["offset"] - tarfile.BLOCKSIZE)
                header = tarfile.TarInfo.frombuf(archive.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
                content = archive.read(before["bytes"])
        except (OSError, tarfile.HeaderError):
            return False
        is_it = header.name == Path(file).name and header.size == before["bytes"] == len(content)
        if is_it:
            (self.root / file).write_bytes(content)
        return is_it

    def archive(self, file: str, archive: str, tar: tarfile.TarFile) -> None:
        """Move a sound into an archive of the tree, an open tar file, under its name without folders."""
        path = self.root / file
        self.sounds[file] |= {"archive": archive, "offset": add(tar, path.name, path.read_bytes())}
        path.unlink()

    def path(self, file: str = "") -> str:
        """Return where a file of the tree will lie, absolute."""
        return f"{self.place}/{file}"

    def write(self, file: str, text: str, with_paths: bool = False) -> None:
        """Write a text, UTF-8.

        Parameters
        ----------
        with_paths : whether it is JSON, or lines of JSON, that hold paths of the tree (see `path`)
        """
        self.with_paths += [file] if with_paths else []
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(errors="surrogateescape"))

    def write_json(self, file: str, value: Any, with_paths: bool = False) -> None:
        """Write a JSON value with an indent of 2."""
        self.write(file, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", with_paths)

    def write_lines(self, file: str, values: Iterable[Any], with_paths: bool = False) -> None:
        """Write JSON values, one a line."""
        lines = (json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n" for value in values)
        self.write(file, "".join(lines), with_paths)


def add(tar: tarfile.TarFile, name: str, content: bytes) -> int:
    """Add a member to a tar file, without anything that differs from run to run; return where its content begins."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    begins = tar.offset + tarfile.BLOCKSIZE
    tar.addfile(member, io.BytesIO(content))
    return begins


def check(place: Path) -> None:
    """Check that an export may be written to a place: nothing is there, an empty directory, or nothing but an export.

    Raises
    ------
    MirflowError : something else is there
    """
    if not os.path.lexists(place):
        return
    if not place.is_dir():
        raise MirflowError(f"{place}: is not a directory, and is not replaced (export.out)")
    ours = set(_content(place)["files"])
    others = sorted(file for file in _files(place) if file not in ours)
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise MirflowError(
            f"{place}: holds files that no export has made ({others[0]}{more}), and is not replaced: move them away, or"
            " choose another directory (OUT, export.out)"
        )


@contextmanager
def written(place: Path) -> Iterator[Tree]:
    """Give a tree to write, as a context manager; at its end it replaces the export at `place`.

    On an exception nothing is left of it, and what was at the place stays.

    Raises
    ------
    MirflowError : the directory cannot be written, or holds other files
    """
    place = place.resolve()
    check(place)
    new, old = (place.with_name(f"{artifacts.TEMPORARY}{part}-{place.name[:200]}") for part in ("new", "old"))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        for left_over in (new, old):
            shutil.rmtree(left_over, ignore_errors=True)
        new.mkdir()
    except OSError as error:
        raise _not_written(error) from error
    try:
        tree = Tree(place, new)
        yield tree
        files = sorted(_files(new))
        tree.write_json(CONTENT, {"files": [CONTENT, *files], "sounds": dict(sorted(tree.sounds.items()))})
        _sync(new, [file for file in files if file not in tree.sounds])
        check(place)  # somebody may have put something there meanwhile
        if place.is_dir():
            place.rename(old)
        new.rename(place)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if old.is_dir() and not place.exists():
            old.rename(place)
        if isinstance(error, OSError):
            raise _not_written(error) from error
        raise
    shutil.rmtree(old, ignore_errors=True)


def _not_written(error: OSError) -> MirflowError:
    return MirflowError(f"{error.filename2 or error.filename}: cannot be written ({error.strerror or error})")


def _content(place: Path) -> Mapping[str, Any]:
    """Return which files an export at this place has, and what its sounds were made from; nothing if there is none."""
    nothing = {"files": [], "sounds": {}}
    with contextlib.suppress(OSError, MirflowError):
        return nothing | artifacts.read_json(place / CONTENT)
    return nothing


def _files(root: Path) -> Iterator[str]:
    """Yield all files below a directory, as paths below it; links are files."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in IGNORED]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        yield from (os.path.relpath(os.path.join(folder, name), root) for name in (*names, *links))


def _sync(root: Path, files: list[str]) -> None:
    """Write the texts of a tree to the disk before it gets its name."""
    for file in files:
        with open(root / file, "rb") as written:
            os.fsync(written.fileno())
