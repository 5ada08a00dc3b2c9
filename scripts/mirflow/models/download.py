"""Fetching the files of models, and checking that each is the file that config/models.yaml describes.

A file is fetched over HTTP into ``<name>.part`` (`mirflow.models.transfer`), compared with its sha256, and only then
renamed. A file that exists is never fetched: a machine without a connection works with files that were put there by
hand, which are checked in the same way.
"""

import contextlib
import hashlib
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.models import formats, transfer
from mirflow.models.catalogue import File, folder

# Formats that hold data only. A file of any other kind needs its hash in the catalogue, since unpickling can run code.
DATA_ONLY = (".pb", ".json", ".yaml", ".txt", ".onnx", ".safetensors", ".gguf")

HUB = "https://huggingface.co"
HUB_MIRROR, HUB_TOKEN = (
    "HF_ENDPOINT",
    "HF_TOKEN",
)  # environment variables, as huggingface_hub understands them

REPORT_INTERVAL = 5.0  # s between lines of progress
SPEED_WINDOW = 20.0  # s over which a speed is taken

Report = Callable[[int, int | None], None]  # is told bytes that are there, and of how many (None if not known)


def verify(file: File, at: Path | None = None) -> str:
    """Return the sha256 of a model's file, after comparing it with that in the catalogue.

    Where the catalogue has none, the file must look like a whole one of its kind. The hash of the first time is then
    recorded beside the file and printed; from then on the file must have that one.

    Parameters
    ----------
    at : where the file lies; default ``<models>/<name>``

    Raises
    ------
    MirflowError : the file is missing, has another hash, or is not of its kind; or its hash is unknown, and its kind of
        file could run code
    """
    at = folder() / file.name if at is None else Path(at)
    known, source = _expected(file, at)
    if not at.is_file():
        raise MirflowError(f"{at} is missing; {_by_hand(file, at)}")
    found = sha256(at)
    if known and found != known:
        what = formats.problem(at, file.name)
        raise MirflowError(
            f"{at} is not the file that belongs there: sha256 {found}, but {source} says {known}"
            f"{f' ({what})' if what else ''}; remove it, and it is fetched again from {address(file)}{_or_forget(file)}"
        )
    if not file.sha256 and (what := formats.problem(at, file.name)):
        raise MirflowError(f"{at}: {what}; remove it{_or_forget(file, known)}")
    if not known:
        _record(at, found)
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
    found = recorded(file, at)
    return (found, f"{_record_path(at).name} beside it") if found else ("", "")


def recorded(file: File, at: Path | None = None) -> str:
    """Return the hash that the first download of a file had, "" where none is recorded.

    Raises
    ------
    MirflowError : the record is damaged
    """
    record = _record_path(folder() / file.name if at is None else Path(at))
    if not record.exists():
        return ""
    text = record.read_text(errors="replace").split()
    if not text or not re.fullmatch("[0-9a-f]{64}", text[0]):
        raise MirflowError(f"{record}: a sha256 is expected{_or_forget(file)}")
    return text[0]


def forget(file: File, at: Path | None = None) -> bool:
    """Remove the hash that was recorded at the first download of a file; return whether there was one."""
    record = _record_path(folder() / file.name if at is None else Path(at))
    there = record.exists()
    record.unlink(missing_ok=True)
    return there


def recalled(recorded_identity: str, identity: str) -> str:
    """Return what was noted of a model's files (`catalogue.identity`) as it would be noted today.

    A file whose hash nobody knew then is the one of today, unless its first download has recorded another hash. The
    metadata of a graph, ``<graph>.json``, was a file of some models once.
    """
    today = dict(item.rpartition(":")[::2] for item in identity.split())
    items = [item.rpartition(":")[::2] for item in recorded_identity.split()]
    return " ".join(
        f"{name}:{sha256 or _of_an_unknown_hash(name, today.get(name, ''))}"
        for name, sha256 in items
        if name in today or name.removesuffix(".json") + ".pb" not in today
    )


def _of_an_unknown_hash(name: str, today: str) -> str:
    """Return the hash of today, "" if a file of that name had another one at its first download."""
    try:
        first = recorded(File(name, "", ""))
    except MirflowError:
        return ""
    return today if first in ("", today) else ""


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
    except OSError:
        print(f"{at.parent} cannot be written to: the hash is not recorded", file=sys.stderr)


def _or_forget(file: File, recorded: str = "yes") -> str:
    """Return, for messages, what to do where a hash was recorded of a wrong file."""
    if file.sha256 or not recorded:
        return ""
    return f"; if the recorded hash is that of a wrong file: mirflow models forget {file.name}"


def address(file: File) -> str:
    """Return where a file is fetched: its address in the catalogue, on the mirror of Hugging Face if one is chosen."""
    mirror = os.environ.get(HUB_MIRROR, "").rstrip("/")
    return file.url.replace(HUB, mirror, 1) if mirror and file.url.startswith(f"{HUB}/") else file.url


def _token(file: File) -> str:
    """Return the user's token of Hugging Face for a file that lies there, "" for all others."""
    return os.environ.get(HUB_TOKEN, "").strip() if file.url.startswith(f"{HUB}/") else ""


def _by_hand(file: File, at: Path) -> str:
    """Return how to get a file without a connection, for messages."""
    known = f", sha256 {file.sha256}" if file.sha256 else ""
    licence = f"; licence: {file.licence}" if file.licence else ""
    return f"without a connection, fetch {address(file)} elsewhere and put it at {at.absolute()}{known}{licence}"


def fetch(
    file: File, to: Path | None = None, wait: Callable[[float], None] = time.sleep, report: Report | None = None
) -> None:
    """Fetch a model's file, unless it is there already; check it either way.

    Parameters
    ----------
    to : default ``<models>/<name>``
    wait : sleeps for so many seconds between two attempts
    report : is told of progress; default: lines on stderr

    Raises
    ------
    MirflowError : it cannot be fetched (the message says what to put where by hand), or is not the right file
    """
    from filelock import FileLock

    to = folder() / file.name if to is None else Path(to)
    _expected(file, to)
    if to.exists():
        verify(file, to)
        return
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MirflowError(f"{to.parent}: cannot be made ({error.strerror})") from error
    lock = FileLock(f"{to}.lock")  # another run may be fetching it
    try:
        lock.acquire()
    except OSError as error:
        raise MirflowError(
            f"{to.parent}: cannot be written to ({error.strerror}); {file.name} belongs there, {_by_hand(file, to)}"
        ) from error
    try:
        if to.exists():
            verify(file, to)
        else:
            _fetch(file, to, wait, report or Lines(file.name).report)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(lock.lock_file).unlink()
        lock.release()


def _fetch(file: File, to: Path, wait: Callable[[float], None], report: Report) -> None:
    expected, stated = _expected(file, to)
    part = to.with_name(f"{to.name}.part")
    source = transfer.Source(address(file), file.size, bool(expected), formats.tells_its_end(file.name), _token(file))

    def attempt() -> bool:
        try:
            return transfer.receive(source, part, wait, lambda said: _tell(file, said), report)
        except transfer.TransferError as error:
            hint = _token_hint(file, str(error))
            raise MirflowError(
                f"{file.name} cannot be fetched: {source.url}: {error}{hint}; {_by_hand(file, to)}"
            ) from error
        except KeyboardInterrupt:
            there = f" after {size(part.stat().st_size)}; the next attempt goes on from there" if part.exists() else ""
            raise KeyboardInterrupt(f"{file.name}: interrupted{there}") from None

    joined = attempt()
    found = sha256(part)
    if expected and joined and found != expected:  # perhaps its beginning was of another version
        transfer.discard(part)
        attempt()
        found = sha256(part)
    what = formats.problem(part, file.name) if found != expected else ""
    if what or (expected and found != expected):
        length = part.stat().st_size
        transfer.discard(part)
        differs = f": sha256 {found}, but {stated} says {expected}" if expected else ""
        raise MirflowError(
            f"{source.url} gave another file than {file.name}, {length} bytes{differs}{f' ({what})' if what else ''}"
            f"{_or_forget(file, expected)}; {_by_hand(file, to)}"
        )
    if not expected:
        _record(to, found)
    transfer.keep(part, to)


def _tell(file: File, said: str) -> None:
    print(f"{file.name}: {said}", file=sys.stderr, flush=True)


def _token_hint(file: File, said: str) -> str:
    """Return what an account has to do with a refusal of Hugging Face."""
    if not file.url.startswith(f"{HUB}/") or not said.startswith(("HTTP 401", "HTTP 403")):
        return ""
    return f" ({HUB_TOKEN} is refused)" if _token(file) else f" (perhaps it needs an account: {HUB_TOKEN} is not set)"


class Lines:
    """Prints progress as lines, every few seconds: share, speed, time left."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self.clock = name, clock
        self.seen: list[tuple[float, int]] = []  # when, how many bytes
        self.printed = clock()

    def report(self, done: int, total: int | None) -> None:
        """Take how many bytes there are, and of how many."""
        now = self.clock()
        self.seen = [one for one in self.seen if one[0] >= now - SPEED_WINDOW] + [(now, done)]
        if now - self.printed >= REPORT_INTERVAL:
            self.printed = now
            print(f"{self.name}: {progress(done, total, self.speed())}", file=sys.stderr, flush=True)

    def speed(self) -> float:
        """Return bytes a second, 0 while nobody can tell."""
        (began, first), (now, last) = self.seen[0], self.seen[-1]
        return (last - first) / (now - began) if now > began else 0.0


def progress(done: int, total: int | None, speed: float) -> str:
    """Return how far a download is.

    >>> progress(1_180_000_000, 5_900_000_000, 20e6)
    '1.18 of 5.90 GB, 20 %, 20.0 MB/s, 3 min 56 s left'
    """
    parts = [f"{_amount(done, total)} of {size(total)}, {100 * done // total} %" if total else size(done)]
    if speed > 0:
        parts.append(f"{size(speed)}/s")
        if total and done < total:
            parts.append(f"{_clock((total - done) / speed)} left")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes = int(seconds) // 60
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {int(seconds) % 60:02d} s" if minutes else f"{int(seconds)} s"


def size(count: float) -> str:
    """Return a number of bytes as a person says it.

    >>> size(950), size(1_320_120), size(5.9e9)
    ('950 B', '1.3 MB', '5.90 GB')
    """
    unit = _unit(count)
    return f"{_amount(count, count)} {unit}"


def _unit(count: float) -> str:
    return "GB" if count >= 1e9 else "MB" if count >= 1e6 else "kB" if count >= 1e3 else "B"


def _amount(count: float, whole: float | None) -> str:
    """Return a number of bytes in the unit that fits the whole."""
    unit = _unit(whole or count)
    scale, digits = {"GB": (1e9, 2), "MB": (1e6, 1), "kB": (1e3, 1), "B": (1, 0)}[unit]
    return f"{count / scale:.{digits}f}"
