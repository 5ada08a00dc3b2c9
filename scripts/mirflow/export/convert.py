"""The sound of an item in the form that a trainer wants: the file itself where it has that form, else a new one."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mirflow.core import audio
from mirflow.dsp.separation.channels import fold_down
from mirflow.export.items import Item

if TYPE_CHECKING:
    import soundfile

VERSION = 1  # raise it when other samples come out
BLOCK = 1 << 17  # frames
CHANNELS = 2
FULL_SCALE = 1 << 23  # of 24 bit


@dataclass(frozen=True)
class Form:
    """What a trainer wants: stereo FLAC.

    Attributes
    ----------
    rate : sampling rate in Hz
    multiple : of which the number of frames is one; what is over is cut off at the end
    """

    rate: int
    multiple: int = 1

    def frames(self, item: Item) -> int:
        """Return how many frames an item has in this form."""
        return round(item.frames * self.rate / item.rate) // self.multiple * self.multiple

    def is_met(self, item: Item) -> bool:
        """Whether the item's own file has this form."""
        return (
            item.sound.suffix == ".flac"
            and (item.rate, item.channels) == (self.rate, CHANNELS)
            and item.frames % self.multiple == 0
        )


def put(item: Item, target: Path, form: Form, copy: bool = False) -> float:
    """Put the sound of an item into a file, in a form.

    A file that has the form is linked (a hard link, which stays whole when either name is moved or removed), or copied
    on request and where the disk is another one. In all other cases the samples are resampled (soxr, VHQ), surround
    sound is mixed down (ITU-R BS.775), and mono goes to both channels. What would exceed full scale then is attenuated
    as a whole.

    Returns
    -------
    the gain of that attenuation in dB, 0 without one

    Raises
    ------
    OSError, soundfile.LibsndfileError : the sound cannot be read, or the file cannot be written
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if form.is_met(item):
        if copy or not linked(item.sound, target):
            shutil.copyfile(item.sound, target)
        return 0.0
    gain = 1.0
    peak = _write(item, target, form, gain)
    if peak > 1:
        gain = (FULL_SCALE - 1) / FULL_SCALE / peak
        _write(item, target, form, gain)
    return 20 * log10(gain) if gain != 1.0 else 0.0


def linked(existing: Path, name: Path) -> bool:
    """Give a file a second name, if the file system can."""
    try:
        os.link(existing, name)
    except OSError:
        return False
    return True


def _write(item: Item, target: Path, form: Form, gain: float) -> float:
    """Write a FLAC file of 16 bits where the samples stay those of one, else of 24; return the peak before the gain."""
    import soundfile

    with soundfile.SoundFile(item.sound) as source:
        same = item.rate == form.rate and item.channels <= CHANNELS and source.format == "FLAC"
        subtype = "PCM_16" if same and source.subtype in ("PCM_16", "PCM_S8") else "PCM_24"
        peak, left = 0.0, form.frames(item)
        with audio.open_for_writing(target, form.rate, CHANNELS, format="FLAC", subtype=subtype) as file:
            for block in _resampled(_stereo(source, item.layout), item.rate, form.rate):
                block = block[:left]
                peak = max(peak, float(np.abs(block).max(initial=0)))
                # As integers, since libsndfile would scale floats by another factor than it does when it reads them.
                # What stands beyond full scale is written again, with a gain.
                levels = np.clip(np.rint(block * np.float64(gain * FULL_SCALE)), -FULL_SCALE, FULL_SCALE - 1)
                file.write(levels.astype(np.int32) << 8)
                left -= len(block)
            if left:  # a decoder may give a few frames fewer than it has announced
                file.write(np.zeros((left, CHANNELS), np.float32))
    return peak


def _stereo(source: "soundfile.SoundFile", layout: tuple[str, ...]) -> Iterator[np.ndarray]:
    """Yield the samples of an open file as float32 [n, 2]."""
    for block in source.blocks(blocksize=BLOCK, dtype="float32", always_2d=True):
        folded = fold_down(block.T, layout)
        yield np.ascontiguousarray(np.repeat(folded, CHANNELS, axis=0).T if len(folded) == 1 else folded.T)


def _resampled(blocks: Iterator[np.ndarray], rate: int, target: int) -> Iterator[np.ndarray]:
    """Yield blocks at another rate."""
    if rate == target:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate, target, CHANNELS, dtype="float32", quality="VHQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros((0, CHANNELS), np.float32), last=True)
