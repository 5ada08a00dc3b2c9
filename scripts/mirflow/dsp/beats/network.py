"""The beat network: log odds of a beat and of a downbeat in each frame, and the tempo, from a log-mel spectrogram.

The programs in training/ made its weights (network.npz); training/README.md says from what.
"""

from functools import cache
from pathlib import Path

import numpy as np

from mirflow.dsp import layers

TEMPI = 40 * 2 ** (np.arange(32) / 12)  # beats per minute of the tempo scores: semitones, from 40 to 240
GROUP = 4  # frames that the network reads at once: its layers have a quarter of the frame rate


@cache
def weights() -> dict[str, np.ndarray]:
    """Return the weights, name → float32. Names are those of the layers in training/beat_net.py."""
    return layers.load(Path(__file__).with_suffix(".npz"))


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
    x = layers.residual(layers.front(layers.groups(mel, GROUP), weights), weights)
    scores = layers.rectified(x, weights, "tempo") @ weights["tempo.weight"] + weights["tempo.bias"]
    tempo = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return layers.outputs(x, weights).reshape(-1, 2)[: len(mel)], tempo
