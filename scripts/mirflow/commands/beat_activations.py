"""Beat and downbeat activations of one track, by signal processing."""

import argparse
from pathlib import Path

from mirflow import artifacts, audio, beats


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="activations to write (.npz)")
    parser.add_argument("--record", type=Path, help="JSON to write: what made them")


def run(arguments: argparse.Namespace) -> None:
    """Read, analyse, write."""
    beats.activations(audio.read(arguments.full_mix), {}).save(arguments.output)
    if arguments.record:
        artifacts.write_json(arguments.record, {"backend": "dsp", "version": beats.VERSION})
