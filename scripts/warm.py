"""``python -I -S warm.py COMMAND ...`` runs a mirflow command in a process that has imported and compiled all already.

The same command, the same result, without two seconds of imports. This client uses the standard library alone, and of
that as little as it can: one is started for every artifact. What is not needed to reach a worker that listens already
is imported where it is used.

It hands its arguments, folder, environment, stdout and stderr to a worker (mirflow/worker.py) over a Unix socket,
waits, and exits with the command's status. The first client of a run starts the worker. Whenever anything of this is
impossible, the command runs here, cold: warm is faster, never different.

The environment says which run this is: MIRFLOW_RUN, the process that the worker lives for ("pid:start time"), or a
cluster's job ("SLURM_JOB_ID=17"; see mirflow.worker.announce). Without it, and with MIRFLOW_WARM=0, all is cold.
MIRFLOW_SOCKET, where it is set, says where the worker of that run listens, once for all clients.

``warm.py --model COMMAND ...`` asks the model worker instead (mirflow/model_worker.py): one process for each GPU, which
keeps the model that it loaded, and runs one command at a time.
"""

import os
import sys

try:
    import _socket as socket  # what `socket` is made of, without all that it imports
except ImportError:
    import socket

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
START_TIMEOUT = 120  # seconds for a worker to import everything; a slow network disk may take its time
COLD = 5  # times as long as a worker took that did not come up, nobody tries again to start it
MAX_SOCKET_PATH = 100  # bytes; the kernel allows 107
DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def main(argv: list[str]) -> int:
    """Run `argv` warm or cold; return its exit status."""
    kind = "worker"
    if argv[:1] == ["--model"]:
        kind, argv = "model_worker", argv[1:]
    run = run_identity()
    if run is None:
        return cold(argv)
    try:
        connection = listening(os.environ.get("MIRFLOW_SOCKET")) if kind == "worker" else None
        status = ask(connection or connect(socket_path(run, kind), run, kind), argv)
    except OSError:
        status = None
    if status is None:  # no worker, or it is gone, and its child with it; what that wrote is complete or not there
        if is_over(run):  # nobody waits for the result
            print("mirflow: error: the run is over that this command belongs to", file=sys.stderr)
            return 1
        return cold(argv)
    if status < 0:
        import signal

        name = signal.Signals(-status).name if -status in list(signal.Signals) else f"signal {-status}"
        print(f"mirflow: error: {argv[0] if argv else ''}: the process was killed by {name}", file=sys.stderr)
        return 128 - status
    return status


def run_identity() -> str | None:
    """Return what the worker is tied to, or None when it should not be used."""
    return os.environ.get("MIRFLOW_RUN") if os.environ.get("MIRFLOW_WARM") != "0" else None


def is_over(run: str) -> bool:
    """Whether the process "pid:start time" is gone; a later one with its number does not count."""
    pid, _, began = run.partition(":")
    return "=" not in run and (not began or start_time(pid) != began)  # of a cluster's job nobody knows


def start_time(pid: int | str) -> str:
    """Return when a process started, in the kernel's ticks, or "" when there is none, or only its exit status."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def socket_path(run: str, kind: str = "worker") -> str:
    """Return where the worker of this run and this code listens, in a folder of this user alone.

    Raises
    ------
    OSError : when there is no folder that is private and short enough for the path of a socket
    """
    import hashlib
    import tempfile

    which = f"{os.uname().nodename}\0{run}\0{sys.executable}\0{code_identity()}"  # temporary folders may be shared
    if kind != "worker":
        which += f"\0{kind}\0{[os.environ.get(variable) for variable in DEVICES]}"
    name = hashlib.sha256(which.encode(errors="surrogateescape")).hexdigest()[:16]
    reason: OSError | None = None
    # The session's folder is gone after a logout, and either of the first two may be too deep.
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
    import contextlib
    import stat

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
    """Return a hash over names, sizes and times of the code: a worker never answers for code that changed since."""
    import hashlib

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


def listening(path: str | None) -> socket.socket | None:
    """Connect to the worker at a path that is known already, None when nobody listens there.

    Raises
    ------
    OSError : it belongs to somebody else, or cannot be reached
    """
    if not path:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if not reached(connection, path):
        connection.close()
        return None
    check_owner(connection, path)
    return connection


def connect(path: str, run: str, kind: str = "worker") -> socket.socket:
    """Connect to the worker; start it when there is none.

    Raises
    ------
    OSError : there is none and it does not come up, or did not lately
    """
    import fcntl
    import time

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if not reached(connection, path):
        # One client starts it; the others wait here, and find it running. (The lock is on one byte of the file, so that
        # different workers are started side by side.)
        locks = os.open(os.path.join(os.path.dirname(path), "lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.lockf(locks, fcntl.LOCK_EX, 1, int(os.path.basename(path), 16) >> 2)
            if not reached(connection, path):
                if is_over(run):
                    raise OSError("no worker starts after its run")
                if 0 < cold_for(f"{path}.cold") <= COLD * START_TIMEOUT:
                    raise OSError("the worker did not start lately")
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
    check_owner(connection, path)
    return connection


def check_owner(connection: socket.socket, path: str) -> None:
    """Raise PermissionError when who listens is another user: it would learn the environment."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # pid, uid, gid
    if int.from_bytes(credentials[4:8], sys.byteorder) != os.getuid():
        raise PermissionError(f"{path} belongs to somebody else")


def reached(connection: socket.socket, path: str) -> bool:
    """Connect to a socket; return whether anybody listens there."""
    try:
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


def cold_for(note: str) -> float:
    """Return for how many seconds more no worker shall be started, by the time of the note of its failure."""
    import time

    try:
        return os.stat(note).st_mtime - time.time()
    except OSError:
        return 0.0


def start(path: str, run: str, kind: str) -> None:
    """Start a worker in a session of its own and wait until it listens.

    Raises
    ------
    OSError : when it does not come up in time
    """
    import contextlib
    import select

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
            # Nothing else of the client may stay open in the worker: neither the lock nor the pipes of Snakemake.
            for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else map(str, range(3, 256)):
                if int(name) > 2 and int(name) != writable:
                    with contextlib.suppress(OSError):
                        os.close(int(name))
            os.environ["PYTHONPATH"] = SCRIPTS
            # Memory in large pages: to fork, and to touch new memory in every child, took a fifth of all jobs' time.
            os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
            os.execv(sys.executable, [sys.executable, "-P", "-m", f"mirflow.{kind}", path, run, str(writable)])
        finally:
            os._exit(1)
    os.close(writable)
    os.waitpid(child, 0)
    ready, _, _ = select.select([readable], [], [], START_TIMEOUT)
    said = os.read(readable, 5) if ready else b""
    os.close(readable)
    if said != b"ready":
        raise OSError("the worker did not start")


def ask(connection: socket.socket, argv: list[str]) -> int | None:
    """Hand `argv` to the worker; return the exit status (negative: a signal), None when the worker died."""
    umask = os.umask(0o077)
    os.umask(umask)
    # Each part ends with NUL, which none can hold.
    environment = [f"{name}={value}" for name, value in os.environ.items()]
    parts = [os.getcwd(), str(umask), str(len(argv)), *argv, *environment]
    request = b"".join(os.fsencode(part) + b"\0" for part in parts)
    descriptors = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in (1, 2))
    header = len(request).to_bytes(4, "big")
    connection.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    connection.sendall(request)
    answer = b""
    while part := connection.recv(64):
        answer += part
    return int(answer) if answer else None


def cold(argv: list[str]) -> int:
    """Become the command itself."""
    os.environ["PYTHONPATH"] = SCRIPTS
    os.execv(sys.executable, [sys.executable, "-P", "-m", "mirflow", *argv])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
