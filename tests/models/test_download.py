"""Model files: fetched whole or not at all, only the right ones, and without a connection a person knows what to do."""

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conftest import jobs, loop, run_snakemake, write
from mirflow.core.errors import MirflowError
from mirflow.models import catalogue, download
from mirflow.models.catalogue import File

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content` with ranges and a validator; `cuts` are the bytes after which the next connections break."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.status, self.kind = CONTENT, '"1"', 200, "application/octet-stream"
        self.cuts: list[int] = []
        self.asked: list[str | None] = []  # Range of each request

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = 0
        if asked and self.headers.get("If-Range", server.etag) == server.etag:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(server.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.content)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        else:
            self.send_response(200)
            self.send_header("ETag", server.etag)
        body = server.content[start:]
        self.send_header("Content-Type", server.kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def fetch(file: File, to) -> list[float]:
    """Download without the pauses; return how long they would have been."""
    pauses: list[float] = []
    download.fetch(file, to, wait=pauses.append)
    return pauses


def test_a_file_is_fetched_once(server, tmp_path):
    file = File("net.pb", server.url("net.pb"), "net", SHA256, len(CONTENT))
    to = tmp_path / "models" / "net.pb"
    assert fetch(file, to) == []
    fetch(file, to)
    assert to.read_bytes() == CONTENT
    assert server.asked == [None]
    assert [path.name for path in to.parent.iterdir()] == ["net.pb"]


@pytest.mark.parametrize("sha256", [SHA256, ""])
def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path, sha256):
    server.cuts = [300_000, 200_000]
    pauses = fetch(File("net.pb", server.url("net.pb"), "net", sha256), tmp_path / "net.pb")
    assert (tmp_path / "net.pb").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=500000-"]
    assert pauses == [1.0, 1.0]  # progress was made: no need to wait longer each time


def test_a_killed_run_is_taken_up_by_the_next(server, tmp_path):
    (tmp_path / "net.pb.part").write_bytes(CONTENT[:1000])
    fetch(File("net.pb", server.url("net.pb"), "net", SHA256), tmp_path / "net.pb")
    assert server.asked == ["bytes=1000-"]
    (tmp_path / "net.pb").unlink()
    (tmp_path / "net.pb.part").write_bytes(CONTENT)
    fetch(File("net.pb", server.url("net.pb"), "net", SHA256), tmp_path / "net.pb")
    assert (tmp_path / "net.pb").read_bytes() == CONTENT


def test_two_versions_are_never_joined(server, tmp_path):
    (tmp_path / "net.pb.part").write_bytes(b"of an older version")
    (tmp_path / "net.pb.part.tag").write_text('"0"')
    fetch(File("net.pb", server.url("net.pb"), "net"), tmp_path / "net.pb")  # the validator tells
    assert (tmp_path / "net.pb").read_bytes() == CONTENT
    (tmp_path / "net.pb").unlink()
    (tmp_path / "net.pb.part").write_bytes(b"of an older version")
    fetch(File("net.pb", server.url("net.pb"), "net", SHA256), tmp_path / "net.pb")  # the hash tells
    assert (tmp_path / "net.pb").read_bytes() == CONTENT


def test_a_server_that_always_breaks_off_is_given_up(server, tmp_path):
    server.cuts = [1000] + [0] * 20
    with pytest.raises(
        MirflowError, match=r"net\.pb cannot be fetched .*1000 of 1048576 bytes.*put it at /.*/net\.pb, sha256"
    ):
        fetch(File("net.pb", server.url("net.pb"), "net", SHA256), tmp_path / "net.pb")
    assert not (tmp_path / "net.pb").exists()
    assert (tmp_path / "net.pb.part").read_bytes() == CONTENT[:1000]


def test_another_file_than_expected_is_refused(server, tmp_path):
    server.content = b"something else"
    with pytest.raises(MirflowError, match=rf"another file than expected: sha256 \w+, but models.yaml says {SHA256}"):
        fetch(File("net.pb", server.url("net.pb"), "net", SHA256), tmp_path / "net.pb")
    assert not list(tmp_path.glob("net.pb")) and not list(tmp_path.glob("*.part"))


def test_an_error_of_the_server_says_what_to_do(server, tmp_path):
    server.status = 404
    with pytest.raises(
        MirflowError, match=r"HTTP 404 Not Found; without a connection, fetch http.* and put it at /.*/net\.pb"
    ):
        fetch(File("net.pb", server.url("net.pb"), "net", licence="CC BY"), tmp_path / "net.pb")
    assert len(server.asked) == 1
    server.status = 503
    with pytest.raises(MirflowError, match="503"):
        fetch(File("net.pb", server.url("net.pb"), "net"), tmp_path / "net.pb")
    assert len(server.asked) == 1 + download.ATTEMPTS
    server.status, server.kind = 200, "text/html; charset=utf-8"
    with pytest.raises(MirflowError, match="gives a web page"):
        fetch(File("net.pb", server.url("net.pb"), "net"), tmp_path / "net.pb")


def test_no_connection_says_which_file_belongs_where(tmp_path):
    file = File("net.pb", "http://127.0.0.1:9/net.pb", "net", SHA256, licence="CC BY-NC-SA 4.0")
    with pytest.raises(
        MirflowError, match=rf"fetch http://127.0.0.1:9/net.pb elsewhere and put it at {tmp_path}/net.pb, sha256"
    ):
        fetch(file, tmp_path / "net.pb")


def test_a_hash_that_nobody_knew_is_enforced_from_the_first_download_on(server, tmp_path, capsys):
    file = File("net.json", server.url("net.json"), "net")
    fetch(file, tmp_path / "net.json")
    assert (tmp_path / "net.json.sha256").read_text() == f"{SHA256}  net.json\n"
    assert SHA256 in capsys.readouterr().err
    assert download.verify(file, tmp_path / "net.json") == SHA256
    (tmp_path / "net.json").write_bytes(b"changed")
    with pytest.raises(MirflowError, match=r"net\.json is not the file that belongs there"):
        download.verify(file, tmp_path / "net.json")
    (tmp_path / "net.json").unlink()
    server.content = b"the server's file has changed"
    with pytest.raises(MirflowError, match=r"another file than expected"):
        fetch(file, tmp_path / "net.json")


@pytest.mark.parametrize("name", ["net.pt", "net.ckpt", "net.bin", "net.th", "net.pkl"])
def test_what_could_run_code_needs_its_hash(server, tmp_path, name):
    file = File(name, server.url(name), "net")
    with pytest.raises(MirflowError, match=f"{name}: models.yaml has no sha256"):
        fetch(file, tmp_path / name)
    (tmp_path / name).write_bytes(CONTENT)
    with pytest.raises(MirflowError, match="could run code"):
        download.verify(file, tmp_path / name)
    assert server.asked == []


def test_the_catalogue_is_complete_and_a_users_entries_join_it(tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))
    for file in catalogue.files():
        assert file.licence and file.licence_note, file.name
        assert file.url.startswith("https://"), file.name
        if not file.name.endswith(download.DATA_ONLY):
            assert file.sha256, file.name
    assert catalogue.path("msd-musicnn") == [str(tmp_path / "msd-musicnn-1.pb")]
    (tmp_path / catalogue.OWN_ENTRIES).write_text(
        "models: {mine: {purpose: x, files: [{name: a.pb, url: 'http://localhost/a.pb'}]}}"
    )
    catalogue._entries.cache_clear()
    assert catalogue.file("a.pb").model == "mine"
    assert "msd-musicnn" in catalogue.entries()
    (tmp_path / catalogue.OWN_ENTRIES).write_text(
        "models: {mine: {purpose: x, files: [{name: a/b.pb, url: 'http://h/a.pb'}]}}"
    )
    catalogue._entries.cache_clear()
    with pytest.raises(MirflowError, match=r"models\.yaml: models\.mine\.files\.0\.name: 'a/b.pb'"):
        catalogue.entries()
    catalogue._entries.cache_clear()


def test_a_model_file_is_a_target(server, tmp_path):
    """Made when asked for; not made again when it is there, also when somebody put it there."""
    folder = tmp_path / "my models"
    folder.mkdir()
    (folder / catalogue.OWN_ENTRIES).write_text(
        "models: {mine: {purpose: x, licence: none, files: ["
        f"{{name: net-1.pb, url: '{server.url('net-1.pb')}', sha256: {SHA256}}},"
        f"{{name: net-2.pb, url: '{server.url('net-2.pb')}', sha256: {SHA256}}}]}}}}"
    )
    write(tmp_path / "music" / "a.wav", loop(1))
    config = {"library": tmp_path / "music", "results": tmp_path / "out", "models": folder}
    (folder / "net-2.pb").write_bytes(CONTENT)
    both = [str(folder / "net-1.pb"), str(folder / "net-2.pb")]
    assert jobs(run_snakemake("-n", *both, **config).stdout) == {"model_file_net_1_pb": 1}
    done = run_snakemake(*both, **config)
    assert done.returncode == 0, done.stdout
    assert (folder / "net-1.pb").read_bytes() == CONTENT
    assert "Nothing to be done" in run_snakemake(*both, **config).stdout
    assert len(server.asked) == 1
