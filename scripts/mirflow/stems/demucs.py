"""Backend `demucs`: Hybrid Transformer Demucs (Rouard, Massa & Défossez 2023), from local files.

A model is one safetensors file of Demucs 4.1, or a bag of several, whose outputs are averaged with weights.
"""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from mirflow.core.errors import MirflowError
from mirflow.stems.trained import Separator, fold

if TYPE_CHECKING:
    import torch

VERSION = 1  # raise it when the stems change
PACKAGE = "demucs"

# The classes that a file may name: Demucs itself would import and call whatever its metadata names, in any module.
CLASSES = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs")


class Demucs(Separator):
    """A network or a bag of networks, as `mirflow.stems.trained.separate` runs it."""

    def forward(self, audio: "torch.Tensor") -> "torch.Tensor":
        """Separate float32 [channel, segment] into [source, channel, segment]."""
        from demucs.apply import apply_model

        return apply_model(self.network, audio[None], shifts=0, split=False, device=self.device)[0]


def load(
    files: Sequence[str | PathLike],
    device: str,
    segment: float = 0.0,
    weights: Sequence[Sequence[float]] | None = None,
) -> Demucs:
    """Load a model; nothing in its files is executed.

    Parameters
    ----------
    segment : seconds that the network processes at once, at most as many as in training; 0 means as many as in training
    weights : [file][source] of a bag; None is a plain mean

    Raises
    ------
    MirflowError : a file is not such a model, the files do not form a bag, or the segment is too long; names the file
    """
    from demucs.apply import BagOfModels

    networks = [_load(file) for file in files]
    first = networks[0]
    sources = tuple(first.sources)
    try:
        fold(sources)
    except MirflowError as error:
        raise MirflowError(f"{files[0]}: {error}") from error
    for file, network in zip(files, networks, strict=True):
        if (tuple(network.sources), network.samplerate, network.audio_channels) != (
            sources,
            first.samplerate,
            first.audio_channels,
        ):
            raise MirflowError(f"{file}: separates {', '.join(network.sources)}, unlike {files[0]}: not one bag")
        own = float(network.segment)
        if segment and not 1 <= segment <= own:
            raise MirflowError(f"{file}: processes between 1 and {own:g} s at once, not stems.segment: {segment:g}")
        if segment:
            network.segment = segment
        for module in network.modules():  # a random shift meant for training, which would make two runs differ
            if hasattr(module, "sin_random_shift"):
                module.sin_random_shift = 0
    if weights is not None and (len(weights) != len(files) or any(len(row) != len(sources) for row in weights)):
        raise MirflowError(f"{files[0]}: the bag's weights must be {len(files)} x {len(sources)}, [file][source]")
    if weights is not None and not all(map(any, zip(*weights, strict=True))):
        raise MirflowError(f"{files[0]}: by the bag's weights, no file contributes to one of {', '.join(sources)}")
    combined = first if len(networks) == 1 else BagOfModels(networks, weights)
    return Demucs(
        network=combined.to(device).eval(),
        sources=sources,
        rate=first.samplerate,
        channels=first.audio_channels,
        segment=min(int(network.segment * network.samplerate) for network in networks),
        device=device,
    )


def _load(file: str | PathLike) -> "torch.nn.Module":
    import json

    from demucs.hf import load_safetensors_model
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="pt") as stored:
            about = stored.metadata() or {}
        made_of = about["klass"]
        if made_of not in CLASSES:
            raise MirflowError(f"{file}: refused, since it names the class {made_of}, not {' or '.join(CLASSES)}")
        if "structure" in about:
            raise MirflowError(f"{file}: refused, since its weights are packed (diffq): unpacking could run code")
        if not isinstance(json.loads(about["kwargs"]), dict) or not isinstance(json.loads(about["args"]), list):
            raise ValueError("its metadata must hold a list of arguments and an object of keyword arguments")
        return load_safetensors_model(file)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AssertionError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise MirflowError(f"{file}: not a model of Demucs 4.1 ({reason})") from error
