"""Snakemake's command line, which Ctrl-C ends with one line while it starts and plans, instead of a traceback.

As soon as jobs are at work, Snakemake itself takes Ctrl-C, and ends them.
"""

import runpy
import signal
import sys


def main() -> int:
    """Run Snakemake with the arguments of this process; return the exit status."""
    try:
        runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        print("mirflow: stopped before the first job; the next run goes on from here", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
