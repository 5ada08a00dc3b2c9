"""Beat and downbeat activations of one track."""

import argparse

from mirflow import audio, beat_this, beats


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("full_mix", help="audio file of the track")
    for stem in beats.STEMS:
        parser.add_argument(f"--{stem}", metavar="FILE", help=f"audio file of the {stem} stem")
    parser.add_argument(
        "--model", metavar="FILE", help="checkpoint of Beat This: its network instead of the own analysis"
    )
    parser.add_argument("--device", default="cpu", help="where the network runs: cpu, cuda ... (default: %(default)s)")
    parser.add_argument("-o", "--output", required=True, help="activations to write (.npz)")


def run(arguments: argparse.Namespace) -> None:
    mix = audio.read(arguments.full_mix)
    if arguments.model:
        found = beat_this.activations(mix, beat_this.load(arguments.model, arguments.device))
    else:
        given = {stem: getattr(arguments, stem) for stem in beats.STEMS}
        found = beats.activations(mix, {stem: audio.read(path) for stem, path in given.items() if path})
    found.save(arguments.output)
