"""Make everything of a library with one plain program, for `mirflow price`: nothing is skipped, resumed, explained."""

import argparse
import os
from pathlib import Path

from mirflow import library, plain

OWN_PROCESS = True


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("library", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count())


def run(arguments: argparse.Namespace) -> None:
    """Make."""
    plain.run(library.scan(arguments.library).tracks, arguments.results, arguments.jobs)
