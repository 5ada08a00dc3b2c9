"""Finding the tracks: a directory, or one audio file, becomes a list of track ids with their source files."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mirflow.core.errors import MirflowError
from mirflow.core.layout import OF_ALL, OWN_FOLDER, SERIES, is_artifact, shorten

# Of files with equal names, the first of these gets the plain id.
LOSSLESS = ("flac", "wav", "aiff", "aif", "aifc", "rf64", "bw64", "w64")
EXTENSIONS = (*LOSSLESS, "opus", "ogg", "oga", "m4a", "aac", "latm", "loas", "mp3", "wma")

# Characters that break shells, Snakemake (wildcards in braces, path variables in angle brackets) or the track list
# (control characters). Bytes that are not UTF-8 arrive as lone surrogates. "%" is encoded only where it would look like
# an encoded character, so that different names always have different ids.
_PATTERN = r"[{}\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]|<(?=[a-z][a-z0-9_]*>)"
_BREAKING = re.compile(rf"{_PATTERN}|%(?=[0-9A-Fa-f]{{2}})|^[-.]")

# Most file systems allow names of 255 bytes. A track's name gets suffixes (the longest is .TIMESERIES.npz), so longer
# ones are cut, and end with a hash of the whole name, so that they stay different.
MOST_NAME, MOST_DIRECTORY = 255 - len(f".{SERIES}"), 255  # bytes
MOST_PATH = 4000  # bytes of the longest path that is derived from an id; Linux allows 4095


@dataclass(frozen=True)
class Skipped:
    """A file that is not a track, and the reason."""

    path: Path
    reason: str


@dataclass
class Library:
    """The tracks of a library.

    Attributes
    ----------
    root : the directory or the single file that was scanned
    tracks : track id → source file, sorted by id
    skipped : the other files, sorted by path
    """

    root: Path
    tracks: dict[str, Path] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    def relative(self, source: Path) -> str:
        """Return the path of a source below the library; of a library that is one file, its name."""
        return source.name if source == self.root else str(source.relative_to(self.root))


def encode(name: str) -> str:
    """Percent-encode what would break shells or Snakemake in one component of a path; everything else stays.

    >>> encode('-rf'), encode('{x} "y" 100%'), encode('100%25')
    ('%2Drf', '%7Bx%7D "y" 100%', '100%2525')
    """
    return _BREAKING.sub(_escaped, name)


def _escaped(match: re.Match) -> str:
    return "".join(f"%{byte:02X}" for byte in os.fsencode(match[0]))


def reads_as_pattern(path: Path) -> bool:
    """Return whether Snakemake would misread part of this path as a wildcard or path variable, or cannot store it."""
    return re.search(_PATTERN, str(path)) is not None


def scan(root: str | os.PathLike, exclude: str | os.PathLike | None = None) -> Library:
    """Find every audio file at or below `root`; the library is never modified.

    Parameters
    ----------
    root : a directory, or one audio file
    exclude : a directory to skip: the results, which may lie inside the library

    Raises
    ------
    MirflowError : `root` does not exist, holds no audio file, or is a file without a known extension
    """
    root = Path(root)
    library = Library(root)
    if exclude and root.is_dir() and Path(exclude).is_dir() and root.samefile(exclude):
        raise MirflowError(f"{root}: the results cannot be the library itself; name a directory inside or beside it")
    if root.is_file():
        if _extension(root.name) not in EXTENSIONS:
            raise MirflowError(f"{root}: not one of the known audio extensions ({', '.join(sorted(EXTENSIONS))})")
        library.tracks = _assign([(root.name, root)])
        return library
    if not root.is_dir():
        raise MirflowError(f"{root}: no such file or directory (setting: library)")
    found = []
    for relative, path in _files(root, Path(exclude) if exclude else None, library.skipped):
        reason = _not_a_track(path)
        if reason:
            library.skipped.append(Skipped(path, reason))
        else:
            found.append((relative, path))
    library.tracks = _assign(found)
    if not found:
        others = f", {len(library.skipped)} other files" if library.skipped else ""
        raise MirflowError(f"{root}: no audio file in it{others} (setting: library)")
    library.skipped.sort(key=lambda skipped: str(skipped.path))
    return library


def _files(root: Path, exclude: Path | None, skipped: list[Skipped]) -> Iterator[tuple[str, Path]]:
    """Yield (path below root, path) of all files; links to directories are followed, but no directory twice."""
    barred = {_identity(exclude)} if exclude and exclude.is_dir() else set()
    entered = {_identity(root)}
    todo = [(str(root), "")]
    while todo:
        directory, prefix = todo.pop()
        try:
            entries = list(os.scandir(directory))
        except OSError as error:
            skipped.append(Skipped(Path(directory), f"directory cannot be read ({error.strerror})"))
            continue
        if any(entry.name == OWN_FOLDER for entry in entries):
            skipped.append(Skipped(Path(directory), "results of a run"))
            continue
        for entry in entries:
            try:
                is_directory = entry.is_dir()
                identity = _identity(entry.path) if is_directory else None
            except OSError as error:
                skipped.append(Skipped(Path(entry.path), f"cannot be read ({error.strerror})"))
                continue
            if is_directory:
                if identity in barred:
                    continue
                if identity in entered:
                    skipped.append(Skipped(Path(entry.path), "links to a directory that is scanned already"))
                    continue
                entered.add(identity)
                todo.append((entry.path, f"{prefix}{entry.name}/"))
            else:
                yield prefix + entry.name, Path(entry.path)


def _identity(path: str | os.PathLike) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _extension(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return extension.lower() if dot and stem else ""


def _not_a_track(path: Path) -> str | None:
    """Return why a file is not a track, or None when it is one."""
    extension = _extension(path.name)
    if extension not in EXTENSIONS:
        return f"not an audio extension: .{extension}" if extension else "no extension"
    if path.name.startswith("._") and _is_apple_double(path):
        return "file attributes that macOS keeps beside a file"
    if not path.exists():
        return "link to a file that does not exist"
    if not path.is_file():
        return "not a regular file"
    return None


def _is_apple_double(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x00\x05\x16\x07"
    except OSError:
        return False  # the job of the track reports why it cannot be read


def _assign(found: list[tuple[str, Path]]) -> dict[str, Path]:
    """Give each file a unique track id, which depends on nothing but the set of files."""

    def preference(item: tuple[str, Path]) -> tuple[int, str]:
        return EXTENSIONS.index(_extension(item[0])), item[0]

    plain = {_identifier(relative.rpartition(".")[0]) for relative, _ in found}

    def identify(relative: str) -> str:
        """Return the id, with the first character encoded where a directory would be a file of a track, or of all."""
        *directories, name = _identifier(relative).split("/")
        if directories and directories[0] in OF_ALL:
            directories[0] = re.sub("^.", _escaped, directories[0])
        for place in range(1, len(directories)):
            for end in range(place + 1, min(place + 3, len(directories)) + 1):
                if "/".join(directories[:place]) in plain and is_artifact("/".join(directories[place:end])):
                    directories[end - 1] = re.sub("^.", _escaped, directories[end - 1])
        return "/".join([*directories, name])

    def taken(identifier: str) -> bool:
        parts = identifier.split("/")
        own_files = any("/".join(parts[:-n]) in plain and is_artifact("/".join(parts[-n:])) for n in (1, 2, 3))
        return identifier in tracks or identifier in OF_ALL or own_files

    tracks: dict[str, Path] = {}
    later = []
    for relative, path in sorted(found, key=preference):
        identifier = identify(relative.rpartition(".")[0])
        if taken(identifier):
            later.append((relative, path))
        else:
            tracks[identifier] = path
    for relative, path in later:
        extended, extension = relative, relative.rpartition(".")[2]
        while taken(identifier := identify(extended)):
            extended += f".{extension}"
        tracks[identifier] = path
    return dict(sorted(tracks.items()))


def _identifier(relative: str) -> str:
    *directories, name = (encode(part) for part in relative.split("/"))
    return "/".join([*(shorten(part, MOST_DIRECTORY) for part in directories), shorten(name, MOST_NAME)])
