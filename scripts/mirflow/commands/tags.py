"""Read the tags of a source file and write them as a fragment."""

import argparse
import sys
from pathlib import Path

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.metadata import tags


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, help="an audio file")
    parser.add_argument("--record", type=Path, required=True, help="what full_mix wrote about it: source.json")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the fragment, a .json file")


def run(arguments: argparse.Namespace) -> None:
    """Read, warn of damaged tags, write."""
    kind = artifacts.read_json(arguments.record).get("format")
    if not isinstance(kind, str):
        raise MirflowError(f"{arguments.record}: does not say what kind of file the source is")
    content, warnings = tags.fragment(arguments.source, kind)
    for warning in warnings:
        print(f"mirflow: warning: {warning}", file=sys.stderr)
    artifacts.write_json(arguments.output, content)
