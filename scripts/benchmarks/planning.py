"""Measure what Snakemake itself costs with large libraries: CPU seconds and memory until it knows what to do.

The libraries consist of clones of one finished track. Every artifact of that track is copied under the names of the
others, and so is what Snakemake remembers of it (its metadata), with the names in it changed. For Snakemake the clones
are as finished as the original.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from benchmarks import measure, program, project
from benchmarks.measure import Cost
from benchmarks.plan import planned_jobs
from mirflow.workflow import records
from mirflow.workflow.launch import BATCH_TRACKS

SEED = "Seed"
SECONDS, RATE = 2.0, 22050  # of the track that is cloned
ARTIST, TITLE = "<artist>", "<title>"  # what stands in paths for those of a clone
MOST_LINKS = 50_000  # clones of which all files are links to those of the first; file systems allow some more

ADDED = '''"""How often something begins."""

from mirflow.core.feature import Feature, Field

FEATURE = Feature("added", 1, ("onsets",), (Field("added_count", "count", kind=int, meaning="number of onsets"),))


def measure(onsets):
    """Count the onsets."""
    return {"added_count": len(onsets)}
'''


def main(argv: list[str] | None = None) -> None:
    """Print the table line by line."""
    parser = argparse.ArgumentParser(prog="benchmarks.planning", description="".join(__doc__.partition(".")[:2]))
    parser.add_argument("tracks", type=int, nargs="*", default=[1000, 5000], help="sizes of libraries (1000 5000)")
    parser.add_argument("--folder", type=Path, help="where the libraries are made, and kept (default: temporary)")
    parser.add_argument("--real", type=int, default=1000, help="up to so many tracks an added feature is made, too")
    parser.add_argument(
        "--plain", type=int, default=5000, help="up to so many tracks Snakemake itself plans all; more: only `make run`"
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="mirflow-planning-") as temporary:
        for line in report(arguments.folder or Path(temporary), arguments.tracks, arguments.real, arguments.plain):
            print(line, flush=True)


def report(folder: Path, sizes: list[int], real: int, plain: int) -> Iterator[str]:
    """Make the libraries below `folder`, measure, and give the table line by line.

    Parameters
    ----------
    sizes : numbers of tracks
    real : up to so many tracks the added feature is made, not only planned
    plain : up to so many tracks Snakemake plans the whole library
    """
    copy = project.copy(folder / "project")
    seed = make_seed(copy, folder / "seed")
    yield f"{'tracks':>7}  {'case':34} {'jobs':>7} {'CPU s':>8} {'wall s':>8} {'GiB':>6}"
    for size in sizes:
        library, results = clone(seed, folder / str(size), size, own_records=size <= plain)
        planned = cases(copy, library, results, make=size <= real) if size <= plain else ()
        for case, cost in chain(planned, runs(copy, library, results)):
            jobs = planned_jobs(cost.output)
            yield f"{size:7}  {case:34} {jobs:7} {cost.cpu:8.1f} {cost.wall:8.1f} {cost.memory:6.2f}"


def cases(
    copy: Path, library: Path, results: Path, make: bool, batch: int = BATCH_TRACKS
) -> Iterator[tuple[str, Cost]]:
    """Yield what is measured on one library: (case, cost); with more than `batch` tracks also what `make run` costs.

    Parameters
    ----------
    copy : of the project
    make : whether the added feature is made, not only planned
    batch : number of tracks that `make run` gives to one process of Snakemake
    """
    nothing = results.with_name("nothing")
    yield "nothing made yet, dry run", snakemake(copy, library, nothing, "-n")
    # Only the number of jobs, without a line on each of them: what `make run` needs to know before its first job.
    yield "nothing made yet, table alone", snakemake(copy, library, nothing, "-n", "-q", "--logger", "mirflow")
    yield "all made, dry run", snakemake(copy, library, results, "-n")
    yield "all made, run", snakemake(copy, library, results)
    if len(list(library.glob("*/*.wav"))) > batch:
        yield "all made, run in batches", in_batches(copy, library, results, batch)
    new = library / "new.wav"
    os.link(next(library.glob("*/*.wav")), new)
    yield "one more track, dry run", snakemake(copy, library, results, "-n")
    new.unlink()
    feature = copy / "scripts/mirflow/features/added.py"
    feature.write_text(ADDED)
    try:
        yield "one more feature, dry run", snakemake(copy, library, results, "-n")
        if make:
            yield "one more feature, run", snakemake(copy, library, results)
    finally:
        feature.unlink()


# Snakemake is asked about these clones where it plans whole libraries; the others are taken for what they are.
NOTE = """
import sys
from mirflow.library.scan import scan
from mirflow.workflow import completeness, shares
library, results, *settings = sys.argv[1:]
found = scan(library, exclude=results)
ledger = completeness.Ledger(results, found, shares.WHOLE, completeness.state_of_all(["--config", *settings]))
ledger.note(ledger.states(found.tracks))
ledger.note_library()
"""


def runs(copy: Path, library: Path, results: Path) -> Iterator[tuple[str, Cost]]:
    """Yield what `make run` costs where all tracks are known to be complete: (case, cost)."""
    measure.run([sys.executable, "-c", NOTE, str(library), str(results), *project.SETTINGS], copy)
    yield "make run: nothing to be done", in_batches(copy, library, results, BATCH_TRACKS)
    os.link(next(library.glob("*/*.wav")), library / "new.wav")
    yield "make run: one more track", in_batches(copy, library, results, BATCH_TRACKS)


def make_seed(copy: Path, folder: Path) -> Path:
    """Make the one track for real; return the folder of its library and results."""
    import soundfile

    library = folder / "library"
    library.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).standard_normal(int(SECONDS * RATE)) * 0.1
    soundfile.write(library / f"{SEED}.wav", noise, RATE)
    snakemake(copy, library, folder / "results")
    return folder


def clone(seed: Path, folder: Path, tracks: int, own_records: bool = True) -> tuple[Path, Path]:
    """Give `tracks` clones of the seed in `folder`; return library and results.

    Parameters
    ----------
    own_records : whether Snakemake's records name the clones, and not the seed. They are 60 kB for each, and are read
        only where Snakemake itself is asked about a track
    """
    library, results = folder / "library", folder / "results"
    source = seed / "library" / f"{SEED}.wav"
    files = [path for path in (seed / "results").rglob("*") if path.is_file()]
    made = [path for path in files if SEED in path.relative_to(seed).parts]  # all but what belongs to no track
    templates = {path: _renamed(str(path), seed, folder, f"{ARTIST}/{TITLE}") for path in made}
    templates[source] = f"{library}/{ARTIST}/{TITLE}.wav"
    written = {path: _renamed(path.read_text(), seed, folder, f"{ARTIST}/{TITLE}") for path in made
               if path.name == records.NAME and own_records}  # fmt: skip
    folders = sorted({os.path.dirname(template) for template in templates.values()})
    originals: dict[Path, str] = {}
    for index in range(tracks):
        artist, title = f"Artist {index // 50:04}", f"Track {index:06}"

        def named(template: str, artist: str = artist, title: str = title) -> str:
            return template.replace(ARTIST, artist).replace(TITLE, title)

        if index % MOST_LINKS == 0:
            originals = {}
        for parent in map(named, folders):
            os.makedirs(parent, exist_ok=True)
        for path, template in templates.items():
            target = named(template)
            if path in written:
                Path(target).write_text(named(written[path]))
            elif path in originals:
                os.link(originals[path], target)
            else:
                shutil.copy2(path, target)
                if path.stat().st_size:  # empty ones are touched in their place
                    originals[path] = target
    return library, results


def _renamed(text: str, seed: Path, folder: Path, track: str) -> str:
    """Replace, in a path or in a record with paths, the seed by one of its clones."""
    text = text.replace(f"{SEED}/{SEED}.", f"{track}/{track.rpartition('/')[2]}.")
    text = re.sub(rf'(?:^|(?<=[/ "])){SEED}(?=[/.])', track, text)
    return text.replace(f"{seed}/", f"{folder}/")


def snakemake(copy: Path, library: Path, results: Path, *options: str) -> Cost:
    """Run the workflow in a copy of the project, and measure it.

    Raises
    ------
    MirflowError : it failed; with the last of what it printed
    """
    return measure.run(project.snakemake(library, results, "-j", str(os.cpu_count()), *options), copy)


def in_batches(copy: Path, library: Path, results: Path, batch: int) -> Cost:
    """Run the workflow as `make run` does, one batch of tracks after the other, and measure it."""
    command = [sys.executable, "-m", "mirflow", "run", "--library", str(library), "--results", str(results)]
    options = ["-j", str(os.cpu_count()), "--batch", str(batch), "--", "--config", *project.SETTINGS]
    return measure.run([*command, *options], copy)


if __name__ == "__main__":
    sys.exit(program.run(main))
