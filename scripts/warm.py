"""``python -I -S warm.py COMMAND ...`` runs a mirflow command in a process that has imported and compiled all already.

The same command, the same result, without two seconds of imports. This client uses the standard library alone and is
up in some 20 ms. It hands its arguments, folder, environment, stdout and stderr to a worker (mirflow/worker.py) over a
Unix socket, waits, and exits with the command's status. The first client of a run starts the worker. Whenever anything
of this is impossible, the command runs here, cold: warm is faster, never different.

The environment says which run this is: MIRFLOW_RUN, the process that the worker lives for ("pid:start time"), or a
cluster's job. Without either, and with MIRFLOW_WARM=0, everything is cold. MIRFLOW_SOCKET says where the worker of this
run listens, so that not every job has to find out.

One runs for every artifact: what is not needed to reach a worker that listens already is imported where it is used.

``warm.py --model COMMAND ...`` asks the model worker instead (mirflow/model_worker.py): one process for each GPU, which
keeps the model that it loaded, and runs one command at a time.
"""

import os
import sys

try:
    import _socket as socket  # what `socket` is made of; the whole takes longer to import than all the rest to do
except ImportError:
    import socket

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
START_TIMEOUT = 120  # seconds for a worker to import everything; a slow network disk may take its time
CLUSTER_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
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
        connection = reach(os.environ.get("MIRFLOW_SOCKET"), kind) or connect(socket_path(run, kind), run, kind)
    except OSError:
        return cold(argv)
    try:
        status = ask(connection, argv)
    except OSError:
        status = None
    if status is None:  # the worker is gone, and its child with it; what it wrote is complete or not there
        return cold(argv) if "=" in run or alive(run) else 1  # after the run nobody waits for the result
    if status < 0:
        import signal

        name = signal.Signals(-status).name if -status in list(signal.Signals) else f"signal {-status}"
        print(f"mirflow: error: {argv[0] if argv else ''}: the process was killed by {name}", file=sys.stderr)
        return 128 - status
    return status


def run_identity() -> str | None:
    """Return what the worker is tied to, or None when it should not be used."""
    if os.environ.get("MIRFLOW_WARM") == "0":
        return None
    for variable in CLUSTER_JOBS:
        if os.environ.get(variable):
            return f"{variable}={os.environ[variable]}"
    return os.environ.get("MIRFLOW_RUN")


def alive(run: str) -> bool:
    """Whether the process "pid:start time" still runs; a later process with its number does not count."""
    pid, _, began = run.partition(":")
    return start_time(int(pid)) == began


def start_time(pid: int) -> str:
    """Return when a process started, in the kernel's ticks, or "" when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def reach(path: str | None, kind: str) -> socket.socket | None:
    """Connect to the worker that listens at a path that is known already, None when there is none."""
    if not path or kind != "worker" or not private(os.path.dirname(path)):
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    return connection


def private(folder: str) -> bool:
    """Whether a folder is there, belongs to this user, and nobody else may enter it."""
    try:
        status = os.lstat(folder)
    except FileNotFoundError:
        return False
    return status.st_mode & 0o170077 == 0o040000 and status.st_uid == os.getuid()  # a directory, nothing for others


def socket_path(run: str, kind: str = "worker") -> str:
    """Return where the worker of this run and this code listens, in a folder of this user alone.

    Raises
    ------
    OSError : when the folder belongs to somebody else, or others may enter it
    """
    import contextlib
    import tempfile

    folder = os.path.join(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir(), f"mirflow-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    if not private(folder):
        raise PermissionError(f"{folder} is not private")
    path = os.path.join(folder, socket_name(run, kind))
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise OSError(f"{path} is too long for a socket")
    return path


def socket_name(run: str, kind: str) -> str:
    """Return the name of the socket of a run's worker, which holds a hash of the code.

    A worker never answers for other code than what it was started for.
    """
    import hashlib

    which = f"{run}\0{sys.executable}\0{code_identity()}"
    if kind != "worker":
        which += f"\0{kind}\0{[os.environ.get(variable) for variable in DEVICES]}"
    return hashlib.sha256(which.encode(errors="surrogateescape")).hexdigest()[:16]


def code_identity() -> str:
    """Return a hash over names, sizes and times of the code."""
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


def connect(path: str, run: str, kind: str = "worker") -> socket.socket:
    """Connect to the worker; start it when there is none."""
    import fcntl

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
        return connection
    except (FileNotFoundError, ConnectionRefusedError):
        pass
    # One client starts it; the others wait here, and find it running.
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            start(path, run, kind)
            connection.connect(path)
    finally:
        os.close(folder)
    return connection


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
            os.execv(sys.executable, [sys.executable, "-m", f"mirflow.{kind}", path, run, str(writable)])
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
    # Each part ends with NUL, which none can hold: folder, number of arguments, arguments, environment.
    environment = [os.fsencode(f"{name}={value}") for name, value in os.environ.items()]
    parts = [os.fsencode(os.getcwd()), b"%d" % len(argv), *map(os.fsencode, argv), *environment]
    request = b"".join(part + b"\0" for part in parts)
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
    os.execv(sys.executable, [sys.executable, "-m", "mirflow", *argv])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
