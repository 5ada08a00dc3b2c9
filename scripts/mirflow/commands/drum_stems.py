"""Separate the drums stem into kick, snare, toms, hi-hat and cymbals."""

import argparse
from pathlib import Path

from mirflow.core import artifacts, audio
from mirflow.core.errors import MirflowError
from mirflow.core.layout import DRUM_STEMS
from mirflow.models import accelerator, catalogue
from mirflow.stems import drum_stems


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("drums", type=Path, help="the drums stem")
    parser.add_argument("--entry", default="", help="name in config/models.yaml: the files must have the hashes there")
    parser.add_argument("--model", nargs="*", type=Path, metavar="FILE", help="files; default: those of the entry")
    parser.add_argument("--device", choices=accelerator.CHOICES, default="auto", help="auto: the GPU when there is one")
    parser.add_argument(
        "-o",
        "--output",
        nargs=len(DRUM_STEMS),
        type=Path,
        required=True,
        metavar=tuple(drum.upper() for drum in DRUM_STEMS),
        help="the files to write (.flac)",
    )
    parser.add_argument("--record", type=Path, help="JSON to write: what made them")


def run(arguments: argparse.Namespace) -> None:
    """Read, load, separate, write."""
    files = arguments.model or (catalogue.path(arguments.entry) if arguments.entry else [])
    separator, record = drum_stems.load(files, arguments.entry, arguments.device)
    drums = audio.read(arguments.drums)
    try:
        parts = drum_stems.separate(drums, separator)
    except MirflowError as error:
        raise MirflowError(f"{arguments.drums}: {error}") from error
    gain_db = drum_stems.write(parts, drums.rate, arguments.output)
    if arguments.record:
        artifacts.write_json(arguments.record, record | {"gain_db": gain_db})
