"""The price of the workflow: one job an artifact, against one plain program that does the same (`mirflow.plain`)."""

import ctypes
import filecmp
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mirflow import audio
from mirflow.errors import MirflowError
from mirflow.library import scan
from mirflow.scale import copy_project

PR_SET_CHILD_SUBREAPER = 36
QUIETER = 0.97  # each copy of a file is by so much quieter than the one before: other samples, the same work


@dataclass(frozen=True)
class Spent:
    """What a run took, with all its processes.

    Attributes
    ----------
    cpu : s, user and system
    wall : s
    minutes : of audio
    """

    cpu: float
    wall: float
    minutes: float

    @property
    def cpu_per_minute(self) -> float:
        """Return CPU seconds per minute of audio."""
        return self.cpu / self.minutes

    def line(self, name: str, floor: "Spent") -> str:
        """Return a row of the table."""
        ratio = self.cpu_per_minute / floor.cpu_per_minute
        realtime = 60 * self.minutes / self.wall
        return f"{name:34} {self.cpu_per_minute:12.2f} {self.wall:8.1f} {realtime:9.1f} {ratio:7.2f}"


def report(files: list[Path], folder: Path, minutes: float, length: float, cold: int, jobs: int) -> Iterator[str]:
    """Measure below `folder`, and give the table line by line.

    Parameters
    ----------
    files : what the tracks are made of
    minutes : of audio in all, at least
    length : s of a track, 0: as the files are
    cold : number of tracks that are made cold
    jobs : how many run at once

    Raises
    ------
    MirflowError : a run failed, or the workflow's files differ from the plain program's
    """
    library, project = folder / "library", folder / "project"
    seconds = make_library(files, library, minutes, length)
    copy_project(project)
    measured([sys.executable, "-m", "mirflow", "warmup"], project, 0)  # what is compiled once is nobody's price
    yield f"{len(seconds)} tracks, {sum(seconds) / 60:.1f} minutes of audio, {jobs} jobs at once"
    yield f"{'':34} {'CPU s / min':>12} {'wall s':>8} {'x realtime':>10} {'ratio':>6}"
    plain = measured(_plain(library, folder / "plain", jobs), project, sum(seconds))
    yield plain.line("one plain program, a process a core", plain)
    warm = measured(_snakemake(library, folder / "warm", jobs), project, sum(seconds))
    yield warm.line("the workflow", plain)
    compare(folder / "plain", folder / "warm")
    if cold:
        few = folder / "few"
        few.mkdir()
        for source in sorted(library.iterdir())[:cold]:
            (few / source.name).hardlink_to(source)
        spent = measured(_snakemake(few, folder / "cold", jobs, "warm=false"), project, sum(seconds[:cold]))
        yield spent.line(f"the workflow, cold, {cold} of the tracks", plain)
        compare(folder / "cold", folder / "warm")


def make_library(files: list[Path], library: Path, minutes: float, length: float) -> list[float]:
    """Write tracks with different samples; return their lengths in s, in the order of their names."""
    library.mkdir()
    seconds: list[float] = []
    while sum(seconds) < 60 * minutes:
        sound = audio.read(files[len(seconds) % len(files)])
        samples = sound.samples * np.float32(QUIETER ** (1 + len(seconds) // len(files)))
        if length:
            samples = np.resize(samples.T, (round(length * sound.rate), len(samples))).T
        _write(library / f"track {len(seconds):04}.flac", samples, sound.rate)
        seconds.append(samples.shape[1] / sound.rate)
    return seconds


def _write(path: Path, samples: np.ndarray, rate: int) -> None:
    import soundfile

    soundfile.write(path, samples.T, rate, subtype="PCM_16")


def _plain(library: Path, results: Path, jobs: int) -> list[str]:
    return [sys.executable, "-m", "mirflow", "plain", str(library), str(results), "-j", str(jobs)]


def _snakemake(library: Path, results: Path, jobs: int, *config: str) -> list[str]:
    where = [f"library={json.dumps(str(library))}", f"results={json.dumps(str(results))}"]
    return [sys.executable, "-m", "snakemake", "-j", str(jobs), "--logger", "mirflow", "--config", *where, *config]


def measured(command: list[str], folder: Path, seconds: float) -> Spent:
    """Run a command in `folder` to its end and to that of its worker, and measure both.

    The worker is no child of Snakemake, and nobody would wait for it: this process adopts it (Linux).

    Raises
    ------
    MirflowError : the command failed, with the last of what it said
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    before, began = _children(), time.monotonic()
    with open(folder / "output.txt", "w+") as output:
        environment = os.environ | {"PYTHONPATH": str(folder / "scripts")}
        ended = subprocess.run(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment)
        wall = time.monotonic() - began
        output.seek(0)
        said = output.read()
    if ended.returncode:
        raise MirflowError(f"{' '.join(command)}: failed\n{said[-2000:]}")
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return Spent(_children() - before, wall, seconds / 60)


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(one: Path, other: Path) -> None:
    """See that all artifacts below `one` are in `other`, with the same bytes.

    Raises
    ------
    MirflowError : naming those that differ
    """
    made = [path.relative_to(one) for track in scan_tracks(one) for path in track.rglob("*") if path.is_file()]
    made = [path for path in made if path.suffix != ".lock" and not _names_itself(path)]
    different = [str(path) for path in made if not filecmp.cmp(one / path, other / path, shallow=False)]
    if different or not made:
        raise MirflowError(f"{one} and {other} differ: {', '.join(different) or 'nothing was made'}")


def scan_tracks(results: Path) -> list[Path]:
    """Return the folders of all tracks in results."""
    return [path for path in sorted(results.iterdir()) if path.name != ".mirflow"]


def _names_itself(path: Path) -> bool:
    """Whether a file holds the path of its source, which is another one for a track made cold."""
    return path.name == "source.json" or path.suffix == ".INFO"


def tracks_of(library: Path) -> dict[str, Path]:
    """Return track id → source, as the workflow finds them."""
    return scan(library).tracks
