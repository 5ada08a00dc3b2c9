"""Backend `scnet`: sparse compression networks (Tong et al. 2024), from local files.

A model is a checkpoint and the YAML configuration that it was trained with, in the format of the project
Music-Source-Separation-Training. The network is that of this project's own package, msst; nothing else of it is used.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from mirflow.core.errors import MirflowError
from mirflow.stems import roformer
from mirflow.stems.trained import Separator, fold

if TYPE_CHECKING:
    import torch

VERSION = 1  # raise it when the stems change
PACKAGE = "msst"
# Standard deviation of what the network gets, of full scale, unless it was trained on a mix of unit deviation:
# `trained.separate` gives it more than any recording has.
LEVEL = 0.1
REQUIRED = (  # what a configuration must state
    "audio.chunk_size or inference.chunk_size", "audio.sample_rate",
    "model.sources", "model.audio_channels", "model.dims", "model.nfft", "model.hop_size", "model.win_size",
    "model.normalized", "model.band_SR", "model.band_stride", "model.band_kernel", "model.conv_depths",
    "model.compress", "model.conv_kernel", "model.num_dplayer", "model.expand",
    "training.instruments", "inference",
)  # fmt: skip


@dataclass
class SCNet(Separator):
    """A network, as `mirflow.stems.trained.separate` runs it.

    Attributes
    ----------
    level : standard deviation of what the network gets
    """

    level: float = LEVEL

    def forward(self, audio: "torch.Tensor") -> "torch.Tensor":
        """Separate float32 [channel, segment] into [source, channel, segment]."""
        import torch

        if torch.is_autocast_enabled(self.device):
            raise MirflowError("an SCNet computes in float32 only: take stems.precision: float32")
        with warnings.catch_warnings(action="ignore"):  # its transforms have no window on purpose
            return self.network(self.level * audio[None])[0] / self.level


def load(files: Sequence[str | PathLike], device: str, segment: float = 0.0) -> SCNet:
    """Load a model; nothing in its files is executed.

    Parameters
    ----------
    files : the checkpoint and its configuration (.yaml), in any order
    segment : seconds that the network processes at once; 0 means as many as the configuration says

    Raises
    ------
    MirflowError : a file is damaged or something else, the two do not fit, or drums, bass or vocals are missing
    """
    from msst.models.scnet import SCNet as Network

    checkpoint, configuration = roformer.pair(files, "an SCNet")
    about: dict[str, Any] = roformer.read_configuration(configuration, REQUIRED)
    try:
        model, inference = dict(about["model"]), about["inference"]
        sources = tuple(map(str, model["sources"]))
        named = tuple(map(str, about["training"]["instruments"]))
        rate = int(about["audio"]["sample_rate"])
        chunk = int(inference.get("chunk_size") or about["audio"]["chunk_size"])
        level = 1.0 if inference.get("normalize") else LEVEL
        network = Network(**model)
    except (AttributeError, AssertionError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise MirflowError(f"{configuration}: not the configuration of an SCNet ({reason})") from error
    if sources != named or model["audio_channels"] != 2:
        raise MirflowError(
            f"{configuration}: the sources are {', '.join(sources)} of {model['audio_channels']} channels, but"
            f" {', '.join(named)} are trained; and only stereo networks can be run"
        )
    try:
        fold(sources)
    except MirflowError as error:
        raise MirflowError(f"{checkpoint}: {error}") from error
    if segment and segment < 1:
        raise MirflowError(f"{checkpoint}: processes at least 1 s at once, not stems.segment: {segment:g}")
    roformer.load_weights(network, checkpoint)
    samples = int(segment * rate) or chunk
    return SCNet(network.to(device).eval(), sources, rate, 2, samples, device, level)
