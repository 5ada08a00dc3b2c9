"""Measure the time series of a track."""

import argparse
from pathlib import Path

from mirflow.commands import _feature
from mirflow.core import audio
from mirflow.core.layout import STEMS
from mirflow.rhythm.activations import Activations
from mirflow.timeseries import files, measure, same_chroma
from mirflow.transcribe.activations import DrumActivations


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    parser.add_argument("--stems", type=Path, nargs=4, required=True, metavar="FILE", help=" ".join(STEMS))
    parser.add_argument("--activations", type=Path, required=True, metavar="FILE", help="rhythm/beat_activations.npz")
    parser.add_argument(
        "--drum-activations", type=Path, nargs="*", default=[], metavar="FILE", help="transcribe/drum_activations.npz"
    )
    parser.add_argument("--same-chroma", action="store_true", help="the chroma of Stable Audio 3 too")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .TIMESERIES.npz file")


def run(arguments: argparse.Namespace) -> None:
    """Read, measure, write."""
    mix = _feature.read("full_mix", arguments.full_mix)
    stems = {name: _feature.read(name, path) for name, path in zip(STEMS, arguments.stems, strict=True)}
    drums = [DrumActivations.load(path) for path in arguments.drum_activations]
    found = measure.measure(mix, stems, Activations.load(arguments.activations), *drums)
    if arguments.same_chroma:  # it is the autoencoder's, which hears the file
        found["same_chroma"] = same_chroma.series(audio.read(arguments.full_mix))
    files.write(arguments.output, found, mix.duration)
