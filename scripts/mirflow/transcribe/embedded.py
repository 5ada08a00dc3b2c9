"""Backend `embedded`: drum activations by the network that is a part of mirflow.

The programs in training/ made its weights (embedded.npz); training/README.md says from what.
"""

from collections.abc import Sequence
from functools import cache
from os import PathLike
from pathlib import Path

import numpy as np

from mirflow.core import audio
from mirflow.core.audio import Audio
from mirflow.dsp import layers, mel
from mirflow.transcribe.activations import DRUMS

VERSION = 2  # of the activations; raise it when their values change
# Of the peaks of the activations, above their local mean. They were chosen by hand on eight rendered pieces
# (docs/transcription.md): the set for early stopping has fainter hits, and wants lower ones for hi-hats and cymbals.
# That of toms is from this set, since the eight pieces have eight toms.
THRESHOLDS = {"kick": 0.48, "snare": 0.5, "tom": 0.5, "hihat": 0.42, "cymbal": 0.5}
WITH_MIX = True

RATE = 44100  # Hz
FRAME = 2048  # samples
HOP = 441  # samples: 100 frames/s
BANDS = 80
LOWEST, HIGHEST = 30.0, 16000.0  # Hz
GAIN = 3000.0  # of the magnitude in log10(1 + gain * magnitude): how much quiet sounds count
GROUP = 2  # frames that the network reads at once: its layers have half of the frame rate
# Samples. Attacks of sampled drums are not instant, so the network, which learnt from these, places hits as much before
# instant ones. Chosen between those and the set for early stopping.
EARLY = 44
BLOCK = 128  # frames that are transformed at a time, to limit memory


@cache
def filters() -> np.ndarray:
    """Return triangular mel filters, float32 [bin, band], each with the sum 1."""
    weights, _ = mel.triangles(RATE, FRAME, BANDS, LOWEST, HIGHEST)
    return (weights / weights.sum(axis=0)).astype(np.float32)


def spectrogram(samples: np.ndarray) -> np.ndarray:
    """Return the network's input, log10(1 + `GAIN` * magnitude) of mel bands: float32 [frame, band].

    Frame k is centred on sample k * `HOP`; there are zeros before the first sample and after the last one.

    Parameters
    ----------
    samples : float32 [n] at `RATE`
    """
    from scipy.fft import rfft

    window = np.hanning(FRAME + 1)[:-1].astype(np.float32) * (2 / FRAME)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, FRAME // 2), FRAME)[::HOP]
    levels = np.empty((len(frames), BANDS), np.float32)
    for begin in range(0, len(frames), BLOCK):
        magnitude = np.abs(rfft(frames[begin : begin + BLOCK] * window))
        levels[begin : begin + BLOCK] = np.log10(1 + np.float32(GAIN) * (magnitude @ filters()))
    return levels


def load(files: Sequence[str | PathLike] = (), device: str = "cpu") -> dict[str, np.ndarray]:
    """Return the weights, name → float32. Names are those of the layers in training/drum_net.py.

    Parameters
    ----------
    files, device : of other backends; these weights are a part of mirflow, and the network runs on the CPU
    """
    return layers.load(Path(__file__).with_suffix(".npz"))


def hits(drums: Audio, network: dict[str, np.ndarray]) -> np.ndarray:
    """Estimate how likely each drum is hit in each frame.

    Parameters
    ----------
    drums : drums, or music with drums, at the level of `hearing`; samples float32 [channel, n]
    network : from `load`

    Returns
    -------
    float32 [frame, drum] in [0, 1], 100 frames/s
    """
    samples = audio.resample(drums.mono(), drums.rate, RATE)
    frames = len(samples) // HOP + 1
    return run(spectrogram(np.pad(samples, (EARLY, 0)))[:frames], network)


def run(levels: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Evaluate the network.

    Two convolutions over time and frequency read groups of frames, so all that follows has half of the frame rate.
    Residual layers with dilated convolutions see 5 s on both sides. The outputs have the frame rate of the input again.

    Parameters
    ----------
    levels : float32 [frame, band], from `spectrogram`
    weights : from `load`

    Returns
    -------
    float32 [frame, drum] in [0, 1]
    """
    x = layers.residual(layers.front(layers.groups(levels, GROUP), weights), weights)
    odds = layers.outputs(x, weights).reshape(-1, len(DRUMS))[: len(levels)]
    return 1 / (1 + np.exp(-odds))
