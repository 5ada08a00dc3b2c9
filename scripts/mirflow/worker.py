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
import resource
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# The client, scripts/warm.py: it cannot import the package, so the package imports it.
from warm import cold_for, is_over, run_identity, socket_path, start_time

IDLE = 600  # seconds without a request or a running child after which the worker ends
CLUSTER_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
IDLE_CLUSTER = 60  # the same inside a cluster's job, where no process is known to live as long as the job
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
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
        self.pid = os.getpid()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        new = f"{path}.{self.pid}"
        self.listener.bind(new)
        os.umask(before)
        self.inode = os.stat(new).st_ino
        self.listener.listen(512)
        self.listener.setblocking(False)
        os.rename(new, path)  # in place of what a killed worker left; it is never there without listening
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
        except OSError:  # no file descriptor is free: clients wait until a child ends
            time.sleep(0.05)
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
        try:
            child = os.fork()
        except OSError:  # no process is free: the client finds out whether there is one for a cold start
            self._drop(request)
            return
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
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self.pid:
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
        if is_over(self.run):
            return True
        idle = IDLE_CLUSTER if "=" in self.run else IDLE
        if not self._is_mine():  # somebody cleared the folder: nobody new can come
            idle = 0
        return not self.children and time.monotonic() - self.used > idle

    def _is_mine(self) -> bool:
        """Whether the socket is still the one that this worker listens on."""
        try:
            return os.stat(self.path).st_ino == self.inode
        except OSError:
            return False

    def _stop(self) -> None:
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        if self._is_mine():
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def perform(request: bytes, descriptors: list[int], leave: Callable[[], None] = lambda: None) -> int:
    """Run a command as its client asked for; return its exit status.

    Parameters
    ----------
    request : folder, umask, arguments and environment, as ``warm.ask`` sends them
    descriptors : what becomes stdout and stderr
    leave : called when these are in place
    """
    try:
        for target, descriptor in zip((1, 2), descriptors, strict=True):
            os.dup2(descriptor, target)
        folder, umask, count, *parts = request.split(b"\0")[:-1]
        argv, environment = [os.fsdecode(part) for part in parts[: int(count)]], parts[int(count) :]
        leave()
        os.environb.clear()
        os.environb.update(dict(variable.split(b"=", 1) for variable in environment))
        os.umask(int(umask))
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


def identity() -> str:
    """Return the calling process as ``MIRFLOW_RUN`` names it."""
    return f"{os.getpid()}:{start_time(os.getpid())}"


def announce(warm: bool, inner: bool = False) -> None:
    """Tell all commands that this process starts whether they may run warm, and how long their worker lives.

    `inner` is a Snakemake that another one started for a job, or for each job of a group: inside a cluster's job the
    worker lives as long as that, and serves all of them.
    """
    job = next((f"{variable}={os.environ[variable]}" for variable in CLUSTER_JOBS if os.environ.get(variable)), "")
    os.environ["MIRFLOW_RUN"] = job if inner and job else identity()
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


def tidy(folder: Path) -> None:
    """Remove sockets that nobody listens on, of workers that were killed, and old notes of those that did not start."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.suffix == ".cold" and cold_for(str(path)) <= 0:
                path.unlink()
            elif not path.suffix and path.is_socket():  # others are about to listen
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                    probe.setblocking(False)
                    try:
                        probe.connect(str(path))
                    except ConnectionRefusedError:
                        path.unlink()


def begin(worker: Worker, ready: int) -> None:
    """Tell the client that waits, if it still does, and serve until the run is over."""
    with contextlib.suppress(BrokenPipeError):
        os.write(ready, b"ready")
    os.close(ready)
    tidy(Path(worker.path).parent)
    worker.serve()


def allow_files() -> None:
    """Let this process open as many files as it may at all: every waiting client takes three."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(argv: list[str]) -> None:
    """Prepare, listen, say so, serve."""
    path, run, ready = argv[0], argv[1], int(argv[2])
    # One thread a command, whatever the job that came first was allowed: the libraries ask when they are imported.
    os.environ.update(dict.fromkeys(THREADS, "1"))
    prepare()
    allow_files()
    begin(Worker(path, run), ready)


if __name__ == "__main__":
    main(sys.argv[1:])
