"""A picture of a track with its crops: waveform, beats, downbeats, and where the crops lie, a row per half minute."""

from pathlib import Path

import numpy as np

from mirflow.core.audio import Audio
from mirflow.crops.plan import Crop

VERSION = 1  # of the picture; raise it when it shows something else
ROW = 30.0  # seconds per row
COLUMNS = 1500  # points of the waveform per row
LANES = 3  # overlapping crops are drawn in turn at so many heights


def draw(mix: Audio, crops: list[Crop], path: Path, *, beats: np.ndarray, downbeats: np.ndarray) -> None:
    """Draw the waveform with a line at each beat, a thick one at each downbeat, and a bar for each crop, as a PNG file.

    Parameters
    ----------
    mix : the full mix
    path : the file to write
    beats, downbeats : seconds
    """
    from matplotlib.figure import Figure

    block = max(1, int(ROW * mix.rate / COLUMNS))
    starts = np.arange(0, mix.samples.shape[1], block)
    highest = np.maximum.reduceat(mix.samples.max(axis=0), starts)
    lowest = np.minimum.reduceat(mix.samples.min(axis=0), starts)
    peak = max(float(highest.max()), -float(lowest.min())) or 1.0
    rows = max(1, int(np.ceil(mix.duration / ROW)))
    figure = Figure(figsize=(16, 1 + 1.6 * rows), layout="constrained")
    for row, axes in enumerate(np.atleast_1d(figure.subplots(rows))):
        begin, end = row * ROW, (row + 1) * ROW
        times = starts / mix.rate
        shown = (times >= begin) & (times < end)
        axes.fill_between(times[shown], lowest[shown] / peak, highest[shown] / peak, color="tab:blue", linewidth=0)
        for grid, width in ((beats, 0.4), (downbeats, 1.4)):
            axes.vlines(grid[(grid >= begin) & (grid < end)], -1, 1, color="black", linewidth=width)
        for index, crop in enumerate(crops):
            first, last = crop.start / mix.rate, crop.end / mix.rate
            if first < end and last > begin:
                height = 1.1 + 0.3 * (index % LANES)
                axes.broken_barh([(first, last - first)], (height, 0.25), color=f"C{1 + index % 9}")
                axes.text(max(first, begin) + 0.05, height + 0.12, index, va="center", size=8, clip_on=True)
        axes.set(xlim=(begin, end), ylim=(-1.05, 1.1 + 0.3 * LANES), yticks=[])
    figure.axes[-1].set_xlabel("s; lines: beats, thick: downbeats; bars: crops with their numbers")
    figure.savefig(path, dpi=100, metadata={"Software": None})
