"""Transfer of one file over HTTP: taken up where it broke, tried again as long as that makes sense, never mixed of two.

The network is that of requests: proxies (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY; SOCKS too) and certificates
(REQUESTS_CA_BUNDLE, here SSL_CERT_FILE as well) come from the environment.
"""

import email.utils
import errno
import os
import re
import shutil
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import BadStatusLine, RemoteDisconnected
from pathlib import Path
from typing import TYPE_CHECKING

from mirflow import __version__
from mirflow.core.errors import MirflowError

if TYPE_CHECKING:
    import requests

TIMEOUT = (30.0, 60.0)  # s for a connection; s without a byte
CHUNK = 1 << 20  # bytes that are read at most at once
REPORT_INTERVAL = 0.5  # s between two calls of `report`

# A server that sends a byte now and then would never run into a timeout.
SLOWEST = 500.0  # bytes a second, over `SLOW_WINDOW`; with less, another connection is tried
SLOW_WINDOW = 60.0  # s
PROGRESS = 1 << 16  # bytes that must have come since the last attempt for it to count as one that got on

# How long a transfer waits, all pauses together, without a new byte: for a server that has answered, and where none has
# answered yet, since there is probably no connection at all.
PATIENCE = 300.0  # s
PATIENCE_WITHOUT_ANSWER = 30.0  # s
LONGEST_PAUSE = 60.0  # s; pauses double up to it
AGAIN = (408, 425, 429)  # answers that may be others later, beside all from 500 on
NEVER_AGAIN = (501, 505, 511)  # 511: a portal wants a login

CERTIFICATES = "SSL_CERT_FILE"  # environment variable of OpenSSL, which requests does not know
OWN_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # those that it knows


class TransferError(MirflowError):
    """A file cannot be fetched; the message does not name it."""


class _Interrupted(Exception):
    """An attempt failed in a way that makes another attempt worthwhile.

    Attributes
    ----------
    answered : whether a server was there
    pause : s that the server asks to wait
    """

    def __init__(self, message: str, answered: bool = True, pause: float = 0.0) -> None:
        super().__init__(message)
        self.answered = answered
        self.pause = pause


@dataclass(frozen=True)
class Source:
    """Where a file comes from, and what is known of it.

    Attributes
    ----------
    url : http or https
    size : bytes, None if not known
    known : whether the hash of the whole file is known: then parts of it may be joined even where the server cannot
        tell whether the file has changed between them
    tells_its_end : whether a file that was cut off can be told from a whole one
    token : for the header ``Authorization``; it is not sent on to another host
    """

    url: str
    size: int | None = None
    known: bool = False
    tells_its_end: bool = True
    token: str = ""


def receive(
    source: Source,
    part: Path,
    wait: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda message: None,
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> bool:
    """Fetch what `part` lacks; return whether it was joined of the parts that several connections delivered.

    A beginning is kept where the server can tell that the file has not changed since (ETag, Last-Modified), or the hash
    is known.

    Parameters
    ----------
    part : the file to write; ``<part>.tag`` beside it keeps what identifies the version that it belongs to
    wait : sleeps for so many seconds between two attempts
    tell : is told why another attempt is made
    report : is told now and then how many bytes there are, and of how many (None if not known)

    Raises
    ------
    TransferError : the server refuses, gives something else, or gives up; the disk is full
    """
    failures, waited, longest, answered, joined = 0, 0.0, _size(part), False, False
    with _session() as session:
        while True:
            if not source.known and not _tag(part).exists():
                part.unlink(missing_ok=True)
            offset = _size(part)
            joined = joined or offset > 0
            try:
                _attempt(session, source, part, offset, report)
            except _Interrupted as error:
                if _size(part) >= longest + PROGRESS:
                    failures, waited, longest = 0, 0.0, _size(part)
                answered = answered or error.answered
                pause = max(min(2.0**failures, LONGEST_PAUSE), error.pause)
                failures += 1
                waited += pause
                if waited > (PATIENCE if answered else PATIENCE_WITHOUT_ANSWER):
                    asked = f", and asks to wait for {error.pause:.0f} s" if error.pause > LONGEST_PAUSE else ""
                    raise TransferError(f"{error}{asked}") from error
                tell(f"{error}; trying again in {pause:.0f} s")
                wait(pause)
            else:
                return joined


def discard(part: Path) -> None:
    """Remove what was fetched so far."""
    part.unlink(missing_ok=True)
    _tag(part).unlink(missing_ok=True)


def keep(part: Path, to: Path) -> None:
    """Give a file that is complete its name."""
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(to)
    _tag(part).unlink(missing_ok=True)


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _session() -> "requests.Session":
    import requests

    session = requests.Session()
    session.headers.clear()
    session.headers.update({"User-Agent": f"mirflow/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"})
    return session


def _certificates() -> str | bool:
    """Return what requests shall compare certificates with; True leaves that to it."""
    if any(os.environ.get(name) for name in OWN_CERTIFICATES):
        return True
    return os.environ.get(CERTIFICATES) or True


def _authorise(token: str) -> Callable:
    """Return what requests calls to add a token. (A plain header would give way to an entry in ~/.netrc.)"""

    def add(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return add


def _attempt(
    session: "requests.Session",
    source: Source,
    part: Path,
    offset: int,
    report: Callable[[int, int | None], None],
) -> None:
    """Append to `part` what one connection delivers.

    Raises
    ------
    _Interrupted : the connection ended too early, or could not be made; the server is busy
    TransferError : the server has no such file
    """
    import requests
    import urllib3

    headers = {}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if _tag(part).exists():
            headers["If-Range"] = _tag(part).read_text()
    answered = False
    try:
        with session.get(
            source.url,
            headers=headers,
            stream=True,
            timeout=TIMEOUT,
            verify=_certificates(),
            auth=_authorise(source.token) if source.token else None,
        ) as answer:
            answered = True
            _check(source, part, offset, answer)
            _write(source, part, offset, answer, report)
    except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL, requests.TooManyRedirects) as error:
        raise TransferError(_reason(error)) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, ssl.SSLError, TimeoutError) as error:
        reason = _reason(error)
        if "certificate verify failed" in reason.lower():
            raise TransferError(
                f"the certificate of the server is not accepted ({reason}); if your network has an authority of its"
                f" own, {CERTIFICATES} names the file with its certificate"
            ) from error
        raise _Interrupted(reason, answered) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise TransferError(f"{part.parent}: cannot be written ({error.strerror})") from error
        raise TransferError(" ".join(str(error).split())) from error


def _reason(error: Exception) -> str:
    """Return what an error of the network says at its bottom, without the names of classes and objects."""
    while True:
        inner = getattr(error, "reason", None) or next((arg for arg in error.args if isinstance(arg, Exception)), None)
        if not isinstance(inner, Exception) or inner is error:
            break
        error = inner
    text = " ".join(str(error.args[-1] if error.args else error).split())
    text = re.sub(r"^<[^>]*>: |^\w*Connection(Pool)?\([^)]*\): ", "", text)
    if isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
        return f"the answer is not HTTP ({text[:80]})"
    return text or type(error).__name__


def _check(source: Source, part: Path, offset: int, answer: "requests.Response") -> None:
    """Check an answer before its body: that it is the file, or the part that was asked for.

    Raises
    ------
    _Interrupted, TransferError : it is not
    """
    status, headers = answer.status_code, answer.headers
    if status == 416 and offset:
        total = re.fullmatch(r"bytes \*/(\d+)", headers.get("Content-Range", ""))
        if total and int(total[1]) == offset:
            return  # `part` is complete
        discard(part)
        raise _Interrupted("what was fetched before belongs to another file")
    if status >= 400:
        said = f"HTTP {status} {answer.reason}".strip()
        if status in AGAIN or (status >= 500 and status not in NEVER_AGAIN):
            raise _Interrupted(said, pause=_retry_after(headers.get("Retry-After", "")))
        raise TransferError(said)
    if source.url.startswith("https:") and not answer.url.startswith("https:"):
        raise TransferError(f"it is redirected to {answer.url}, without encryption")
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise TransferError(f"the body comes as {encoding} (Content-Encoding), but the plain file was asked for")
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml"):
        raise TransferError("it is a web page")
    if status == 206:
        if not offset:
            raise TransferError("it is a part of the file, but the whole was asked for")
        given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        tag, known = headers.get("ETag", ""), _tag(part).read_text() if _tag(part).exists() else ""
        if not given or int(given[1]) != offset or (tag and known.startswith('"') and tag != known):
            discard(part)
            raise _Interrupted("the file has changed, or another part of it came than was asked for")
    elif status != 200:
        raise TransferError(f"HTTP {status} {answer.reason}, a file was expected")


def _retry_after(text: str) -> float:
    """Return the seconds that the header Retry-After asks for: a number, or a date."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _write(
    source: Source, part: Path, offset: int, answer: "requests.Response", report: Callable[[int, int | None], None]
) -> None:
    """Write the body of an answer into `part` from `offset` on.

    Raises
    ------
    _Interrupted : it ends too early
    TransferError : it has another size than the file, or the disk has no room for it
    """
    import urllib3

    if answer.status_code == 416:
        return
    length = answer.headers.get("Content-Length", "")
    chunked = "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
    whole = answer.status_code == 200
    offset = 0 if whole else offset
    total = offset + int(length) if length.isdecimal() and not chunked else None
    if source.size and total is not None and total != source.size:
        discard(part)
        raise TransferError(f"it has {total} bytes, {source.size} are expected")
    if total is None and not chunked and not source.size and not source.known and not source.tells_its_end:
        raise TransferError("the server does not say how long it is, so nobody could tell whether it is whole")
    needed, free = (total or source.size or 0) - offset, shutil.disk_usage(part.parent).free
    if needed > free:
        raise TransferError(f"{part.parent}: {needed / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are free")
    expected = total if total is not None else source.size
    if whole:
        _note_version(part, answer)
    reported, broken, window = 0.0, False, (time.monotonic(), offset)
    with part.open("wb" if whole else "r+b") as stream:
        stream.seek(offset)
        try:
            # Not iter_content, which fills a whole chunk first, and loses it when the connection breaks meanwhile.
            while piece := answer.raw.read1(CHUNK, decode_content=False):
                stream.write(piece)
                offset += len(piece)
                now = time.monotonic()
                if now - reported >= REPORT_INTERVAL:
                    reported = now
                    report(offset, expected)
                if now - window[0] >= SLOW_WINDOW:
                    speed, window = (offset - window[1]) / (now - window[0]), (now, offset)
                    if speed < SLOWEST:
                        raise _Interrupted(f"the server sends only {speed:.0f} bytes a second")
        except urllib3.exceptions.ProtocolError:
            broken = True
    report(offset, expected)
    if broken or (expected and offset < expected):
        raise _Interrupted(f"the connection ended after {offset}{f' of {expected}' if expected else ''} bytes")
    if expected and offset > expected:
        discard(part)
        raise TransferError(f"it has {offset} bytes, {expected} are expected")


def _note_version(part: Path, answer: "requests.Response") -> None:
    """Note what identifies the version of a file: its ETag, or the time of its last change."""
    version = answer.headers.get("ETag", "")
    version = answer.headers.get("Last-Modified", "") if version.startswith("W/") or not version else version
    if version:
        _tag(part).write_text(version)
    else:
        _tag(part).unlink(missing_ok=True)
