"""``python -I -S warm.py COMMAND ...`` runs a mirflow command in a process that has imported and compiled all already.

The same command, the same result, without two seconds of imports. This client uses the standard library alone and is
up in some 20 ms. It hands its arguments, folder, environment, stdout and stderr to a worker (mirflow/worker.py) over a
Unix socket, waits, and exits with the command's status. The first client of a run starts the worker. Whenever anything
of this is impossible, the command runs here, cold: warm is faster, never different.

The environment says which run this is: MIRFLOW_RUN, the process that the worker lives for ("pid:start time"), or a
cluster's job. Without either, and with MIRFLOW_WARM=0, everything is cold.
"""

import array
import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import stat
import sys
import tempfile

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
START_TIMEOUT = 120  # seconds for a worker to import everything; a slow network disk may take its time
CLUSTER_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
MAX_SOCKET_PATH = 100  # bytes; the kernel allows 107


def main(argv: list[str]) -> int:
    """Run `argv` warm or cold; return its exit status."""
    run = run_identity()
    if run is None:
        return cold(argv)
    try:
        connection = connect(socket_path(run), run)
    except OSError:
        return cold(argv)
    try:
        status = ask(connection, argv)
    except OSError:
        status = None
    if status is None:  # the worker is gone, and its child with it; what it wrote is complete or not there
        return cold(argv) if "=" in run or alive(run) else 1  # after the run nobody waits for the result
    if status < 0:
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


def socket_path(run: str) -> str:
    """Return where the worker of this run and this code listens, in a folder of this user alone.

    Raises
    ------
    OSError : when the folder belongs to somebody else, or others may enter it
    """
    folder = os.path.join(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir(), f"mirflow-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is not private")
    name = hashlib.sha256(f"{run}\0{sys.executable}\0{code_identity()}".encode()).hexdigest()[:16]
    path = os.path.join(folder, name)
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise OSError(f"{path} is too long for a socket")
    return path


def code_identity() -> str:
    """Return a hash over names, sizes and times of the code: a worker never answers for code that changed since."""
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


def connect(path: str, run: str) -> socket.socket:
    """Connect to the worker; start it when there is none."""
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
            start(path, run)
            connection.connect(path)
    finally:
        os.close(folder)
    return connection


def start(path: str, run: str) -> None:
    """Start a worker in a session of its own and wait until it listens.

    Raises
    ------
    OSError : when it does not come up in time
    """
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
            os.execv(sys.executable, [sys.executable, "-m", "mirflow.worker", path, run, str(writable)])
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
    request = json.dumps({"argv": argv, "cwd": os.getcwd(), "env": dict(os.environ)}).encode()
    descriptors = array.array("i", [1, 2])
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
