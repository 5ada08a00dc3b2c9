"""The server of warm commands: imports and compiles everything once, and runs each command in a process forked from it.

``python -m mirflow.warm.server SOCKET RUN READY_FD`` is started by ``scripts/warm.py``. It has a single thread, since a
fork copies only the thread that calls it. The server itself only accepts requests, hands them to executors
(`mirflow.warm.executor`) and reports their exit status, so an executor that crashes fails its own command alone.

An executor runs one command at a time. It is kept for the next command, because its memory and caches are in place
then; there are as many executors as there were commands at the same time. The server ends when its run ends, when
nobody has asked for a while, or when its socket is removed.
"""

import array
import contextlib
import ctypes
import gc
import mmap
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import astuple, dataclass, field
from pathlib import Path

from mirflow.warm import executor
from mirflow.warm.audio_cache import CachedAudio, Store
from mirflow.warm.session import cold_for, is_over, run_identity, socket_path, start_time

IDLE = 600  # seconds without a request or a running command after which the server ends
CLUSTER_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
IDLE_CLUSTER = 60  # the same inside a cluster's job, where no process is known to live as long as the job
COMMANDS = 200  # that an executor runs before it is replaced, so that leaks of libraries cannot pile up
KEPT = 256 << 20  # bytes that an executor may use after a command, beyond its first size; with more it is replaced
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MOST_LOST = 3  # times that a command is handed to another executor, when they die before they begin it
TICK = 1.0  # seconds between looks at whether the run is still there
PR_SET_PDEATHSIG = 1


@dataclass(eq=False)
class Request:
    """A client that is being read or served."""

    connection: socket.socket
    received: bytes = b""
    descriptors: list[int] = field(default_factory=list)
    executor: "Executor | None" = None
    lost: int = 0  # how often it was handed to an executor that died before it began

    def complete(self) -> bool:
        """Whether the whole request is here."""
        return len(self.received) >= 4 and len(self.received) >= 4 + int.from_bytes(self.received[:4], "big")

    def close(self) -> None:
        """Let go of the connection and of the client's stdout and stderr."""
        self.connection.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []


@dataclass(eq=False)
class Executor:
    """A process that runs one command after another (see `mirflow.warm.executor`).

    Attributes
    ----------
    channel : for commands and their exit status; None when it is ending
    begun : memory shared with it, in which it counts the commands that it has begun
    request : whose command it runs
    commands : how many it was given
    """

    pid: int
    channel: socket.socket | None
    begun: mmap.mmap
    request: Request | None = None
    commands: int = 0


class Server:
    """Serves the commands of one run on one socket.

    Attributes
    ----------
    MOST : how many executors there may be at once
    STAYS : whether executors keep their loaded model (`mirflow.models.cache`), and are never replaced
    """

    MOST = sys.maxsize
    STAYS = False

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
        os.rename(new, path)  # replaces what a killed server left; it never exists without somebody listening
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.requests: dict[socket.socket, Request] = {}
        self.waiting: deque[Request] = deque()
        self.executors: dict[int, Executor] = {}
        self.idle: list[Executor] = []  # the last one comes next: what it touched is in the processor's caches
        self.sounds = Store()
        self.used = time.monotonic()
        # The end of an executor and signals wake up the selector through a pipe.
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
                self._next()
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
        except OSError:  # no file descriptor is free: clients wait until a command ends
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
        """Read a part of a request; when a client has gone away, end the executor that works for it."""
        if request.connection not in self.requests:  # it has got its answer a moment ago
            return
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
            if request.executor:
                self._kill(request.executor)
            self._drop(request)
            return
        whole = request.complete()
        request.received += part
        if request.complete() and not whole:
            if len(request.descriptors) != 2:
                self._drop(request)
            else:
                self.waiting.append(request)
                self._next()  # now, before other clients take all descriptors that an executor needs

    def _drop(self, request: Request) -> None:
        if request.connection in self.requests:
            del self.requests[request.connection]
            self.selector.unregister(request.connection)
        request.close()

    def _next(self) -> None:
        """Hand the waiting commands to executors, as far as there are any."""
        while self.waiting and (self.idle or len(self.executors) < self.MOST):
            request = self.waiting.popleft()
            if request.connection not in self.requests:  # its client went away
                continue
            taken = self.idle.pop() if self.idle else self._fork()
            if taken is None and self.executors:  # no new process can be made: an executor that is busy now will run it
                self.waiting.appendleft(request)
                return
            if taken is None:  # the client finds out whether it can run the command itself
                self._drop(request)
                continue
            asked = request.received[4:]
            folder, _, arguments, _ = executor.understood(asked)
            sounds = self.sounds.named(folder, arguments)
            descriptors = [*request.descriptors, *(descriptor for _, descriptor in sounds)]
            try:
                executor.send(taken.channel, [astuple(sound) for sound, _ in sounds], asked, descriptors)
            except OSError:  # it died while it was idle
                self._close(taken)
                self.waiting.appendleft(request)
                continue
            self.used = time.monotonic()
            taken.request, request.executor = request, taken
            taken.commands += 1

    def _fork(self) -> Executor | None:
        """Start an executor; return None when no process can be made."""
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            return None
        begun = mmap.mmap(-1, mmap.PAGESIZE)
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            begun.close()
            return None
        if pid == 0:
            status = 1
            try:
                self._detach()
                ours.close()
                status = executor.stay(theirs, self.STAYS, begun)
            finally:
                os._exit(status)
        theirs.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(pid, pid)
        new = self.executors[pid] = Executor(pid, ours, begun)
        self.selector.register(ours, selectors.EVENT_READ, lambda: self._answered(new))
        return new

    def _detach(self) -> None:
        """Make this forked process one of its own that ends with its parent, and holds nothing of it open.

        Clients wait for the end of their connections.
        """
        os.setpgid(0, 0)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self.pid:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        self.listener.close()
        self.selector.close()
        self.wake.close()
        self.writable.close()
        for request in self.requests.values():
            request.close()
        for other in self.executors.values():
            if other.channel:
                other.channel.close()
        self.sounds.close()

    def _answered(self, of: Executor) -> None:
        """Pass on the exit status of the command that ran, and keep the executor or let it end."""
        if of.channel is None:  # it was killed a moment ago
            return
        try:
            (status, held, sounds), _, descriptors = executor.receive(of.channel)
        except (EOFError, OSError):  # it is dead or dying, or another program now: its end will say more
            self._close(of)
            return
        if len(descriptors) == len(sounds):
            for sound, descriptor in zip(sounds, descriptors, strict=True):
                self.sounds.add(CachedAudio(*sound), descriptor, len(self.executors))
        else:  # too many files are open for some of them
            for descriptor in descriptors:
                os.close(descriptor)
        request, of.request = of.request, None
        if self.STAYS or (of.commands < COMMANDS and held <= KEPT):
            self.idle.append(of)
        else:
            self._close(of)
        self._finish(request, status)

    def _finish(self, request: Request | None, status: int) -> None:
        self.used = time.monotonic()
        if request is not None:
            with contextlib.suppress(OSError):  # the client may be gone
                request.connection.send(str(status).encode())
            self._drop(request)

    def _close(self, of: Executor) -> None:
        """Close the channel to an executor: it ends when it waits for a command."""
        if of.channel:
            self.selector.unregister(of.channel)
            of.channel.close()
            of.channel = None
        if of in self.idle:
            self.idle.remove(of)

    def _kill(self, of: Executor) -> None:
        self._close(of)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(of.pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Note which executors have ended, and tell the clients whose commands they ran."""
        while self.executors:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            ended = self.executors.get(pid)
            if ended is None:
                continue
            if ended.channel:  # it may have answered before
                ended.channel.setblocking(False)
                self._answered(ended)
            self._close(ended)
            del self.executors[pid]
            begun = executor.count(ended.begun)
            ended.begun.close()
            lost = ended.request is not None and begun < ended.commands
            if lost and ended.request.lost < MOST_LOST:  # it was killed while it was idle: another executor can run it
                ended.request.executor = None
                ended.request.lost += 1
                self.waiting.appendleft(ended.request)
            elif ended.request:
                self._finish(ended.request, os.waitstatus_to_exitcode(status))

    def _over(self) -> bool:
        """Whether this server is not needed any more."""
        if is_over(self.run):
            return True
        idle = IDLE_CLUSTER if "=" in self.run else IDLE
        if not self._is_mine():  # somebody cleared the folder: nobody new can come
            idle = 0
        busy = self.waiting or any(one.request for one in self.executors.values())
        return not busy and time.monotonic() - self.used > idle

    def _is_mine(self) -> bool:
        """Whether the socket is still the one that this server listens on."""
        try:
            return os.stat(self.path).st_ino == self.inode
        except OSError:
            return False

    def _stop(self) -> None:
        for pid in self.executors:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        if self._is_mine():
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def identity() -> str:
    """Return the calling process as ``MIRFLOW_RUN`` names it."""
    return f"{os.getpid()}:{start_time(os.getpid())}"


def announce(warm: bool, inner: bool = False) -> None:
    """Tell all commands that this process starts whether they may run warm, and how long their server lives.

    `inner` is a Snakemake that another one started for a job, or for each job of a group: inside a cluster's job the
    server lives as long as the job, and serves all of them.
    """
    job = next((f"{variable}={os.environ[variable]}" for variable in CLUSTER_JOBS if os.environ.get(variable)), "")
    os.environ["MIRFLOW_RUN"] = job if inner and job else identity()
    os.environ["MIRFLOW_WARM"] = str(int(warm and sys.platform == "linux"))
    os.environ.pop("MIRFLOW_SOCKET", None)
    if run := run_identity():
        with contextlib.suppress(OSError):
            os.environ["MIRFLOW_SOCKET"] = socket_path(run)


def prepare() -> None:
    """Import and compile what commands need, so that executors need not."""
    from mirflow.warm import preload

    preload.run()
    gc.collect()
    gc.freeze()  # what the collector does not walk through, forked processes need not copy


def tidy(folder: Path) -> None:
    """Remove sockets of servers that were killed, and old notes about servers that did not start."""
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


def begin(server: Server, ready: int) -> None:
    """Tell the client that waits, if it still does, and serve until the run is over."""
    with contextlib.suppress(BrokenPipeError):
        os.write(ready, b"ready")
    os.close(ready)
    tidy(Path(server.path).parent)
    server.serve()


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
    begin(Server(path, run), ready)


if __name__ == "__main__":
    main(sys.argv[1:])
