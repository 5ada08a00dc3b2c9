"""The drum notes over the spectrogram of the drums stem, as a picture."""

import argparse
from pathlib import Path

from mirflow.core import artifacts, audio
from mirflow.transcribe import plot
from mirflow.transcribe.notes import DrumNotes


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("drums", type=Path, help="the drums stem")
    parser.add_argument("--notes", type=Path, required=True, metavar="FILE", help="drum notes (.json)")
    parser.add_argument("--beats", type=Path, required=True, metavar="FILE", help="beat grid")
    parser.add_argument("--downbeats", type=Path, required=True, metavar="FILE", help="downbeats")
    parser.add_argument("-o", "--output", type=Path, required=True, help="picture to write (.png)")


def run(arguments: argparse.Namespace) -> None:
    """Read, draw, write."""
    drums, notes = audio.read(arguments.drums), DrumNotes.load(arguments.notes)
    grids = {name: artifacts.read_times(getattr(arguments, name)) for name in ("beats", "downbeats")}
    with artifacts.atomic_write(arguments.output) as path:
        plot.draw(drums, notes, path, **grids)
