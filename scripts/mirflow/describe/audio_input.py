"""The audio that a model gets of a track: mono at 16 kHz, at most as long as the model allows."""

from dataclasses import dataclass

import numpy as np

from mirflow.core.audio import Audio, resample

RATE = 16000  # Hz, of the model's audio encoder
WINDOW_SECONDS = 30  # the encoder's window
WINDOW = WINDOW_SECONDS * RATE  # samples
WINDOW_TOKENS = 750  # of the model's context, for each window
MIN_LENGTH = RATE  # samples; shorter audio is padded with silence: encoders fail on a window of a few samples
MIN_TAIL = RATE // 10  # samples; a shorter rest after the last whole window is left out, for the same reason


@dataclass(frozen=True)
class AudioInput:
    """The audio that a model gets.

    Attributes
    ----------
    samples : float32 [n] at `RATE`, at least `MIN_LENGTH`
    seconds : how much of the track it holds
    cut_off : seconds at the end of the track that it lacks
    silent : whether all samples are zero
    """

    samples: np.ndarray
    seconds: float
    cut_off: float
    silent: bool

    @property
    def windows(self) -> int:
        """The number of windows that the encoder splits it into."""
        return -(-len(self.samples) // WINDOW)


def prepare(audio: Audio, max_seconds: float) -> AudioInput:
    """Convert a track to what a model gets.

    Parameters
    ----------
    max_seconds : anything after that is cut off

    Raises
    ------
    ValueError : there are no samples, or one of them is NaN or infinite
    """
    if audio.samples.shape[1] == 0:
        raise ValueError("the audio is empty")
    length = min(audio.samples.shape[1], int(max_seconds * audio.rate))
    kept = audio.samples[:, :length]
    if not np.isfinite(kept).all():
        at = np.flatnonzero(~np.isfinite(kept).all(axis=0))[0] / audio.rate
        raise ValueError(f"the audio holds a sample that is no number, at {at:.3f} s")
    mono = resample(Audio(kept, audio.rate).mono(), audio.rate, RATE)[: int(max_seconds * RATE)]
    seconds = length / audio.rate
    tail = len(mono) % WINDOW
    if len(mono) > WINDOW and 0 < tail < MIN_TAIL:
        mono = mono[:-tail]
        seconds = len(mono) / RATE
    samples = np.pad(mono, (0, max(0, MIN_LENGTH - len(mono)))).astype(np.float32, copy=False)
    return AudioInput(np.ascontiguousarray(samples), seconds, audio.duration - seconds, not kept.any())
