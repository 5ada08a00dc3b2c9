"""Measure what Snakemake itself costs with large libraries: CPU seconds and memory until it knows what to do."""

import argparse
import tempfile
from pathlib import Path

from mirflow import scale


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("tracks", type=int, nargs="*", default=[1000, 5000], help="sizes of libraries (1000 5000)")
    parser.add_argument("--folder", type=Path, help="where the libraries are made, and kept (default: temporary)")
    parser.add_argument("--real", type=int, default=1000, help="up to so many tracks an added feature is made, too")


def run(arguments: argparse.Namespace) -> None:
    """Print the table line by line."""
    with tempfile.TemporaryDirectory(prefix="mirflow-scale-") as temporary:
        for line in scale.report(arguments.folder or Path(temporary), arguments.tracks, real=arguments.real):
            print(line, flush=True)
