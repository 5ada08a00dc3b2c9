"""Beat and downbeat activations of one track, by the network Beat This."""

import argparse
import importlib.metadata
from pathlib import Path

from mirflow import accelerator, artifacts, audio, beat_this, models, resident


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="a checkpoint of Beat This")
    parser.add_argument("--entry", help="its name in config/models.yaml: the file is compared with the hash there")
    parser.add_argument("--device", choices=accelerator.CHOICES, default="auto", help="auto: the GPU when there is one")
    parser.add_argument("-o", "--output", type=Path, required=True, help="activations to write (.npz)")
    parser.add_argument("--record", type=Path, help="JSON to write: what made them")


def run(arguments: argparse.Namespace) -> None:
    """Read, load the network unless it is there already, run it, write."""
    mix = audio.read(arguments.full_mix)
    checkpoint = arguments.model.resolve()

    def load() -> beat_this.Loaded:
        found = [
            models.verify(file, at=checkpoint) for file in (models.files(arguments.entry) if arguments.entry else ())
        ]
        network = beat_this.load(checkpoint, accelerator.device(arguments.device))
        return beat_this.Loaded(network, sha256=found[0] if found else models.sha256(checkpoint))

    changed = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    held = resident.get(("beat_this", str(checkpoint), changed, arguments.device), load)
    beat_this.activations(mix, held.network).save(arguments.output)
    if arguments.record:
        model = {"name": arguments.entry or checkpoint.name, "sha256": held.sha256}
        made_by = {"backend": "beat-this", "backend_version": importlib.metadata.version("beat-this"), "model": model}
        artifacts.write_json(arguments.record, made_by)
