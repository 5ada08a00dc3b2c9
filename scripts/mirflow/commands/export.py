"""Build the export of a library's results for a trainer, and replace the earlier one with it."""

import argparse
import json
from pathlib import Path

from mirflow.export import build, targets
from mirflow.export.settings import Settings
from mirflow.workflow import exports, progress, selection


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("target", choices=targets.names(), help="the trainer")
    parser.add_argument("--results", required=True, help="the results of a run, with its list of tracks")
    parser.add_argument(
        "--only", nargs="?", default="", const="", help="a file that lists the tracks to export (default: all)"
    )
    parser.add_argument("--settings", type=json.loads, default={}, help="the section export of the settings, as JSON")
    parser.add_argument("--skip", nargs="*", default=[], help="steps whose failures do not count")
    parser.add_argument("--tokenizer", type=Path, nargs="*", help="tokenizer.json of T5, to count tokens with")
    parser.add_argument("--threads", type=int, default=1, help="sounds that are converted at once")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the directory of the export")


def run(arguments: argparse.Namespace) -> None:
    """Build it."""
    tracks = list(selection.of(progress.read_library(arguments.results).tracks, arguments.only))
    settings = Settings.of(arguments.settings)
    build.build(
        arguments.target,
        targets.target(arguments.target),
        arguments.results,
        tracks,
        exports.incomplete(arguments.results, tracks, arguments.skip, settings.crops),
        settings,
        arguments.output,
        arguments.tokenizer[0] if arguments.tokenizer else None,
        arguments.threads,
    )
