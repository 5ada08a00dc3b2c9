"""Large libraries made of one finished track, and what Snakemake costs on them.

Every artifact of the track is copied under the names of the others, and so is what Snakemake remembers of it (its
metadata), with the names in it changed: for Snakemake the clones are as finished as the original.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mirflow.errors import MirflowError
from mirflow.run import BATCH_TRACKS

PROJECT = Path(__file__).resolve().parents[2]
COPIED = ("Snakefile", "rules", "scripts", "config", "profiles", "envs")
SEED = "Seed"
SECONDS, RATE = 2.0, 22050  # of the track that is cloned
LINKED = 4096  # bytes; larger files are linked instead of copied, the sound is the same in all tracks

ADDED = '''"""How often something begins."""

from mirflow.registry import Feature, Field

FEATURE = Feature("added", 1, ("onsets",), (Field("added_count", "count", kind=int, meaning="number of onsets"),))


def measure(onsets):
    """Count the onsets."""
    return {"added_count": len(onsets)}
'''


@dataclass(frozen=True)
class Cost:
    """What one process and those that it waited for took.

    Attributes
    ----------
    cpu : s, user and system
    wall : s
    memory : GiB, the largest of them at its peak
    jobs : that were planned or made, without rule all
    """

    cpu: float
    wall: float
    memory: float
    jobs: int


def report(folder: Path, sizes: list[int], real: int) -> Iterator[str]:
    """Make the libraries below `folder`, measure, and give the table line by line.

    Parameters
    ----------
    sizes : numbers of tracks
    real : up to so many tracks the added feature is made, not only planned
    """
    project = folder / "project"
    copy_project(project)
    seed = make_seed(project, folder / "seed")
    yield f"{'tracks':>7}  {'case':34} {'jobs':>7} {'CPU s':>8} {'wall s':>8} {'GiB':>6}"
    for size in sizes:
        library, results = clone(project, seed, folder / str(size), size)
        for case, cost in cases(project, library, results, make=size <= real):
            yield f"{size:7}  {case:34} {cost.jobs:7} {cost.cpu:8.1f} {cost.wall:8.1f} {cost.memory:6.2f}"


def cases(
    project: Path, library: Path, results: Path, make: bool, batch: int = BATCH_TRACKS
) -> Iterator[tuple[str, Cost]]:
    """Yield what is measured on one library: (case, cost); with more than `batch` tracks also what `make run` costs."""
    nothing = results.with_name("nothing")
    yield "nothing made yet, dry run", snakemake(project, library, nothing, "-n")
    # Without a word on each job, only how many there are: what `make run` needs to know before its first job.
    yield "nothing made yet, table alone", snakemake(project, library, nothing, "-n", "-q", "--logger", "mirflow")
    yield "all made, dry run", snakemake(project, library, results, "-n")
    yield "all made, run", snakemake(project, library, results)
    if len(list(library.glob("*/*.wav"))) > batch:
        yield "all made, run in batches", in_batches(project, library, results, batch)
    new = library / "new.wav"
    os.link(next(library.glob("*/*.wav")), new)
    yield "one more track, dry run", snakemake(project, library, results, "-n")
    new.unlink()
    feature = project / "scripts/mirflow/features/added.py"
    feature.write_text(ADDED)
    try:
        yield "one more feature, dry run", snakemake(project, library, results, "-n")
        if make:
            yield "one more feature, run", snakemake(project, library, results)
    finally:
        feature.unlink()


def copy_project(project: Path) -> None:
    """Copy the workflow, so that a feature may be added to it, and Snakemake's own folder lies elsewhere."""
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, project / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            project.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, project)


def make_seed(project: Path, folder: Path) -> Path:
    """Make the one track for real; return the folder of its library and results."""
    import soundfile

    library = folder / "library"
    library.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).standard_normal(int(SECONDS * RATE)) * 0.1
    soundfile.write(library / f"{SEED}.wav", noise, RATE)
    snakemake(project, library, folder / "results")
    return folder


def clone(project: Path, seed: Path, folder: Path, tracks: int) -> tuple[Path, Path]:
    """Give `tracks` clones of the seed in `folder`; return library and results."""
    library, results = folder / "library", folder / "results"
    source = seed / "library" / f"{SEED}.wav"
    files = [path for path in (seed / "results").rglob("*") if path.is_file()]
    made = [path for path in files if SEED in path.relative_to(seed).parts]  # all but what belongs to no track
    metadata = project / ".snakemake" / "metadata"
    records = dict(_records(metadata, seed))
    for index in range(tracks):
        track = f"Artist {index // 50:03}/Track {index:05}"
        (library / track).parent.mkdir(parents=True, exist_ok=True)
        os.link(source, library / f"{track}.wav")
        for path in made:
            target = Path(_renamed(str(path), seed, folder, track))
            target.parent.mkdir(parents=True, exist_ok=True)
            (os.link if path.stat().st_size > LINKED else shutil.copy2)(path, target)
        for output, record in records.items():
            target = _record_path(metadata, _renamed(output, seed, folder, track))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_renamed(record, seed, folder, track))
    return library, results


def _renamed(text: str, seed: Path, folder: Path, track: str) -> str:
    """Replace, in a path or in a record with paths, the seed by one of its clones."""
    name = track.rpartition("/")[2]
    text = text.replace(f"{SEED}/{SEED}.", f"{track}/{name}.").replace(f"/{SEED}.", f"/{track}.")
    return text.replace(f"/{SEED}/", f"/{track}/").replace(f"{seed}/", f"{folder}/")


def _records(metadata: Path, seed: Path) -> Iterator[tuple[str, str]]:
    """Yield what Snakemake remembers of the seed: output file, record (JSON)."""
    for path in metadata.rglob("*"):
        if path.is_file():
            encoded = "".join(part.removeprefix("@") for part in path.relative_to(metadata).parts)
            output = base64.urlsafe_b64decode(encoded).decode()
            if output.startswith(f"{seed}/"):
                yield output, path.read_text()


def _record_path(metadata: Path, output: str) -> Path:
    """Return where Snakemake keeps its record of an output: its name in base 64, in parts where it is long."""
    encoded = base64.urlsafe_b64encode(output.encode()).decode()
    longest = os.pathconf(metadata, "PC_NAME_MAX") - 1
    parts = [encoded[begin : begin + longest] for begin in range(0, len(encoded), longest)]
    return metadata.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])


def snakemake(project: Path, library: Path, results: Path, *arguments: str) -> Cost:
    """Run the workflow in `project` and measure it.

    Raises
    ------
    MirflowError : when it failed, with the last of what it said
    """
    command = [sys.executable, "-m", "snakemake", "-j", str(os.cpu_count()), *arguments]
    command += ["--config", f"library={json.dumps(str(library))}", f"results={json.dumps(str(results))}"]
    return measured(command, project)


def in_batches(project: Path, library: Path, results: Path, batch: int) -> Cost:
    """Run the workflow as `make run` does, a batch of tracks after the other, and measure it."""
    command = [sys.executable, "-m", "mirflow", "run", "--library", str(library), "--results", str(results)]
    return measured([*command, "-j", str(os.cpu_count()), "--batch", str(batch)], project)


def measured(command: list[str], folder: Path) -> Cost:
    """Run a command in `folder` and measure it; see `snakemake`."""
    began = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(folder / "scripts")}
    with open(folder / "output.txt", "w+") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    if process.returncode:
        raise MirflowError(f"{' '.join(command)}: failed\n{said[-2000:]}")
    unit = 30 if sys.platform == "darwin" else 20  # kilobytes, bytes on macOS
    spent = usage.ru_utime + usage.ru_stime
    return Cost(spent, time.monotonic() - began, usage.ru_maxrss / 2**unit, planned(said))


def planned(said: str) -> int:
    """Return the number of jobs in Snakemake's table, without rule all; 0 where there is none."""
    lines = said.partition("Job stats:")[2].splitlines()
    total = next((line.split()[1] for line in lines if line.startswith("total")), "0")
    return int(total) - any(line.split()[:1] == ["all"] for line in lines)
