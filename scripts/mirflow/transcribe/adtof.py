"""Backend `adtof`: drum activations by ADTOF's network Frame_RNN, from a local file of weights.

The spectrogram and the network are those of its port to PyTorch, whose weights are used: log-frequency bands, two
convolutional blocks, three bidirectional GRUs.

Source: Zehren, Alunno & Bientinesi 2021, ADTOF: a large dataset of non-synthetic music for automatic drum
transcription, ISMIR; and 2023, High-quality and reproducible automatic drum transcription from crowdsourced data,
Signals 4. The port: Riley, github.com/xavriley/ADTOF-pytorch
"""

import math
from collections.abc import Sequence
from functools import cache
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from mirflow.core import audio
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.models import accelerator
from mirflow.transcribe.activations import DRUMS

if TYPE_CHECKING:
    import torch

VERSION = 1  # of the activations; raise it when their values change
# Of the peaks of the activations, above their local mean; as published
THRESHOLDS = {"kick": 0.22, "snare": 0.24, "tom": 0.32, "hihat": 0.22, "cymbal": 0.30}
WITH_MIX = False

RATE = 44100  # Hz
FRAME = 2048  # samples
HOP = 441  # samples: 100 frames/s
BANDS_PER_OCTAVE = 12
LOWEST, HIGHEST = 20.0, 20000.0  # Hz
BANDS = 84  # that remain of these, since low bands have no bin of their own
FILTERS = (32, 64)  # of the convolutional blocks
POOLED = 3  # bands that a block makes one of
UNITS = 60  # of each direction of each GRU
LAYERS = 3  # GRUs
# The convolutions see a track in pieces, to limit memory, with a margin of as many frames as they reach. The GRUs
# remember more than a minute, so they get the whole track.
PIECE, MARGIN = 3000, 2 * len(FILTERS)  # frames
BLOCK = 1000  # frames that are transformed at a time, to limit memory


@cache
def filter_bank() -> np.ndarray:
    """Return triangular bands on a logarithmic frequency axis, each with the sum 1: float32 [bin, band].

    The highest bin, the Nyquist frequency, is left out, as in the library madmom.
    """
    frequencies = np.fft.rfftfreq(FRAME, 1 / RATE)[:-1]
    steps = np.arange(int(np.log2(HIGHEST / LOWEST) * BANDS_PER_OCTAVE) + 1)
    edges = LOWEST * 2 ** (steps / BANDS_PER_OCTAVE)
    bins = np.unique(np.abs(frequencies - edges[:, None]).argmin(axis=1))
    bands = np.zeros((len(frequencies), len(bins) - 2))
    for band, (low, centre, high) in enumerate(zip(bins, bins[1:], bins[2:], strict=False)):
        bands[low:centre, band] = np.arange(centre - low) / (centre - low)
        bands[centre:high, band] = np.arange(high - centre, 0, -1) / (high - centre)
    return (bands / bands.sum(axis=0)).astype(np.float32)


def spectrogram(samples: np.ndarray) -> np.ndarray:
    """Return the network's input: log10(1 + magnitude) of the bands, float32 [frame, band].

    Frame k is centred on sample k * `HOP`; there are zeros before the first sample and after the last one.

    Parameters
    ----------
    samples : float32 [n] at `RATE`
    """
    from scipy.fft import rfft

    window = np.hanning(FRAME).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, FRAME // 2), FRAME)[::HOP]
    bands = filter_bank()
    levels = np.empty((len(frames), bands.shape[1]), np.float32)
    for start in range(0, len(frames), BLOCK):
        magnitude = np.abs(rfft(frames[start : start + BLOCK] * window))[:, :-1]
        levels[start : start + BLOCK] = np.log10(1 + magnitude @ bands)
    return levels


def network() -> "torch.nn.Module":
    """Return the network with random weights: float32 [batch, frame, band] → log odds [batch, frame, drum]."""
    import torch
    from torch import nn

    class Block(nn.Sequential):
        """Two convolutions, and the maximum of each `POOLED` bands; the number of frames stays."""

        def __init__(self, before: int, after: int) -> None:
            super().__init__(
                nn.Conv2d(before, after, 3, padding=1),
                nn.ReLU(),
                nn.BatchNorm2d(after, eps=1e-3),
                nn.Conv2d(after, after, 3, padding=1),
                nn.ReLU(),
                nn.BatchNorm2d(after, eps=1e-3),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = super().forward(x)
            missing = -x.shape[-1] % POOLED
            # With zeros, as the port does: its results are those that were published with these weights.
            x = nn.functional.pad(x, (missing // 2, missing - missing // 2))
            return nn.functional.max_pool2d(x, (1, POOLED))

    class FrameRNN(nn.Module):
        """The parameters are named as in the file of weights."""

        def __init__(self) -> None:
            super().__init__()
            self.cnn_blocks = nn.ModuleList(
                Block(before, after) for before, after in zip((1, *FILTERS), FILTERS, strict=False)
            )
            width = FILTERS[-1] * math.ceil(math.ceil(BANDS / POOLED) / POOLED)
            self.gru_layers = nn.ModuleList(
                nn.GRU(width if layer == 0 else 2 * UNITS, UNITS, batch_first=True, bidirectional=True)
                for layer in range(LAYERS)
            )
            self.output_layer = nn.Linear(2 * UNITS, len(DRUMS))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.cat([self.convolved(x, begin) for begin in range(0, x.shape[1], PIECE)], dim=1)
            for layer in self.gru_layers:
                x, _ = layer(x)
            return self.output_layer(x)

        def convolved(self, x: torch.Tensor, begin: int) -> torch.Tensor:
            """Return what the convolutions make of the piece that begins with a frame: [batch, frame, feature]."""
            first = max(begin - MARGIN, 0)
            x = x[:, None, first : begin + PIECE + MARGIN]  # [batch, channel, frame, band]
            for block in self.cnn_blocks:
                x = block(x)
            return x.permute(0, 2, 3, 1).flatten(2)[:, begin - first :][:, :PIECE]

    return FrameRNN()


def load(files: Sequence[str | PathLike], device: str = "cpu") -> "torch.nn.Module":
    """Load the network from a file of weights. No code from the file is executed.

    Parameters
    ----------
    files : one file, the weights as ADTOF-pytorch has them
    device : "auto" or "cpu"

    Returns
    -------
    the network in evaluation mode, on the device

    Raises
    ------
    MirflowError : the file holds something else (the message names it), or there is not exactly one
    """
    import pickle
    import zipfile

    device = accelerator.device(device)
    import torch

    if len(files) != 1:
        raise MirflowError(f"adtof: one file of weights is expected, {len(files)} files are given")
    (path,) = files
    if not zipfile.is_zipfile(path):
        raise MirflowError(f"{path}: not the weights of ADTOF (the file is missing or incomplete)")
    made = network()
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        made.load_state_dict(stored["model_weights"], strict=True)
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MirflowError(f"{path}: not the weights of ADTOF ({reason})") from error
    return made.to(device).eval()


def hits(drums: Audio, network: "torch.nn.Module") -> np.ndarray:
    """Estimate how likely each drum is hit in each frame.

    Parameters
    ----------
    drums : drums, or music with drums, at the level of mastered music; samples float32 [channel, n]
    network : from `load`

    Returns
    -------
    float32 [frame, drum] in [0, 1], 100 frames/s
    """
    import torch

    levels = spectrogram(audio.resample(drums.mono(), drums.rate, RATE))
    device = next(network.parameters()).device
    with accelerator.reproducible(device.type):
        odds = network(torch.from_numpy(levels).to(device)[None])[0]
        return torch.sigmoid(odds.float()).cpu().numpy()
