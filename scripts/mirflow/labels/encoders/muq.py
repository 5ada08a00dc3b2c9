"""Encoder `muq`: MuQ (Zhu et al. 2025), a self-supervised network of music, as the package muq builds it.

A model is a file of safetensors and its configuration (.json), as the authors publish them.
"""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mirflow.core.errors import MirflowError
from mirflow.labels import encoders
from mirflow.labels.encoders import Encoder

if TYPE_CHECKING:
    import torch

VERSION = 1  # raise it when values change
PACKAGE = "muq"
MEMORY = 4000  # MB; measured at the real size, with the sound of 20 minutes
RATE = 24000  # Hz
WINDOW = 30 * RATE  # samples; the length of the pieces that it was trained on

# What the configuration says of training alone, and the values that leave it out: the network would load a further
# file for its targets, or need further packages.
TRAINING = {"use_rvq_target": False, "use_vq_target": False, "use_encodec_target": False, "rvq_ckpt_path": None,
            "recon_loss_ratio": None, "resume_checkpoint": None, "is_flash": False}  # fmt: skip
HEARD = ("conv.", "conformer.")  # the parts of the network that an embedding comes from


class MuQ(Encoder):
    """The network, as `mirflow.labels.encoders.embed` runs it. It must compute in float32."""

    def encode(self, windows: np.ndarray) -> "torch.Tensor":
        """Encode float32 [window, samples] into the mean over time of the last layer's output."""
        import torch

        # MuQ's own `forward` asks for the output of each layer, which the encoder of transformers 5 does not give.
        model = self.network
        mel = model.normalize(model.preprocessing(torch.from_numpy(windows).to(self.device), ["melspec_2048"]))
        return model.conformer(model.conv(mel["melspec_2048"])).last_hidden_state.mean(dim=1)


def load(files: Sequence[Path], device: str) -> MuQ:
    """Load a model; nothing in its files is executed.

    Parameters
    ----------
    files : weights (.safetensors), configuration (.json)
    device : torch's name of it

    Raises
    ------
    MirflowError : a file is damaged or of another model; names it
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if len(files) != 2:
        raise MirflowError("models.yaml: a MuQ is a file of safetensors and its configuration")
    weights, configuration = files
    about = encoders.read_configuration(configuration)
    about = about.get("config", about)
    try:
        model = _network_class()(about | TRAINING).model
        float(model.stat["melspec_2048_mean"]), float(model.stat["melspec_2048_std"])
        # The package gives it a plain dictionary, in which newer versions of transformers miss this.
        model.conformer.config._attn_implementation = "eager"
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise MirflowError(f"{configuration}: not the configuration of a MuQ ({reason})") from error
    try:
        stored = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise MirflowError(f"{weights}: not a file of safetensors ({' '.join(str(error).split())})") from error
    for part in HEARD:
        begin = f"model.{part}"
        own = {name.removeprefix(begin): value for name, value in stored.items() if name.startswith(begin)}
        encoders.load_weights(getattr(model, part.rstrip(".")), weights, own)
    return MuQ(model.float().to(device).eval(), RATE, WINDOW, device)


def _network_class() -> Any:
    """Import MuQ without the rest of its package, whose text part needs x_clip and torchvision."""
    if "muq" not in sys.modules:
        found = importlib.util.find_spec("muq")
        if found is None:
            raise ModuleNotFoundError("No module named 'muq'", name="muq")
        sys.modules["muq"] = importlib.util.module_from_spec(found)  # it is not run
    from muq.muq.muq import MuQ

    return MuQ
