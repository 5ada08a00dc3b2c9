"""The beat network: log odds of a beat and of a downbeat in each frame, and the tempo, from a log-mel spectrogram.

The programs in training/ made its weights (network.npz); training/README.md says from what.
"""

from functools import cache
from pathlib import Path

import numpy as np

from mirflow.dsp.beats.log_mel import BANDS

TEMPI = 40 * 2 ** (np.arange(32) / 12)  # beats per minute of the tempo scores: semitones, from 40 to 240
GROUP = 4  # frames that the network reads at once: its layers have a quarter of the frame rate
CHUNK = 512  # groups of frames whose patches are in memory at the same time


@cache
def weights() -> dict[str, np.ndarray]:
    """Return the weights, name → float32. Names are those of the layers in training/beat_net.py."""
    with np.load(Path(__file__).with_suffix(".npz"), allow_pickle=False) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}


def run(mel: np.ndarray, weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Evaluate the network.

    Two convolutions over time and frequency read groups of frames, so all that follows has a quarter of the frame
    rate. Residual layers with dilated convolutions see 40 s on both sides. The outputs have the frame rate of the input
    again.

    Parameters
    ----------
    mel : float32 [frame, band], from `log_mel`
    weights : from `weights`

    Returns
    -------
    odds : float32 [frame, 2], log odds of a beat and of a downbeat
    tempo : float32 [group of frames, tempo], log probability of each of `TEMPI`
    """
    frames = len(mel)
    x = _front(np.pad(mel, ((0, -frames % GROUP), (0, 0))).reshape(-1, GROUP, BANDS), weights)
    for index in range(sum(name.endswith(".wide") for name in weights)):
        name = f"block{index}"
        inner = _rectified(x, weights[f"{name}.scale"], weights[f"{name}.shift"])
        inner = np.maximum(_convolve(inner, weights[f"{name}.wide"], 2**index) + weights[f"{name}.wide_bias"], 0)
        x = x + inner @ weights[f"{name}.point"] + weights[f"{name}.point_bias"]
    inner = _rectified(x, weights["out.scale"], weights["out.shift"])
    odds = _convolve(inner, weights["out.weight"], 1) + weights["out.bias"]
    scores = (
        _rectified(x, weights["tempo.scale"], weights["tempo.shift"]) @ weights["tempo.weight"] + weights["tempo.bias"]
    )
    tempo = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return odds.reshape(-1, 2)[:frames], tempo


def _front(groups: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
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


def _rectified(x: np.ndarray, scale, shift) -> np.ndarray:
    return np.maximum(x * scale + shift, 0)
