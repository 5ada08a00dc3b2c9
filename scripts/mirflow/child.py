"""A child of a worker: runs the commands of clients, one after another, as if each were a process of its own."""

import array
import contextlib
import json
import os
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import astuple

from mirflow import decoded, resident

SCRIPTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LENGTHS = "=II"  # of a message's two parts
MOST_DESCRIPTORS = 2 + decoded.AT_ONCE
PAGE = os.sysconf("SC_PAGE_SIZE")


def stay(channel: socket.socket, keep: bool) -> int:
    """Run the commands that come through `channel`, until it ends.

    With a request, as ``warm.ask`` sends it, comes a list of shared sounds. The answer is a list: the exit status, how
    many bytes this process holds more than at its beginning, and the sounds that the command has decoded.

    Parameters
    ----------
    keep : whether commands may leave a loaded model for those that follow
    """
    from mirflow import audio  # and with it numpy: not in the worker

    resident.stays = keep
    null = os.open(os.devnull, os.O_RDWR)
    at_first = held()
    while True:
        try:
            given, request, (out, err, *memory) = receive(channel)
        except EOFError:
            return 0
        reader = decoded.Reader(list(zip((decoded.Sound(*each) for each in given), memory, strict=True)), audio.decode)
        audio.sharing = reader.read
        status = perform(request, [out, err])
        if not keep:
            resident.drop()
        # What is written from now on belongs to no client any more.
        for target in (1, 2):
            os.dup2(null, target)
        answer = [status, held() - at_first, [astuple(sound) for sound, _ in reader.new]]
        send(channel, answer, descriptors=[descriptor for _, descriptor in reader.new])
        reader.close()


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
    """Return how many bytes of memory are this process's own, shared ones with its parent among them."""
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
        folder, umask, argv, environment = understood(request)
        os.environb.clear()
        os.environb.update(dict(variable.split(b"=", 1) for variable in environment))
        os.umask(umask)
        os.chdir(folder)
        from mirflow.__main__ import main, needs_own_process

        if argv and needs_own_process(argv[0]):
            os.environ["PYTHONPATH"] = SCRIPTS
            os.execv(sys.executable, [sys.executable, "-P", "-m", "mirflow", *argv])
        return main(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it was, the log must hold it, and the worker go on
        import traceback

        traceback.print_exc()
        return 1
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
