"""Measure the four scores of AudioBox Aesthetics, and write the fragment."""

import argparse
from pathlib import Path

from mirflow import accelerator, artifacts, audio, models, registry, resident
from mirflow.info import PROVENANCE
from mirflow.model_features import audiobox


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    parser.add_argument("--device", choices=accelerator.CHOICES, default="auto", help="auto: the GPU when there is one")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the fragment, a .json file")


def run(arguments: argparse.Namespace) -> None:
    """Read, load the model unless it is there already, measure, write."""
    mix = audio.read(arguments.full_mix)
    paths = [Path(path).resolve() for path in models.path(audiobox.MODEL)]
    changed = tuple((str(path), path.stat().st_mtime_ns if path.exists() else 0) for path in paths)
    model = resident.get(
        (audiobox.MODEL, changed, arguments.device), lambda: audiobox.load(accelerator.device(arguments.device))
    )
    values = registry.check(audiobox.FEATURE, audiobox.measure(mix, model))
    artifacts.write_json(arguments.output, {**values, PROVENANCE: audiobox.provenance(model)})
