"""Beat and downbeat tracking measured beside librosa and Essentia on pieces with known grids."""

import argparse

from mirflow import beat_scores


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pieces", help="directory of <id>/mix.flac with beats.txt and downbeats.txt (seconds a line)")
    parser.add_argument(
        "--stems",
        choices=("true", "none"),
        default="none",
        help="true: hear <id>/drums.flac and so on too (default: %(default)s)",
    )
    parser.add_argument("--decoder", choices=sorted(beat_scores.DECODERS), default="hmm", help="how the grid is found")


def run(arguments: argparse.Namespace) -> None:
    for line in beat_scores.report(arguments.pieces, stems=arguments.stems, decoder=arguments.decoder):
        print(line, flush=True)
