"""Files of trained models: what config/models.yaml says of them, fetching them, and that they are what they should be.

A model's file is a target like any other, ``<models>/<name>``. It is fetched over HTTP into ``<name>.part``, taken up
again where it was broken off, checked against its sha256 and only then given its name. Nothing is fetched when the file
is there: a machine without a connection works with files that somebody put there.
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
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mirflow import artifacts
from mirflow.errors import MirflowError

CATALOGUE = Path(__file__).resolve().parents[2] / "config" / "models.yaml"
OWN_ENTRIES = "models.yaml"  # in the models' folder: entries of the user
FOLDER = "MIRFLOW_MODELS"  # environment variable: where the files lie; the workflow sets it from the setting `models`

# Formats that hold data only. Any other kind of file needs its hash in the catalogue: unpickling can run anything.
DATA_ONLY = (".pb", ".json", ".yaml", ".txt", ".onnx", ".safetensors", ".gguf")

ATTEMPTS = 5  # to get one more piece of a file before giving up
TIMEOUT = 60.0  # s without a byte
CHUNK = 1 << 20  # bytes
REPORT_INTERVAL = 5.0  # s between lines of progress


@dataclass(frozen=True)
class File:
    """One file of a model, as the catalogue describes it; `size` in bytes, `sha256` empty: not known."""

    name: str
    url: str
    model: str
    sha256: str = ""
    size: int | None = None
    licence: str = ""
    licence_note: str = ""


def folder() -> Path:
    """Return the directory of the models' files."""
    return Path(os.environ.get(FOLDER) or "models").expanduser()


def use(where: str) -> None:
    """Set the directory of the models' files for this process and all commands that it starts."""
    os.environ[FOLDER] = where


def entries() -> dict[str, dict]:
    """Return all models of the catalogue and of the user: name → entry.

    Raises
    ------
    MirflowError : an entry is not as config/models.yaml describes it, naming the file, the model and the key
    """
    return _entries(str(folder()))


@cache
def _entries(where: str) -> dict[str, dict]:
    found = _load(CATALOGUE)
    own = Path(where, OWN_ENTRIES)
    if own.is_file():
        found = found | _load(own)
    described: dict[str, dict] = {}
    for entry in found.values():  # one file may serve two models
        for file in entry["files"]:
            if described.setdefault(file["name"], file) != file:
                raise MirflowError(f"models.yaml: {file['name']} is described twice, and not alike")
    return found


def _load(path: Path) -> dict[str, dict]:
    import jsonschema
    import yaml

    try:
        content = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MirflowError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    for error in jsonschema.Draft202012Validator(_SCHEMA).iter_errors(content):
        place = ".".join(str(part) for part in error.absolute_path)
        raise MirflowError(f"{path}: {place}: {error.message}")
    return content["models"] or {}


_TEXT = {"type": "string", "minLength": 1}
_HEAD_OUTPUTS = ("labels", "keys", "tempo")
_SCHEMA = {
    "type": "object",
    "required": ["models"],
    "additionalProperties": False,
    "properties": {
        "licences": {"type": "object"},
        "models": {
            "type": ["object", "null"],
            "propertyNames": {"pattern": r"^[A-Za-z0-9][\w.-]*$"},
            "additionalProperties": {
                "type": "object",
                "required": ["purpose", "files"],
                "additionalProperties": False,
                "properties": {
                    "purpose": _TEXT,
                    "licence": _TEXT,
                    "licence_note": _TEXT,
                    "files": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["name", "url"],
                            "additionalProperties": False,
                            "properties": {
                                "name": {"type": "string", "pattern": r"^[A-Za-z0-9][\w.+-]*$"},
                                "url": {"type": "string", "pattern": "^https?://"},
                                "size": {"type": "integer", "minimum": 1},
                                "sha256": {"type": "string", "pattern": "^([0-9a-f]{64})?$"},
                            },
                        },
                    },
                    "network": {
                        "type": "object",
                        "required": ["algorithm"],
                        "additionalProperties": False,
                        "properties": {"algorithm": _TEXT, "input": _TEXT, "output": _TEXT},
                    },
                    "separator": {
                        "type": "object",
                        "required": ["backend"],
                        "additionalProperties": False,
                        "properties": {
                            "backend": {"enum": ["demucs", "roformer"]},
                            "weights": {
                                "type": "array",
                                "items": {"type": "array", "items": {"type": "number", "minimum": 0}},
                            },
                        },
                        "dependentSchemas": {"weights": {"properties": {"backend": {"const": "demucs"}}}},
                    },
                    "head": {
                        "type": "object",
                        "required": ["network"],
                        "additionalProperties": False,
                        "oneOf": [{"required": [kind]} for kind in _HEAD_OUTPUTS],
                        "properties": {
                            "network": _TEXT,
                            "input": _TEXT,
                            "output": _TEXT,
                            "classes": {"type": "array", "items": _TEXT, "minItems": 1},
                            "labels": _TEXT,
                            "keys": {"type": "object", "additionalProperties": _TEXT, "minProperties": 1},
                            "tempo": _TEXT,
                            "bounds": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                            "optional": {"type": "boolean"},
                        },
                    },
                },
            },
        },
    },
}


def entry(name: str) -> dict:
    """Return the entry of one model.

    Raises
    ------
    MirflowError : when there is none
    """
    if name not in entries():
        raise MirflowError(f"no model {name!r} in {CATALOGUE} or {folder() / OWN_ENTRIES}")
    return entries()[name]


def files(name: str | None = None) -> tuple[File, ...]:
    """Return the files of one model, or of all."""
    if name is None:
        return tuple({file.name: file for model in entries() for file in files(model)}.values())
    about = entry(name)
    licence = {key: about.get(key, "") for key in ("licence", "licence_note")}
    return tuple(File(**file, model=name, **licence) for file in about["files"])


def file(name: str) -> File:
    """Return one file by its name.

    Raises
    ------
    MirflowError : when the catalogue has none of that name
    """
    found = [candidate for candidate in files() if candidate.name == name]
    if not found:
        raise MirflowError(f"no file {name!r} in {CATALOGUE} or {folder() / OWN_ENTRIES}")
    return found[0]


def path(name: str) -> list[str]:
    """Return where the files of a model lie, in the order of its entry."""
    return [str(folder() / file.name) for file in files(name)]


def identity(name: str) -> str:
    """Return which files a model is made of, as the catalogue knows them, for the ``params`` of rules.

    What was recorded of a file at its download does not count: it appears after the first run has begun.
    """
    return " ".join(f"{file.name}:{file.sha256}" for file in files(name))


def verify(file: File, at: Path | None = None) -> str:
    """Return the sha256 of a model's file after comparing it with the catalogue's, or with the one recorded before.

    A hash that nobody knows yet is recorded beside the file and printed.

    Parameters
    ----------
    at : where the file lies; default ``<models>/<name>``

    Raises
    ------
    MirflowError : the file is missing or another one; or its hash is not known, and a file of its kind could run code
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
    """Return the hash that a file must have and who says so; an empty one when nobody knows yet."""
    if file.sha256:
        return file.sha256, "models.yaml"
    if not file.name.endswith(DATA_ONLY):
        raise MirflowError(
            f"{file.name}: models.yaml has no sha256 for it, and a file of this kind could run code when it is loaded;"
            " get its hash from somebody you trust and write it there"
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
    """Write a hash down, in the form of sha256sum; later files of this name must have it."""
    print(
        f"{at.name}: sha256 {found}, not known before; enforced from now on ({_record_path(at).name})", file=sys.stderr
    )
    try:
        artifacts.write_bytes(_record_path(at), f"{found}  {at.name}\n".encode())
    except PermissionError:
        print(f"{at.parent} is read-only: the hash is not recorded", file=sys.stderr)


def _by_hand(file: File, at: Path) -> str:
    known = f", sha256 {file.sha256}" if file.sha256 else ""
    licence = f"; licence: {file.licence}" if file.licence else ""
    return f"without a connection, fetch {file.url} elsewhere and put it at {at.absolute()}{known}{licence}"


def download(file: File, to: Path | None = None, wait: Callable[[float], None] = time.sleep) -> None:
    """Fetch a model's file, unless the right one is there.

    Parameters
    ----------
    to : default ``<models>/<name>``
    wait : what passes the seconds between two attempts

    Raises
    ------
    MirflowError : it cannot be fetched (saying what to put where by hand), or is not the right one
    """
    from filelock import FileLock

    to = folder() / file.name if to is None else Path(to)
    expected, _ = _expected(file, to)
    if to.exists():
        verify(file, to)
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{to}.lock"):  # another run may be at it
        if to.exists():
            verify(file, to)
            return
        part = to.with_name(f"{to.name}.part")
        resumed = _fetch(file, to, part, wait, known=bool(expected))
        if expected and resumed and sha256(part) != expected:  # of two versions, perhaps
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
    """A try that may be repeated."""


def _fetch(file: File, to: Path, part: Path, wait: Callable[[float], None], *, known: bool) -> bool:
    """Bring `part` to its full length; return whether some of it was there before.

    Bytes of an earlier try are kept when the server says that the file has not changed since, or the hash is known.
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
    """Append to `part` what one connection gives.

    Raises
    ------
    _Interrupted : it ended too early, or could not be made
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
                return  # all of it was there
            part.unlink()
            raise _Interrupted("what was fetched before is of another file") from error
        if error.code >= 500 or error.code == http.HTTPStatus.TOO_MANY_REQUESTS:
            raise _Interrupted(f"{file.url}: HTTP {error.code} {error.reason}") from error
        raise MirflowError(
            f"{file.name}: {file.url} answers HTTP {error.code} {error.reason}; {_by_hand(file, part.with_suffix(''))}"
        ) from error
    except (OSError, http.client.HTTPException) as error:  # URLError, timeouts and broken connections are OSErrors
        reason = getattr(error, "reason", None) or error
        raise _Interrupted(f"{file.url}: {reason or type(error).__name__}") from error


def _receive(file: File, part: Path, tag: Path, offset: int, answer: http.client.HTTPResponse) -> None:
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
        raise _Interrupted(f"{file.url}: the server gave another range than it was asked for")
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
