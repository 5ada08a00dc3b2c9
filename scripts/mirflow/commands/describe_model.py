"""Note the files of a model, with their sizes and hashes, for the provenance of every text that it makes."""

import argparse

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.describe import backends


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", nargs="*", help="all files of the model")
    parser.add_argument("--name", required=True, help="what the model is called in .INFO")
    parser.add_argument("-o", "--output", required=True, help="the JSON file to write")


def run(arguments: argparse.Namespace) -> None:
    """Hash them."""
    if not arguments.files:
        raise MirflowError("describe.backend is none: there is no model to describe with")
    artifacts.write_json(arguments.output, backends.identity(arguments.name, arguments.files))
