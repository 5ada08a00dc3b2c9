"""Asking MusicBrainz and AcoustID: politely, and never twice.

Both allow few requests: MusicBrainz one a second for each address. So all processes of this user on this machine share
one clock, and every answer is kept. An error is never kept: the next run asks again.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from mirflow import __version__
from mirflow.core import artifacts
from mirflow.core.errors import MirflowError

CONTACT, KEY = "MIRFLOW_CONTACT", "MIRFLOW_ACOUSTID_KEY"  # environment variables, which the settings fill
# Environment variable → where the service is, for a mirror.
ADDRESSES = {
    "musicbrainz": ("MIRFLOW_MUSICBRAINZ_URL", "https://musicbrainz.org"),
    "acoustid": ("MIRFLOW_ACOUSTID_URL", "https://api.acoustid.org"),
}
INTERVAL = 1.0  # s from one request to the next, over all processes
TIMEOUT = (10.0, 30.0)  # s for a connection; s without a byte
ATTEMPTS = 4  # where a service is busy
LONGEST_PAUSE = 60.0  # s that a service may ask to wait
BUSY = (429, 503)
NOT_FOUND_DAYS = 90  # so long an empty answer counts
MOST_BYTES = 8 << 20  # of an answer


@dataclass(frozen=True)
class Services:
    """Both services with the answers that are known already.

    Attributes
    ----------
    cache : folder of the answers
    wait : sleeps for so many seconds
    now : the time, s since the epoch
    """

    cache: Path
    wait: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time

    def musicbrainz(self, path: str, **query: str) -> dict[str, Any] | None:
        """Return what MusicBrainz answers; None where it knows nothing of that name.

        Raises
        ------
        MirflowError : it cannot be reached, is too busy, or answers something else than JSON; and there is no answer to
            this question that is kept, not even one that has expired
        """
        return self._answer("musicbrainz", f"/ws/2/{path}", {**query, "fmt": "json"})

    def acoustid(self, fingerprint: str, duration: float) -> dict[str, Any]:
        """Return what AcoustID answers to a fingerprint; `duration` is in seconds.

        Raises
        ------
        MirflowError : as for `musicbrainz`; or the key is refused
        """
        query = {"fingerprint": fingerprint, "duration": str(round(duration)), "meta": "recordingids", "format": "json"}
        return self._answer("acoustid", "/v2/lookup", query) or {}

    def _answer(self, service: str, path: str, query: dict[str, str]) -> dict[str, Any] | None:
        """Return the answer that is kept, or ask for it."""
        asked = json.dumps([service, path, query], sort_keys=True)
        kept = self.cache / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"
        expired = None
        try:
            known = artifacts.read_json(kept)
            if known["found"] or self.now() - known["when"] < NOT_FOUND_DAYS * 86400:
                return known["answer"]
            expired = known
        except (OSError, MirflowError, KeyError, TypeError):
            pass  # not kept, or damaged: asked anew
        try:
            answer = self._ask(service, path, query)
        except MirflowError:
            if expired is None:
                raise
            return expired["answer"]  # better than no look-up, until the service can be reached again
        found = bool(answer) and any(answer.get(name) for name in ("id", "recordings", "results"))
        artifacts.write_json(kept, {"asked": path, "found": found, "when": int(self.now()), "answer": answer})
        return answer

    def _ask(self, service: str, path: str, query: dict[str, str]) -> dict[str, Any] | None:
        import requests

        variable, address = ADDRESSES[service]
        url = os.environ.get(variable, address) + path
        headers = {"User-Agent": f"mirflow/{__version__} ( {os.environ.get(CONTACT, '')} )"}
        secret = {"client": os.environ.get(KEY, "")} if service == "acoustid" else {}
        reason = ""
        for attempt in range(ATTEMPTS):
            wait_for_turn(service, self.wait, self.now)
            try:
                # A fingerprint is too long for an address.
                if secret:
                    response = requests.post(url, data=query | secret, headers=headers, timeout=TIMEOUT, stream=True)
                else:
                    response = requests.get(url, params=query, headers=headers, timeout=TIMEOUT, stream=True)
                with response:
                    body = response.raw.read(MOST_BYTES + 1, decode_content=True)
            except (requests.RequestException, OSError, _transport_error()) as error:
                raise MirflowError(f"{service} cannot be reached ({type(error).__name__})") from error
            if response.status_code not in BUSY:
                return _content(service, response.status_code, body)
            pause = _pause(response.headers.get("Retry-After", ""), attempt)
            reason = f"answers {response.status_code} and asks to wait for {pause:.0f} s"
            if pause > LONGEST_PAUSE:
                break
            if attempt < ATTEMPTS - 1:
                self.wait(pause)
        raise MirflowError(f"{service} is too busy: it {reason}; the next run asks again")


def _transport_error() -> type[Exception]:
    import urllib3

    return urllib3.exceptions.HTTPError


def _pause(stated: str, attempt: int) -> float:
    """Return how many seconds to wait: what the service says, else more from time to time."""
    return float(stated) if stated.isascii() and stated.isdigit() else 2.0 ** (attempt + 1)


def _content(service: str, status: int, body: bytes) -> dict[str, Any] | None:
    """Return the JSON object of an answer; None for one that says that there is nothing."""
    if len(body) > MOST_BYTES:
        raise MirflowError(f"{service} answers more than {MOST_BYTES >> 20} MB")
    try:
        content = json.loads(body)
    except ValueError as error:
        raise MirflowError(f"{service} answers {status} with something else than JSON") from error
    if not isinstance(content, dict):
        raise MirflowError(f"{service} answers {status} with something else than a JSON object")
    if status == 404:
        return None
    if status != 200 or content.get("error") or content.get("status", "ok") != "ok":
        said = content.get("error", "")
        said = said.get("message", "") if isinstance(said, dict) else said
        raise MirflowError(f"{service} answers {status}: {' '.join(str(said).split())[:200]}")
    return content


def wait_for_turn(
    service: str, wait: Callable[[float], None] = time.sleep, now: Callable[[], float] = time.time
) -> None:
    """Wait until `INTERVAL` has passed since the last request of any process of this user on this machine."""
    folder = _shared_folder()
    with FileLock(folder / f"{service}.lock"):
        stamp = folder / f"{service}.last"
        try:
            since = now() - float(stamp.read_text())
        except (OSError, ValueError):
            since = INTERVAL
        if 0 <= since < INTERVAL:
            wait(INTERVAL - since)
        elif since < 0:  # the clock was set back
            wait(INTERVAL)
        stamp.write_text(repr(now()))


def _shared_folder() -> Path:
    """Return a folder that all processes of this user on this machine share."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for folder in (Path(home, "mirflow"), Path(tempfile.gettempdir(), f"mirflow-{os.getuid()}")):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise MirflowError(f"{home}: cannot be written; look-ups need a folder there (XDG_CACHE_HOME) to take turns")
