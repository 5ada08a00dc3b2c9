"""The track on the left and its drum notes, played by synthetic drums, on the right."""

import argparse
from pathlib import Path

from mirflow.core import artifacts, audio
from mirflow.transcribe import sonification
from mirflow.transcribe.notes import DrumNotes


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path, help="the track")
    parser.add_argument("--notes", type=Path, required=True, metavar="FILE", help="drum notes (.json)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="audio to write (.wav)")


def run(arguments: argparse.Namespace) -> None:
    """Read, play, write."""
    import soundfile

    both = sonification.beside_the_track(audio.read(arguments.full_mix), DrumNotes.load(arguments.notes))
    with artifacts.atomic_write(arguments.output) as path:
        soundfile.write(path, both.samples.T, both.rate, subtype="PCM_16")
