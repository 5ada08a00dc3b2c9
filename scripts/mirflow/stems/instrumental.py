"""The instrumental: the mix without its vocals, which is the sum of the other stems."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from mirflow.core import artifacts
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.stems import files

VERSION = 1  # raise it when values change


def without_vocals(stems: Sequence[Audio], gain_db: float = 0.0) -> Audio:
    """Return the sum of the stems, at its level in the mix.

    Parameters
    ----------
    stems : drums, bass and other, samples float32 [channel, n]
    gain_db : by which the stems were attenuated when they were written

    Raises
    ------
    MirflowError : the stems differ in rate, channels or length
    """
    if len({(stem.rate, stem.samples.shape) for stem in stems}) != 1:
        raise MirflowError("the stems differ in rate, channels or length")
    total = np.sum([stem.samples for stem in stems], axis=0, dtype=np.float32)
    return Audio(total * np.float32(10 ** (-gain_db / 20)), stems[0].rate)


def write(sound: Audio, path: str | PathLike, format: str, bitrate: int) -> None:
    """Write it as stems are written: beyond full scale it is attenuated where the format cannot hold that."""
    peak = float(np.abs(sound.samples).max(initial=0.0))
    gain = np.float32(1.0 if format == "wav" or peak <= 1 else 1 / peak)
    with artifacts.atomic_write(path) as temporary:
        files.encode(temporary, sound.samples, sound.rate, gain, format, bitrate, label=Path(path))
