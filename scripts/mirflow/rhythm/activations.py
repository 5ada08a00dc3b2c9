"""Beat activations: the probabilities of a beat and of a downbeat in each frame of a track, and their file format."""

import zipfile
from dataclasses import dataclass, field
from os import PathLike

import numpy as np

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError

FASTEST_BPM, SLOWEST_BPM = 250, 40  # beats per minute
# Probabilities are clipped to [FLOOR, 1 - FLOOR], so that no single frame can rule out a path of the decoder.
FLOOR = 0.01


@dataclass(frozen=True)
class Activations:
    """The output of a backend for each frame. Frame k is at k / frame_rate seconds.

    Attributes
    ----------
    beat : float32 [frame] in [0, 1], probability of a beat, downbeats included
    downbeat : float32 [frame] in [0, 1], probability of a downbeat
    frame_rate : frames/s
    tempo : float32 [window, interval], evidence for each beat interval of `beat_intervals(frame_rate)` in windows of
        equal length, in nats per second; empty for backends that estimate no tempo
    prior : nats, log odds of a beat in an average frame. What exceeds them is evidence for a beat
    """

    beat: np.ndarray
    downbeat: np.ndarray
    frame_rate: float
    tempo: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    prior: float = 0.0

    def save(self, path: str | PathLike) -> None:
        """Write an .npz file atomically. Equal activations give equal bytes."""
        arrays = {"beat": self.beat, "downbeat": self.downbeat, "tempo": self.tempo}
        arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        numbers = {"frame_rate": self.frame_rate} | ({"prior": self.prior} if self.prior else {})
        artifacts.write_arrays(path, arrays | {name: np.array(value, np.float64) for name, value in numbers.items()})

    @staticmethod
    def load(path: str | PathLike) -> "Activations":
        """Read a file that `save` wrote.

        Raises
        ------
        MirflowError : the file holds no activations; the message names it
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in ("beat", "downbeat", "tempo")}
                prior = float(stored["prior"]) if "prior" in stored else 0.0
                return Activations(**arrays, frame_rate=float(stored["frame_rate"]), prior=prior)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise MirflowError(f"{path}: not beat activations ({error})") from error


def beat_intervals(frame_rate: float) -> np.ndarray:
    """Return all beat intervals in whole frames between `FASTEST_BPM` and `SLOWEST_BPM`, ascending, int64 [interval].

    Parameters
    ----------
    frame_rate : frames/s
    """
    return np.arange(int(np.floor(60 * frame_rate / FASTEST_BPM)), int(np.ceil(60 * frame_rate / SLOWEST_BPM)) + 1)
