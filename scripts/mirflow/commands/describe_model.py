"""Which files a model consists of: their sizes and hashes, for the provenance of every text that it makes."""

import argparse

from mirflow import artifacts
from mirflow.describe import backends
from mirflow.errors import MirflowError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", nargs="*", help="all files of the model")
    parser.add_argument("--name", required=True, help="what the model is called in .INFO")
    parser.add_argument("-o", "--output", required=True, help="the JSON file to write")


def run(arguments: argparse.Namespace) -> None:
    """Hash them."""
    if not arguments.files:
        raise MirflowError("describe.backend is none: no model is there that could describe anything")
    artifacts.write_json(arguments.output, backends.identity(arguments.name, arguments.files))
