"""The activations with the grid that was read from them, as a picture: one row per half minute."""

import argparse
from pathlib import Path

import numpy as np

from mirflow import artifacts, beats

ROW = 30.0  # seconds


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("activations", type=Path, help="rhythm/beat_activations.npz")
    parser.add_argument("--beats", type=Path, required=True, metavar="FILE", help="beat grid")
    parser.add_argument("--downbeats", type=Path, required=True, metavar="FILE", help="downbeats")
    parser.add_argument("-o", "--output", type=Path, required=True, help="picture to write (.png)")


def run(arguments: argparse.Namespace) -> None:
    """Read, draw, write."""
    from matplotlib.figure import Figure

    found = beats.Activations.load(arguments.activations)
    grids = {name: artifacts.read_times(getattr(arguments, name)) for name in ("beats", "downbeats")}
    times = np.arange(len(found.beat)) / found.frame_rate
    rows = max(1, int(np.ceil(len(times) / found.frame_rate / ROW)))
    figure = Figure(figsize=(16, 1 + 1.6 * rows), layout="constrained")
    for row, axes in enumerate(np.atleast_1d(figure.subplots(rows))):
        shown = (times >= row * ROW) & (times < (row + 1) * ROW)
        axes.fill_between(times[shown], found.beat[shown], color="tab:blue", alpha=0.5, linewidth=0, label="beat")
        axes.plot(times[shown], found.downbeat[shown], color="tab:red", linewidth=0.8, label="downbeat")
        axes.vlines(grids["beats"], 0, 1, color="black", linewidth=0.5)
        axes.vlines(grids["downbeats"], 0, 1.15, color="black", linewidth=1.5)
        axes.set(xlim=(row * ROW, (row + 1) * ROW), ylim=(0, 1.2), yticks=[])
    figure.axes[0].legend(loc="upper right", ncols=2, title="activations; lines: beats, thick: downbeats")
    figure.axes[-1].set_xlabel("s")
    with artifacts.replacing(arguments.output) as path:
        figure.savefig(path, dpi=100, metadata={"Software": None})
