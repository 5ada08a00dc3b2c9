"""Separate a full mix into drums, bass, other and vocals."""

import argparse

from mirflow import artifacts, audio, stems
from mirflow.dsp import separation


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("full_mix", help="audio file written by this workflow")
    parser.add_argument(
        "-o",
        "--output",
        nargs=4,
        required=True,
        metavar=("DRUMS", "BASS", "OTHER", "VOCALS"),
        help="the stems to write",
    )
    parser.add_argument("--backend", choices=("dsp",), default="dsp", help="what separates (default: %(default)s)")
    parser.add_argument("--format", choices=stems.FORMATS, help="default: by the suffix of the outputs")
    parser.add_argument("--bitrate", type=int, default=192, help="kbit/s of mp3 and ogg (default: %(default)s)")
    parser.add_argument("--record", help="JSON file for backend, version, gain and format of what was written")


def run(arguments: argparse.Namespace) -> None:
    full_mix = audio.read(arguments.full_mix)
    written = stems.write(
        stems.separate(full_mix), full_mix.rate, arguments.output, arguments.format, arguments.bitrate
    )
    if arguments.record:
        artifacts.write_json(arguments.record, {"backend": arguments.backend, "version": separation.VERSION} | written)
