"""AudioBox Aesthetics: four scores of how a listener would judge the music, and of how complex it is."""

import importlib.metadata
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from mirflow import models
from mirflow.audio import Audio, resample
from mirflow.errors import MirflowError
from mirflow.registry import Feature, Field

MODEL = "audiobox-aesthetics"
PACKAGE = "audiobox_aesthetics"
RATE = 16000  # Hz
WINDOW = 10 * RATE  # samples; each is judged by itself
SHORTEST = 1.0  # s
SILENCE = 1e-4  # of full scale (-80 dB): a window whose samples all lie below is not judged
BATCH = 4  # windows at a time: 1.4 GB of memory in all, however long the track

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
    # The scale is 1 to 10; the model's estimate may pass its ends a little.
    fields=tuple(
        Field(key, "score", bounds=(0, 11), range=(1, 10), meaning=f"{meaning}, 1 to 10",
              undefined="in silence, or shorter than 1 s")
        for key, meaning in AXES.values()
    ),
    backend=PACKAGE,
    models=(MODEL,),
    requires="aesthetics.backend: audiobox",
    cite="Tjandra et al. 2025, Meta Audiobox Aesthetics, arXiv:2502.05139",
)  # fmt: skip


def features() -> tuple[Feature, ...]:
    """Return the one feature of this module."""
    return (FEATURE,)


@dataclass(frozen=True)
class Loaded:
    """The model, ready to judge; `files` are its files and their sha256."""

    network: Any
    transform: dict[str, dict[str, float]]
    device: str
    files: dict[str, str]


def load(device: str = "cpu") -> Loaded:
    """Load the model from its files: weights in safetensors, which hold data only, and its configuration.

    Raises
    ------
    MirflowError : a file is missing, damaged or another one; a package is missing
    """
    found = [(models.folder() / file.name, models.verify(file)) for file in models.files(MODEL)]
    (weights, _), (configuration, _) = found
    try:
        import torch
        from audiobox_aesthetics.model.aes import AesMultiOutput
        from safetensors import SafetensorError
        from safetensors.torch import load_model
    except ModuleNotFoundError as error:
        raise MirflowError(f"audiobox: the package {error.name} is missing; it is in envs/models.txt") from error
    if device == "cuda" and not torch.cuda.is_available():
        raise MirflowError("audiobox: aesthetics.device is gpu, but torch finds none")
    try:
        said = json.loads(configuration.read_text())
        network = AesMultiOutput(**{key: said[key] for key in _ARGUMENTS if key in said})
        scale = said["target_transform"]
        transform = {axis: {part: float(scale[axis][part]) for part in ("mean", "std")} for axis in AXES}
    except (ValueError, KeyError, TypeError) as error:
        message = f"{configuration}: the configuration of AudioBox Aesthetics is expected ({error})"
        raise MirflowError(message) from error
    try:
        load_model(network, weights, strict=True)
    except (SafetensorError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        raise MirflowError(f"{weights}: the weights of AudioBox Aesthetics are expected ({said})") from error
    return Loaded(network.to(device).eval(), transform, device, {path.name: sha256 for path, sha256 in found})


# What of the configuration the network's constructor takes.
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


def measure(full_mix: Audio, model: Loaded) -> dict[str, float | None]:
    """Judge a track: the mean of its windows of 10 s, weighted by how much of each is sound and not padding.

    Parameters
    ----------
    full_mix : samples float32 [channel, n], rate in Hz; the mean of the channels is judged

    Returns
    -------
    the keys of `FEATURE`
    """
    import torch

    mono = resample(full_mix.mono(), full_mix.rate, RATE)
    windows = [mono[start : start + WINDOW] for start in range(0, len(mono), WINDOW)]
    windows = [window for window in windows if np.abs(window).max() >= SILENCE]
    if not windows or full_mix.duration < SHORTEST:
        return dict.fromkeys(key for key, _ in AXES.values())
    lengths = np.array([len(window) for window in windows])
    scores: dict[str, list[float]] = {axis: [] for axis in AXES}
    with torch.inference_mode():
        for first in range(0, len(windows), BATCH):
            part = windows[first : first + BATCH]
            sound = np.stack([np.pad(window, (0, WINDOW - len(window))) for window in part])
            filled = np.arange(WINDOW) < lengths[first : first + BATCH, None]
            batch = {"wav": torch.from_numpy(sound)[:, None], "mask": torch.from_numpy(filled)[:, None]}
            said = model.network({key: value.to(model.device) for key, value in batch.items()})
            for axis in AXES:
                scores[axis] += said[axis].float().reshape(-1).tolist()
    means = {axis: float(np.average(scores[axis], weights=lengths)) for axis in AXES}
    scale = model.transform
    return {key: means[axis] * scale[axis]["std"] + scale[axis]["mean"] for axis, (key, _) in AXES.items()}


def provenance(model: Loaded) -> dict:
    """Return what the fragment says of where its values come from."""
    return {
        "feature": FEATURE.name,
        "version": FEATURE.version,
        "backend": PACKAGE,
        "backend_version": importlib.metadata.version(PACKAGE),
        "model": model.files,
    }
