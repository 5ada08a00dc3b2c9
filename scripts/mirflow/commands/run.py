"""Make everything of a library: Snakemake with one line of progress; of large libraries a batch of tracks at a time."""

import argparse
import os

from mirflow import run as runs


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--library", required=True, help="a directory of music, or one audio file")
    parser.add_argument("--results", required=True, help="where the results go")
    parser.add_argument("-j", "--jobs", default=str(os.cpu_count()), help="how many jobs run at once (all cores)")
    parser.add_argument("--batch", type=int, default=runs.BATCH_TRACKS, help="tracks in a batch (default: %(default)s)")
    parser.add_argument("snakemake", nargs="*", help="after --: further arguments of Snakemake")


def run(arguments: argparse.Namespace) -> None:
    """Run, and exit with the status: 0 when all is made."""
    command = runs.command(arguments.library, arguments.results, arguments.jobs, arguments.snakemake)
    raise SystemExit(runs.run(command, arguments.library, arguments.results, arguments.batch))
