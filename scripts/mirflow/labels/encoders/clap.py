"""Encoder `clap`: the audio part of LAION's CLAP (Wu et al. 2023), as transformers runs it, from local files.

A model is a checkpoint (.bin), its configuration, and the configuration of its spectrogram, as LAION publishes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mirflow.core.errors import MirflowError
from mirflow.labels import encoders
from mirflow.labels.encoders import Encoder

if TYPE_CHECKING:
    import torch
    from transformers import ClapFeatureExtractor

VERSION = 1  # raise it when values change
PACKAGE = "transformers"
MEMORY = 3000  # MB; measured at the real size, with the sound of 20 minutes


@dataclass
class Clap(Encoder):
    """The network, as `mirflow.labels.encoders.embed` runs it.

    Attributes
    ----------
    spectrogram : makes its input. Of sounds longer than a window it would take a random piece; it gets none
    """

    spectrogram: "ClapFeatureExtractor"

    def encode(self, windows: np.ndarray) -> "torch.Tensor":
        """Encode float32 [window, samples] into vectors of length 1; a short window is repeated, as in training."""
        from torch.nn.functional import normalize

        given = self.spectrogram(list(windows), sampling_rate=self.rate, return_tensors="pt")["input_features"]
        return normalize(self.network(input_features=given.to(self.device)).audio_embeds, dim=-1)


def load(files: Sequence[Path], device: str) -> Clap:
    """Load the audio part of a model; nothing in its files is executed.

    Parameters
    ----------
    files : checkpoint, configuration, configuration of the spectrogram
    device : torch's name of it

    Raises
    ------
    MirflowError : a file is damaged or of another model; names it
    """
    import pickle

    import torch
    from transformers import ClapAudioModelWithProjection, ClapConfig, ClapFeatureExtractor

    if len(files) != 3:
        raise MirflowError("models.yaml: a CLAP is a checkpoint, its configuration, and that of its spectrogram")
    checkpoint, configuration, preprocessing = files
    about = encoders.read_configuration(configuration)
    try:
        config = ClapConfig.from_dict(about).audio_config
        network = ClapAudioModelWithProjection(config)
        fused = config.enable_fusion
    except Exception as error:  # transformers checks configurations with errors of its own
        raise _wrong(configuration, "the configuration of a CLAP", error) from error
    if fused:  # its input is drawn at random
        raise MirflowError(f"{configuration}: a CLAP with feature fusion; those without it can be run")
    about = encoders.read_configuration(preprocessing)
    try:
        spectrogram = ClapFeatureExtractor(**about)
        if spectrogram.truncation == "fusion" or spectrogram.feature_size != config.num_mel_bins:
            raise ValueError("that of another model")
        rate, window = int(spectrogram.sampling_rate), int(spectrogram.nb_max_samples)
    except Exception as error:  # as above
        raise _wrong(preprocessing, "the configuration of a CLAP's spectrogram", error) from error
    try:
        stored = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        stored = {name: value for name, value in stored.items() if isinstance(value, torch.Tensor)}
    except (OSError, EOFError, RuntimeError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        raise _wrong(checkpoint, "a checkpoint", error) from error
    encoders.load_weights(network, checkpoint, stored)
    return Clap(network.to(device).eval(), rate, window, device, spectrogram)


def _wrong(path: Path, what: str, error: Exception) -> MirflowError:
    reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
    return MirflowError(f"{path}: not {what} ({reason})")
