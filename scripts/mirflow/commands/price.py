"""Measure the price of the workflow: the embedded job end to end, against one plain program that does the same."""

import argparse
import os
import tempfile
from pathlib import Path

from mirflow import price

DEMO = Path(__file__).resolve().parents[3] / "demo"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", type=Path, nargs="*", help="audio files to make tracks of (default: the demo)")
    parser.add_argument("--minutes", type=float, default=12, help="of audio in all, at least (default: %(default)g)")
    parser.add_argument("--length", type=float, default=0, help="s of a track (default: as the files are)")
    parser.add_argument("--cold", type=int, default=1, help="tracks that are made cold too (default: %(default)s)")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count(), help="how many jobs at once (all cores)")


def run(arguments: argparse.Namespace) -> None:
    """Print the table line by line."""
    files = arguments.files or sorted(path for path in DEMO.rglob("*") if path.suffix in (".flac", ".ogg"))
    with tempfile.TemporaryDirectory(prefix="mirflow-price-") as folder:
        for line in price.report(
            files, Path(folder), arguments.minutes, arguments.length, arguments.cold, arguments.jobs
        ):
            print(line, flush=True)
