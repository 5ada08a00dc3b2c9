"""AudioBox Aesthetics: four scores that a trained model predicts: enjoyment, usefulness, complexity, quality."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mirflow.core.audio import Audio, resample
from mirflow.core.errors import MirflowError
from mirflow.core.feature import Feature, Field
from mirflow.models import accelerator

if TYPE_CHECKING:
    import torch

MODEL = "audiobox-aesthetics"
PACKAGE = "audiobox_aesthetics"
RATE = 16000  # Hz
WINDOW = 10 * RATE  # samples; each window gets scores of its own
SHORTEST = 1.0  # s; the model was trained on judgements of clips of some seconds
SILENCE = 1e-4  # of full scale (-80 dB): a window whose samples all lie below is left out
BATCH = 16  # windows at a time on a GPU; on a CPU one, where more take longer, and 130 MB each

AXES = {
    "CE": ("content_enjoyment", "how much listeners would enjoy it"),
    "CU": ("content_usefulness", "how useful creators would find it as material"),
    "PC": ("production_complexity", "how many components the sound has"),
    "PQ": ("production_quality", "clarity, fidelity, dynamics and balance of the recording"),
}

FEATURE = Feature(
    name="audiobox",
    version=1,
    inputs=("full_mix",),
    # The scale is 1 to 10; predictions may lie a little outside.
    fields=tuple(
        Field(key, "score", bounds=(0, 11), range=(1, 10), meaning=f"{meaning}, 1 to 10",
              undefined="in silence, or shorter than 1 s")
        for key, meaning in AXES.values()
    ),
    backend=PACKAGE,
    models=(MODEL,),
    gpu=True,
    environment="models",
    memory=2000,
    section="aesthetics",
    switches=(("aesthetics.backend", "audiobox"),),
    cite="Tjandra et al. 2025, Meta Audiobox Aesthetics, arXiv:2502.05139",
)  # fmt: skip


@dataclass
class Network:
    """The loaded network.

    Attributes
    ----------
    transform : axis → mean and std of the scores in training; the network's output is in units of std from the mean
    device : torch's name of the device that it is on
    """

    module: "torch.nn.Module"
    transform: dict[str, dict[str, float]]
    device: str


def load(files: Sequence[Path], device: str = "cpu") -> Network:
    """Load the model from its files.

    Those are either the files on the model hub, weights in safetensors and a configuration (.json), or the checkpoint
    (.pt) of the authors' release. Nothing in them is executed, and nothing is fetched.

    Raises
    ------
    MirflowError : a file is damaged or not of this model, or a package is missing
    """
    try:
        device = accelerator.device(device)
        from audiobox_aesthetics.model.aes import AesMultiOutput
    except ModuleNotFoundError as error:
        raise MirflowError(f"audiobox: the package {error.name} is missing; it is in envs/models.txt") from error
    by_kind = {path.suffix: path for path in files}
    read = {(".json", ".safetensors"): _from_hub, (".pt",): _from_release}.get(tuple(sorted(by_kind)))
    if read is None or len(files) != len(by_kind):
        raise MirflowError(f"models.yaml: {MODEL}: a .safetensors and a .json file are expected, or one .pt file")
    with warnings.catch_warnings(action="ignore"):  # the package uses functions that torch has deprecated
        network, transform = read(AesMultiOutput, by_kind)
    return Network(network.to(device).eval(), transform, device)


# The keys of the configuration that are arguments of the network's constructor.
_ARGUMENTS = (
    "proj_num_layer",
    "proj_ln",
    "proj_act_fn",
    "proj_dropout",
    "nth_layer",
    "use_weighted_layer_sum",
    "precision",
    "normalize_embed",
    "output_dim",
)


def _from_hub(network_class: type, files: dict[str, Path]) -> tuple["torch.nn.Module", dict]:
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    weights, configuration = files[".safetensors"], files[".json"]
    try:
        content = json.loads(configuration.read_text())
        network, transform = _build(network_class, content, content["target_transform"])
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _wrong(configuration, "configuration", error) from error
    try:
        load_model(network, weights, strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise _wrong(weights, "weights", error) from error
    return network, transform


def _from_release(network_class: type, files: dict[str, Path]) -> tuple["torch.nn.Module", dict]:
    import pickle

    import torch

    checkpoint = files[".pt"]
    try:
        stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network, transform = _build(network_class, stored["model_cfg"], stored["target_transform"])
        network.load_state_dict({name.removeprefix("model."): value for name, value in stored["state_dict"].items()})
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise _wrong(checkpoint, "checkpoint", error) from error
    return network, transform


def _build(network_class: type, configuration: dict, transform: dict) -> tuple["torch.nn.Module", dict]:
    network = network_class(**{key: configuration[key] for key in _ARGUMENTS if key in configuration})
    return network, {axis: {part: float(transform[axis][part]) for part in ("mean", "std")} for axis in AXES}


def _wrong(path: Path, what: str, error: Exception) -> MirflowError:
    reason = " ".join(str(error).split())[:200]
    return MirflowError(f"{path}: {what} of AudioBox Aesthetics expected ({reason})")


def measure(full_mix: Audio, model: Network) -> dict[str, float | None]:
    """Predict the scores of a track: the mean over its windows of 10 s, weighted by their length without padding.

    Parameters
    ----------
    full_mix : samples float32 [channel, n], rate in Hz; the model gets the mean of the channels

    Returns
    -------
    content_enjoyment, content_usefulness, production_complexity, production_quality : see `AXES`
    """
    mono = resample(full_mix.mono(), full_mix.rate, RATE)
    windows = [mono[start : start + WINDOW] for start in range(0, len(mono), WINDOW)]
    windows = [window for window in windows if np.abs(window).max() >= SILENCE]
    if not windows or full_mix.duration < SHORTEST:
        return dict.fromkeys(key for key, _ in AXES.values())
    lengths = np.array([len(window) for window in windows])
    scores: dict[str, list[float]] = {axis: [] for axis in AXES}
    with accelerator.reproducible(model.device), warnings.catch_warnings(action="ignore"):  # see `load`
        size = 1 if model.device == "cpu" else BATCH
        for first in range(0, len(windows), size):
            output = _predict(windows[first : first + size], model)
            for axis in AXES:
                scores[axis] += output[axis]
    means = {axis: float(np.average(scores[axis], weights=lengths)) for axis in AXES}
    scale = model.transform
    return {key: means[axis] * scale[axis]["std"] + scale[axis]["mean"] for axis, (key, _) in AXES.items()}


def _predict(windows: list[np.ndarray], model: Network) -> dict[str, list[float]]:
    """Run the network on a batch of windows, shorter ones padded and masked: axis → output of each window."""
    import torch

    padded = np.stack([np.pad(window, (0, WINDOW - len(window))) for window in windows])
    filled = np.stack([np.arange(WINDOW) < len(window) for window in windows])
    batch = {"wav": torch.from_numpy(padded)[:, None], "mask": torch.from_numpy(filled)[:, None]}
    output = model.module({key: value.to(model.device) for key, value in batch.items()})
    return {axis: output[axis].float().reshape(-1).tolist() for axis in AXES}
