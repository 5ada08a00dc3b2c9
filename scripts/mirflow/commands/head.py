"""Measure what a head of config/models.yaml makes of its network's output, and write the fragment."""

import argparse
from pathlib import Path

from mirflow import artifacts, networks
from mirflow.model_features import heads

OWN_PROCESS = True  # TensorFlow hangs in a fork of a process with threads of its


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("head", help="name of a model in config/models.yaml")
    parser.add_argument("embedding", type=Path, help="what `embedding` wrote for the head's network, an .npz file")
    for setting in heads.SETTINGS:
        kind = type(setting.default)
        parser.add_argument(f"--{setting.name}", type=kind, default=setting.default, help=setting.meaning)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the fragment, a .json file")


def run(arguments: argparse.Namespace) -> None:
    """Read, measure, write."""
    patches = networks.Patches.load(arguments.embedding)
    fragment = heads.measure(arguments.head, patches, arguments.threshold, arguments.top)
    artifacts.write_json(arguments.output, fragment)
