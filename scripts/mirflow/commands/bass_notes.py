"""The notes of the bass line, from the bass stem."""

import argparse
from pathlib import Path

from mirflow.core import audio
from mirflow.transcribe import bass


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bass", type=Path, help="the bass stem")
    parser.add_argument("-o", "--output", type=Path, required=True, help="notes to write (.json)")


def run(arguments: argparse.Namespace) -> None:
    """Read, find the notes, write."""
    bass.read_notes(audio.read(arguments.bass)).save(arguments.output)
