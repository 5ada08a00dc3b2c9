"""Measure what the workflow costs: all rules with default settings, beside the same commands without Snakemake."""

import argparse
import filecmp
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import baseline, plan, program, project
from benchmarks.measure import Cost
from benchmarks.measure import run as measure
from mirflow.core import audio, layout
from mirflow.core.errors import MirflowError

QUIETER = 0.97  # each copy of a file is by this factor quieter than the one before: other samples, the same work
WITH_SOURCE_PATH = ("source.json", ".INFO")  # how the names of files end that hold the path of the track's source


def main(argv: list[str] | None = None) -> None:
    """Print the table line by line."""
    parser = argparse.ArgumentParser(prog="benchmarks.overhead", description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", help="audio files to make tracks of (default: the demo)")
    parser.add_argument("--minutes", type=float, default=12, help="of audio in all, at least (default: %(default)g)")
    parser.add_argument("--length", type=float, default=0, help="s of a track (default: as the files are)")
    parser.add_argument("--cold", type=int, default=1, help="tracks that are made cold too (default: %(default)s)")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count(), help="how many jobs at once (all cores)")
    arguments = parser.parse_args(argv)
    files = arguments.files or project.demo_files()
    with tempfile.TemporaryDirectory(prefix="mirflow-overhead-") as folder:
        for line in report(files, Path(folder), arguments.minutes, arguments.length, arguments.cold, arguments.jobs):
            print(line, flush=True)


def report(files: list[Path], folder: Path, minutes: float, length: float, cold: int, jobs: int) -> Iterator[str]:
    """Measure below `folder`, and give the table line by line.

    Parameters
    ----------
    files : what the tracks are made of
    minutes : of audio in all, at least
    length : s of a track, 0: as the files are
    cold : number of tracks that are also made without warm workers
    jobs : how many run at once

    Raises
    ------
    MirflowError : a run failed, or the workflow's files differ from the baseline's
    """
    library, copy = folder / "library", project.copy(folder / "project")
    seconds = make_library(files, library, minutes, length)
    measure([sys.executable, "-m", "mirflow.warm.preload"], copy)  # what is compiled once is not part of the costs
    baseline.save(plan.read(library, folder / "baseline", copy), folder / "plan.json")
    yield f"{len(seconds)} tracks, {sum(seconds) / 60:.1f} minutes of audio, {jobs} jobs at once"
    yield f"{'':34} {'CPU s / min':>12} {'wall s':>8} {'x realtime':>10} {'ratio':>6}"

    floor = measure([sys.executable, "-m", "benchmarks.baseline", f"{folder / 'plan.json'}", "-j", f"{jobs}"], copy)
    per_minute = floor.cpu / sum(seconds) * 60

    def row(name: str, cost: Cost, seconds: float) -> str:
        cpu = cost.cpu / seconds * 60
        return f"{name:34} {cpu:12.2f} {cost.wall:8.1f} {seconds / cost.wall:10.1f} {cpu / per_minute:6.2f}"

    yield row("baseline, a process per core", floor, sum(seconds))
    workflow = ("-j", str(jobs), "--logger", "mirflow")
    cost = measure(project.snakemake(library, folder / "warm", *workflow), copy, workers=True)
    yield row("workflow", cost, sum(seconds))
    compare(folder / "baseline", folder / "warm")
    if cold:
        few = folder / "few"
        few.mkdir()
        for source in sorted(library.iterdir())[:cold]:
            (few / source.name).hardlink_to(source)
        command = project.snakemake(few, folder / "cold", *workflow, config=("warm=false",))
        cost = measure(command, copy, workers=True)
        yield row(f"workflow, cold, {cold} of the tracks", cost, sum(seconds[:cold]))
        compare(folder / "cold", folder / "warm", ignored=WITH_SOURCE_PATH)


def make_library(files: list[Path], library: Path, minutes: float, length: float) -> list[float]:
    """Write tracks that all have different samples; return their lengths in s, in the order of their names."""
    import soundfile

    library.mkdir()
    seconds: list[float] = []
    while sum(seconds) < 60 * minutes:
        source = audio.read(files[len(seconds) % len(files)])
        samples = source.samples.T * np.float32(QUIETER ** (1 + len(seconds) // len(files)))
        if length:
            samples = np.resize(samples, (round(length * source.rate), samples.shape[1]))
        soundfile.write(library / f"track {len(seconds):04}.flac", samples, source.rate, subtype="PCM_16")
        seconds.append(len(samples) / source.rate)
    return seconds


def compare(one: Path, other: Path, ignored: tuple[str, ...] = ()) -> None:
    """See that the folders of the tracks of `one` hold the same files, with the same bytes, as those in `other`.

    Parameters
    ----------
    one, other : results of two runs
    ignored : files whose names end like this are not compared

    Raises
    ------
    MirflowError : naming the files that differ or are missing
    """
    tracks = sorted(path.name for path in one.iterdir() if path.name != layout.OWN_FOLDER)
    names = {
        str(path.relative_to(results))
        for results in (one, other)
        for track in tracks
        for path in (results / track).rglob("*")
        if path.is_file() and not path.name.endswith((".lock", *ignored))
    }
    different = [name for name in sorted(names) if not _equal(one / name, other / name)]
    if different or not names:
        raise MirflowError(f"{one} and {other} differ: {', '.join(different) or 'nothing was made'}")


def _equal(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


if __name__ == "__main__":
    sys.exit(program.run(main))
