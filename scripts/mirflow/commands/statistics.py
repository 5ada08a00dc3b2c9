"""Write statistics.json: statistics of all tracks of a library, and what to decide about them."""

import argparse
from pathlib import Path

from mirflow.export import prompts
from mirflow.report import bandwidth, build, values
from mirflow.workflow import exports, progress, selection


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--results", required=True, help="the results of a run, with its list of tracks")
    parser.add_argument(
        "--only", nargs="?", default="", const="", help="a file that lists the tracks to take (default: all)"
    )
    parser.add_argument("--skip", nargs="*", default=[], help="steps whose failures do not count")
    parser.add_argument("--crops", action="store_true", help="a track without its crops is not complete")
    parser.add_argument("--tokens", type=int, default=128, help="the most that a text encoder reads")
    parser.add_argument("--tokenizer", type=Path, nargs="*", help="tokenizer.json of T5, to count tokens with")
    parser.add_argument("--threads", type=int, default=1, help="tracks that are heard at once")
    parser.add_argument("-o", "--output", type=Path, required=True, help="statistics.json")


def run(arguments: argparse.Namespace) -> None:
    """Read, compute, write."""
    chosen = selection.of(progress.read_library(arguments.results).tracks, arguments.only)
    tracks = {track: str(source) for track, source in chosen.items()}
    failed = exports.incomplete(arguments.results, tracks, arguments.skip, arguments.crops)
    count = prompts.counter(arguments.tokenizer[0] if arguments.tokenizer else None)
    captions = build.Captions(arguments.tokens, count, exact=bool(arguments.tokenizer))
    library = values.read(arguments.results, tracks, failed)
    bandwidths = bandwidth.of_tracks(arguments.results, library.tracks, arguments.threads)
    build.write(arguments.output, build.build(library, captions, bandwidths))
