"""Backend `mdx23c`: networks of the kind TFC-TDF v3 (Kim, Lee & Jung 2023), from local files.

A model is a checkpoint and the YAML configuration that it was trained with, in the format of the project
Music-Source-Separation-Training. The network is that of the package audio-separator; nothing else of it is used.
"""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from mirflow.core.errors import MirflowError
from mirflow.stems import roformer
from mirflow.stems.trained import Separator

if TYPE_CHECKING:
    import torch

VERSION = 1  # raise it when the stems change
PACKAGE = "audio-separator"
# Standard deviation of what the network gets, of full scale: `trained.separate` gives it more than any recording has.
LEVEL = 0.1
REQUIRED = (  # what a configuration must state
    "audio.chunk_size", "audio.dim_f", "audio.hop_length", "audio.n_fft", "audio.num_channels", "audio.sample_rate",
    "model.act", "model.bottleneck_factor", "model.growth", "model.norm", "model.num_blocks_per_scale",
    "model.num_channels", "model.num_scales", "model.num_subbands", "model.scale",
    "training.instruments",
)  # fmt: skip


class MDX23C(Separator):
    """A network, as `mirflow.stems.trained.separate` runs it."""

    def forward(self, audio: "torch.Tensor") -> "torch.Tensor":
        """Separate float32 [channel, segment] into [source, channel, segment]."""
        return self.network(LEVEL * audio[None]).reshape(len(self.sources), self.channels, -1) / LEVEL


def load(files: Sequence[str | PathLike], device: str, segment: float = 0.0) -> MDX23C:
    """Load a model; nothing in its files is executed.

    Parameters
    ----------
    files : the checkpoint and its configuration (.yaml), in any order
    segment : seconds that the network processes at once; 0 means as many as the configuration says

    Raises
    ------
    MirflowError : a file is damaged or something else, or the two do not fit; names it
    """
    from audio_separator.separator.uvr_lib_v5.tfc_tdf_v3 import TFC_TDF_net
    from ml_collections import ConfigDict

    checkpoint, configuration = roformer.pair(files, "an MDX23C")
    about: dict[str, Any] = roformer.read_configuration(configuration, REQUIRED)
    try:
        audio, model, training = about["audio"], about["model"], about["training"]
        sources = tuple(
            map(str, [training["target_instrument"]] if training.get("target_instrument") else training["instruments"])
        )
        config = ConfigDict(
            {
                "audio": {name: audio[name] for name in ("n_fft", "hop_length", "dim_f", "num_channels")},
                "model": model,
                "training": {"instruments": list(sources), "target_instrument": training.get("target_instrument")},
            }
        )
        network = TFC_TDF_net(config, device=device)
        rate, hop = int(audio["sample_rate"]), int(audio["hop_length"])
        # The network halves the number of frames at each of its scales, and a transform has one frame more than hops.
        frames = int(model["scale"][0]) ** int(model["num_scales"])
        hops = max(round((segment * rate or int(audio["chunk_size"])) / hop / frames), 1) * frames - 1
        channels = int(audio["num_channels"])
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise MirflowError(
            f"{configuration}: not the configuration of an MDX23C ({type(error).__name__}: {error})"
        ) from error
    if channels != 2:  # the inverse transform of the package knows no other number
        raise MirflowError(f"{configuration}: a network of {channels} channels; those of two channels can be run")
    roformer.load_weights(network, checkpoint)
    return MDX23C(network.to(device).eval(), sources, rate, channels, hops * hop, device)
