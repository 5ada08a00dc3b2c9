"""Model files: fetched whole or not at all, only the right ones, and without a connection a person knows what to do."""

import contextlib
import email.utils
import errno
import hashlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import loopback
import model_files
from conftest import REPOSITORY, jobs, loop, run_snakemake, write
from loopback import Answer, Server
from mirflow.core.errors import MirflowError
from mirflow.models import catalogue, download, formats, transfer
from mirflow.models.catalogue import File

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
NETWORK = (*PROXIES, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "HF_ENDPOINT", "HF_TOKEN")


@pytest.fixture(autouse=True)
def no_settings_of_a_network(monkeypatch):
    """Tests know which proxies, certificates and tokens there are."""
    for name in NETWORK:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with loopback.serving() as running:
        running.give("net.pb", CONTENT)
        yield running


def fetch(file: File, to: Path, **how) -> list[float]:
    """Download without the pauses; return how long they would have been."""
    pauses: list[float] = []
    download.fetch(file, to, wait=pauses.append, **how)
    return pauses


def refusal(file: File, to: Path, pauses: list[float] | None = None) -> str:
    """Return why a download fails; nothing of it may stay."""
    with pytest.raises(MirflowError) as error:
        download.fetch(file, to, wait=(pauses if pauses is not None else []).append)
    assert not to.exists() and not to.with_name(f"{to.name}.sha256").exists()
    said = str(error.value)
    assert "\n" not in said and file.name in said
    return said


def net(server: Server, sha256: str = SHA256, **about) -> File:
    return File("net.pb", server.url("net.pb"), "net", sha256, **about)


# --- What arrives -----------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_once(server, tmp_path):
    to = tmp_path / "models" / "net.pb"
    assert fetch(net(server, size=len(CONTENT)), to) == []
    fetch(net(server), to)
    assert to.read_bytes() == CONTENT
    assert server.ranges() == [None]
    assert [path.name for path in to.parent.iterdir()] == ["net.pb"]
    assert server.asked[0].headers["Accept-Encoding"] == "identity"


KINDS = [name for name in model_files.KINDS if name != "net.ckpt"]  # that one needs its hash
OF_UNKNOWN_LENGTH = "net.yaml"  # shows nowhere that it is whole


@pytest.mark.parametrize("name", KINDS)
def test_a_first_download_that_lies_is_refused_whatever_the_kind(server, tmp_path, name):
    """Without a hash, the kind of the file is what tells; and what is refused is not recorded as the right one."""
    body, file = model_files.body(name, tmp_path), File(name, server.url(name), "net")
    for number, (lie, answer) in enumerate(loopback.lies(body).items()):
        if name == OF_UNKNOWN_LENGTH and lie == "cut off, with the shorter length":
            continue  # nobody can tell, but from a size in the catalogue
        server.answers[f"/{name}"] = answer
        said = refusal(file, tmp_path / str(number) / name)
        assert "put it at" in said, lie
        assert not list((tmp_path / str(number)).glob("*.part*")) or "cannot be fetched" in said, lie
    for number, whole in enumerate((Answer(body), Answer(body, chunked=True), Answer(body, length=False))):
        if name == OF_UNKNOWN_LENGTH and not whole.length:
            continue
        server.answers[f"/{name}"] = whole
        to = tmp_path / f"whole {number}" / name
        fetch(file, to)
        assert to.read_bytes() == body and download.recorded(file, to) == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("name", model_files.KINDS)
def test_files_that_were_brought_by_hand_are_checked_in_the_same_way(tmp_path, name):
    sha256 = "" if name != "net.ckpt" else hashlib.sha256(model_files.body(name, tmp_path)).hexdigest()
    file, to = File(name, "https://nowhere.test", "net", sha256), tmp_path / name
    for content, what in ((b"", "empty"), (loopback.PAGE, "a web page"), (loopback.POINTER, "a Git LFS pointer")):
        to.write_bytes(content)
        with pytest.raises(MirflowError, match=rf"{name}.* is expected, but it is {what}.*remove it"):
            download.verify(file, to)
        assert not to.with_name(f"{name}.sha256").exists()
    model_files.KINDS[name](to)
    assert download.verify(file, to) == hashlib.sha256(to.read_bytes()).hexdigest()


def test_blocks_of_weights_in_gguf_files_have_the_sizes_that_their_makers_state():
    gguf = pytest.importorskip("gguf")
    assert {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()} == formats.GGUF_BLOCKS


def test_a_damaged_gguf_file_is_refused_however_it_is_damaged(tmp_path):
    """Counts and lengths that are wrong must not make the check read for ever, or fail in another way."""
    body = model_files.body("net.gguf", tmp_path)
    header = body.index(b"two") + 3
    for place in range(4, header, 3):
        (tmp_path / "x.gguf").write_bytes(body[:place] + b"\xff" + body[place + 1 :])
        assert isinstance(formats.problem(tmp_path / "x.gguf"), str)
    for end in range(1, header, 7):
        (tmp_path / "x.gguf").write_bytes(body[:end])
        assert "a GGUF file is expected, but it is damaged" in formats.problem(tmp_path / "x.gguf")


def test_another_file_than_expected_is_refused(server, tmp_path):
    server.give("net.pb", b"something else")
    said = refusal(net(server), tmp_path / "net.pb")
    assert "gave another file than net.pb, 14 bytes: sha256" in said
    assert (
        f"models.yaml says {SHA256} (a frozen TensorFlow graph is expected, but it is" in said and "forget" not in said
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sha256", [SHA256, ""])
def test_a_file_of_another_size_is_refused_before_it_is_fetched(server, tmp_path, sha256):
    assert "it has 1048576 bytes, 7 are expected" in refusal(net(server, sha256, size=7), tmp_path / "net.pb")
    assert not list(tmp_path.iterdir())


def test_a_hash_that_nobody_knew_is_enforced_from_the_first_download_on_until_it_is_forgotten(server, tmp_path, capsys):
    file, to = File("net.json", server.give("net.json", b'{"a": 1}'), "net"), tmp_path / "net.json"
    first = hashlib.sha256(b'{"a": 1}').hexdigest()
    fetch(file, to)
    assert (tmp_path / "net.json.sha256").read_text() == f"{first}  net.json\n"
    assert first in capsys.readouterr().err
    assert download.verify(file, to) == first
    to.write_text('{"a": 2}')
    with pytest.raises(MirflowError, match=r"net\.json is not the file that belongs there.*mirflow models forget net"):
        download.verify(file, to)
    to.unlink()
    server.give("net.json", b'{"a": 3}')
    with pytest.raises(MirflowError, match=r"another file than net\.json.*mirflow models forget net\.json"):
        fetch(file, to)
    assert download.forget(file, to) and not download.forget(file, to)
    fetch(file, to)
    assert to.read_bytes() == b'{"a": 3}'


def test_a_wrong_file_that_an_earlier_version_recorded_is_named(tmp_path):
    """It took any first download: an empty file, a web page."""
    file, to = File("net.pb", "https://nowhere.test/net.pb", "net"), tmp_path / "net.pb"
    to.write_bytes(loopback.PAGE)
    (tmp_path / "net.pb.sha256").write_text(f"{download.sha256(to)}  net.pb\n")
    with pytest.raises(MirflowError, match=r"it is a web page; remove it.*mirflow models forget net\.pb"):
        download.verify(file, to)


@pytest.mark.parametrize("name", ["net.pt", "net.ckpt", "net.bin", "net.th", "net.pkl"])
def test_what_could_run_code_needs_its_hash(server, tmp_path, name):
    file = File(name, server.url(name), "net")
    with pytest.raises(MirflowError, match=f"{name}: models.yaml has no sha256"):
        fetch(file, tmp_path / name)
    (tmp_path / name).write_bytes(CONTENT)
    with pytest.raises(MirflowError, match="could run code"):
        download.verify(file, tmp_path / name)
    assert server.asked == []


# --- Connections that break -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("sha256", [SHA256, ""])
def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path, sha256, chunked):
    body = CONTENT if sha256 else model_files.body("net.json", tmp_path) + b" " * 900_000
    name = "net.pb" if sha256 else "net.json"
    server.give(name, body, cuts=[300_000, 200_000], chunked=chunked)
    pauses = fetch(File(name, server.url(name), "net", sha256), tmp_path / name)
    assert (tmp_path / name).read_bytes() == body
    assert server.ranges() == [None, "bytes=300000-", "bytes=500000-"]
    assert pauses == [1.0, 1.0]  # progress was made: no need to wait longer each time


def test_a_killed_run_is_taken_up_by_the_next(server, tmp_path):
    (tmp_path / "net.pb.part").write_bytes(CONTENT[:1000])
    fetch(net(server), tmp_path / "net.pb")
    assert server.ranges() == ["bytes=1000-"]
    (tmp_path / "net.pb").unlink()
    (tmp_path / "net.pb.part").write_bytes(CONTENT)
    fetch(net(server), tmp_path / "net.pb")
    assert (tmp_path / "net.pb").read_bytes() == CONTENT


@pytest.mark.parametrize("validator", ["etag", "If-Range is ignored", "none"])
def test_two_versions_are_never_joined(server, tmp_path, validator):
    """The file changes between two parts; what tells is its ETag, or that it has none and no hash."""
    old, new = model_files.body("net.json", tmp_path) + b" " * 5000, b'{"new": 1}' + b" " * 5000
    first = Answer(old, etag='"old"' if validator != "none" else "", cuts=[2000])
    second = Answer(new, etag='"new"' if validator != "none" else "")
    if validator == "If-Range is ignored":
        rest = {"Content-Range": f"bytes 2000-{len(new) - 1}/{len(new)}"}
        server.answers["/net.json"] = [first, Answer(new[2000:], status=206, headers=rest, etag='"new"'), second]
    else:
        server.answers["/net.json"] = [first, second]
    fetch(File("net.json", server.url("net.json"), "net"), tmp_path / "net.json")
    assert (tmp_path / "net.json").read_bytes() == new


def test_a_beginning_of_another_version_is_found_by_the_hash(server, tmp_path):
    (tmp_path / "net.pb.part").write_bytes(b"of an older version")
    fetch(net(server), tmp_path / "net.pb")
    assert (tmp_path / "net.pb").read_bytes() == CONTENT
    server.answers["/net.pb"] = [Answer(bytes(len(CONTENT)), etag="", cuts=[9000]), Answer(CONTENT, etag="")]
    (tmp_path / "net.pb").unlink()
    fetch(net(server), tmp_path / "net.pb")  # within one call, too
    assert (tmp_path / "net.pb").read_bytes() == CONTENT


def test_a_server_that_always_breaks_off_is_given_up_after_minutes(server, tmp_path):
    server.give("net.pb", CONTENT, cuts=[1000] + [0] * 50)
    pauses: list[float] = []
    said = refusal(net(server), tmp_path / "net.pb", pauses)
    assert "1000 of 1048576 bytes" in said and "put it at" in said and SHA256 in said
    assert 180 <= sum(pauses) <= transfer.PATIENCE and max(pauses) == transfer.LONGEST_PAUSE
    assert (tmp_path / "net.pb.part").read_bytes() == CONTENT[:1000]


def test_a_server_that_goes_back_and_forth_is_given_up_too(server, tmp_path):
    """Without ranges every attempt begins anew: more bytes than last time are no progress."""
    server.give("net.pb", CONTENT, ranges=False, cuts=[100, 200] * 100)
    assert "cannot be fetched" in refusal(net(server), tmp_path / "net.pb")


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(server, tmp_path, monkeypatch):
    class Dripping(loopback.Handler):
        def answer(self, found: Answer) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            for byte in range(100):
                self.wfile.write(CONTENT[byte : byte + 1])
                time.sleep(0.02)

    server.RequestHandlerClass = Dripping
    monkeypatch.setattr(transfer, "SLOW_WINDOW", 0.1)
    said = refusal(net(server), tmp_path / "net.pb")
    assert re.search(r"the server sends only \d+ bytes a second", said)
    assert 5 < len(server.asked) < 15


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(server, tmp_path, status):
    busy = Answer(status=status)
    server.answers["/net.pb"] = [busy] * 6 + [Answer(CONTENT)]
    assert fetch(net(server), tmp_path / "net.pb") == [1, 2, 4, 8, 16, 32]


@pytest.mark.parametrize("asked", [90, "date"])
def test_a_server_that_says_when_to_come_again_is_obeyed(server, tmp_path, asked):
    later = str(asked) if asked != "date" else email.utils.formatdate(time.time() + 90, usegmt=True)
    server.answers["/net.pb"] = [Answer(status=429, headers={"Retry-After": later}), Answer(CONTENT)]
    assert fetch(net(server), tmp_path / "net.pb") == [pytest.approx(90, abs=2)]
    server.answers["/net.pb"] = Answer(status=503, headers={"Retry-After": "86400"})
    (tmp_path / "net.pb").unlink()
    assert "HTTP 503 Service Unavailable, and asks to wait for 86400 s" in refusal(net(server), tmp_path / "net.pb")


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451, 501])
def test_a_refusal_is_final_and_says_what_to_do(server, tmp_path, status):
    server.give("net.pb", status=status)
    said = refusal(net(server, licence="CC BY"), tmp_path / "net.pb")
    assert f"HTTP {status}" in said and "put it at /" in said and said.endswith("licence: CC BY")
    assert len(server.asked) == 1


def test_no_connection_says_soon_which_file_belongs_where(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/net.pb"
    pauses: list[float] = []
    said = refusal(File("net.pb", url, "net", SHA256, licence="CC BY"), tmp_path / "net.pb", pauses)
    assert f"fetch {url} elsewhere and put it at {tmp_path}/net.pb, sha256" in said and "refused" in said
    assert sum(pauses) <= transfer.PATIENCE_WITHOUT_ANSWER


def test_an_interrupt_leaves_a_clean_part_and_one_line(server, tmp_path):
    """Ctrl-C, while a server that has sent half of the file says nothing more."""
    end, body = threading.Event(), CONTENT

    class Stalling(loopback.Handler):
        def answer(self, found: Answer) -> None:
            if self.headers.get("Range"):
                return super().answer(found)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", found.etag)
            self.end_headers()
            self.wfile.write(body[:500_000])
            self.wfile.flush()
            end.wait(20)

    server.RequestHandlerClass = Stalling
    folder = tmp_path / "models"
    folder.mkdir()
    entry = f"{{name: net.pb, url: '{server.url('net.pb')}', sha256: {SHA256}}}"
    (folder / catalogue.OWN_ENTRIES).write_text(f"models: {{mine: {{purpose: x, files: [{entry}]}}}}")
    environment = os.environ | {catalogue.FOLDER: str(folder), "PYTHONPATH": str(REPOSITORY / "scripts")}
    command = [sys.executable, "-m", "mirflow", "model_file", "net.pb"]
    # A shell lets background processes ignore the interrupt, and so their children.
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **heeding) as process:
        until = time.time() + 60
        part = folder / "net.pb.part"
        while time.time() < until and not (part.exists() and part.stat().st_size):
            time.sleep(0.05)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)[1]
    end.set()
    assert process.returncode == 130
    assert said.strip().count("\n") == 0 and "interrupted" in said, said
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["models.yaml", "net.pb.part", "net.pb.part.tag"]
    assert body.startswith(part.read_bytes())
    fetch(net(server), folder / "net.pb")
    assert server.ranges()[-1].startswith("bytes=") and (folder / "net.pb").read_bytes() == CONTENT


# --- Networks ---------------------------------------------------------------------------------------------------------


def hub(name: str, sha256: str = SHA256) -> File:
    return File("net.pb", f"https://huggingface.co/someone/thing/resolve/main/{name}", "net", sha256)


def test_a_mirror_of_hugging_face_is_asked_and_the_token_goes_no_further(server, tmp_path, monkeypatch):
    """As real ones do, the mirror redirects to where the file lies; that host must not get the token."""
    with loopback.serving() as other:
        where = other.give("store/net.pb", CONTENT)
        server.answers["/mirror/someone/thing/resolve/main/net.pb"] = Answer(status=302, headers={"Location": where})
        monkeypatch.setenv("HF_ENDPOINT", f"{server.address}/mirror/")
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
        fetch(hub("net.pb"), tmp_path / "net.pb")
        assert server.asked[0].headers["Authorization"] == "Bearer hf_secret"
        assert "hf_secret" not in str(other.asked)
        server.asked.clear()
        fetch(net(server), tmp_path / "other" / "net.pb")  # from elsewhere: no token
        assert "hf_secret" not in str(server.asked)


@pytest.mark.parametrize(("token", "hint"), [("", "HF_TOKEN is not set"), ("hf_old", "HF_TOKEN is refused")])
def test_a_file_that_needs_an_account_says_so(server, tmp_path, monkeypatch, token, hint):
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", token)
    server.give("someone/thing/resolve/main/net.pb", status=401)
    said = refusal(hub("net.pb"), tmp_path / "net.pb")
    assert hint in said and "hf_old" not in said and server.address in said


def test_proxies_of_the_environment_are_used(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.address)
    file = File("net.pb", "http://models.invalid/net.pb", "net", SHA256)
    fetch(file, tmp_path / "net.pb")
    assert [asked.path for asked in server.asked] == ["http://models.invalid/net.pb"]
    (tmp_path / "net.pb").unlink()
    monkeypatch.setenv("NO_PROXY", "models.invalid")
    refusal(file, tmp_path / "net.pb")
    assert len(server.asked) == 1


def test_a_socks_proxy_is_used(tmp_path, monkeypatch):
    """The name is resolved by the proxy (socks5h), as Tor and ssh -D need it."""
    asked: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        with listening.accept()[0] as client:
            client.recv(100)
            client.sendall(b"\x05\x00")
            asked.append(client.recv(500))
            client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
            client.recv(5000)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT) + CONTENT)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{listening.getsockname()[1]}")
        fetch(File("net.pb", "http://models.invalid/net.pb", "net", SHA256), tmp_path / "net.pb")
    assert b"models.invalid" in asked[0]


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Path:
    """A certificate for this machine that nobody knows, with its key."""
    folder = tmp_path_factory.mktemp("authority")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key",
         "-out", folder / "pem"],
        capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl is needed to make a certificate")
    return folder


def test_certificates_are_checked_once_and_those_of_the_network_count(server, tmp_path, monkeypatch, authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "pem", authority / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    file = File("net.pb", server.url("net.pb").replace("http:", "https:"), "net", SHA256)
    pauses: list[float] = []
    said = refusal(file, tmp_path / "net.pb", pauses)
    assert "certificate of the server is not accepted" in said and "SSL_CERT_FILE" in said and pauses == []
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "pem"))
    fetch(file, tmp_path / "net.pb")
    (tmp_path / "net.pb").unlink()
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "pem"))
    fetch(file, tmp_path / "net.pb")
    (tmp_path / "net.pb").unlink()
    with loopback.serving() as plain:
        server.give("net.pb", status=302, headers={"Location": plain.give("net.pb", CONTENT)})
        assert "without encryption" in refusal(file, tmp_path / "net.pb")


def test_a_folder_that_cannot_be_written_to_is_named_and_its_files_are_used(server, tmp_path, monkeypatch, capsys):
    """A file system that is read-only does not refuse permission; its error is another one."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    said = refusal(net(server), tmp_path / "net.pb")
    assert f"{tmp_path}: cannot be written to (Read-only file system)" in said and SHA256 in said
    body = model_files.body("net.json", tmp_path)
    (tmp_path / "net.json").write_bytes(body)
    monkeypatch.setattr(download.artifacts, "write_bytes", refuse)
    fetch(File("net.json", server.url("net.json"), "net"), tmp_path / "net.json")
    assert "the hash is not recorded" in capsys.readouterr().err and server.asked == []


def test_what_does_not_speak_http_is_said_to(tmp_path):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listening.accept()[0] as client:
                        client.recv(5000)
                        client.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/net.pb"
        assert "the answer is not HTTP (SSH-2.0" in refusal(File("net.pb", url, "net", SHA256), tmp_path / "net.pb")


def test_a_full_disk_is_named(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    assert "1.0 MB are needed, 0.0 MB are free" in refusal(net(server), tmp_path / "net.pb")
    assert not list(tmp_path.iterdir())


# --- What a person sees -----------------------------------------------------------------------------------------------


def test_progress_tells_share_speed_and_what_is_left(capsys):
    now = [0.0]
    lines = download.Lines("net.gguf", clock=lambda: now[0])
    for second in range(12):
        now[0] = float(second)
        lines.report(second * 20_000_000, 5_900_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "net.gguf: 0.10 of 5.90 GB, 1 %, 20.0 MB/s, 4 min 50 s left",
        "net.gguf: 0.20 of 5.90 GB, 3 %, 20.0 MB/s, 4 min 45 s left",
    ]
    assert download.progress(500, None, 0) == "500 B"


# --- The catalogue ----------------------------------------------------------------------------------------------------


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
    server.give("net-1.pb", CONTENT)
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
