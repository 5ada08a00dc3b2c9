"""``full_mix``: turn any audio file into a FLAC file and a record of what it was."""

import argparse
import math
import os
from pathlib import Path

from mirflow.core import artifacts
from mirflow.library import full_mix
from mirflow.workflow import settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, help="an audio file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the FLAC file to write")
    parser.add_argument("--record", type=Path, required=True, help="the JSON file to write: what the source was")
    limit = float(os.environ.get(settings.MAX_MINUTES, math.inf))
    parser.add_argument(
        "--max-minutes", type=float, default=limit, help="longer sources are refused (minutes of stereo at 48 kHz)"
    )
    parser.add_argument("--name", help="what the record calls the source (default: its path)")


def run(arguments: argparse.Namespace) -> None:
    """Write both files."""
    record = full_mix.make(arguments.source, arguments.output, arguments.name, arguments.max_minutes)
    artifacts.write_json(arguments.record, record)
