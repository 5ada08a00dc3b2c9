"""Print what the results of a library say: findings, statistics of all keys, and more of the keys that are named."""

import argparse
import sys
from pathlib import Path

from mirflow.core.errors import MirflowError
from mirflow.export import prompts
from mirflow.report import build, condition, tables, values
from mirflow.workflow import exports, progress, selection, settings
from mirflow.workflow.wording import printable


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("results", help="the results of a run")
    parser.add_argument("--key", action="append", default=[], help="say more of this key; can be given several times")
    parser.add_argument(
        "--top", type=int, default=10, help="tracks, keys and findings in a list (default: %(default)s)"
    )
    parser.add_argument(
        "--csv", action="store_true", help="print the statistics of all keys, or the values of --key, as CSV"
    )
    parser.add_argument("--where", default="", help="only tracks that meet a condition: 'bpm > 120 and lufs > -14'")
    parser.add_argument("--only", default="", help="only the tracks that a file lists")
    parser.add_argument("--save", type=Path, help="write the ids of the tracks into a file for the setting only")


def run(arguments: argparse.Namespace) -> None:
    """Read, choose, compute, print."""
    results = settings.directory(arguments.results)
    library = _library(results, arguments.only)
    if arguments.where:
        library = library.where(condition.parse(arguments.where, library.frame.columns))
    if arguments.save:
        if not library.tracks:
            raise MirflowError(f"{arguments.save}: not written, no track meets the condition")
        selection.save(arguments.save, library.tracks)
        print(f"{arguments.save}: {len(library.tracks)} of {len(library.sources)} tracks", file=sys.stderr)
        return
    for key in arguments.key:
        library.check(key)
    content = build.build(library, build.Captions(128, prompts.estimate, exact=False))
    if arguments.csv:
        print(tables.csv(library, content, arguments.key), end="")
    elif arguments.key:
        print(printable("\n\n".join(tables.key(library, content, key, arguments.top) for key in arguments.key)))
    else:
        print(printable(tables.overview(content, arguments.top)))


def _library(results: str, only: str) -> values.Library:
    """Read the results of a run, or, where there was none, all .INFO files that lie there."""
    try:
        found = progress.read_library(results).tracks
    except MirflowError:
        found = {track: Path(results, track) for track in values.find(results)}
        if not found:
            raise
        failed = {}
    else:
        failed = exports.incomplete(results, found, (), crops=False)
    chosen = selection.of(found, only)
    return values.read(results, {track: str(source) for track, source in chosen.items()}, failed)
