"""Let a network of config/models.yaml hear the full mix, and keep what it says of each patch."""

import argparse
from pathlib import Path

from mirflow import audio, networks

OWN_PROCESS = True  # TensorFlow hangs in a fork of a process with threads of its


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("network", help="name of a model in config/models.yaml")
    parser.add_argument("full_mix", type=Path)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("-o", "--output", type=Path, required=True, help="an .npz file")


def run(arguments: argparse.Namespace) -> None:
    """Read, hear, write."""
    mix = audio.read(arguments.full_mix)
    networks.hear(arguments.network, mix, gpu=arguments.device == "gpu").save(arguments.output)
