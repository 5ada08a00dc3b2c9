"""``python -I -S warm.py COMMAND ...`` runs a mirflow command in a process that has imported and compiled everything.

The result is that of the same command, without two seconds of imports. Such a client is started for each artifact where
Snakemake cannot ask by itself (mirflow/warm/direct.py), so it uses as little as it can: what is needed only when no
server listens yet is in mirflow/warm/session.py, and both use the standard library alone.

It sends its arguments, working directory, environment, stdout and stderr to a server (mirflow/warm/server.py) over a
Unix socket, waits, and exits with the command's status. The first client of a run starts the server. Whenever any of
this is impossible, the command runs here, cold: warm is faster, never different.

The environment says which run this is: MIRFLOW_RUN is the process that the server lives for ("pid:start time"), or a
cluster's job ("SLURM_JOB_ID=17"; see mirflow.warm.server.announce). Without it, and with MIRFLOW_WARM=0, commands run
cold. MIRFLOW_SOCKET, where it is set, is the socket of that run's server, found once for all clients.

``warm.py --model COMMAND ...`` asks the model server instead (mirflow/warm/model_server.py): one process for each GPU
that keeps its loaded model, and runs one command at a time.
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
    kind = "server"
    if argv[:1] == ["--model"]:
        kind, argv = "model_server", argv[1:]
    run = os.environ.get("MIRFLOW_RUN")
    if not run or os.environ.get("MIRFLOW_WARM") == "0":
        return cold(argv)
    try:
        connection = (kind == "server" and listening(os.environ.get("MIRFLOW_SOCKET"))) or started(run, kind)
        status = ask(connection, argv)
    except OSError:
        status = None
    if status is None:  # no server, or it died with its executors; what these wrote is complete or does not exist
        if session().is_over(run):  # nobody waits for the result
            print("mirflow: error: the run that this command belongs to is over", file=sys.stderr)
            return 1
        return cold(argv)
    status, message = told(argv, status)
    if message:
        print(message, file=sys.stderr)
    return status


def session():
    """Return the module that finds and starts servers."""
    if SCRIPTS not in sys.path:
        sys.path.insert(0, SCRIPTS)
    from mirflow.warm import session as module

    return module


def listening(path: str | None) -> socket.socket | None:
    """Connect to the server at a known path; return None when nobody listens there.

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
    """Connect to the server of a run; start it when there is none.

    Raises
    ------
    OSError : it does not come up, or belongs to somebody else
    """
    where = session()
    path = where.socket_path(run, kind)
    connection = where.connect(path, run, kind)
    check_owner(connection, path)
    return connection


def check_owner(connection: socket.socket, path: str) -> None:
    """Raise PermissionError when another user listens there, who would see the environment."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # pid, uid, gid
    if int.from_bytes(credentials[4:8], sys.byteorder) != os.getuid():
        raise PermissionError(f"{path} belongs to somebody else")


def ask(connection: socket.socket, argv: list[str]) -> int | None:
    """Send `argv` to the server; return the exit status (negative: a signal), None when the server died."""
    umask = os.umask(0o077)
    os.umask(umask)
    request(connection, argv, umask, os.environ, 1, 2)
    return answer(connection)


def request(connection: socket.socket, argv: list[str], umask: int, environment: dict[str, str], *outputs: int) -> None:
    """Ask the server to run `argv` in this working directory; `outputs` are its stdout and stderr."""
    # Each part ends with NUL, which none of them can contain.
    variables = [f"{name}={value}" for name, value in environment.items()]
    parts = [os.getcwd(), str(umask), str(len(argv)), *argv, *variables]
    body = b"".join(os.fsencode(part) + b"\0" for part in parts)
    descriptors = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in outputs)
    header = len(body).to_bytes(4, "big")
    connection.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    connection.sendall(body)


def answer(connection: socket.socket) -> int | None:
    """Wait; return the exit status (negative: a signal), None when the server died."""
    said = b""
    while part := connection.recv(64):
        said += part
    return int(said) if said else None


def told(argv: list[str], status: int) -> tuple[int, str]:
    """Return the exit status of a shell for that of the server, and the message where a signal ended the command."""
    if status >= 0:
        return status, ""
    import signal

    name = signal.Signals(-status).name if -status in list(signal.Signals) else f"signal {-status}"
    return 128 - status, f"mirflow: error: {argv[0] if argv else ''}: the process was killed by {name}"


def cold(argv: list[str]) -> int:
    """Replace this process by the command itself."""
    os.environ["PYTHONPATH"] = SCRIPTS
    os.execv(sys.executable, [sys.executable, "-P", "-m", "mirflow", *argv])


if __name__ == "__main__":
    try:
        done = main(sys.argv[1:])
    except KeyboardInterrupt:
        done = 130
    os._exit(done)  # skips the interpreter's shutdown, which takes milliseconds
