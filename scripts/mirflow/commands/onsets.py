"""Find the onsets of the full mix."""

import argparse
from pathlib import Path

from mirflow.core import artifacts, audio


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .ONSETS file: times in seconds")


def run(arguments: argparse.Namespace) -> None:
    """Read, detect, write."""
    from mirflow.dsp import onsets

    mix = audio.read(arguments.full_mix)
    artifacts.write_times(arguments.output, onsets.detect(mix.mono(), mix.rate).times)
