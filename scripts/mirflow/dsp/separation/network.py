"""The stems network: which share of each stem is in each part of the spectrum, of the mid and of the side signal.

The programs in training/ made its weights (network.npz); training/README.md says from what.
"""

from functools import cache
from pathlib import Path

import numpy as np

from mirflow.dsp import layers

SOURCES = 4  # drums, bass, other, vocals: the order of `mirflow.core.layout.STEMS`
# Bins of the spectrum (10.8 Hz wide) and how many of them the network sees as one: single partials of low sounds, wide
# bands of cymbals. (first bin, end, bins in one cell)
CELLS = ((0, 256, 1), (256, 512, 2), (512, 1024, 4), (1024, 1536, 16))
BINS = CELLS[-1][1]  # up to 16.5 kHz; above, the shares are those just below
CELL_COUNT = sum((end - first) // width for first, end, width in CELLS)
GROUP = 8  # cells in a band
BANDS = CELL_COUNT // GROUP
FEATURES = 5  # of each cell and frame
FLOOR = 1e-7  # power below which a cell is silent, relative to the mean power of noise at the level of the mix
NEIGHBOURS = 8  # frames before and after a frame that its level is compared with, 0.19 s
# Dilations over frames and over bands, of the blocks that work within and between bands. Those over bands see the
# partials of a note, which lie in many bands.
BLOCKS = ((1, 1), (2, 1), (1, 2), (2, 4), (1, 1), (1, 1), (4, 1), (2, 2), (1, 4), (1, 1))
CONTEXT = (1, 2, 4, 8, 16, 32, 64)  # frames, of the layers that work on all bands at once
BEFORE_CONTEXT = 5  # how many of the blocks are before them


@cache
def weights() -> dict[str, np.ndarray]:
    """Return the weights, name → float32. Names are those of the layers in training/stem_net.py."""
    return layers.load(Path(__file__).with_suffix(".npz"))


def pool(values: np.ndarray) -> np.ndarray:
    """Return the mean of bins in each cell: float32 [frame, bin] → [frame, cell]. Missing bins are zero."""
    missing = BINS - values.shape[1]
    if missing > 0:
        values = np.pad(values, ((0, 0), (0, missing)))
    return np.concatenate(
        [values[:, a:b].reshape(len(values), -1, w).mean(axis=2) if w > 1 else values[:, a:b] for a, b, w in CELLS],
        axis=1,
    )


def spread(cells: np.ndarray, bins: int) -> np.ndarray:
    """Return the value of the cell that each bin is in: [frame, cell] → [frame, bin]."""
    width = np.concatenate([np.full((end - first) // width, width) for first, end, width in CELLS])
    index = np.minimum(np.repeat(np.arange(CELL_COUNT), width)[np.minimum(np.arange(bins), BINS - 1)], CELL_COUNT - 1)
    return cells[:, index]


def features(mid: np.ndarray, side: np.ndarray, noise_power: float) -> np.ndarray:
    """Return what the network sees.

    Parameters
    ----------
    mid, side : short-time spectra with a hop of 23 ms and bins of 10.8 Hz, complex64 [frame, bin]
    noise_power : the mean power of a bin for noise at the level of the mix

    Returns
    -------
    float32 [frame, cell, FEATURES]: the level (log10 of the power of both signals), the share of the side, the
    correlation of mid and side (how far to the left or right), and the level relative to the frames before and after
    """
    mid, side = mid[:, :BINS], side[:, :BINS]
    of_mid = pool(np.square(mid.real) + np.square(mid.imag))
    of_side = pool(np.square(side.real) + np.square(side.imag))
    pan = pool(mid.real * side.real + mid.imag * side.imag)
    power = of_mid + of_side
    tiny = np.float32(FLOOR * noise_power)
    level = np.log10(power / np.float32(noise_power) + np.float32(FLOOR))
    frames = len(level)
    total = np.concatenate([np.zeros((1, CELL_COUNT)), np.cumsum(level, axis=0, dtype=np.float64)])
    at = np.arange(frames)
    out = np.empty((frames, CELL_COUNT, FEATURES), np.float32)
    out[:, :, 0] = 0.5 * level
    out[:, :, 1] = 2 * of_side / (power + tiny)
    out[:, :, 2] = np.abs(2 * pan / (power + tiny))
    for k, (low, high) in enumerate(((at - NEIGHBOURS, at), (at + 1, at + 1 + NEIGHBOURS))):
        low, high = np.clip(low, 0, frames), np.clip(high, 0, frames)
        count = (high - low)[:, None]
        mean = np.where(count > 0, (total[high] - total[low]) / np.maximum(count, 1), level)
        out[:, :, 3 + k] = level - mean
    return out


def run(features: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Evaluate the network.

    Each band of eight cells is read by weights of its own. Blocks with convolutions over time and over neighbouring
    bands, which have the same weights in all bands, follow; between them, dilated convolutions over time (3 s on both
    sides) work on all bands at once. The weights at the end are again those of each band, and see its input as well.

    Parameters
    ----------
    features : float32 [frame, cell, FEATURES], from `features`
    weights : from `weights`

    Returns
    -------
    float32 [2, SOURCES, frame, cell]: the shares of the sources in mid and side; over the sources, they add up to one
    """
    frames = len(features)
    bands = np.ascontiguousarray(features.reshape(frames, BANDS, GROUP * FEATURES).transpose(1, 0, 2))
    x = np.matmul(bands, weights["encode.weight"]) + weights["encode.bias"][:, None]  # [band, frame, channel]
    for index, dilations in enumerate(BLOCKS):
        if index == BEFORE_CONTEXT:
            x = x + _context(x, weights)
        x = _block(x, weights, f"block{index}", dilations)
    x = np.maximum(x * weights["out.scale"] + weights["out.shift"], 0)
    hidden = np.matmul(x, weights["decode.state"]) + np.matmul(bands, weights["decode.input"])
    hidden = np.maximum(hidden + weights["decode.bias"][:, None], 0)
    scores = np.matmul(hidden, weights["last.weight"]) + weights["last.bias"][:, None]  # [band, frame, 2 * 4 * GROUP]
    scores = scores.reshape(BANDS, frames, 2, SOURCES, GROUP)
    scores -= scores.max(axis=3, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=3, keepdims=True)
    return scores.transpose(2, 3, 1, 0, 4).reshape(2, SOURCES, frames, CELL_COUNT)


def _block(x: np.ndarray, weights: dict[str, np.ndarray], name: str, dilations: tuple[int, int]) -> np.ndarray:
    """Apply a residual block to x [band, frame, channel]: convolutions over time, over bands and over channels."""
    inner = np.maximum(x * weights[f"{name}.scale"] + weights[f"{name}.shift"], 0)
    for part, dilation, axis in zip(("time", "band"), dilations, (1, 0), strict=True):
        inner = _convolve(inner, weights[f"{name}.{part}"], dilation, axis) + weights[f"{name}.{part}_bias"]
        inner = np.maximum(inner, 0)
    return x + (inner @ weights[f"{name}.point"] + weights[f"{name}.point_bias"])


def _context(x: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Let all bands see each other over time: float32 [band, frame, channel] → the same."""
    inner = np.maximum(x * weights["narrow.scale"] + weights["narrow.shift"], 0)
    state = np.matmul(inner, weights["narrow.weight"]).sum(axis=0) + weights["narrow.bias"]  # [frame, state]
    for index, dilation in enumerate(CONTEXT):
        name = f"context{index}"
        inner = np.maximum(state * weights[f"{name}.scale"] + weights[f"{name}.shift"], 0)
        wide = _convolve(inner, weights[f"{name}.time"], dilation, axis=0) + weights[f"{name}.time_bias"]
        state = state + np.maximum(wide, 0) @ weights[f"{name}.point"] + weights[f"{name}.point_bias"]
    state = np.maximum(state * weights["widen.scale"] + weights["widen.shift"], 0)
    return np.matmul(state[None], weights["widen.weight"]) + weights["widen.bias"][:, None]


def _convolve(x: np.ndarray, kernel: np.ndarray, dilation: int, axis: int) -> np.ndarray:
    """Convolve x [..., channel] with a kernel [3 * channel, out] over three places of an axis, zero-padded."""
    length = x.shape[axis]
    padding = [(0, 0)] * x.ndim
    padding[axis] = dilation, dilation
    padded = np.pad(x, padding)
    taps = [padded[(slice(None),) * axis + (slice(k * dilation, k * dilation + length),)] for k in range(3)]
    return np.concatenate(taps, axis=-1) @ kernel
