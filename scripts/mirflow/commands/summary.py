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
    left = shares.states(results)
    began = min((record.began for record in records.values()), default=None)
    ended = None if left else max((record.ended for record in records.values()), default=None)
    skip = {step for record in records.values() for step in record.skip}
    crops = any(record.crops for record in records.values())
    only = next((record.only for record in records.values() if record.only), "")
    chosen = selection.of(library.tracks, only) if only else None
    run = progress.Run(skip, crops, began=began, ended=ended, broken=not left, chosen=chosen)
    said = progress.summary(results, library, run)
    progress.tell("\n".join([said, *(f"  share {share} {state}" for share, state in left.items())]))
    tracks = run.of(library)
    complete = sum(progress.is_merged(results, track, crops) for track in tracks)
    raise SystemExit(int(bool(left) or complete < len(tracks)))
