"""The commands of a plan without Snakemake: what the workflow is measured against.

They make the same files with the same bytes, but nothing is skipped, resumed or recorded. One process per core has
imported and compiled everything before the first command, and decodes each file of a track once.
"""

import argparse
import contextlib
import functools
import json
import multiprocessing
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import astuple
from os import PathLike
from pathlib import Path

from benchmarks import program
from benchmarks.plan import Command
from mirflow import commands
from mirflow.core import audio
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.warm import preload


def run(plan: dict[str, list[Command]], processes: int) -> None:
    """Run the commands of all tracks, several tracks at once.

    Raises
    ------
    MirflowError : a command failed
    """
    preload.run()
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        pool.map(make, plan.values(), chunksize=1)


def make(track: list[Command]) -> None:
    """Run the commands of one track.

    Raises
    ------
    MirflowError : a command failed
    """
    with decoding_once():
        for command in track:
            perform(command)


@contextlib.contextmanager
def decoding_once(decode: Callable[[str | PathLike], Audio] = audio.decode) -> Iterator[None]:
    """Let commands share what `decode` returns for each file."""
    audio.shared_decode = functools.cache(decode)
    try:
        yield
    finally:
        audio.shared_decode = None


def perform(command: Command) -> None:
    """Run one command in this process.

    Raises
    ------
    MirflowError : it failed
    """
    if commands.main(list(command.arguments)):
        raise MirflowError(f"{command.track}: {command}: failed, for the reason above")


def save(plan: dict[str, list[Command]], path: Path) -> None:
    """Write a plan to a file for `main`."""
    path.write_text(json.dumps([astuple(command) for track in plan.values() for command in track]))


def load(path: Path) -> dict[str, list[Command]]:
    """Read what `save` wrote."""
    plan: dict[str, list[Command]] = defaultdict(list)
    for track, rule, arguments in json.loads(path.read_text()):
        plan[track].append(Command(track, rule, tuple(arguments)))
    return dict(plan)


def main(argv: list[str] | None = None) -> None:
    """Run a plan, for `benchmarks.overhead`."""
    parser = argparse.ArgumentParser(prog="benchmarks.baseline", description=main.__doc__)
    parser.add_argument("plan", type=Path, help="file that `save` wrote")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count(), help="how many tracks at once (all cores)")
    arguments = parser.parse_args(argv)
    run(load(arguments.plan), arguments.jobs)


if __name__ == "__main__":
    sys.exit(program.run(main))
