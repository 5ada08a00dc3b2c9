"""Find the thresholds of drum notes on a set of pieces: `python -m training.drum_constants PIECES NPZ`.

For each drum, the table has a line per threshold: F-measure of the drums alone, in a mix as loud as they are, and
separated from it; and notes per minute in what is not drums.
"""

import argparse
from pathlib import Path

import numpy as np
from mir_eval.util import match_events

from mirflow.dsp import layers
from mirflow.transcribe import embedded
from mirflow.transcribe.activations import DRUMS
from mirflow.transcribe.notes import peaks
from training import drum_net
from training.drum_net import Piece

THRESHOLDS = np.round(np.arange(0.1, 0.72, 0.05), 2)
WINDOW = 0.05  # s around a true note
HEARD = ("alone", "mix", "separated", "drumless")


def heard(piece: Piece, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the spectrograms in which a piece is heard, by `HEARD`."""
    drums, rest = piece.drums.astype(np.float32), piece.rest.astype(np.float32)
    found = {"alone": drums} if len(piece.notes) else {}
    if len(rest):
        found["drumless"] = rest * np.float32(0.5)
        if len(piece.notes):
            drums, rest = drums * np.float32(0.7), rest * np.float32(0.7)
            found["mix"] = np.sqrt(drums**2 + rest**2)
            found["separated"] = drum_net.separated(drums, rest, random)
    return {name: np.log10(1 + magnitude) for name, magnitude in found.items()}


def main() -> None:
    """Print the table, and the threshold of each drum with the best mean F."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pieces", type=Path, help="WORK/pieces/valid, or .../test")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--every", type=int, default=1)
    arguments = parser.parse_args()
    weights, random = layers.load(arguments.weights), np.random.default_rng(0)
    counts = np.zeros((len(HEARD), len(DRUMS), len(THRESHOLDS), 3))  # true, found, fitting
    minutes = 0.0
    for path in sorted(arguments.pieces.glob("*.npz"))[:: arguments.every]:
        piece = Piece(path)
        for name, levels in heard(piece, random).items():
            hits = embedded.run(levels, weights)
            minutes += len(levels) / 6000 * (name == "drumless")
            for drum in range(len(DRUMS)):
                own = piece.notes[piece.notes[:, 1] == drum]
                true = np.unique(own[:, 0]) if name != "drumless" else np.zeros(0)
                for place, threshold in enumerate(THRESHOLDS):
                    times = peaks(hits[:, drum], threshold)
                    fitting = len(match_events(true, times, WINDOW)) if len(true) and len(times) else 0
                    counts[HEARD.index(name), drum, place] += len(true), len(times), fitting
    for drum, name in enumerate(DRUMS):
        true, found, fitting = np.moveaxis(counts[:, drum], -1, 0)
        f = 2 * fitting / np.maximum(true + found, 1)
        print(f"{name}: best {THRESHOLDS[f[:3].mean(axis=0).argmax()]}")
        for place, threshold in enumerate(THRESHOLDS):
            marks = " ".join(f"{kind} {f[k, place]:.3f}" for k, kind in enumerate(HEARD[:3]))
            print(f"  {threshold:.2f}: {marks}, {found[3, place] / max(minutes, 1e-9):.2f} per minute without drums")


if __name__ == "__main__":
    main()
