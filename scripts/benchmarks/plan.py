"""The plan of a run: the commands of all its jobs, as Snakemake itself prints them in a dry run."""

import re
import shlex
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks import project
from mirflow.core import layout
from mirflow.core.errors import MirflowError

JOB = re.compile(r"^(?:local)?rule (\S+):$")
SHELL = "Shell command: "
LOGS = layout.own("", "logs") + "/"


@dataclass(frozen=True)
class Command:
    """The command of one job.

    Attributes
    ----------
    track : id of the track
    rule : name of the rule
    arguments : of `mirflow.commands.main`
    """

    track: str
    rule: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"mirflow {shlex.join(self.arguments)}"


def read(
    library: Path, results: Path, folder: Path = layout.PROJECT, config: tuple[str, ...] = ()
) -> dict[str, list[Command]]:
    """Return the commands that a run would execute, by track, each after those that make its inputs.

    Parameters
    ----------
    folder : of the project
    config : further settings, as ``name=value``

    Raises
    ------
    MirflowError : Snakemake failed, or the commands of some jobs were not found in what it printed
    """
    command = project.snakemake(
        library, results, "-j", "1", "--dry-run", "--printshellcmds", "--nocolor", config=config
    )
    ended = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if ended.returncode:
        raise MirflowError(f"{shlex.join(command)}: failed\n{ended.stdout[-2000:]}")
    return parse(ended.stdout)


def parse(output: str) -> dict[str, list[Command]]:
    """Return the commands in the output of a dry run (see `read`).

    A dry run goes through the scheduler, which takes a job only after all jobs that it needs.
    """
    plan, rule = defaultdict(list), ""
    for line in output.splitlines():
        if found := JOB.match(line):
            rule = found[1]
        elif line.startswith(f"{SHELL}mirflow "):
            command = _command(rule, line.removeprefix(SHELL))
            plan[command.track].append(command)
    found, planned = sum(map(len, plan.values())), planned_jobs(output)
    if found != planned:
        raise MirflowError(f"the dry run plans {planned} jobs, but prints the commands of {found}")
    return dict(plan)


def _command(rule: str, line: str) -> Command:
    """Return the command in ``mirflow [--model] <command> ... 2> <log>``.

    ``--model`` as the first argument is not the command's: it says which worker runs it.
    """
    _, *arguments, redirection, log = shlex.split(line)
    if redirection != "2>":
        raise MirflowError(f"rule {rule}: the command does not end with its log: {line}")
    track = log.rpartition(LOGS)[2].rpartition("/")[0]
    return Command(track, rule, tuple(arguments[arguments[0] == "--model" :]))


def planned_jobs(output: str) -> int:
    """Return the number of jobs in Snakemake's table, without rule all; 0 where there is no table."""
    lines = output.partition("Job stats:")[2].splitlines()
    total = next((line.split()[1] for line in lines if line.startswith("total")), "0")
    return int(total) - any(line.split()[:1] == ["all"] for line in lines)
