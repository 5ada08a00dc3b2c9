"""Print the summary of all shares of a library: what is complete, what failed and why, which shares have not ended."""

import argparse

from mirflow.workflow import progress, selection, settings, shares


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--results", required=True, help="where the results are")


def run(arguments: argparse.Namespace) -> None:
    """Print, and exit with the status: 0 when all shares have ended and no track has failed."""
    results = settings.directory(arguments.results)
    library = progress.read_library(results)
    _, records = shares.last_division(results)
    crops = any(record.crops for record in records.values())
    complete = {track for track in library.tracks if progress.is_merged(results, track, crops)}
    left = shares.states(results, set(library.tracks).difference(complete))
    began = min((record.began for record in records.values()), default=None)
    ended = None if left else max((record.ended for record in records.values()), default=None)
    skip = {step for record in records.values() for step in record.skip}
    only = next((record.only for record in records.values() if record.only), "")
    chosen = selection.of(library.tracks, only) if only else None
    run = progress.Run(skip, crops, began=began, ended=ended, broken=not left, chosen=chosen)
    lines = [progress.summary(results, library, run)]
    lines += [f"  share {share} {state}" for share, state in left.items()]
    finished = not records or "duplicates" in skip or progress.is_related(results, complete)
    if not left and not finished:
        lines.append(f"  duplicates and the split are not those of all tracks yet; make them with {progress.FINISH}")
    progress.tell("\n".join(lines))
    tracks = run.of(library)
    raise SystemExit(int(bool(left) or not finished or not complete.issuperset(tracks)))
