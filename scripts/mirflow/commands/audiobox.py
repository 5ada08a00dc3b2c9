"""Measure the four scores of AudioBox Aesthetics, and write the fragment."""

import argparse
from pathlib import Path

from mirflow import artifacts, audio, registry
from mirflow.info import PROVENANCE
from mirflow.model_features import audiobox

OWN_PROCESS = True  # torch starts threads, and shares libraries with the TensorFlow that a warm process has loaded


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the fragment, a .json file")


def run(arguments: argparse.Namespace) -> None:
    """Read, load the model, measure, write."""
    mix = audio.read(arguments.full_mix)
    model = audiobox.load("cuda" if arguments.device == "gpu" else "cpu")
    values = registry.check(audiobox.FEATURE, audiobox.measure(mix, model))
    artifacts.write_json(arguments.output, {**values, PROVENANCE: audiobox.provenance(model)})
