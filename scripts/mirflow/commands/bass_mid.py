"""The notes of the bass line as a MIDI file, with the tempi and bars of the grids."""

import argparse
from pathlib import Path

from mirflow.core import artifacts
from mirflow.transcribe import midi
from mirflow.transcribe.bass import BassNotes
from mirflow.transcribe.tempo_map import tempo_map


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("notes", type=Path, help="bass notes (.json)")
    parser.add_argument("--beats", type=Path, required=True, metavar="FILE", help="beat grid")
    parser.add_argument("--downbeats", type=Path, required=True, metavar="FILE", help="downbeats")
    parser.add_argument("-o", "--output", type=Path, required=True, help="MIDI file to write")


def run(arguments: argparse.Namespace) -> None:
    """Read, place the notes, write."""
    found = BassNotes.load(arguments.notes)
    tempo = tempo_map(artifacts.read_times(arguments.beats), artifacts.read_times(arguments.downbeats))
    notes = midi.line(tempo, starts=found.starts, ends=found.ends, pitches=found.pitches, velocities=found.velocities)
    midi.write(
        arguments.output,
        notes,
        tempo,
        name="bass",
        channel=midi.BASS_CHANNEL,
        program=midi.BASS_PROGRAM,
        duration=found.duration,
    )
