"""What a process costs: CPU time, wall-clock time and memory."""

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mirflow.core.errors import MirflowError

PR_SET_CHILD_SUBREAPER = 36  # from linux/prctl.h
UNIT = 30 if sys.platform == "darwin" else 20  # ru_maxrss is in kilobytes, on macOS in bytes


@dataclass(frozen=True)
class Cost:
    """What a process and its children cost.

    Attributes
    ----------
    cpu : s, user and system
    wall : s, until the process itself ended
    memory : GiB, that of the largest process at its peak
    output : what the processes printed
    """

    cpu: float
    wall: float
    memory: float
    output: str


def run(command: list[str], folder: Path, workers: bool = False) -> Cost:
    """Run a command in the folder of a project, with the Python code of that project, and measure it.

    Parameters
    ----------
    workers : whether to wait for the warm workers of a run as well, and to count them. They are no children of
        Snakemake, so this process adopts them (on Linux). It must have no other children at that time

    Raises
    ------
    MirflowError : the command failed; with the last of what it printed
    """
    began = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(folder / "scripts")}
    with open(folder / "output.txt", "w+") as output, _adopting(workers):
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        usages = [usage, *(_adopted() if workers else [])]
        output.seek(0)
        printed = output.read()
    if process.returncode:
        raise MirflowError(f"{' '.join(command)}: failed\n{printed[-2000:]}")
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return Cost(cpu, wall, max(usage.ru_maxrss for usage in usages) / 2**UNIT, printed)


@contextlib.contextmanager
def _adopting(workers: bool) -> Iterator[None]:
    """Become the parent of processes whose own parent ends, where the system can do that."""
    set_subreaper = ctypes.CDLL(None).prctl if workers and sys.platform == "linux" else lambda *_: None
    set_subreaper(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        set_subreaper(PR_SET_CHILD_SUBREAPER, 0)


def _adopted() -> list[resource.struct_rusage]:
    """Wait for all other children of this process; return the resource usage of each."""
    usages = []
    while True:
        try:
            usages.append(os.wait3(0)[2])
        except ChildProcessError:
            return usages
