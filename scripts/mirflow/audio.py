"""Audio as the rest of the project sees it, and reading it from the workflow's own files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mirflow.errors import MirflowError

if TYPE_CHECKING:
    import soundfile


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


# What reads files where their sound is shared between processes: see mirflow.decoded.
sharing: Callable[[str | PathLike], Audio] | None = None


def read(path: str | PathLike) -> Audio:
    """Read a file that the workflow itself wrote (full mix or stem) whole.

    Raises
    ------
    MirflowError : when the file cannot be read, naming it
    """
    return (sharing or decode)(path)


def decode(path: str | PathLike) -> Audio:
    """Read as `read` does, always from the file.

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


@contextmanager
def writing(path: str | PathLike, rate: int, channels: int, **options: object) -> Iterator["soundfile.SoundFile"]:
    """Open a sound file to be written; at its end it is whole, or an exception says why not.

    libsndfile itself keeps silent when the disk is full while it writes the last bytes.

    Parameters
    ----------
    options : of soundfile.SoundFile, `format` among them

    Raises
    ------
    OSError : it could not be written
    soundfile.LibsndfileError : this kind of file cannot hold such samples
    """
    import soundfile

    with open(path, "w+b", buffering=0) as opened:
        watched = _Watched(opened)
        try:
            with soundfile.SoundFile(watched, "w", rate, channels, **options) as file:
                yield file
        finally:
            if watched.error:
                raise watched.error


class _Watched:
    """A file that keeps the first error of its writes: what is raised in a callback of libsndfile is lost."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.error = file, None
        self.seek, self.tell, self.readinto, self.flush = file.seek, file.tell, file.readinto, file.flush

    def write(self, content: bytes) -> int:
        """Write all, or note why that is impossible."""
        rest = memoryview(content)
        try:
            while rest and not self.error:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            self.error = error
        return len(content)


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Resample along the last axis with soxr, quality VHQ: float32 [..., n] → float32 [..., n * target / rate]."""
    if rate == target or samples.shape[-1] == 0:
        return samples
    import soxr

    flat = samples.reshape(-1, samples.shape[-1]).T
    resampled = soxr.resample(flat, rate, target, quality="VHQ").T
    return np.ascontiguousarray(resampled.reshape(*samples.shape[:-1], -1), dtype=np.float32)
