"""Write the mix without its vocals: the sum of the other stems."""

import argparse
from pathlib import Path

from mirflow.core import artifacts, audio
from mirflow.core.layout import STEM_FORMATS
from mirflow.stems import instrumental


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("stems", nargs=3, type=Path, metavar=("DRUMS", "BASS", "OTHER"))
    parser.add_argument("--record", type=Path, required=True, help="stems.json, which says how they were written")
    parser.add_argument("--format", choices=STEM_FORMATS, required=True)
    parser.add_argument("--bitrate", type=int, default=192, help="kbit/s of mp3 and ogg (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True)


def run(arguments: argparse.Namespace) -> None:
    """Read, add, write."""
    gain_db = artifacts.read_json(arguments.record).get("gain_db", 0.0)
    sound = instrumental.without_vocals([audio.read(path) for path in arguments.stems], gain_db)
    instrumental.write(sound, arguments.output, arguments.format, arguments.bitrate)
