"""How the clients of a run find its server: which socket it listens on, and who starts it.

This uses the standard library alone: scripts/warm.py imports it when nobody listens yet on the socket that it knows.
"""

import contextlib
import fcntl
import hashlib
import os
import select
import socket
import stat
import sys
import tempfile
import time

SCRIPTS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START_TIMEOUT = 120  # seconds for a server to import everything; network disks can be slow
COLD = 5  # after a server failed to start, nobody tries again for this many times the time that it took
MAX_SOCKET_PATH = 100  # bytes; the kernel allows 107
# Memory in large pages, and freed memory is kept for the next arrays: the kernel fills new pages with zeros, and that
# was a sixth of the time of all jobs. Arrays above 64 MiB are given back.
MEMORY = f"glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold={64 << 20}:glibc.malloc.trim_threshold={192 << 20}"
DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def run_identity() -> str | None:
    """Return the run that the server belongs to, or None when commands run cold."""
    return os.environ.get("MIRFLOW_RUN") if os.environ.get("MIRFLOW_WARM") != "0" else None


def is_over(run: str) -> bool:
    """Whether the process "pid:start time" is gone; a later one with its number does not count."""
    pid, _, began = run.partition(":")
    return "=" not in run and (not began or start_time(pid) != began)  # the end of a cluster's job cannot be seen


def start_time(pid: int | str) -> str:
    """Return when a process started, in the kernel's ticks, or "" when there is none, or only its exit status."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def socket_path(run: str, kind: str = "server") -> str:
    """Return the socket of the server of this run and this code, in a folder that only this user may enter.

    Raises
    ------
    OSError : when there is no folder that is private and short enough for the path of a socket
    """
    which = f"{os.uname().nodename}\0{run}\0{sys.executable}\0{code_identity()}"  # temporary folders may be shared
    if kind != "server":
        which += f"\0{kind}\0{[os.environ.get(variable) for variable in DEVICES]}"
    name = hashlib.sha256(which.encode(errors="surrogateescape")).hexdigest()[:16]
    reason: OSError | None = None
    # The login session's folder is removed at logout, and the paths of the first two may be too long.
    for parent in dict.fromkeys((os.environ.get("XDG_RUNTIME_DIR") or "", tempfile.gettempdir(), "/tmp")):
        try:
            return os.path.join(private_folder(parent), name)
        except OSError as error:
            reason = error
    raise reason or FileNotFoundError("no folder for temporary files")


def private_folder(parent: str) -> str:
    """Return the folder in `parent` that this user alone may enter; make it if it is not there.

    Raises
    ------
    OSError : it cannot be made, belongs to somebody else, others may enter or replace it, or its name is too long
    """

    folder = os.path.join(parent, f"mirflow-{os.getuid()}")
    if not os.path.isabs(folder) or len(os.fsencode(folder)) + 17 > MAX_SOCKET_PATH:
        raise OSError(f"{folder} is no place for a socket")
    outside = os.stat(parent)
    if outside.st_uid not in (0, os.getuid()) or (outside.st_mode & 0o022 and not outside.st_mode & stat.S_ISVTX):
        raise PermissionError(f"{parent} is not safe: others may rename what is in it")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o777 != 0o700:
        raise PermissionError(f"{folder} is not private")
    return folder


def code_identity() -> str:
    """Return a hash of names, sizes and times of the code: a server never runs code that changed since it started."""

    digest = hashlib.sha256()
    for folder, folders, files in os.walk(SCRIPTS):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            if name.endswith(".py"):
                status = os.stat(os.path.join(folder, name))
                digest.update(
                    f"{folder}/{name} {status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape")
                )
    return digest.hexdigest()


def connect(path: str, run: str, kind: str = "server") -> socket.socket:
    """Connect to the server; start it when there is none.

    Raises
    ------
    OSError : there is none and it does not come up, or did not lately
    """

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if not reached(connection, path):
        # One client starts it; the others wait here, and find it running. (The lock is on one byte of the file, so that
        # different servers can be started at the same time.)
        locks = os.open(os.path.join(os.path.dirname(path), "lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.lockf(locks, fcntl.LOCK_EX, 1, int(os.path.basename(path), 16) >> 2)
            if not reached(connection, path):
                if is_over(run):
                    raise OSError("the run is over: no server is started for it")
                if 0 < cold_for(f"{path}.cold") <= COLD * START_TIMEOUT:
                    raise OSError("a server failed to start a moment ago")
                began = time.monotonic()
                try:
                    start(path, run, kind)
                    connection.connect(path)
                except OSError:
                    until = time.time() + COLD * (time.monotonic() - began)
                    with open(f"{path}.cold", "w") as note:
                        os.utime(note.fileno(), (until, until))
                    raise
        finally:
            os.close(locks)
    return connection


def reached(connection: socket.socket, path: str) -> bool:
    """Connect to a socket; return whether anybody listens there."""
    try:
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


def cold_for(note: str) -> float:
    """Return for how many more seconds no server is to be started, by the time of the note about its failure."""

    try:
        return os.stat(note).st_mtime - time.time()
    except OSError:
        return 0.0


def start(path: str, run: str, kind: str) -> None:
    """Start a server in a session of its own and wait until it listens.

    Raises
    ------
    OSError : when it does not come up in time
    """

    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            os.set_inheritable(writable, True)
            # Nothing else of the client may stay open in the server: neither the lock nor the pipes of Snakemake.
            for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else map(str, range(3, 256)):
                if int(name) > 2 and int(name) != writable:
                    with contextlib.suppress(OSError):
                        os.close(int(name))
            os.environ["PYTHONPATH"] = SCRIPTS
            os.environ.setdefault("GLIBC_TUNABLES", MEMORY)
            os.execv(sys.executable, [sys.executable, "-P", "-m", f"mirflow.warm.{kind}", path, run, str(writable)])
        finally:
            os._exit(1)
    os.close(writable)
    os.waitpid(child, 0)
    ready, _, _ = select.select([readable], [], [], START_TIMEOUT)
    said = os.read(readable, 5) if ready else b""
    os.close(readable)
    if said != b"ready":
        raise OSError("the server did not start")
