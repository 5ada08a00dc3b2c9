"""The notes of the drums as a MIDI file, with the tempi and bars of the grids."""

import argparse
from pathlib import Path

from mirflow.core import artifacts
from mirflow.transcribe import midi
from mirflow.transcribe.notes import DrumNotes
from mirflow.transcribe.tempo_map import TICKS, tempo_map


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("notes", type=Path, help="drum notes (.json)")
    parser.add_argument("--beats", type=Path, required=True, metavar="FILE", help="beat grid")
    parser.add_argument("--downbeats", type=Path, required=True, metavar="FILE", help="downbeats")
    parser.add_argument(
        "--steps",
        type=int,
        default=0,
        choices=[0, *(steps for steps in range(1, 49) if TICKS % steps == 0)],
        help="move the notes to so many equal steps to a beat; 0: leave them where they are",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="MIDI file to write")


def run(arguments: argparse.Namespace) -> None:
    """Read, place the notes, write."""
    found = DrumNotes.load(arguments.notes)
    tempo = tempo_map(artifacts.read_times(arguments.beats), artifacts.read_times(arguments.downbeats))
    notes = midi.drum_notes(found, tempo, arguments.steps)
    midi.write(arguments.output, notes, tempo, name="drums", channel=midi.DRUM_CHANNEL, duration=found.duration)
