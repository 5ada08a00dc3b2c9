"""Commands for which Snakemake's own process asks the server, without a shell and a client (scripts/warm.py) for each.

These two cost ten milliseconds of every job, which is much for a short track. Where the command of a job is one plain
call of mirflow and the server listens, the thread that would wait for the shell asks, and waits for the answer. All
else goes the usual way: the first commands of a run, those for the model server, and those of a server that died.
"""

import contextlib
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import warm

WORD = r"(?:[\w@%+=:,./-]|'[^']*'|\"'\")+"  # what shlex.quote writes, and what needs no quotes
CALL = re.compile(rf"mirflow(?P<argv>(?: +{WORD})+) +2> *(?P<log>{WORD})", re.ASCII)
STOPPED = 130  # the exit status of a shell whose command Ctrl-C ended

_waiting: set["Command"] = set()


def starter(prefix: str) -> Callable[..., Any]:
    """Return what starts the commands of jobs, in place of ``subprocess.Popen``.

    Parameters
    ----------
    prefix : what stands before the command of each job, and makes ``mirflow`` a call of the client
    """
    umask = os.umask(0o077)  # now: all threads share it
    os.umask(umask)

    def start(text: str, **options: Any) -> "Command | subprocess.Popen":
        call = understood(text.removeprefix(prefix)) if text.startswith(prefix) else None
        if call:
            with contextlib.suppress(OSError):  # the shell will see what is wrong
                return Command(*call, umask, options["env"], lambda: subprocess.Popen(text, **options))
        return subprocess.Popen(text, **options)

    return start


def understood(text: str) -> tuple[list[str], str] | None:
    """Return the arguments of a call of mirflow and the file for its stderr; None where the text is anything else."""
    found = CALL.fullmatch(text.strip())
    if not found or found["argv"].split()[0] == "--model":
        return None
    (log,) = shlex.split(found["log"])
    return shlex.split(found["argv"]), log


def end_all() -> None:
    """End all commands that run: the server kills the command of a client that has gone away."""
    for command in tuple(_waiting):
        command.kill()


class Command:
    """A command that runs in the server, with as much of ``subprocess.Popen`` as Snakemake uses.

    Parameters
    ----------
    argv, log : see `understood`
    umask, environment : of the command
    again : starts it the usual way

    Raises
    ------
    ConnectionError : no server listens
    OSError : the server or the log cannot be reached
    """

    def __init__(
        self, argv: list[str], log: str, umask: int, environment: dict[str, str], again: Callable[[], subprocess.Popen]
    ) -> None:
        self.argv, self.again, self.killed = argv, again, False
        self.pid, self.log = os.getpid(), -1
        self.connection = warm.listening(environment.get("MIRFLOW_SOCKET"))
        if not self.connection:
            raise ConnectionError
        try:
            self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            _waiting.add(self)
            warm.request(self.connection, argv, umask, environment, 1, self.log)
        except OSError:
            self._close()
            raise

    def wait(self) -> int:
        """Wait for the command; return its exit status as a shell would."""
        try:
            status = warm.answer(self.connection)
        except OSError:
            status = None
        if status is not None:
            status, message = warm.told(self.argv, status)
            if message:
                with contextlib.suppress(OSError):  # a full disk
                    os.write(self.log, os.fsencode(message + "\n"))
        self._close()
        if status is not None:
            return status
        # Without an answer the server has died. What its commands wrote is complete or does not exist.
        return STOPPED if self.killed else self.again().wait()

    def kill(self) -> None:
        """End the command."""
        self.killed = True
        with contextlib.suppress(OSError):  # it has just ended
            self.connection.shutdown(2)  # both directions, which wakes up the thread that waits

    terminate = kill

    def _close(self) -> None:
        _waiting.discard(self)
        self.connection.close()
        if self.log >= 0:
            os.close(self.log)
