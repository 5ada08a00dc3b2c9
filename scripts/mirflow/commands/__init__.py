"""One module per command, named like its rule: ``configure(parser)`` declares arguments, ``run(arguments)`` unpacks
them, calls one function and writes one artifact. The command of a feature, ``feature_<name>``, is `_feature`.
"""

import argparse
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback

from mirflow import __version__, features
from mirflow.core.errors import ERROR, MirflowError
from mirflow.labels import heads

PREFIX = "feature_"


def names() -> list[str]:
    """Return the names of all commands: the modules of this package, and every feature.

    A feature's command is named like its rule, ``feature_<name>``; the bare name will do where no artifact has it.
    """
    own = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    measured = features.names()
    return sorted({*own, *measured, *(PREFIX + name for name in (*measured, *heads.names()))})


def _is_module(name: str) -> bool:
    return name.isidentifier() and importlib.util.find_spec(f"{__name__}.{name}") is not None


def needs_own_process(name: str) -> bool:
    """Return whether a command must leave this process, a fork, for one of its own.

    That is when it uses a library that starts threads (``OWN_PROCESS``, or ``own_process`` of a feature), and the
    process that was forked had threads: a fork has only one of them, and the library might wait for another.
    """
    if len(os.listdir(f"/proc/{os.getppid()}/task")) < 2:
        return False
    if _is_module(name):
        return getattr(importlib.import_module(f"{__name__}.{name}"), "OWN_PROCESS", False)
    try:
        return features.implementation(name.removeprefix(PREFIX)).FEATURE.own_process
    except MirflowError:
        return False


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit status: 0 done, 1 failed (the last line says why), 2 not understood, 130
    interrupted.
    """
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
    except KeyboardInterrupt as error:
        print(error or f"{name}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:  # noqa: BLE001 - the last line of a log must say what went wrong, whatever it was
        traceback.print_exc()
        print(f"{ERROR}{name}: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _run(name: str, argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog=f"mirflow {name}")
    if _is_module(name):
        command = importlib.import_module(f"{__name__}.{name}")
        parser.description = command.__doc__
        command.configure(parser)
    else:
        from mirflow.commands import _feature as command

        command.configure(parser, name.removeprefix(PREFIX))
    command.run(parser.parse_args(argv))
