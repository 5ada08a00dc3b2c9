"""``python -I -S warm.py COMMAND ...`` runs a mirflow command in a process that has imported and compiled all already.

The same command, the same result, without two seconds of imports. One of this is started for every artifact, so it
uses as little as it can: what is not needed to reach a worker that listens already is in mirflow/rendezvous.py, and
that, too, uses the standard library alone.

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


def main(argv: list[str]) -> int:
    """Run `argv` warm or cold; return its exit status."""
    kind = "worker"
    if argv[:1] == ["--model"]:
        kind, argv = "model_worker", argv[1:]
    run = os.environ.get("MIRFLOW_RUN")
    if not run or os.environ.get("MIRFLOW_WARM") == "0":
        return cold(argv)
    try:
        connection = (kind == "worker" and listening(os.environ.get("MIRFLOW_SOCKET"))) or started(run, kind)
        status = ask(connection, argv)
    except OSError:
        status = None
    if status is None:  # no worker, or it is gone, and its child with it; what that wrote is complete or not there
        if rendezvous().is_over(run):  # nobody waits for the result
            print("mirflow: error: the run is over that this command belongs to", file=sys.stderr)
            return 1
        return cold(argv)
    if status < 0:
        import signal

        name = signal.Signals(-status).name if -status in list(signal.Signals) else f"signal {-status}"
        print(f"mirflow: error: {argv[0] if argv else ''}: the process was killed by {name}", file=sys.stderr)
        return 128 - status
    return status


def rendezvous():
    """Return the module that knows all about workers."""
    if SCRIPTS not in sys.path:
        sys.path.insert(0, SCRIPTS)
    from mirflow import rendezvous

    return rendezvous


def listening(path: str | None) -> socket.socket | None:
    """Connect to the worker at a path that is known already, None when nobody listens there.

    Raises
    ------
    OSError : it belongs to somebody else, or cannot be reached
    """
    if not path:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    check_owner(connection, path)
    return connection


def started(run: str, kind: str) -> socket.socket:
    """Connect to the worker of a run, and start it when there is none.

    Raises
    ------
    OSError : it does not come up, or belongs to somebody else
    """
    meeting = rendezvous()
    path = meeting.socket_path(run, kind)
    connection = meeting.connect(path, run, kind)
    check_owner(connection, path)
    return connection


def check_owner(connection: socket.socket, path: str) -> None:
    """Raise PermissionError when who listens is another user: it would learn the environment."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # pid, uid, gid
    if int.from_bytes(credentials[4:8], sys.byteorder) != os.getuid():
        raise PermissionError(f"{path} belongs to somebody else")


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
        done = main(sys.argv[1:])
    except KeyboardInterrupt:
        done = 130
    os._exit(done)  # nothing is left to be done, and Python takes its time for it
