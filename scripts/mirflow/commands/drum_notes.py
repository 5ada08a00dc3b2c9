"""The notes of the drums, from drum activations."""

import argparse
from pathlib import Path

from mirflow.core import artifacts, audio
from mirflow.transcribe.activations import DRUMS, DrumActivations
from mirflow.transcribe.notes import read_notes


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("activations", type=Path, help="drum activations (.npz)")
    parser.add_argument("--drums", type=Path, required=True, metavar="FILE", help="the drums stem")
    parser.add_argument("--drum-stems", nargs="*", type=Path, default=[], metavar="FILE", help=", ".join(DRUMS))
    parser.add_argument(
        "--thresholds", type=float, nargs=len(DRUMS), required=True, metavar="VALUE", help=", ".join(DRUMS)
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="notes to write (.json)")
    parser.add_argument(
        "--record",
        nargs=2,
        type=Path,
        metavar=("READ", "WRITE"),
        help="what made the activations; that and thresholds",
    )


def run(arguments: argparse.Namespace) -> None:
    """Read, find the notes, write."""
    activations = DrumActivations.load(arguments.activations)
    own = [audio.read(path) for path in arguments.drum_stems]
    read_notes(activations, audio.read(arguments.drums), arguments.thresholds, own).save(arguments.output)
    if arguments.record:
        read, write = arguments.record
        thresholds = dict(zip(DRUMS, arguments.thresholds, strict=True))
        artifacts.write_json(write, {**artifacts.read_json(read), "thresholds": thresholds})
