"""The warm worker: has imported and compiled everything once, and forks a child for each command.

``python -m mirflow.worker SOCKET RUN READY_FD`` is started by ``scripts/warm.py``. It is single-threaded (a fork copies
only the calling thread) and does nothing itself but accept, fork and report; a child that crashes or leaks takes
nothing with it. It ends when its run ends, when nobody has asked for a while, or when its socket is taken away.
"""

import array
import contextlib
import ctypes
import gc
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# The client, scripts/warm.py: it cannot import the package, so the package imports it.
from warm import alive, run_identity, socket_path, start_time

IDLE = 600  # seconds without a request or a running child after which the worker ends
IDLE_CLUSTER = 60  # the same inside a cluster's job, where no process is known to live as long as the job
TICK = 1.0  # seconds between looks at whether the run is still there
PR_SET_PDEATHSIG = 1
SCRIPTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclass
class Request:
    """A client that is being read or served."""

    connection: socket.socket
    received: bytes = b""
    descriptors: list[int] = field(default_factory=list)
    child: int = 0

    def complete(self) -> bool:
        """Whether the whole request is here."""
        return len(self.received) >= 4 and len(self.received) >= 4 + int.from_bytes(self.received[:4], "big")

    def close(self) -> None:
        """Let go of the connection and of the client's stdout and stderr."""
        self.connection.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []


class Worker:
    """Serves the commands of one run on one socket."""

    def __init__(self, path: str, run: str) -> None:
        self.path, self.run = path, run
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        self.listener.bind(path)
        os.umask(before)
        self.inode = os.stat(path).st_ino
        self.listener.listen(512)
        self.listener.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.requests: dict[socket.socket, Request] = {}
        self.children: dict[int, Request] = {}
        self.used = time.monotonic()
        # Deaths of children and requests to end wake up the selector through a pipe.
        self.wake, writable = socket.socketpair()
        for end in (self.wake, writable):
            end.setblocking(False)
        self.writable = writable
        signal.set_wakeup_fd(writable.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.ending = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)
        self.selector.register(self.wake, selectors.EVENT_READ, self._woken)

    def _end(self, *_: object) -> None:
        self.ending = True

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.wake.recv(4096)

    def serve(self) -> None:
        """Serve until the run is over."""
        checked = 0.0
        try:
            while not self.ending:
                for key, _ in self.selector.select(TICK):
                    key.data()
                self._reap()
                if time.monotonic() - checked >= TICK:
                    checked = time.monotonic()
                    if self._over():
                        break
        finally:
            self._stop()

    def _accept(self) -> None:
        try:
            connection, _ = self.listener.accept()
        except BlockingIOError:
            return
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", credentials)[1] != os.getuid():
            connection.close()
            return
        connection.setblocking(False)
        request = self.requests[connection] = Request(connection)
        self.selector.register(connection, selectors.EVENT_READ, lambda: self._read(request))

    def _read(self, request: Request) -> None:
        """Take a part of a request; a client that goes away takes its child with it."""
        try:
            part, ancillary, _, _ = request.connection.recvmsg(1 << 16, socket.CMSG_SPACE(2 * 4))
        except BlockingIOError:
            return
        except OSError:
            part, ancillary = b"", []
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors = array.array("i")
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
                request.descriptors += descriptors
        if not part:
            if request.child:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(request.child, signal.SIGKILL)
            self._drop(request)
            return
        request.received += part
        if request.complete() and not request.child:
            self._start(request)

    def _drop(self, request: Request) -> None:
        if request.connection in self.requests:
            del self.requests[request.connection]
            self.selector.unregister(request.connection)
        request.close()

    def _start(self, request: Request) -> None:
        if len(request.descriptors) != 2:
            self._drop(request)
            return
        self.used = time.monotonic()
        child = os.fork()
        if child == 0:
            self._become(request)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(child, child)
        request.child = child
        self.children[child] = request

    def _become(self, request: Request) -> None:
        """Turn this forked child into the command; never returns."""
        status = 1
        try:
            self._detach()
            status = perform(request.received[4:], request.descriptors, leave=self._leave)
        finally:
            os._exit(status)

    def _detach(self) -> None:
        """Make this forked child a process of its own that ends with its parent."""
        os.setpgid(0, 0)
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)

    def _leave(self) -> None:
        """Let go, in a forked child, of all sockets: clients wait for the end of their connections."""
        self.listener.close()
        self.selector.close()
        self.wake.close()
        self.writable.close()
        for other in list(self.requests.values()):
            other.close()

    def _reap(self) -> None:
        while self.children:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            request = self.children.pop(child, None)
            if request is None:
                continue
            self.used = time.monotonic()
            with contextlib.suppress(OSError):  # the client may be gone
                request.connection.send(str(os.waitstatus_to_exitcode(status)).encode())
            self._drop(request)

    def _over(self) -> bool:
        """Whether this worker is of no use any more."""
        try:
            if os.stat(self.path).st_ino != self.inode:
                return True
        except FileNotFoundError:
            return True
        in_cluster = "=" in self.run
        if not in_cluster and not alive(self.run):
            return True
        return not self.children and time.monotonic() - self.used > (IDLE_CLUSTER if in_cluster else IDLE)

    def _stop(self) -> None:
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self.path).st_ino == self.inode:
                os.unlink(self.path)


def perform(request: bytes, descriptors: list[int], leave: Callable[[], None] = lambda: None) -> int:
    """Run a command as its client asked for; return its exit status.

    Parameters
    ----------
    request : folder, arguments and environment, as ``warm.ask`` sends them
    descriptors : what becomes stdout and stderr
    leave : called when these are in place
    """
    try:
        for target, descriptor in zip((1, 2), descriptors, strict=True):
            os.dup2(descriptor, target)
        folder, count, *parts = request.split(b"\0")[:-1]
        argv = [os.fsdecode(part) for part in parts[: int(count)]]
        leave()
        os.environb.clear()
        os.environb.update(dict(part.split(b"=", 1) for part in parts[int(count) :]))
        os.chdir(folder)
        from mirflow.__main__ import main, needs_own_process

        if argv and needs_own_process(argv[0]):
            os.environ["PYTHONPATH"] = SCRIPTS
            os.execv(sys.executable, [sys.executable, "-m", "mirflow", *argv])
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


def identity() -> str:
    """Return the calling process as ``MIRFLOW_RUN`` names it."""
    return f"{os.getpid()}:{start_time(os.getpid())}"


def announce(warm: bool) -> None:
    """Tell all commands that this process starts whether they may run warm, and how long their worker lives."""
    os.environ["MIRFLOW_RUN"] = identity()
    os.environ["MIRFLOW_WARM"] = str(int(warm and sys.platform == "linux"))
    os.environ.pop("MIRFLOW_SOCKET", None)
    if run := run_identity():
        with contextlib.suppress(OSError):
            os.environ["MIRFLOW_SOCKET"] = socket_path(run)


def prepare() -> None:
    """Import and compile what commands need, so that children find it done."""
    from mirflow import warmup

    warmup.run()
    gc.collect()
    gc.freeze()  # forked children do not touch, and so do not copy, what the collector would walk through


def main(argv: list[str]) -> None:
    """Prepare, listen, say so, serve."""
    path, run, ready = argv[0], argv[1], int(argv[2])
    prepare()
    worker = Worker(path, run)
    os.write(ready, b"ready")
    os.close(ready)
    worker.serve()


if __name__ == "__main__":
    main(sys.argv[1:])
