"""The activations with the grid that was read from them, as a picture."""

import argparse
from pathlib import Path

from mirflow.core import artifacts
from mirflow.rhythm import plot
from mirflow.rhythm.activations import Activations


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("activations", type=Path, help="rhythm/beat_activations.npz")
    parser.add_argument("--beats", type=Path, required=True, metavar="FILE", help="beat grid")
    parser.add_argument("--downbeats", type=Path, required=True, metavar="FILE", help="downbeats")
    parser.add_argument("-o", "--output", type=Path, required=True, help="picture to write (.png)")


def run(arguments: argparse.Namespace) -> None:
    """Read, draw, write."""
    found = Activations.load(arguments.activations)
    grids = {name: artifacts.read_times(getattr(arguments, name)) for name in ("beats", "downbeats")}
    with artifacts.atomic_write(arguments.output) as path:
        plot.draw(found, path, **grids)
