"""Print the table of all keys: unit, bounds, range, meaning, when undefined, source."""

import argparse

from mirflow import table


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(arguments: argparse.Namespace) -> None:
    """Print."""
    print(table.markdown())
