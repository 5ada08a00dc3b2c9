"""Atomic writing of artifacts, and the text formats that they share: JSON and grid files."""

import contextlib
import errno
import io
import itertools
import json
import math
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mirflow.core.errors import MirflowError
from mirflow.core.layout import OWN_FOLDER, RECORDS

TEMPORARY = ".mirflow-tmp-"  # prefix of the names of temporary files
SCRATCH = "MIRFLOW_SCRATCH"  # environment variable: the folder for unfinished files, if they have one of their own
NO_SPACE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Of a number in JSON. No measurement here is more precise than that, and rounding differences between compilers and
# processors are smaller than that.
SIGNIFICANT_DIGITS = 7


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path, as a context manager; at its end what was written there becomes `path`.

    The temporary path is in the folder of `path`, and is renamed; or, if there is one, in the folder for unfinished
    files (`SCRATCH`), from where it is first copied beside `path`. So `path` is always either absent, or the old file,
    or the complete new file, also after a crash: the data are written to the disk (fsync) before the file is renamed.
    On an exception the temporary file is removed and `path` stays as it was. The temporary name has the suffix of
    `path`, because encoders choose their format by it. Missing parent folders are made.

    Yields
    ------
    the temporary path to write to

    Raises
    ------
    MirflowError : there is no space or no permission to write the file; the message names it
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(path, error) from error
    scratch = os.environ.get(SCRATCH)
    if scratch:
        unfinished = _temporary(Path(scratch), path.suffix)
        try:
            yield unfinished
            with _atomic(path) as temporary:
                shutil.copyfile(unfinished, temporary)
        except OSError as error:
            raise (_not_written(scratch, error) if error.errno in NO_SPACE_ERRORS else error) from error
        finally:
            unfinished.unlink(missing_ok=True)
    else:
        with _atomic(path) as temporary:
            yield temporary


def _temporary(folder: Path, suffix: str) -> Path:
    """Make an empty file with a name of its own."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=suffix, dir=folder)
    except OSError as error:
        raise _not_written(folder, error) from error
    os.close(descriptor)
    return Path(name)


@contextmanager
def _atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, which is renamed at the end."""
    try:
        temporary = _temporary(path.parent, path.suffix)
    except MirflowError as error:
        raise _not_written(path, error.__cause__) from error
    try:
        yield temporary
        try:
            # mkstemp creates files that only their owner can read; artifacts get the default permissions of this user
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        except OSError as error:  # on a disk of a network, say
            raise _not_written(path, error) from error
    except BaseException as error:
        with contextlib.suppress(OSError):  # what went wrong first is what is told
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in NO_SPACE_ERRORS:
            raise _not_written(path, error) from error
        raise


def _not_written(path: str | os.PathLike, error: OSError) -> MirflowError:
    return MirflowError(f"{path}: cannot be written ({error.strerror or error})")


Ours = Callable[[str], bool]  # whether a folder, as its path below the results, may be looked after


def _folders(
    root: str | os.PathLike, ours: Ours | None = None, places: Iterable[str] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Yield the directories below `root` with the names of their files; Snakemake's records are none of our files."""
    if places is not None:
        for top in (os.fspath(root), os.path.join(root, OWN_FOLDER)):
            yield from ((folder, names) for folder, _, names in itertools.islice(os.walk(top), 1))
    for place in [root] if places is None else places:
        for folder, folders, names in os.walk(place):
            if os.path.basename(folder) == OWN_FOLDER:
                folders[:] = [name for name in folders if name != RECORDS]
            if ours is None or ours(os.path.relpath(folder, root)):
                yield folder, names


def remove_unfinished(root: str | os.PathLike, ours: Ours | None = None, places: Iterable[str] | None = None) -> int:
    """Remove the temporary files that killed processes have left below `root`. Return their number.

    Parameters
    ----------
    ours : says of each folder whether it is to be looked at; without it all are
    places : the folders to look in, with all below them, beside the files of `root` itself; without it all of `root`
    """
    unfinished = [
        Path(folder, name)
        for folder, names in _folders(root, ours, places)
        for name in names
        if name.startswith(TEMPORARY)
    ]
    for path in unfinished:
        path.unlink(missing_ok=True)
    return len(unfinished)


def clamp_future_times(root: str | os.PathLike, ours: Ours | None = None, places: Iterable[str] | None = None) -> int:
    """Set modification times below `root` that lie in the future to the current time. Return the number of files.

    Such files were written while the clock was wrong. Everything made from them would be older than they are, and
    therefore out of date, until the clock has reached those times.

    Parameters
    ----------
    ours, places : as for `remove_unfinished`
    """
    now, clamped = time.time(), 0
    for folder, names in _folders(root, ours, places):
        for name in names:
            path = os.path.join(folder, name)
            if os.lstat(path).st_mtime > now:
                with contextlib.suppress(PermissionError):  # the file of another user
                    os.utime(path, (now, now), follow_symlinks=False)
                    clamped += 1
    return clamped


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def write_arrays(path: str | os.PathLike, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays of numbers or texts as an ``.npz`` file, atomically. Equal arrays give equal bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            # ZipInfo sets the date to 1980. The current date would make the bytes differ from run to run.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)
    write_bytes(path, stream.getvalue())


def write_times(path: str | os.PathLike, times: np.ndarray) -> None:
    """Write a grid file atomically: one time in seconds per line, with six decimals.

    Parameters
    ----------
    times : seconds, ascending [k]; without times the file is empty
    """
    write_bytes(path, "".join(f"{time:.6f}\n" for time in np.asarray(times, dtype=float)).encode())


def read_times(path: str | os.PathLike) -> np.ndarray:
    """Read a grid file.

    Returns
    -------
    times in seconds, ascending, float64 [k]

    Raises
    ------
    MirflowError : the file holds something else than finite, ascending times; the message names the file
    """
    try:
        times = np.array([float(line) for line in Path(path).read_text().split()], dtype=np.float64)
    except (ValueError, UnicodeDecodeError) as error:
        raise MirflowError(f"{path}: not a grid file: one time in seconds per line is expected ({error})") from error
    if not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise MirflowError(f"{path}: times must be finite and ascending")
    return times


def to_json_values(value: Any) -> Any:
    """Convert numpy values and nested containers into values that strict JSON can represent.

    Floats are rounded to `SIGNIFICANT_DIGITS`.

    Raises
    ------
    ValueError : a number is NaN or infinite. The caller must represent undefined quantities as None
    """
    if isinstance(value, dict):
        return {str(key): to_json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [to_json_values(item) for item in value]
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a JSON number")
    return float(f"{number:.{SIGNIFICANT_DIGITS}g}")


def json_bytes(content: dict) -> bytes:
    """Return strict JSON as UTF-8 with an indent of 2. Equal content gives equal bytes.

    Parameters
    ----------
    content : strings, numbers, None, lists and dictionaries, as `to_json_values` returns them

    Raises
    ------
    ValueError : a number is NaN or infinite
    """
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_json(path: str | os.PathLike, content: dict) -> None:
    """Write `content` to `path` atomically, after `to_json_values`.

    Raises
    ------
    ValueError : a number is NaN or infinite
    """
    write_bytes(path, json_bytes(to_json_values(content)))


def read_json(path: str | os.PathLike) -> dict:
    """Read a JSON object. NaN and infinity are errors.

    Raises
    ------
    MirflowError : the file holds no JSON object; the message names the file, and the line of a syntax error
    """

    def reject_constant(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        content = json.loads(Path(path).read_bytes(), parse_constant=reject_constant)
    except ValueError as error:  # covers JSONDecodeError and UnicodeDecodeError
        raise MirflowError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise MirflowError(f"{path}: a JSON object is expected, found {type(content).__name__}")
    return content
