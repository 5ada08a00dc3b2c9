"""Make everything of a library, or a share of it: run Snakemake and show its progress.

Of large libraries it makes a batch of tracks at a time. With --export also what a trainer loads, or the tables or the
report of the library.
"""

import argparse
import os

from mirflow.core.errors import MirflowError
from mirflow.export import targets
from mirflow.workflow import launch, settings, shares


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--library", required=True, help="a directory of music, or one audio file")
    parser.add_argument("--results", required=True, help="where the results go")
    parser.add_argument(
        "-j", "--jobs", type=_jobs, default=str(os.cpu_count()), help="jobs at once (default: all cores)"
    )
    parser.add_argument(
        "--batch", type=int, default=launch.BATCH_TRACKS, help="tracks in a batch (default: %(default)s)"
    )
    parser.add_argument(
        "--share",
        default=str(shares.WHOLE),
        help="i/N: only the i-th of N shares of the tracks, beside runs of the others on the same results;"
        " auto: the place of this job in an array of SLURM, Grid Engine or LSF",
    )
    parser.add_argument("--only", default="", help="a file that lists the tracks to take (default: the setting only)")
    parser.add_argument(
        "--all",
        action="store_true",
        help="ask Snakemake about every track, also about those that are provably complete",
    )
    parser.add_argument(
        "--finish",
        action="store_true",
        help="make only what concerns all tracks at once, of those that are complete: the last step after shares",
    )
    parser.add_argument(
        "--export",
        choices=(*targets.names(), *launch.OF_ALL),
        help="afterwards, make this of all tracks that are complete",
    )
    parser.add_argument("--out", default="", help="where the export goes (default: the setting export.out)")
    parser.add_argument("snakemake", nargs="*", help="after --: further arguments of Snakemake")


def _jobs(text: str) -> str:
    """Check a number of jobs."""
    if text != "all" and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"a number from 1 on is expected, or all; got {text!r}")
    return text


def run(arguments: argparse.Namespace) -> None:
    """Run, and exit with the status: 0 when all is made."""
    library, results, jobs, batch = arguments.library, arguments.results, arguments.jobs, arguments.batch
    if arguments.export:
        further = (arguments.snakemake, arguments.export, arguments.out, arguments.only)
        raise SystemExit(launch.export(library, results, jobs, batch, *further))
    share = shares.share(arguments.share)
    given = settings.given(arguments.snakemake)
    only = arguments.only or str(given["only"] or "")
    command = launch.command(library, results, jobs, arguments.snakemake, share, only=only)
    options = None if arguments.all else arguments.snakemake
    if arguments.finish:
        if not share.is_whole:
            raise MirflowError(f"--finish: what concerns all tracks at once is no part of share {share}")
        raise SystemExit(launch.finish(command, library, results, only))
    relating = "duplicates" not in (given["skip"] or ())
    raise SystemExit(launch.run(command, library, results, batch, share, options, only, relating))
