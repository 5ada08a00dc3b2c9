"""An executor of the server: runs commands of clients, one after another, as if each had a process of its own."""

import array
import contextlib
import json
import mmap
import os
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from mirflow.core import environment
from mirflow.models import cache
from mirflow.warm import audio_cache

SCRIPTS = str(Path(__file__).resolve().parents[2])
LENGTHS = "=II"  # of a message's two parts
MOST_DESCRIPTORS = 2 + audio_cache.AT_ONCE
COUNTER = 8  # bytes, of the commands that were begun
PAGE = os.sysconf("SC_PAGE_SIZE")


def stay(channel: socket.socket, keep: bool, begun: mmap.mmap) -> int:
    """Run the commands that come through `channel`, until it ends.

    A request, as ``warm.ask`` sends it, comes with a list of cached audio. The answer is a list: the exit status, by
    how many bytes this process has grown since it began, and the audio that the command has decoded.

    Parameters
    ----------
    keep : whether a command may leave its loaded model for those that follow
    begun : memory shared with the server; `count` of it is how many commands were begun
    """
    from mirflow.core import audio  # imports numpy, which the server must not

    cache.keeps = keep
    null = os.open(os.devnull, os.O_RDWR)
    at_first = held()
    while True:
        try:
            given, request, (out, err, *memory) = receive(channel)
        except EOFError:
            return 0
        begun[:COUNTER] = (count(begun) + 1).to_bytes(COUNTER, sys.byteorder)
        reader = audio_cache.Reader(
            list(zip((audio_cache.CachedAudio(*each) for each in given), memory, strict=True)), audio.decode
        )
        audio.shared_decode = reader.read
        status = perform(request, [out, err])
        if not keep:
            cache.drop()
        # The client is served: what is written from now on is not for it.
        for target in (1, 2):
            os.dup2(null, target)
        answer = [status, held() - at_first, [astuple(sound) for sound, _ in reader.new]]
        send(channel, answer, descriptors=[descriptor for _, descriptor in reader.new])
        reader.close()


def count(begun: mmap.mmap) -> int:
    """Return how many commands a child has begun."""
    return int.from_bytes(begun[:COUNTER], sys.byteorder)


def send(channel: socket.socket, header: list, body: bytes = b"", descriptors: Sequence[int] = ()) -> None:
    """Send a message: something that JSON can hold, bytes, and open files."""
    said = json.dumps(header).encode()
    lengths = struct.pack(LENGTHS, len(said), len(body))
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    channel.sendmsg([lengths], rights)
    channel.sendall(said + body)


def receive(channel: socket.socket) -> tuple[list, bytes, list[int]]:
    """Wait for a message, see `send`.

    Raises
    ------
    EOFError : the other end is closed
    """
    lengths, ancillary, _, _ = channel.recvmsg(struct.calcsize(LENGTHS), socket.CMSG_SPACE(MOST_DESCRIPTORS * 4))
    descriptors = array.array("i")
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    if len(lengths) < struct.calcsize(LENGTHS):
        raise EOFError
    header, body = (_exactly(channel, length) for length in struct.unpack(LENGTHS, lengths))
    return json.loads(header), body, list(descriptors)


def _exactly(channel: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        part = channel.recv(length - len(received))
        if not part:
            raise EOFError
        received += part
    return received


def held() -> int:
    """Return how many bytes of memory this process uses, those that it shares with its parent among them."""
    with open("/proc/self/statm", "rb") as file:
        _, resident_pages, file_pages, *_ = file.read().split()
    return (int(resident_pages) - int(file_pages)) * PAGE


def understood(request: bytes) -> tuple[str, int, list[str], list[bytes]]:
    """Return what a request says: folder, umask, arguments, and the variables of the environment."""
    folder, umask, count, *parts = request.split(b"\0")[:-1]
    split = int(count)
    return os.fsdecode(folder), int(umask), [os.fsdecode(part) for part in parts[:split]], parts[split:]


def perform(request: bytes, descriptors: list[int]) -> int:
    """Run a command as its client asked for; return its exit status.

    Parameters
    ----------
    request : folder, umask, arguments and environment, as ``warm.ask`` sends them
    descriptors : what becomes stdout and stderr; closed
    """
    try:
        for target, descriptor in zip((1, 2), descriptors, strict=True):
            os.dup2(descriptor, target)
            os.close(descriptor)
        folder, umask, argv, variables = understood(request)
        os.environb.clear()
        os.environb.update(dict(variable.split(b"=", 1) for variable in variables))
        os.umask(umask)
        os.chdir(folder)
        environment.prepare()
        from mirflow.commands import main, needs_own_process

        if argv and needs_own_process(argv[0]):
            os.environ["PYTHONPATH"] = SCRIPTS
            os.execv(sys.executable, [sys.executable, "-P", "-m", "mirflow", *argv])
        return main(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it was must be in the log, and the next command must run
        import traceback

        traceback.print_exc()
        return 1
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
