"""Fetch one file of a model, as config/models.yaml describes it; nothing is fetched when it is there already."""

import argparse
from pathlib import Path

from mirflow.models import catalogue, download


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", help="name of the file")
    parser.add_argument("-o", "--output", type=Path, help="default: the models' folder")


def run(arguments: argparse.Namespace) -> None:
    """Fetch, check."""
    download.fetch(catalogue.file(arguments.name), arguments.output)
