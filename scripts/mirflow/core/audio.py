"""Decoded audio: reading and writing the workflow's own audio files, and resampling."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mirflow.core import downmix
from mirflow.core.errors import MirflowError

if TYPE_CHECKING:
    import soundfile


@dataclass(frozen=True)
class Audio:
    """Decoded audio.

    Attributes
    ----------
    samples : float32 [channel, n]; full scale is ±1
    rate : sampling rate in Hz
    layout : the positions of the channels (`mirflow.core.channels`) where the source states them, otherwise empty

    Raises
    ------
    ValueError : the samples are not two-dimensional
    """

    samples: np.ndarray
    rate: int
    layout: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.samples.ndim != 2:
            raise ValueError(f"samples must be [channel, n], got shape {self.samples.shape}")

    @property
    def duration(self) -> float:
        """The duration in seconds."""
        return self.samples.shape[1] / self.rate

    @property
    def is_silent(self) -> bool:
        """Whether every sample is zero."""
        return not self.samples.any()

    @cached_property
    def downmix(self) -> np.ndarray | None:
        """The weight of each channel in `mono`, float64 [channel]; None where it is the mean of all channels.

        Channels that cancel each other in the mean, as where one of two is inverted, get other weights
        (`mirflow.core.downmix`).
        """
        return downmix.weights(self.samples, self.rate)

    @property
    def is_mixed_down(self) -> bool:
        """Whether somebody asked for `downmix`, and it is not the mean."""
        return self.__dict__.get("downmix") is not None

    def mono(self) -> np.ndarray:
        """Return the one channel that is analysed where a quantity is of no single channel, float32 [n].

        It is the mean of all channels, unless these cancel each other there (see `downmix`).
        """
        if len(self.samples) == 1:
            return self.samples[0]
        if self.downmix is None:
            return self.samples.mean(axis=0, dtype=np.float32)
        return self.downmix.astype(np.float32) @ self.samples


# `read` calls this function instead of `decode` in processes that share decoded audio (see mirflow.warm.audio_cache).
shared_decode: Callable[[str | PathLike], Audio] | None = None


def read(path: str | PathLike) -> Audio:
    """Read a whole audio file that the workflow wrote (the full mix or a stem).

    The result may come from a cache that several processes share.

    Raises
    ------
    MirflowError : the file cannot be read; the message names it
    """
    return (shared_decode or decode)(path)


def decode(path: str | PathLike) -> Audio:
    """Read a whole audio file from the disk, without a cache.

    Raises
    ------
    MirflowError : the file cannot be read; the message names it
    """
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise MirflowError(f"{path}: cannot be read as audio ({error})") from error
    return Audio(np.ascontiguousarray(samples.T), rate)


@contextmanager
def open_for_writing(
    path: str | PathLike, rate: int, channels: int, **options: object
) -> Iterator["soundfile.SoundFile"]:
    """Open an audio file for writing, as a context manager. At its end the file is complete, or an exception is raised.

    libsndfile reports no error when the disk becomes full while it writes the last bytes. This function does.

    Parameters
    ----------
    rate : Hz
    channels : number of channels
    options : keyword arguments of soundfile.SoundFile, such as `format` and `subtype`

    Yields
    ------
    the open file

    Raises
    ------
    OSError : the file could not be written
    soundfile.LibsndfileError : the format cannot store audio with this rate or number of channels
    """
    import soundfile

    with open(path, "w+b", buffering=0) as raw_file:
        checked_file = _CheckedFile(raw_file)
        try:
            with soundfile.SoundFile(checked_file, "w", rate, channels, **options) as file:
                yield file
        finally:
            if checked_file.error:
                raise checked_file.error


class _CheckedFile:
    """A file object that keeps its first write error, because libsndfile loses exceptions raised in its callbacks."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.error = file, None
        self.seek, self.tell, self.readinto, self.flush = file.seek, file.tell, file.readinto, file.flush

    def write(self, content: bytes) -> int:
        """Write all of `content`, or keep the error. libsndfile is always told that the write succeeded."""
        remaining = memoryview(content)
        try:
            while remaining and not self.error:
                remaining = remaining[self.file.write(remaining) :]
        except OSError as error:
            self.error = error
        return len(content)


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Resample along the last axis with soxr, quality VHQ.

    Parameters
    ----------
    samples : float32 [..., n]
    rate, target : sampling rates in Hz, before and after

    Returns
    -------
    float32 [..., n * target / rate]
    """
    if rate == target or samples.shape[-1] == 0:
        return samples
    import soxr

    flat = samples.reshape(-1, samples.shape[-1]).T
    resampled = soxr.resample(flat, rate, target, quality="VHQ").T
    return np.ascontiguousarray(resampled.reshape(*samples.shape[:-1], -1), dtype=np.float32)
