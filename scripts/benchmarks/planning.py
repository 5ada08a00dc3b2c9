"""Measure what Snakemake itself costs with large libraries: CPU seconds and memory until it knows what to do.

The libraries consist of clones of one finished track. Every artifact of that track is copied under the names of the
others, and so is what Snakemake remembers of it (its metadata), with the names in it changed. For Snakemake the clones
are as finished as the original.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks import measure, program, project
from benchmarks.duplicates import compressed, made_up
from benchmarks.measure import Cost
from benchmarks.plan import planned_jobs
from mirflow.core import artifacts, layout
from mirflow.library.scan import scan
from mirflow.metadata import duplicates, fingerprint, split
from mirflow.workflow import progress, records, whole_library
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
        "--compared", action="store_true", help="also what `make run` costs with `duplicates`, and made-up fingerprints"
    )
    parser.add_argument(
        "--plain", type=int, default=5000, help="up to so many tracks Snakemake itself plans all; more: only `make run`"
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="mirflow-planning-") as temporary:
        folder = arguments.folder or Path(temporary)
        for line in report(folder, arguments.tracks, arguments.real, arguments.plain, arguments.compared):
            print(line, flush=True)


def report(folder: Path, sizes: list[int], real: int, plain: int, compared: bool) -> Iterator[str]:
    """Make the libraries below `folder`, measure, and give the table line by line.

    Parameters
    ----------
    sizes : numbers of tracks
    real : up to so many tracks the added feature is made, not only planned
    plain : up to so many tracks Snakemake plans the whole library
    compared : whether to measure with `duplicates` as well
    """
    copy = project.copy(folder / "project")
    seed = make_seed(copy, folder / "seed")
    yield f"{'tracks':>7}  {'case':38} {'jobs':>7} {'CPU s':>8} {'wall s':>8} {'GiB':>6}"
    for size in sizes:
        library, results = clone(seed, folder / str(size), size, own_records=size <= plain)
        planned = cases(copy, library, results, make=size <= real) if size <= plain else ()
        again = compare(copy, library, results) if compared else ()
        for case, cost in chain(planned, runs(copy, library, results), again):
            jobs = planned_jobs(cost.output)
            yield f"{size:7}  {case:38} {jobs:7} {cost.cpu:8.1f} {cost.wall:8.1f} {cost.memory:6.2f}"


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


def runs(
    copy: Path, library: Path, results: Path, settings: tuple[str, ...] = project.SETTINGS, new: str = "new.wav"
) -> Iterator[tuple[str, Cost]]:
    """Yield what `make run` costs where all tracks are known to be complete: (case, cost)."""
    measure.run([sys.executable, "-c", NOTE, str(library), str(results), *settings], copy)
    yield "make run: nothing to be done", in_batches(copy, library, results, BATCH_TRACKS, settings)
    os.link(next(library.glob("*/*.wav")), library / new)
    yield "make run: one more track", in_batches(copy, library, results, BATCH_TRACKS, settings)


def compare(copy: Path, library: Path, results: Path) -> Iterator[tuple[str, Cost]]:
    """Yield what the same costs where all tracks are compared, and what of that comparing costs by itself.

    Each clone gets a fingerprint of its own. The new track has none: it is too short.
    """
    found, known, random = scan(library, exclude=str(results)), duplicates.Known(), np.random.default_rng(0)
    for track in found.tracks:
        path = Path(layout.track_files(str(results), track).metadata(fingerprint.NAME))
        words = made_up(random)
        text = compressed(words)
        content = artifacts.read_json(path) | {fingerprint.FINGERPRINT: text}
        path.unlink()  # the clones share it
        path.write_text(json.dumps(content))
        known.digests[track], known.words[track] = hashlib.sha256(text.encode()).hexdigest(), words
    known.save(layout.own(str(results), whole_library.NAME, "fingerprints.npz"))
    progress.write_library(str(results), found)
    with mock.patch.object(os, "fsync"):  # which takes longer than all else
        whole_library.update(str(results), split.Rule())
    for case, cost in runs(copy, library, results, (), "compared.wav"):
        yield f"{case}, compared", cost
    yield "comparing all tracks", measure.run([sys.executable, "-m", "mirflow", "duplicates", str(results)], copy)


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


def in_batches(
    copy: Path, library: Path, results: Path, batch: int, settings: tuple[str, ...] = project.SETTINGS
) -> Cost:
    """Run the workflow as `make run` does, one batch of tracks after the other, and measure it."""
    command = [sys.executable, "-m", "mirflow", "run", "--library", str(library), "--results", str(results)]
    options = ["-j", str(os.cpu_count()), "--batch", str(batch), "--", "--config", *settings]
    return measure.run([*command, *options], copy)


if __name__ == "__main__":
    sys.exit(program.run(main))
