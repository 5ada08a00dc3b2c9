"""Score constants of beat decoding on a set of pieces: `python -m training.beat_constants PIECES NPZ SETTING ...`.

Each setting is a list NAME=VALUE,...; names are constants of `mirflow.rhythm.embedded` and `mirflow.rhythm.decoders`.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.beat_scores import score
from mirflow.dsp import layers
from mirflow.dsp.beats import network
from mirflow.rhythm import decoders, embedded


def outputs(pieces: Path, weights: Path, every: int) -> Iterator[tuple]:
    """Yield kind, outputs of the network, beats and positions of every so-many-th piece."""
    values = layers.load(weights)
    for path in sorted(pieces.glob("*.npz"))[::every]:
        with np.load(path) as piece:
            mel = piece["mel"].astype(np.float32)
            yield str(piece["kind"]), network.run(mel, values), piece["beats"], piece["positions"]


def summary(items: list[tuple]) -> str:
    """Return mean beat F, CMLt, AMLt and downbeat F; beat F of each kind; and the beats found where there are none."""
    scores: dict[str, list[tuple[float, ...]]] = {}
    false_alarms = 0
    for kind, (odds, tempo), beats, positions in items:
        grid = decoders.decode(embedded.from_outputs(odds, tempo))
        if len(beats) < 4:
            false_alarms += len(grid.beats)
            continue
        downbeat_f = score(beats[positions == 1], grid.downbeats)[0] if positions.any() else np.nan
        scores.setdefault(kind, []).append((*score(beats, grid.beats), downbeat_f))
    mean = np.nanmean([row for rows in scores.values() for row in rows], axis=0)
    kinds = " ".join(f"{kind} {np.mean(rows, axis=0)[0]:.3f}" for kind, rows in sorted(scores.items()))
    return "F {:.3f} CMLt {:.3f} AMLt {:.3f} downbeat F {:.3f}; {}; {} false beats".format(*mean, kinds, false_alarms)


def main() -> None:
    """Print a line per setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pieces", type=Path, help="WORK/pieces/valid, or .../test")
    parser.add_argument("weights", type=Path)
    parser.add_argument("settings", nargs="*", default=[""])
    parser.add_argument("--every", type=int, default=1)
    arguments = parser.parse_args()
    items = list(outputs(arguments.pieces, arguments.weights, arguments.every))
    for setting in arguments.settings:
        changed = [pair.split("=") for pair in setting.split(",") if pair]
        before = []
        for name, value in changed:
            module = embedded if hasattr(embedded, name) else decoders
            before.append((module, name, getattr(module, name)))
            setattr(module, name, float(value))
        print(f"{setting or 'as it is'}: {summary(items)}", flush=True)
        for module, name, value in before:
            setattr(module, name, value)


if __name__ == "__main__":
    main()
