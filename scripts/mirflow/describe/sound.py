"""What a model hears of a track: mono at 16 kHz, as long as it can take."""

from dataclasses import dataclass

import numpy as np

from mirflow.audio import Audio, resample

RATE = 16000  # Hz, of the model's encoder
WINDOW_SECONDS = 30  # the encoder's window
WINDOW = WINDOW_SECONDS * RATE  # samples
WINDOW_TOKENS = 750  # that a window takes of the model's context
SHORTEST = RATE  # samples; shorter sounds are filled up with silence: a window of nearly nothing breaks the encoders
LEAST_TAIL = RATE // 10  # samples; less than this behind the last whole window is left out, for the same reason


@dataclass(frozen=True)
class Sound:
    """What is played to the model.

    Attributes
    ----------
    samples : float32 [n] at `RATE`, at least `SHORTEST`
    seconds : of the track that are in it
    cut_off : seconds at the end of the track that are not
    silent : whether nothing is heard at all
    """

    samples: np.ndarray
    seconds: float
    cut_off: float
    silent: bool

    @property
    def windows(self) -> int:
        """How many windows the encoder makes of it."""
        return -(-len(self.samples) // WINDOW)


def prepare(audio: Audio, most_seconds: float) -> Sound:
    """Make of a track what a model hears.

    Parameters
    ----------
    most_seconds : what comes later is cut off

    Raises
    ------
    ValueError : when there are no samples, or one is not finite
    """
    if audio.samples.shape[1] == 0:
        raise ValueError("the audio is empty")
    kept = min(audio.samples.shape[1], int(most_seconds * audio.rate))
    heard = audio.samples[:, :kept]
    if not np.isfinite(heard).all():
        at = np.flatnonzero(~np.isfinite(heard).all(axis=0))[0] / audio.rate
        raise ValueError(f"the audio holds a sample that is no number, at {at:.3f} s")
    mono = resample(Audio(heard, audio.rate).mono(), audio.rate, RATE)[: int(most_seconds * RATE)]
    seconds = kept / audio.rate
    tail = len(mono) % WINDOW
    if len(mono) > WINDOW and 0 < tail < LEAST_TAIL:
        mono = mono[:-tail]
        seconds = len(mono) / RATE
    samples = np.pad(mono, (0, max(0, SHORTEST - len(mono)))).astype(np.float32, copy=False)
    return Sound(np.ascontiguousarray(samples), seconds, audio.duration - seconds, not heard.any())
