"""Beat and downbeat activations of one track."""

import argparse
from pathlib import Path

from mirflow.core import artifacts, audio, source
from mirflow.models import accelerator
from mirflow.rhythm import backends


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    parser.add_argument(
        "--backend", choices=backends.NAMES, default="embedded", help="what finds the beats (default: %(default)s)"
    )
    parser.add_argument("--model", nargs="*", type=Path, metavar="FILE", help="a checkpoint of Beat This")
    parser.add_argument("--entry", default="", help="name in config/models.yaml: the file must have the hash there")
    parser.add_argument("--device", choices=accelerator.CHOICES, default="auto", help="auto: the GPU when there is one")
    parser.add_argument("-o", "--output", type=Path, required=True, help="activations to write (.npz)")
    parser.add_argument("--record", type=Path, help="JSON to write: what made them")


def run(arguments: argparse.Namespace) -> None:
    """Read, load the network where there is one, analyse, write."""
    mix = audio.read(arguments.full_mix)
    activations, record = backends.choose(arguments.backend, arguments.model or (), arguments.entry, arguments.device)
    activations(mix).save(arguments.output)
    if arguments.record:
        artifacts.write_json(arguments.record, record | source.downmix_record(mix))
