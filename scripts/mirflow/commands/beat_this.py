"""Beat and downbeat activations of one track, by the network Beat This."""

import argparse
from pathlib import Path

from mirflow import audio, beat_this, models, resident


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="a checkpoint of Beat This")
    parser.add_argument("--entry", help="its name in config/models.yaml: the file is compared with the hash there")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="auto: the GPU when there is one")
    parser.add_argument("-o", "--output", type=Path, required=True, help="activations to write (.npz)")


def run(arguments: argparse.Namespace) -> None:
    """Read, load the network unless it is there already, run it, write."""
    mix = audio.read(arguments.full_mix)
    checkpoint = arguments.model.resolve()

    def load() -> beat_this.Loaded:
        for file in models.files(arguments.entry) if arguments.entry else ():
            models.verify(file, at=checkpoint)
        return beat_this.Loaded(beat_this.load(checkpoint, beat_this.best_device(arguments.device)))

    changed = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    held = resident.get(("beat_this", str(checkpoint), changed, arguments.device), load)
    beat_this.activations(mix, held.network).save(arguments.output)
