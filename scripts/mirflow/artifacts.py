"""Writing artifacts: complete or not at all."""

import contextlib
import errno
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mirflow.errors import MirflowError

TEMPORARY = ".mirflow-tmp-"  # how the names of unfinished files begin
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SIGNIFICANT_DIGITS = 7  # of a number in JSON: more than any measurement here has, less than what compilers disagree on


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; on success it is synced and renamed to `path`.

    On an exception the temporary file is removed and `path` is left as it was. The temporary name keeps the suffix,
    since encoders choose their format by it.

    Raises
    ------
    MirflowError : there is no room, or no permission, for the file; naming it
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise _not_written(path, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; artifacts get the mode that any program of this user would give them
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise (_not_written(path, error) if error.errno in NO_ROOM else error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _not_written(path: Path, error: OSError) -> MirflowError:
    return MirflowError(f"{path}: cannot be written ({error.strerror or error})")


def remove_unfinished(root: str | os.PathLike) -> int:
    """Remove what processes that were killed have left below `root`; return how many files."""
    found = [Path(folder, name) for folder, _, names in os.walk(root) for name in names if name.startswith(TEMPORARY)]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def out_of_the_future(root: str | os.PathLike) -> int:
    """Give files below `root` that were written while the clock was ahead the time of now; return how many.

    Whatever is made from them would be older than they are, and so out of date for as long as the clock was wrong.
    """
    now, found = time.time(), 0
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if os.lstat(path).st_mtime > now:
                with contextlib.suppress(PermissionError):  # somebody else's
                    os.utime(path, (now, now), follow_symlinks=False)
                    found += 1
    return found


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_times(path: str | os.PathLike, times: np.ndarray) -> None:
    """Write a grid file: one time in seconds a line, six decimals, ascending; no times make an empty file."""
    write_bytes(path, "".join(f"{time:.6f}\n" for time in np.asarray(times, dtype=float)).encode())


def read_times(path: str | os.PathLike) -> np.ndarray:
    """Read a grid file: times in seconds, float64 [k], strictly what `write_times` writes."""
    try:
        times = np.array([float(line) for line in Path(path).read_text().split()], dtype=np.float64)
    except (ValueError, UnicodeDecodeError) as error:
        raise MirflowError(f"{path}: not a grid file, one time in seconds a line is expected ({error})") from error
    if not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise MirflowError(f"{path}: times must be finite and ascending")
    return times


def plain(value: Any) -> Any:
    """Turn numpy values and nested containers into what strict JSON holds; floats keep `SIGNIFICANT_DIGITS`.

    Raises
    ------
    ValueError : for NaN and infinity: an undefined quantity must be None before it comes here
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
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
    """Return strict JSON, UTF-8, indent 2; equal content gives equal bytes."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_json(path: str | os.PathLike, content: dict) -> None:
    """Write `content` (see `plain`) to `path` atomically."""
    write_bytes(path, json_bytes(plain(content)))


def read_json(path: str | os.PathLike) -> dict:
    """Read a JSON object.

    Raises
    ------
    MirflowError : when the file is no JSON object, naming the file and the place
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        content = json.loads(Path(path).read_bytes(), parse_constant=refuse)
    except ValueError as error:  # covers JSONDecodeError and UnicodeDecodeError
        raise MirflowError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise MirflowError(f"{path}: a JSON object is expected, found {type(content).__name__}")
    return content
