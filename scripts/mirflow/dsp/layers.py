"""The layers that mirflow's own networks over spectrograms share, and their weights.

They read groups of frames by two convolutions over time and bands; residual layers with dilated convolutions over time
follow; a last convolution makes the outputs of each group. The networks differ in what they read and say.
"""

from pathlib import Path

import numpy as np

CHUNK = 512  # groups of frames whose patches are in memory at the same time


def load(path: Path) -> dict[str, np.ndarray]:
    """Return the weights that a file holds, name → float32. Names are those of the layers in training/.

    The file holds 16 bit floats, or 8 bit integers and, as `<name>.step`, what one of them is worth in each column.
    """
    with np.load(path, allow_pickle=False) as stored:
        weights = {name: stored[name].astype(np.float32) for name in stored.files}
    steps = {name: weights.pop(name) for name in list(weights) if name.endswith(".step")}
    for name, step in steps.items():
        weights[name.removesuffix(".step")] *= step
    return weights


def groups(spectrogram: np.ndarray, size: int) -> np.ndarray:
    """Return groups of frames, [group, frame, band]; the last one is filled up with zeros."""
    return np.pad(spectrogram, ((0, -len(spectrogram) % size), (0, 0))).reshape(-1, size, spectrogram.shape[1])


def front(groups: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Return float32 [group, channel] from groups of frames [group, frame, band], in chunks that bound the memory."""
    x = groups.transpose(0, 2, 1) * weights["front0.scale"] + weights["front0.shift"]  # [group, band, channel]
    out = np.empty((len(x), weights["flatten.weight"].shape[1]), np.float32)
    padded = np.pad(x, ((2, 2), (0, 0), (0, 0)))
    for begin in range(0, len(x), CHUNK):
        part = padded[begin : begin + CHUNK + 4]  # each of the two convolutions needs one group on both sides
        part = np.maximum(_convolve_bands(part, weights["front0.weight"], 8, 4, 2) + weights["front0.bias"], 0)
        part = part * weights["front1.scale"] + weights["front1.shift"]
        # What the second convolution sees outside of the track is zero, as its padding was in the training.
        outside = np.arange(begin - 1, begin - 1 + len(part))
        part[(outside < 0) | (outside >= len(x))] = 0
        part = np.maximum(_convolve_bands(part, weights["front1.weight"], 3, 2, 1) + weights["front1.bias"], 0)
        out[begin : begin + CHUNK] = part.reshape(len(part), -1) @ weights["flatten.weight"] + weights["flatten.bias"]
    return out


def residual(x: np.ndarray, weights: dict[str, np.ndarray], prefix: str = "block") -> np.ndarray:
    """Return what the residual layers of a name make of x [time, channel]. Their dilations are 1, 2, 4, …"""
    for index in range(sum(name.startswith(prefix) and name.endswith(".wide") for name in weights)):
        name = f"{prefix}{index}"
        inner = rectified(x, weights, name)
        inner = np.maximum(_convolve(inner, weights[f"{name}.wide"], 2**index) + weights[f"{name}.wide_bias"], 0)
        x = x + inner @ weights[f"{name}.point"] + weights[f"{name}.point_bias"]
    return x


def rectified(x: np.ndarray, weights: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Normalise x [time, channel], and set what is negative to 0."""
    return np.maximum(x * weights[f"{name}.scale"] + weights[f"{name}.shift"], 0)


def outputs(x: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Return the outputs of each group, float32 [time, output]."""
    return _convolve(rectified(x, weights, "out"), weights["out.weight"], 1) + weights["out.bias"]


def _convolve_bands(x: np.ndarray, kernel: np.ndarray, width: int, stride: int, padding: int) -> np.ndarray:
    """Convolve x [time, band, channel] over three times, which are not padded, and over bands.

    Parameters
    ----------
    kernel : float32 [3 * width * channel, out]
    width, stride, padding : of the convolution over bands

    Returns
    -------
    float32 [time - 2, band / stride, out]
    """
    count, bands = len(x) - 2, x.shape[1] // stride
    padded = np.pad(x, ((0, 0), (padding, padding), (0, 0)))
    taps = [
        padded[time : time + count, band:][:, : stride * bands : stride] for time in range(3) for band in range(width)
    ]
    return (np.concatenate(taps, axis=2).reshape(count * bands, -1) @ kernel).reshape(count, bands, -1)


def _convolve(x: np.ndarray, kernel: np.ndarray, dilation: int) -> np.ndarray:
    """Convolve x [time, channel] with a kernel [tap, channel, out], zero-padded. Returns [time, out]."""
    reach = len(kernel) // 2 * dilation
    padded = np.pad(x, ((reach, reach), (0, 0)))
    return sum(padded[tap * dilation : tap * dilation + len(x)] @ weight for tap, weight in enumerate(kernel))
