"""Make the acoustic fingerprint of a track."""

import argparse
from pathlib import Path

from mirflow.core import artifacts, audio
from mirflow.metadata import fingerprint


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path, help="full_mix.flac")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the fragment, a .json file")


def run(arguments: argparse.Namespace) -> None:
    """Read, compute, write."""
    artifacts.write_json(arguments.output, fingerprint.fragment(audio.read(arguments.full_mix)))
