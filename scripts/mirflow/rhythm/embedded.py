"""Backend `embedded`: beat activations by the network that is a part of mirflow."""

from dataclasses import replace

import numpy as np

from mirflow.core import audio
from mirflow.core.audio import Audio
from mirflow.dsp.beats import log_mel, network
from mirflow.rhythm.activations import Activations, beat_intervals

VERSION = 5  # of the activations; raise it when their values change
# A frame is rarely a beat, so log odds are below 0 wherever the network is not sure. What exceeds this constant is
# evidence for a beat. It and the weight were chosen with `training.beat_constants`.
BEAT_PRIOR = -1.5  # nats
TEMPO_WEIGHT = 1.5  # nats per second, times the log of the tempo's probability over the average one
TEMPO_WINDOW = 1.0  # s
# Where double, half or a third of the tempo explains the music as well, the one nearer to the usual tempo is meant.
USUAL_TEMPO, TEMPO_SPREAD = 110.0, 0.5  # beats per minute, standard deviation of its logarithm
USUAL_WEIGHT = 3.0  # nats per second, times the log of the usual tempo's bell
LONGEST_BREAK = 2.0  # s; beats continue through a silence up to this duration, and stop at a longer one


def activations(full_mix: Audio) -> Activations:
    """Estimate beat and downbeat activations with the network of `mirflow.dsp.beats.network`.

    Parameters
    ----------
    full_mix : the whole track, samples float32 [channel, n]

    Returns
    -------
    activations at `log_mel.FRAME_RATE`, with tempo evidence; zero in silence
    """
    samples = audio.resample(full_mix.mono(), full_mix.rate, log_mel.RATE)
    mel = log_mel.log_mel(samples)
    if not mel.any():
        zeros = np.zeros(len(mel), np.float32)
        return Activations(zeros, zeros, log_mel.FRAME_RATE)
    found, sounding = from_outputs(*network.run(mel, network.weights())), is_music(mel)
    return replace(found, beat=found.beat * sounding, downbeat=found.downbeat * sounding)


def is_music(mel: np.ndarray) -> np.ndarray:
    """Return which frames belong to the music, bool [frame]: audible frames, and breaks up to `LONGEST_BREAK`."""
    from scipy.ndimage import binary_closing

    level = 10 ** mel.max(axis=1) - 1
    half_break = round(LONGEST_BREAK * log_mel.FRAME_RATE / 2)
    audible = np.pad(level > level.max() * 10 ** (-log_mel.SILENCE_DB / 20), half_break)
    return binary_closing(audible, np.ones(2 * half_break + 1))[half_break : half_break + len(mel)]


def from_outputs(odds: np.ndarray, tempo: np.ndarray) -> Activations:
    """Return the activations that the outputs of `network.run` stand for."""
    beat, downbeat = 1 / (1 + np.exp(-odds.T))
    share = np.clip(downbeat / np.maximum(beat, 1e-6), 0, 1)  # probability that a beat here is a downbeat
    return Activations(beat, beat * share, log_mel.FRAME_RATE, tempo_evidence(tempo), BEAT_PRIOR)


def tempo_evidence(tempo: np.ndarray) -> np.ndarray:
    """Return the evidence for each beat interval of the decoder.

    Parameters
    ----------
    tempo : float32 [group of frames, tempo], log probability of each of `network.TEMPI`

    Returns
    -------
    float32 [window, interval], nats per second
    """
    window = round(TEMPO_WINDOW * log_mel.FRAME_RATE / network.GROUP)
    count = -(-len(tempo) // window)
    padded = np.pad(np.exp(tempo), ((0, count * window - len(tempo)), (0, 0)), mode="edge")
    share = padded.reshape(count, window, -1).mean(axis=1)
    intervals = beat_intervals(log_mel.FRAME_RATE)
    position = np.log2(60 * log_mel.FRAME_RATE / intervals / network.TEMPI[0]) * 12
    evidence = np.log(np.maximum(share * len(network.TEMPI), 1e-2))
    columns = np.arange(len(network.TEMPI))
    usual = -0.5 * USUAL_WEIGHT * (np.log(60 * log_mel.FRAME_RATE / intervals / USUAL_TEMPO) / TEMPO_SPREAD) ** 2
    return np.stack([TEMPO_WEIGHT * np.interp(position, columns, row) + usual for row in evidence]).astype(np.float32)
