"""A picture of drum notes: a roll of the drums over the spectrogram of the drums stem, with one row per 15 seconds."""

from pathlib import Path

import numpy as np

from mirflow.core.audio import Audio
from mirflow.dsp import spectrum
from mirflow.transcribe.activations import DRUMS
from mirflow.transcribe.notes import DrumNotes

VERSION = 1  # of the picture; raise it when it shows something else
ROW = 15.0  # seconds per row
MOST_ROWS = 40  # a longer track has longer rows
HOP = 882  # samples at 44.1 kHz: 20 ms
FRAME = 2048  # samples at 44.1 kHz
BANDS = 96  # rows of pixels, on a logarithmic frequency axis
LOWEST, HIGHEST = 30.0, 16000.0  # Hz
DYNAMIC_RANGE = 70.0  # dB


def draw(drums: Audio, notes: DrumNotes, path: Path, *, beats: np.ndarray, downbeats: np.ndarray) -> None:
    """Draw the spectrogram with a mark for each note, larger for higher velocities, and write a PNG file.

    Parameters
    ----------
    drums : the drums stem
    path : the file to write
    beats, downbeats : seconds; thin and thick lines
    """
    from matplotlib.figure import Figure

    levels, step = _levels(drums), HOP / spectrum.REFERENCE_RATE
    seconds = max(ROW, drums.duration / MOST_ROWS)
    rows = max(1, int(np.ceil(drums.duration / seconds)))
    figure = Figure(figsize=(16, 1 + 1.8 * rows), layout="constrained")
    places = (np.arange(len(DRUMS)) + 0.5) / len(DRUMS)
    for row, axes in enumerate(np.atleast_1d(figure.subplots(rows))):
        begin, end = row * seconds, (row + 1) * seconds
        first = int(begin / step)
        part = levels[first : int(end / step) + 1]
        # The first frame is centred half a frame after the beginning of the stem.
        left = (first - 0.5) * step + FRAME / spectrum.REFERENCE_RATE / 2
        extent = (left, left + len(part) * step, 0, 1)
        axes.imshow(part.T, origin="lower", aspect="auto", extent=extent, cmap="Greys", vmin=0, vmax=1)
        axes.vlines(beats, 0, 1, color="tab:blue", linewidth=0.4)
        axes.vlines(downbeats, 0, 1, color="tab:blue", linewidth=1.5)
        for drum, place in enumerate(places):
            own = (notes.drums == drum) & (notes.times >= begin) & (notes.times < end)
            axes.scatter(
                notes.times[own],
                np.full(own.sum(), place),
                s=(notes.velocities[own] / 127) ** 2 * 90,
                color=f"C{drum + 1}",
                edgecolors="white",
                linewidths=0.5,
                zorder=3,
            )
        axes.set(xlim=(begin, end), ylim=(0, 1), yticks=places, yticklabels=DRUMS)
    figure.axes[0].set_title("drum notes over the spectrogram of the drums stem; lines: beats, thick: downbeats")
    figure.axes[-1].set_xlabel("s")
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _levels(drums: Audio) -> np.ndarray:
    """Return the level of logarithmic bands, from 0 (`DYNAMIC_RANGE` below the loudest) to 1: float32 [frame, band]."""
    frequencies = spectrum.frequencies(drums.rate, FRAME)
    centres = np.geomspace(LOWEST, HIGHEST, BANDS)
    bins = np.abs(frequencies[None] - centres[:, None]).argmin(axis=1)
    blocks = spectrum.magnitudes(drums.samples, drums.rate, frame=FRAME, hop=HOP)
    decibels = 20 * np.log10(np.maximum(np.concatenate([block[:, bins] for block in blocks]), 1e-10))
    return np.clip(1 + (decibels - decibels.max()) / DYNAMIC_RANGE, 0, 1).astype(np.float32)
