"""How likely each drum is hit in each frame of a track."""

import argparse
from pathlib import Path

from mirflow.core import artifacts, audio, source
from mirflow.models import accelerator
from mirflow.transcribe import backends
from mirflow.transcribe.activations import DRUMS


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("drums", type=Path, help="the drums stem")
    parser.add_argument("--full-mix", type=Path, required=True, metavar="FILE", help="to compare levels with")
    parser.add_argument(
        "--drum-stems", nargs="*", type=Path, default=[], metavar="FILE", help=f"to hear alone: {', '.join(DRUMS)}"
    )
    parser.add_argument("--drum-stems-record", type=Path, nargs="?", metavar="FILE", help="what separated these")
    parser.add_argument("--backend", choices=backends.NAMES, required=True, help="what hears the drums")
    parser.add_argument("--model", nargs="*", type=Path, metavar="FILE", help="the weights")
    parser.add_argument("--entry", default="", help="name in config/models.yaml: the file must have the hash there")
    parser.add_argument("--device", choices=accelerator.CHOICES, default="auto", help="auto: the GPU when there is one")
    parser.add_argument("-o", "--output", type=Path, required=True, help="activations to write (.npz)")
    parser.add_argument("--record", type=Path, help="JSON to write: what made them")


def run(arguments: argparse.Namespace) -> None:
    """Read, load the network, listen, write."""
    drums = source.read_at_source_level(arguments.drums, is_stem=True)
    full_mix = source.read_at_source_level(arguments.full_mix, is_stem=False)
    activations, record = backends.choose(arguments.backend, arguments.model or (), arguments.entry, arguments.device)
    own = [audio.read(path) for path in arguments.drum_stems]
    activations(drums, full_mix, own).save(arguments.output)
    if arguments.drum_stems_record:
        record["drum_stems"] = artifacts.read_json(arguments.drum_stems_record)
    if arguments.record:
        artifacts.write_json(arguments.record, record)
