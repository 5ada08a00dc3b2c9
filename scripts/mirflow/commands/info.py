"""Merge a track's fragments into its .INFO; keys that belong to nobody here stay as they are."""

import argparse
import time
from pathlib import Path

from mirflow import info
from mirflow.core import artifacts


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("fragments", nargs="*", type=Path, help="features/*.json")
    parser.add_argument(
        "--record",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "FILE"),
        help="what another step says of itself, such as `source source.json`",
    )
    parser.add_argument("--stamp", type=Path, help="a file that gets the time of the merge, in ns since the epoch")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .INFO file")


def run(arguments: argparse.Namespace) -> None:
    """Merge."""
    info.update(arguments.output, arguments.fragments, {name: Path(path) for name, path in arguments.record})
    if arguments.stamp:
        artifacts.write_bytes(arguments.stamp, f"{time.time_ns()}\n".encode())
