"""The beat grid of one track, from activations."""

import argparse
from pathlib import Path

from mirflow.core import artifacts
from mirflow.rhythm.activations import Activations
from mirflow.rhythm.decoders import DECODERS


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("activations", type=Path, help="beat activations (.npz)")
    parser.add_argument("--decoder", choices=sorted(DECODERS), default="hmm", help="how the grid is found")
    parser.add_argument("-o", "--output", type=Path, required=True, help="grid file to write")
    parser.add_argument(
        "--record",
        nargs=2,
        type=Path,
        metavar=("READ", "WRITE"),
        help="what made the activations; the same and the decoder",
    )


def run(arguments: argparse.Namespace) -> None:
    """Read, decode, write."""
    grid = DECODERS[arguments.decoder](Activations.load(arguments.activations))
    artifacts.write_times(arguments.output, grid.beats)
    if arguments.record:
        read, write = arguments.record
        artifacts.write_json(write, {**artifacts.read_json(read), "decoder": arguments.decoder})
