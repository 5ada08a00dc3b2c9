"""The track with a click on each beat, a higher one on downbeats, to listen to."""

import argparse

from mirflow.core import artifacts, audio
from mirflow.rhythm import clicks


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("full_mix", help="audio file of the track")
    parser.add_argument("--beats", required=True, metavar="FILE", help="beat grid")
    parser.add_argument("--downbeats", required=True, metavar="FILE", help="downbeats")
    parser.add_argument("-o", "--output", required=True, help="audio to write (.wav)")


def run(arguments: argparse.Namespace) -> None:
    import soundfile

    mix = audio.read(arguments.full_mix)
    grids = {name: artifacts.read_times(getattr(arguments, name)) for name in ("beats", "downbeats")}
    with artifacts.atomic_write(arguments.output) as path:
        soundfile.write(path, clicks.with_clicks(mix, **grids).samples.T, mix.rate, subtype="PCM_16")
