"""Scripts for the schedulers of clusters: an array of jobs, each of which makes one share of a library.

One step of one track is a second of work: too little to be scheduled by a cluster. A share is one plain run, which
starts one Snakemake, keeps its workers and loads each model once.
"""

import math
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mirflow.core import layout
from mirflow.core.errors import MirflowError
from mirflow.workflow.shares import FOLDER, place_of

OVERHEAD = 1500  # MB of a share beside its steps: Snakemake, and a worker that has imported everything
STEP = 2500  # MB that most steps need at most for a track of ten minutes
COST = 15.0  # CPU s that a minute of audio costs with the default settings; see docs/performance.md
SAFETY = 3  # a share may be slower than that by this factor: slower processors, slow disks
LEAST_TIME = 10  # minutes of a share, for its start
LAST = 60  # minutes of the job that follows the shares
TAIL = 120  # s before its end that a share is told to stop


@dataclass(frozen=True)
class Array:
    """What an array of jobs asks the scheduler for.

    Attributes
    ----------
    shares : how many jobs the library is divided into
    cpus : of each, and how many steps it makes at a time
    memory : MB of each
    minutes : until the scheduler ends a job
    at_once : how many jobs may run at a time; 0 is all
    gpus : of each, in the scheduler's words ("1", "h100:1"); "" is none
    partition, account : "" where the cluster needs none
    options : further options of sbatch
    """

    shares: int
    cpus: int
    memory: int
    minutes: int
    at_once: int = 0
    gpus: str = ""
    partition: str = ""
    account: str = ""
    options: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for name in ("shares", "cpus", "memory", "minutes"):
            if getattr(self, name) < 1:
                raise MirflowError(f"--{name}: a number from 1 on is expected, got {getattr(self, name)}")
        if self.memory <= OVERHEAD:
            raise MirflowError(f"--memory: {OVERHEAD} MB are needed beside the steps, got {self.memory}")


def memory(cpus: int) -> int:
    """Return how much memory a job should ask for, in MB, for so many steps at a time."""
    return OVERHEAD + cpus * STEP


def minutes(audio: Mapping[str, float], shares: int, cpus: int, cost: float = COST) -> int:
    """Return how much time a job should ask for, in minutes: that of the longest share.

    A share takes at least as long as its longest track, whose steps wait for each other.

    Parameters
    ----------
    audio : track id → minutes
    cost : CPU s of a minute of audio
    """
    of_shares = [0.0] * shares
    for track, length in audio.items():
        of_shares[place_of(track, shares)] += length
    longest = max(max(of_shares) / cpus, max(audio.values(), default=0.0))
    return math.ceil(LEAST_TIME + SAFETY * longest * cost / 60)


def script(array: Array, library: str, results: str, further: list[str]) -> str:
    """Return the script of a job of the array, for sbatch; other schedulers ignore its #SBATCH lines.

    Parameters
    ----------
    further : options of Snakemake
    """
    own = layout.own(os.path.abspath(results), FOLDER)
    if "\n" in own:
        raise MirflowError(f"results: {results!r} must not hold a line break")
    lines = {
        "job-name": "mirflow",
        "array": f"1-{array.shares}" + (f"%{array.at_once}" if array.at_once else ""),
        "ntasks": "1",
        "cpus-per-task": str(array.cpus),
        "mem": f"{array.memory}M",
        "time": str(array.minutes),
        # A job whose machine failed, or that made room for others, is put into the queue again and goes on.
        "requeue": "",
        "open-mode": "append",
        "output": f"{own.replace('%', '%%')}/%a-of-{array.shares}.log",
        # Told to stop, a share ends the steps at work, and the next one goes on from there.
        "signal": f"B:TERM@{TAIL}",
    }
    optional = {"gpus": array.gpus, "partition": array.partition, "account": array.account}
    lines |= {name: value for name, value in optional.items() if value}
    options = [f"--{name}={value}" if value else f"--{name}" for name, value in lines.items()]
    resources = [f"mem_mb={array.memory - OVERHEAD}", f"gpu={1 if array.gpus else 0}", "downloads=2", "lookups=1"]
    run = [sys.executable, "-m", "mirflow", "run", "--library", os.path.abspath(library)]
    run += ["--results", os.path.abspath(results), "--jobs", str(array.cpus), "--share", "SHARE", "--"]
    run += ["--resources", *resources, *further]
    command = shlex.join(run).replace("SHARE", f'"$task/{array.shares}"', 1)
    return "\n".join(
        [
            "#!/bin/sh",
            *(f"#SBATCH {_quoted(option)}" for option in (*options, *array.options)),
            "# One share of a library. By hand, or with any other scheduler: sh THIS_FILE <number of the share>",
            'task="${1:-${SLURM_ARRAY_TASK_ID:-${PBS_ARRAY_INDEX:-${LSB_JOBINDEX:-${SGE_TASK_ID:-}}}}}"',
            '[ -n "$task" ] || { echo "which share? sh $0 1" >&2; exit 2; }',
            f"cd {shlex.quote(str(layout.PROJECT))} || exit",
            "# In place of this shell, so that the signal to stop arrives.",
            f"exec {command}",
            "",
        ]
    )


@dataclass(frozen=True)
class Nodes:
    """Machines of one kind in one partition of SLURM.

    Attributes
    ----------
    partition : its name
    cpus, memory : of each machine; MB
    minutes : until a job is ended; infinite where there is no limit
    gpus : GPU model → number in each machine; "gpu" is any of them
    """

    partition: str
    cpus: int
    memory: int
    minutes: float
    gpus: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        limit = "" if math.isinf(self.minutes) else f", {self.minutes:.0f} minutes"
        gpus = f", {self.gpus['gpu']} GPUs" if self.gpus else ""
        return f"{self.partition} has {self.cpus} CPUs, {self.memory} MB{gpus}{limit}"


# What SLURM is asked about its machines: partition, CPUs, memory, time limit, GPUs. Also about those that are down.
ASK_NODES = ("sinfo", "--noheader", "--exact", "--format=%P|%c|%m|%l|%G")
OVERRULING = ("--time", "-t", "--mem", "-c", "--cpus-per-task", "--gpus", "-G", "--partition", "-p", "--gres", "-M")


def nodes(said: str, partition: str) -> list[Nodes]:
    """Read what `ASK_NODES` says of the partitions that jobs go to: those that are named, or the one with a star."""
    found, by_default = [], []
    for line in said.splitlines():
        name, cpus, memory, limit, resources = line.split("|")
        gpus: dict[str, int] = {}
        for model, number in re.findall(r"\bgpu(?::([^:,(]+))?:(\d+)(?=[(,]|$)", resources):
            for one in {"gpu", model or "gpu"}:
                gpus[one] = gpus.get(one, 0) + int(number)
        one = Nodes(name.removesuffix("*"), int(cpus), int(memory), _minutes(limit), gpus)
        found.append(one)
        by_default += [one] if name.endswith("*") else []
    return [one for one in found if one.partition in partition.split(",")] if partition else by_default or found


def _minutes(limit: str) -> float:
    """Read a time limit of SLURM: days-hours:minutes:seconds, without what is zero at its begin, or a word."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if not match:
        return math.inf
    days, hours, minutes_, seconds = (int(part or 0) for part in match.groups())
    return days * 1440 + hours * 60 + minutes_ + seconds / 60


def check_fits(array: Array, machines: list[Nodes]) -> None:
    """Check that a job of the array can run on one of these machines, when nothing else does.

    SLURM itself takes jobs that can never run, and keeps them waiting.

    Raises
    ------
    MirflowError : it fits on none of them; says what a job asks for, and what there is
    """
    if any(option.partition("=")[0] in OVERRULING for option in array.options):
        return  # then a job asks for something else
    model, _, number = array.gpus.rpartition(":")
    if array.gpus and not number.isdigit():  # --gpus=h100
        model, number = array.gpus, "1"
    wanted = int(number) if array.gpus else 0
    for one in machines:
        fits = array.cpus <= one.cpus and array.memory <= one.memory and array.minutes <= one.minutes
        if fits and wanted <= one.gpus.get(model or "gpu", 0):
            return
    if machines:
        gpus = f", {array.gpus} GPUs" if array.gpus else ""
        there = "; ".join(sorted(set(map(str, machines))))
        raise MirflowError(
            f"SLURM could never run these jobs: each asks for {array.cpus} CPUs, {array.memory} MB{gpus} and"
            f" {array.minutes} minutes on one machine; {there}"
        )


def _quoted(option: str) -> str:
    """Quote an option as sbatch reads it: what is in quotes is one word, and a backslash protects a character."""
    if re.fullmatch(r"[\w@%:/.,=+-]+", option, re.ASCII):
        return option
    return '"' + re.sub(r'(["\\])', r"\\\1", option) + '"'


def ending(library: str, results: str, further: list[str]) -> str:
    """Return the command of the job that follows the array: what concerns all tracks at once, and the summary.

    Parameters
    ----------
    further : options of Snakemake
    """
    mirflow = [sys.executable, "-m", "mirflow"]
    places = ["--library", os.path.abspath(library), "--results", os.path.abspath(results)]
    finish = shlex.join([*mirflow, "run", "--finish", *places, "--jobs", "1", "--", *further])
    summary = shlex.join([*mirflow, "summary", *places[2:]])
    return f"cd {shlex.quote(str(layout.PROJECT))} && {{ {finish}; {summary}; }}"


def place(results: str, shares: int) -> Path:
    """Return where the script of an array lies."""
    return Path(layout.own(results, FOLDER, f"of-{shares}.sh"))
