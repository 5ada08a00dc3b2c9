"""Beat and downbeat activations of one track."""

import argparse

from mirflow import audio, beats


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("full_mix", help="audio file of the track")
    for stem in beats.STEMS:
        parser.add_argument(f"--{stem}", metavar="FILE", help=f"audio file of the {stem} stem")
    parser.add_argument("-o", "--output", required=True, help="activations to write (.npz)")


def run(arguments: argparse.Namespace) -> None:
    given = {stem: getattr(arguments, stem) for stem in beats.STEMS}
    stems = {stem: audio.read(path) for stem, path in given.items() if path}
    beats.activations(audio.read(arguments.full_mix), stems).save(arguments.output)
