"""Audio as the rest of the project sees it, and reading it from the workflow's own files."""

from dataclasses import dataclass
from os import PathLike

import numpy as np

from mirflow.errors import MirflowError


@dataclass(frozen=True)
class Audio:
    """Decoded audio.

    Attributes
    ----------
    samples : float32 [channel, n], full scale is ±1
    rate : sampling rate in Hz
    """

    samples: np.ndarray
    rate: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 2:
            raise ValueError(f"samples must be [channel, n], got shape {self.samples.shape}")

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / self.rate

    @property
    def is_silent(self) -> bool:
        """Whether every sample is zero."""
        return not self.samples.any()

    def mono(self) -> np.ndarray:
        """Return the mean of the channels, float32 [n]."""
        return self.samples.mean(axis=0, dtype=np.float32) if len(self.samples) > 1 else self.samples[0]


def read(path: str | PathLike) -> Audio:
    """Read a file that the workflow itself wrote (full mix or stem) whole.

    Raises
    ------
    MirflowError : when the file cannot be read, naming it
    """
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise MirflowError(f"{path}: cannot be read as audio ({error})") from error
    return Audio(np.ascontiguousarray(samples.T), rate)


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Resample along the last axis with soxr, quality VHQ: float32 [..., n] → float32 [..., n * target / rate]."""
    if rate == target or samples.shape[-1] == 0:
        return samples
    import soxr

    flat = samples.reshape(-1, samples.shape[-1]).T
    resampled = soxr.resample(flat, rate, target, quality="VHQ").T
    return np.ascontiguousarray(resampled.reshape(*samples.shape[:-1], -1), dtype=np.float32)
