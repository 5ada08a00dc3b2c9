"""A web server on this machine, in place of the internet: answers as it is told to, and notes what it was asked."""

import gzip
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What the server gives for one path.

    Attributes
    ----------
    body : of the file
    kind : Content-Type
    headers : further ones
    status : 200: also parts of the file on request, if `ranges`
    etag : of the file; "" for none
    length : whether Content-Length is sent; without it the end of the connection is the end of the body
    chunked : whether the body is sent in chunks, with an end of its own
    cuts : after so many bytes each of the next connections breaks
    """

    body: bytes = b""
    kind: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    etag: str = '"1"'
    ranges: bool = True
    length: bool = True
    chunked: bool = False
    cuts: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]


class Server(ThreadingHTTPServer):
    """The server. `answers` are by path; a list is given one after the other, its last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer | list[Answer] | Callable[[], Answer]] = {}
        self.asked: list[Asked] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"

    def give(self, name: str, body: bytes = b"", **how: object) -> str:
        """Give a file under a name from now on; return its address."""
        self.answers[f"/{name}"] = Answer(body, **how)
        return self.url(name)

    def ranges(self) -> list[str | None]:
        """Return what part of a file each request was for."""
        return [asked.headers.get("Range") for asked in self.asked]

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that have gone."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(Asked(self.command, self.path, dict(self.headers)))
        path = re.sub(r"^http://[^/]+", "", self.path)  # as a proxy it is asked for whole addresses
        found = self.server.answers.get(path, Answer(status=404))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        self.answer(found)

    def do_CONNECT(self) -> None:
        """Refuse, as a proxy, to connect to anything over TLS; it is noted."""
        self.server.asked.append(Asked(self.command, self.path, dict(self.headers)))
        self.send_error(403)

    def answer(self, found: Answer) -> None:
        asked, start = self.headers.get("Range"), 0
        total = len(found.body)
        self.close_connection = True
        if found.status == 200 and asked and found.ranges and self.headers.get("If-Range", found.etag) == found.etag:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(found.status)
        if found.etag:
            self.send_header("ETag", found.etag)
        self.send_header("Content-Type", found.kind)
        for name, value in found.headers.items():
            self.send_header(name, value)
        body = found.body[start:]
        if found.length and not found.chunked:
            self.send_header("Content-Length", str(len(body)))
        if found.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        sent = body[: found.cuts.pop(0)] if found.cuts else body
        if not found.chunked:
            self.wfile.write(sent)
            return
        for begin in range(0, len(sent), 65536):
            piece = sent[begin : begin + 65536]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if sent == body:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server as a context manager."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in to go on.</body></html>\n"
POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
REFUSAL = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Denied</Message></Error>'


def lies(body: bytes) -> dict[str, Answer]:
    """Return ways in which servers, proxies and portals give something else than a file, as if it were the file."""
    half = body[: len(body) // 2]
    part = {"Content-Range": f"bytes 0-{len(half) - 1}/{len(body)}"}
    return {
        "an empty body": Answer(b""),
        "an empty body without a length": Answer(b"", length=False),
        "a gzip body, declared": Answer(gzip.compress(body, mtime=0), headers={"Content-Encoding": "gzip"}),
        "a gzip body, undeclared": Answer(gzip.compress(body, mtime=0)),
        "a web page": Answer(PAGE, "text/html; charset=utf-8"),
        "a web page as octet-stream": Answer(PAGE),
        "a refusal in XML": Answer(REFUSAL, "application/xml"),
        "a message in JSON": Answer(b'{"error": "rate limit exceeded"}', "application/json"),
        "a Git LFS pointer": Answer(POINTER),
        "cut off, without a length": Answer(half, length=False, etag="", ranges=False),
        "cut off, with the shorter length": Answer(half),
        "cut off near its end": Answer(body[:-40], length=False, etag="", ranges=False),
        "zeros": Answer(bytes(len(body))),
        "a part that nobody asked for": Answer(half, status=206, headers=part),
    }
