"""A plot of the activations and of the grid that was decoded from them, with one row per half minute."""

from pathlib import Path

import numpy as np

from mirflow.rhythm.activations import Activations

VERSION = 2  # of the plot; raise it when it shows something else
ROW = 30.0  # seconds per row


def draw(activations: Activations, path: Path, *, beats: np.ndarray, downbeats: np.ndarray) -> None:
    """Plot the activations, with a thin line at each beat and a thick line at each downbeat, and write a PNG file.

    Parameters
    ----------
    activations : of the track
    path : the file to write
    beats, downbeats : seconds
    """
    from matplotlib.figure import Figure

    times = np.arange(len(activations.beat)) / activations.frame_rate
    duration = len(times) / activations.frame_rate
    rows = max(1, int(np.ceil(duration / ROW)))
    width = ROW if rows > 1 else max(duration, 1.0)  # s; a single row ends with the track
    figure = Figure(figsize=(16, 1.3 + 1.6 * rows), layout="constrained")
    for row, axes in enumerate(np.atleast_1d(figure.subplots(rows))):
        in_row = (times >= row * ROW) & (times < (row + 1) * ROW)
        axes.fill_between(
            times[in_row], activations.beat[in_row], color="tab:blue", alpha=0.5, linewidth=0, label="beat"
        )
        axes.plot(times[in_row], activations.downbeat[in_row], color="tab:red", linewidth=0.8, label="downbeat")
        axes.vlines(beats, 0, 1, color="black", linewidth=0.5)
        axes.vlines(downbeats, 0, 1.15, color="black", linewidth=1.5)
        axes.set(xlim=(row * ROW, row * ROW + width), ylim=(0, 1.2), yticks=[])
    entries = figure.axes[0].get_legend_handles_labels()
    title = "activations; lines: beats, thick: downbeats"
    figure.legend(*entries, loc="outside upper right", ncols=2, title=title)  # above, where it hides nothing
    figure.axes[-1].set_xlabel("s")
    figure.savefig(path, dpi=100, metadata={"Software": None})
