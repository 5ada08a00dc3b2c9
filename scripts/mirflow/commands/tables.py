"""Write the tables of a library: tracks, crops, labels."""

import argparse
from pathlib import Path

from mirflow.export import tables
from mirflow.workflow import exports, progress, selection


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--results", required=True, help="the results of a run, with its list of tracks")
    parser.add_argument(
        "--only", nargs="?", default="", const="", help="a file that lists the tracks to take (default: all)"
    )
    parser.add_argument("--skip", nargs="*", default=[], help="steps whose failures do not count")
    parser.add_argument("--crops", action="store_true", help="a table of crops as well")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the directory of the tables")


def run(arguments: argparse.Namespace) -> None:
    """Write them."""
    library = progress.read_library(arguments.results)
    chosen = selection.of(library.tracks, arguments.only)
    tracks = {track: str(source) for track, source in chosen.items()}
    failed = exports.incomplete(arguments.results, tracks, arguments.skip, arguments.crops)
    tables.write(arguments.results, tracks, failed, arguments.crops, arguments.output)
