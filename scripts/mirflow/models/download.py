"""Fetching the files of models, and checking that each is the file that config/models.yaml describes.

A file is fetched over HTTP into ``<name>.part``, resumed where the connection broke, compared with its sha256, and
only then renamed. A file that exists is never fetched: a machine without a connection works with files that were put
there by hand.
"""

import contextlib
import hashlib
import http.client
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.models.catalogue import File, folder

# Formats that hold data only. A file of any other kind needs its hash in the catalogue, since unpickling can run code.
DATA_ONLY = (".pb", ".json", ".yaml", ".txt", ".onnx", ".safetensors", ".gguf")

ATTEMPTS = 5  # in a row without a single new byte, before giving up
TIMEOUT = 60.0  # s without a byte
CHUNK = 1 << 20  # bytes
REPORT_INTERVAL = 5.0  # s between lines of progress


def verify(file: File, at: Path | None = None) -> str:
    """Return the sha256 of a model's file, after comparing it with that in the catalogue.

    Where the catalogue has none, the hash of the first time is recorded beside the file and printed; from then on the
    file must have that one.

    Parameters
    ----------
    at : where the file lies; default ``<models>/<name>``

    Raises
    ------
    MirflowError : the file is missing, or has another hash; or its hash is unknown, and its kind of file could run code
    """
    at = folder() / file.name if at is None else Path(at)
    known, source = _expected(file, at)
    if not at.is_file():
        raise MirflowError(f"{at} is missing; {_by_hand(file, at)}")
    found = sha256(at)
    if not known:
        _record(at, found)
    elif found != known:
        raise MirflowError(
            f"{at} is not the file that belongs there: sha256 {found}, but {source} says {known}; remove it, and it is"
            f" fetched again from {file.url}"
        )
    return found


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _expected(file: File, at: Path) -> tuple[str, str]:
    """Return the hash that a file must have, and where it is written; ("", "") where it is not known yet."""
    if file.sha256:
        return file.sha256, "models.yaml"
    if not file.name.endswith(DATA_ONLY):
        raise MirflowError(
            f"{file.name}: models.yaml has no sha256 for it, and a file of this kind could run code when it is loaded;"
            " write there the hash that its authors, or somebody else you trust, publish"
        )
    record = _record_path(at)
    if not record.exists():
        return "", ""
    text = record.read_text().split()
    if not text or not re.fullmatch("[0-9a-f]{64}", text[0]):
        raise MirflowError(f"{record}: a sha256 is expected")
    return text[0], f"{record.name} beside it"


def _record_path(at: Path) -> Path:
    return at.with_name(f"{at.name}.sha256")


def _record(at: Path, found: str) -> None:
    """Record the hash of a file beside it, in the format of sha256sum."""
    print(
        f"{at.name}: sha256 {found}, unknown so far; from now on the file must have it ({_record_path(at).name})",
        file=sys.stderr,
    )
    try:
        artifacts.write_bytes(_record_path(at), f"{found}  {at.name}\n".encode())
    except PermissionError:
        print(f"{at.parent} cannot be written to: the hash is not recorded", file=sys.stderr)


def _by_hand(file: File, at: Path) -> str:
    """Return how to get a file without a connection, for messages."""
    known = f", sha256 {file.sha256}" if file.sha256 else ""
    licence = f"; licence: {file.licence}" if file.licence else ""
    return f"without a connection, fetch {file.url} elsewhere and put it at {at.absolute()}{known}{licence}"


def fetch(file: File, to: Path | None = None, wait: Callable[[float], None] = time.sleep) -> None:
    """Fetch a model's file, unless it is there already.

    Parameters
    ----------
    to : default ``<models>/<name>``
    wait : sleeps for so many seconds between two attempts

    Raises
    ------
    MirflowError : it cannot be fetched (the message says what to put where by hand), or has another hash
    """
    from filelock import FileLock

    to = folder() / file.name if to is None else Path(to)
    expected, _ = _expected(file, to)
    if to.exists():
        verify(file, to)
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{to}.lock"):  # another run may be fetching it
        if to.exists():
            verify(file, to)
            return
        part = to.with_name(f"{to.name}.part")
        resumed = _fetch(file, to, part, wait, known=bool(expected))
        if expected and resumed and sha256(part) != expected:  # perhaps its beginning was of another version
            part.unlink()
            _fetch(file, to, part, wait, known=True)
        found = sha256(part)
        if expected and found != expected:
            part.unlink()
            raise MirflowError(
                f"{file.url} gave another file than expected: sha256 {found},"
                f" but {_expected(file, to)[1]} says {expected}"
            )
        if not expected:
            _record(to, found)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(to)
        _tag_path(part).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{to}.lock")


def _tag_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


class _Interrupted(Exception):
    """An attempt failed in a way that makes another attempt worthwhile."""


def _fetch(file: File, to: Path, part: Path, wait: Callable[[float], None], *, known: bool) -> bool:
    """Fetch what `part` lacks; return whether it had a beginning from an earlier attempt.

    Such a beginning is kept where the server can tell that the file has not changed since, or the hash is known.

    Parameters
    ----------
    known : whether the hash of the whole file is known
    """
    tag = _tag_path(part)
    if part.exists() and not known and not tag.exists():
        part.unlink()
    resumed = part.exists() and part.stat().st_size > 0
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _try(file, part, tag, before)
            return resumed
        except _Interrupted as error:
            gained = part.exists() and part.stat().st_size > before
            failures = 1 if gained else failures + 1
            if failures >= ATTEMPTS:
                raise MirflowError(f"{file.name} cannot be fetched ({error}); {_by_hand(file, to)}") from error
            print(f"{file.name}: {error}; trying again", file=sys.stderr)
            wait(2.0 ** (failures - 1))


def _try(file: File, part: Path, tag: Path, offset: int) -> None:
    """Append to `part` what one connection delivers.

    Raises
    ------
    _Interrupted : the connection ended too early, or could not be made
    MirflowError : the server has no such file
    """
    request = urllib.request.Request(file.url, headers={"User-Agent": "mirflow", "Accept-Encoding": "identity"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        if tag.exists():
            request.add_header("If-Range", tag.read_text())
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            _receive(file, part, tag, offset, answer)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
            total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
            if total and int(total[1]) == offset:
                return  # `part` was complete
            part.unlink()
            raise _Interrupted("what was fetched before belongs to another file") from error
        if error.code >= 500 or error.code == http.HTTPStatus.TOO_MANY_REQUESTS:
            raise _Interrupted(f"{file.url}: HTTP {error.code} {error.reason}") from error
        raise MirflowError(
            f"{file.name}: {file.url} answers HTTP {error.code} {error.reason}; {_by_hand(file, part.with_suffix(''))}"
        ) from error
    except (OSError, http.client.HTTPException) as error:  # URLError, timeouts and broken connections are OSErrors
        reason = getattr(error, "reason", None) or error
        raise _Interrupted(f"{file.url}: {reason or type(error).__name__}") from error


def _receive(file: File, part: Path, tag: Path, offset: int, answer: http.client.HTTPResponse) -> None:
    """Write the body of an answer into `part` from `offset` on; `tag` keeps what identifies the file's version."""
    whole = answer.status != http.HTTPStatus.PARTIAL_CONTENT
    length = answer.headers.get("Content-Length")
    if answer.headers.get_content_type() == "text/html":
        raise MirflowError(f"{file.url} gives a web page, not {file.name}; {_by_hand(file, part.with_suffix(''))}")
    if whole:
        offset = 0
        validator = answer.headers.get("ETag", "")
        validator = (
            answer.headers.get("Last-Modified", "") if validator.startswith("W/") or not validator else validator
        )
        if validator:
            tag.write_text(validator)
        else:
            tag.unlink(missing_ok=True)
    elif not answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        part.unlink()
        raise _Interrupted(f"{file.url}: the server sent another part than it was asked for")
    total = offset + int(length) if length else None
    with part.open("wb" if whole else "r+b") as stream:
        stream.seek(offset)
        free = shutil.disk_usage(part.parent).free
        if total and total - offset > free:
            raise MirflowError(
                f"{part.parent}: {file.name} needs {_megabytes(total - offset)}, {_megabytes(free)} are free"
            )
        shown = time.monotonic()
        while piece := answer.read(CHUNK):
            stream.write(piece)
            offset += len(piece)
            if time.monotonic() - shown >= REPORT_INTERVAL:
                shown = time.monotonic()
                share = f" of {_megabytes(total)}, {offset / total:.0%}" if total else ""
                print(f"{file.name}: {_megabytes(offset)}{share}", file=sys.stderr, flush=True)
    if total is not None and offset < total:
        raise _Interrupted(f"{file.url}: the connection ended after {offset} of {total} bytes")
    if file.size and not file.sha256 and offset != file.size:
        part.unlink()
        raise MirflowError(f"{file.url} gives {offset} bytes, but {file.name} has {file.size}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
