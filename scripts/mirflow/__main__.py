"""``python -m mirflow COMMAND``: every rule runs one of these commands, and each works by hand."""

import argparse
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback

# One job is one thread unless its rule says otherwise: parallelism is the workflow's. (Snakemake sets OMP_NUM_THREADS
# and its like to the rule's threads.)
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
# TensorFlow, which Essentia brings along, otherwise fills every log with what it did not find.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from mirflow import __version__, commands, registry
from mirflow.errors import MirflowError
from mirflow.progress import ERROR

PREFIX = "feature_"


def names() -> list[str]:
    """Return the names of all commands: the modules of `mirflow.commands`, and every feature.

    A feature's command is named like its rule, ``feature_<name>``; the bare name will do where no artifact has it.
    """
    own = [m.name for m in pkgutil.iter_modules(commands.__path__) if not m.name.startswith("_")]
    features = registry.feature_names()
    return sorted({*own, *features, *(PREFIX + name for name in features)})


def needs_own_process(name: str) -> bool:
    """Return whether a command must leave this process, a fork, for one of its own.

    That is when it uses a library that starts threads (``OWN_PROCESS``), and the process that was forked had threads: a
    fork has only one of them, and the library might wait for another.
    """
    if importlib.util.find_spec(f"mirflow.commands.{name}") is None:
        return False
    has_threads = len(os.listdir(f"/proc/{os.getppid()}/task")) > 1
    return has_threads and getattr(importlib.import_module(f"mirflow.commands.{name}"), "OWN_PROCESS", False)


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit status: 0 done, 1 failed (the last line says why), 2 not understood."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="mirflow", description="The steps from music to .INFO, one command each.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=names(), metavar="COMMAND", help="one of: " + ", ".join(names()))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="see mirflow COMMAND -h")
    if not argv or argv[0].startswith("-"):
        parser.parse_args(argv or ["-h"])
    name = parser.parse_args(argv[:1]).command
    try:
        _run(name, argv[1:])
    except MirflowError as error:
        print(f"{ERROR}{error}", file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - the last line of a log must say what went wrong, whatever it was
        traceback.print_exc()
        print(f"{ERROR}{name}: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _run(name: str, argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog=f"mirflow {name}")
    if importlib.util.find_spec(f"mirflow.commands.{name}") is None:
        from mirflow.commands import _feature as command

        command.configure(parser, name.removeprefix(PREFIX))
    else:
        command = importlib.import_module(f"mirflow.commands.{name}")
        parser.description = command.__doc__
        command.configure(parser)
    command.run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
