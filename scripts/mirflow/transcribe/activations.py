"""Drum activations: how likely each drum is hit in each frame of a track, and their file format."""

import io
import zipfile
from dataclasses import dataclass, field
from os import PathLike

import numpy as np

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.layout import DRUM_STEMS

DRUMS = DRUM_STEMS  # the order of all arrays [..., drum]
FRAME_RATE = 100  # frames/s, of all backends


@dataclass(frozen=True)
class DrumActivations:
    """The output of a backend for each frame. Frame k is at k / `FRAME_RATE` seconds.

    Attributes
    ----------
    hits : float32 [frame, drum] in [0, 1], how likely each of `DRUMS` is hit
    duration : of the track, in seconds
    velocities : float32 [frame, drum] in [0, 1], how hard it is hit there, where 1 is as hard as MIDI allows; empty for
        backends that estimate none
    """

    hits: np.ndarray
    duration: float
    velocities: np.ndarray = field(default_factory=lambda: np.zeros((0, len(DRUMS)), np.float32))

    def save(self, path: str | PathLike) -> None:
        """Write an .npz file atomically. Equal activations give equal bytes."""
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            hits=np.asarray(self.hits, np.float32),
            velocities=np.asarray(self.velocities, np.float32),
            drums=np.array(DRUMS),
            frame_rate=np.float64(FRAME_RATE),
            duration=np.float64(self.duration),
        )
        artifacts.write_bytes(path, stream.getvalue())

    @staticmethod
    def load(path: str | PathLike) -> "DrumActivations":
        """Read a file that `save` wrote.

        Raises
        ------
        MirflowError : the file holds no drum activations; the message names it
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                hits, velocities = stored["hits"], stored["velocities"]
                duration = float(stored["duration"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise MirflowError(f"{path}: not drum activations ({error})") from error
        if hits.ndim != 2 or hits.shape[1] != len(DRUMS) or velocities.shape not in (hits.shape, (0, len(DRUMS))):
            raise MirflowError(f"{path}: not drum activations (shapes {hits.shape}, {velocities.shape})")
        if not np.isfinite(hits).all() or not np.isfinite(velocities).all():
            raise MirflowError(f"{path}: drum activations must be finite")
        return DrumActivations(hits, duration, velocities)
