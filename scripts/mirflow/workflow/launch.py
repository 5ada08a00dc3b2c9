"""``make run``: one Snakemake for a library, or one after the other for the parts of a large one.

What Snakemake plans costs memory and, above all, time before the first job runs, both in proportion to the tracks (see
``make scale``). A process for each batch of tracks keeps both small, however large the library.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from mirflow.core.errors import MirflowError
from mirflow.core.layout import OWN_FOLDER
from mirflow.library.scan import Library, scan
from mirflow.workflow import batches, progress, settings
from mirflow.workflow.batches import BATCH, Batch

BATCH_TRACKS = 1000
NOTHING = "Nothing to be done (all requested files are present and up to date)."


def command(library: str, results: str, jobs: str, further: list[str]) -> list[str]:
    """Return the call of Snakemake that makes everything.

    Parameters
    ----------
    further : options of Snakemake; settings among them (``--config skip=[chroma]``) are kept
    """
    config = [f"{name}={_text(value)}" for name, value in (("library", library), ("results", results))]
    place = next((i for i, option in enumerate(further) if option in ("--config", "-C")), None)
    if place is None:
        further = [*further, "--config", *config]
    else:  # of two such options Snakemake takes the last one
        further = [*further[: place + 1], *config, *further[place + 1 :]]
    return [sys.executable, "-m", "snakemake", "-j", jobs, "--logger", "mirflow", *further]


def _text(value: str) -> str:
    """Quote a value for ``--config`` such that Snakemake takes any file name for what it is: text."""
    return f" {json.dumps(value)} "


def run(snakemake: list[str], library: str, results: str, size: int) -> int:
    """Make a library in batches of at most `size` tracks; return the exit status.

    A batch in which a track fails does not keep the others from being made. The status is then not 0, nor is it after
    an interrupt, which ends the run.

    Raises
    ------
    MirflowError : there is no library, or the results cannot be written
    """
    if size < 1:
        raise MirflowError(f"--batch: at least one track is needed, got {size}")
    check_working_directory()
    results = settings.directory(results)
    found = scan(settings.path(library), exclude=results)
    tracks = list(found.tracks)
    if len(tracks) <= size:
        os.execv(snakemake[0], snakemake)
    count = -(-len(tracks) // size)
    edges = [len(tracks) * index // count for index in range(count + 1)]  # batches of one size, but for one track
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: stopped.append(number))

    state, failed = Batch("", "", 0, 0, len(tracks), began=time.time()), False
    file = Path(results, OWN_FOLDER, "batch.json")
    try:
        for begin, end in pairwise(edges):
            here = {"first": tracks[begin], "last": tracks[end - 1], "before": begin, "size": end - begin}
            replace(state, **here, started=False).save(file)
            status = _wait(subprocess.Popen(snakemake, env=os.environ | {BATCH: str(file)}), stopped)
            state = batches.read_batch(file)
            failed = failed or status != 0
            if stopped or (status and not state.started):  # what ended this batch before its start ends all
                break
            state.idle += 0 if state.started else end - begin
    except OSError as error:
        raise MirflowError(f"{results}: cannot be written ({error.strerror or error})") from error
    finally:
        file.unlink(missing_ok=True)
    _report(results, found, state, broken=failed)
    return 128 + stopped[0] if stopped else int(failed)


def check_working_directory() -> None:
    """Check that Snakemake can write its working files in the current directory.

    Raises
    ------
    MirflowError : it cannot
    """
    folder = Path.cwd() / ".snakemake"
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MirflowError(
            f"{folder}: cannot be written ({error.strerror}), but Snakemake needs it: run from a directory of your own,"
            " `snakemake --directory <one> --snakefile <this Snakefile>`, or copy the project"
        ) from error


def _wait(process: subprocess.Popen, stopped: list[int]) -> int:
    """Wait for Snakemake. Ctrl-C reaches it by itself, like all programs of a terminal; other signals are sent on."""
    sent = False
    while process.poll() is None:
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            if stopped and not sent:
                sent = True
                if stopped[0] != signal.SIGINT:
                    process.send_signal(signal.SIGTERM)
    return process.returncode


def _report(results: str, library: Library, state: Batch, broken: bool) -> None:
    """Print the summary of all batches."""
    if state.idle == len(library.tracks):
        print(NOTHING, file=sys.stderr)
    elif state.idle or state.started or not broken:
        progress.tell(progress.summary(results, library, state.skip, broken, state.began, state.crops, state.waiting))
