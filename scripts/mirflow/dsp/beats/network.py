"""The beat network: log odds of a beat and of a downbeat in each frame, and the tempo, from a log-mel spectrogram.

The programs in training/ made its weights (network.npz); training/README.md says from what.
"""

from functools import cache
from pathlib import Path

import numpy as np

from mirflow.dsp import layers

TEMPI = 40 * 2 ** (np.arange(32) / 12)  # beats per minute of the tempo scores: semitones, from 40 to 240
GROUP = 4  # frames that the network reads at once: its layers have a quarter of the frame rate
POOL = 4  # groups that the attention reads at once
HEADS = 4
LONGEST_PERIOD = 500  # steps of the attention: the slowest rotation by distance
REACH = 192  # steps before and after, 31 s, that the attention sees: as many as in the training
CHUNK = 256  # steps whose scores are in memory at the same time


@cache
def weights() -> dict[str, np.ndarray]:
    """Return the weights, name → float32. Names are those of the layers in training/beat_net.py."""
    return layers.load(Path(__file__).with_suffix(".npz"))


def run(mel: np.ndarray, weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Evaluate the network.

    Two convolutions over time and frequency read groups of frames, so all that follows has a quarter of the frame
    rate. Residual layers with dilated convolutions see 40 s on both sides; three layers of attention, at a quarter of
    that rate, compare what was found with the 31 s before and after; two residual layers follow. The outputs have the
    frame rate of the input again.

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
    x = layers.residual(x + _compared(x, weights), weights, "last")
    scores = layers.rectified(x, weights, "tempo") @ weights["tempo.weight"] + weights["tempo.bias"]
    tempo = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return layers.outputs(x, weights).reshape(-1, 2)[: len(mel)], tempo


def _compared(x: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Return what the layers of attention find in x [group, channel]: float32 [group, channel]."""
    pooled = layers.groups(layers.rectified(x, weights, "narrow"), POOL)
    state = pooled.reshape(len(pooled), -1) @ weights["narrow.weight"] + weights["narrow.bias"]
    for index in range(sum(name.endswith(".ask") for name in weights)):
        name = f"attention{index}"
        asked = _normalised(state, weights, name) @ weights[f"{name}.ask"] + weights[f"{name}.ask_bias"]
        state = state + _attended(*np.split(asked, 3, axis=1)) @ weights[f"{name}.answer"]
        state = state + weights[f"{name}.answer_bias"]
        inner = _normalised(state, weights, f"{name}.wide") @ weights[f"{name}.wide_weight"]
        inner = np.maximum(inner + weights[f"{name}.wide_bias"], 0)
        state = state + inner @ weights[f"{name}.point"] + weights[f"{name}.point_bias"]
    wide = _normalised(state, weights, "widen") @ weights["widen.weight"]
    return (wide.reshape(-1, x.shape[1]) + weights["widen.bias"])[: len(x)]


def _normalised(state: np.ndarray, weights: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Normalise each row of state [step, number] (Ba et al. 2016)."""
    centred = state - state.mean(axis=1, keepdims=True)
    variance = np.square(centred).mean(axis=1, keepdims=True)
    return centred / np.sqrt(variance + np.float32(1e-5)) * weights[f"{name}.scale"] + weights[f"{name}.shift"]


def _attended(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the attention of each step to those within `REACH` (Vaswani et al. 2017), with rotary positions.

    Parameters
    ----------
    query, key, value : float32 [step, number], the numbers of each head side by side

    Returns
    -------
    float32 [step, number]
    """
    query, key, value = (part.reshape(len(part), HEADS, -1).transpose(1, 0, 2) for part in (query, key, value))
    query, key = _rotated(query), _rotated(key)
    out = np.empty_like(value)
    steps = np.arange(value.shape[1])
    for begin in range(0, len(steps), CHUNK):
        inside = slice(begin, begin + CHUNK)
        seen = slice(max(begin - REACH, 0), begin + CHUNK + REACH)
        scores = query[:, inside] @ key[:, seen].transpose(0, 2, 1) / np.float32(np.sqrt(key.shape[2]))
        scores[:, np.abs(steps[inside, None] - steps[seen]) > REACH] = -np.inf
        scores = np.exp(scores - scores.max(axis=2, keepdims=True))
        out[:, inside] = (scores / scores.sum(axis=2, keepdims=True)) @ value[:, seen]
    return out.transpose(1, 0, 2).reshape(len(steps), -1)


def _rotated(x: np.ndarray) -> np.ndarray:
    """Rotate pairs of numbers of x [head, step, number] by angles that grow with the step (Su et al. 2021)."""
    half = x.shape[2] // 2
    rate = np.pi * (LONGEST_PERIOD / 2) ** (-np.arange(half) / (half - 1))
    angle = np.arange(x.shape[1])[:, None] * rate
    cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    one, other = x[..., :half], x[..., half:]
    return np.concatenate([one * cosine - other * sine, one * sine + other * cosine], axis=2)
