"""Separate a full mix into drums, bass, other and vocals."""

import argparse
from pathlib import Path

from mirflow.core import artifacts, source
from mirflow.core.errors import MirflowError
from mirflow.core.layout import STEM_FORMATS
from mirflow.models import accelerator
from mirflow.stems import backends, files, trained


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", help="audio file written by this workflow")
    parser.add_argument(
        "-o",
        "--output",
        nargs=4,
        required=True,
        metavar=("DRUMS", "BASS", "OTHER", "VOCALS"),
        help="the stems to write",
    )
    parser.add_argument(
        "--extra", nargs=2, action="append", default=[], metavar=("STEM", "FILE"), help="a further stem to write"
    )
    parser.add_argument("--format", choices=STEM_FORMATS, help="default: by the suffix of the outputs")
    parser.add_argument("--bitrate", type=int, default=192, help="kbit/s of mp3 and ogg (default: %(default)s)")
    parser.add_argument("--record", help="JSON file for backend, version, gain and format of what was written")
    configure_backend(parser)


def configure_backend(parser: argparse.ArgumentParser) -> None:
    """Declare what chooses and runs a separator."""
    default = trained.DEFAULTS
    parser.add_argument(
        "--backend", choices=backends.NAMES, default="embedded", help="what separates (default: %(default)s)"
    )
    group = parser.add_argument_group("trained separators")
    group.add_argument("--model", nargs="*", type=Path, metavar="FILE", help="files; default: those of the entry")
    group.add_argument("--entry", default="", help="name in config/models.yaml: the files must have the hashes there")
    group.add_argument("--device", choices=accelerator.CHOICES, default="auto", help="auto: the GPU when there is one")
    group.add_argument("--shifts", type=int, default=default["shifts"], help="runs to take the mean of")
    group.add_argument("--overlap", type=float, default=default["overlap"], help="share of a segment")
    group.add_argument("--segment", type=float, default=default["segment"], help="seconds; 0: the model's")
    group.add_argument("--precision", choices=trained.PRECISIONS, default=default["precision"])


def choose(arguments: argparse.Namespace):
    """Return what separates and its record (see `backends.choose`), from the arguments of `configure_backend`."""
    running = {name: getattr(arguments, name) for name in trained.DEFAULTS}
    extra = [stem for stem, _ in getattr(arguments, "extra", ())]
    model = arguments.model or ()
    return backends.choose(arguments.backend, model, arguments.entry, arguments.device, extra, **running)


def run(arguments: argparse.Namespace) -> None:
    """Read, separate, write."""
    separate, record = choose(arguments)
    full_mix = source.read(arguments.full_mix)
    try:
        parts = separate(full_mix)
    except MirflowError as error:
        raise MirflowError(f"{arguments.full_mix}: {error}") from error
    paths = [*arguments.output, *(path for _, path in arguments.extra)]
    written = files.write(parts, full_mix.rate, paths, arguments.format, arguments.bitrate, full_mix.layout)
    if arguments.record:
        artifacts.write_json(arguments.record, record | written | source.downmix_record(full_mix))
