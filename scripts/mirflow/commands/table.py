"""Print the table of all keys: unit, bounds, range, meaning, when undefined, source."""

import argparse
from pathlib import Path

from mirflow.core import artifacts
from mirflow.workflow import feature_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--into", type=Path, metavar="PAGE", help="put it into this Markdown page instead, where marked"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print, or write."""
    if arguments.into:
        artifacts.write_bytes(arguments.into, feature_table.insert(arguments.into.read_text()).encode())
    else:
        print(feature_table.markdown())
