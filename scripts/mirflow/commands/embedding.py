"""Run a network of config/models.yaml over the full mix or a stem, and keep its output for each patch."""

import argparse
from pathlib import Path

from mirflow.core import audio
from mirflow.core.layout import STEMS
from mirflow.labels import embedding, encoders
from mirflow.models import catalogue, loading

OWN_PROCESS = True  # TensorFlow hangs in a fork of a process that has started its threads


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("network", help="name of a model in config/models.yaml")
    parser.add_argument("full_mix", type=Path, help="or the stem")
    parser.add_argument("--stem", choices=STEMS, default="", help="which stem that is")
    parser.add_argument("--model", nargs="*", type=Path, metavar="FILE", help="its files; default: the models' folder")
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="of an encoder auto (the GPU if there is one) or cpu; of a network of Essentia cpu (also auto) or gpu",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="an .npz file")


def run(arguments: argparse.Namespace) -> None:
    """Read, load, run, write."""
    mix = audio.read(arguments.full_mix)
    name = arguments.network
    files = arguments.model or catalogue.path(name)
    encoder = embedding.network_entry(name).get("encoder")
    if encoder:
        loaded = loading.load(encoders.load, files, arguments.device, [name], encoder=encoder)
        found = encoders.embed(mix, loaded.value, loaded.files, arguments.stem)
    else:
        loaded = loading.load(embedding.load, files, arguments.device, [name], name=name)
        found = embedding.embed(mix, loaded.value, loaded.files, arguments.stem)
    found.save(arguments.output)
