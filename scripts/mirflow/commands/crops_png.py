"""The waveform of a track with its beats and its crops, as a picture."""

import argparse
from pathlib import Path

from mirflow.core import artifacts, audio
from mirflow.crops import folder, plot


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    parser.add_argument("--crops", type=Path, required=True, metavar="FILE", help="crops.json")
    parser.add_argument("--beats", type=Path, required=True, metavar="FILE", help="beat grid")
    parser.add_argument("--downbeats", type=Path, required=True, metavar="FILE", help="downbeats")
    parser.add_argument("-o", "--output", type=Path, required=True, help="picture to write (.png)")


def run(arguments: argparse.Namespace) -> None:
    """Read, draw, write."""
    grids = {name: artifacts.read_times(getattr(arguments, name)) for name in ("beats", "downbeats")}
    crops = folder.listed(artifacts.read_json(arguments.crops))
    with artifacts.atomic_write(arguments.output) as path:
        plot.draw(audio.read(arguments.full_mix), crops, path, **grids)
