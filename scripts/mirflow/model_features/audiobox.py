"""AudioBox Aesthetics: four scores of how a listener would judge the music, and of how complex it is."""

import importlib.metadata
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mirflow import accelerator, models
from mirflow.audio import Audio, resample
from mirflow.errors import MirflowError
from mirflow.registry import Feature, Field

if TYPE_CHECKING:
    import torch

MODEL = "audiobox-aesthetics"
PACKAGE = "audiobox_aesthetics"
RATE = 16000  # Hz
WINDOW = 10 * RATE  # samples; each is judged by itself
SHORTEST = 1.0  # s; people judged clips of some seconds, and a click is no piece of music
SILENCE = 1e-4  # of full scale (-80 dB): a window whose samples all lie below is not judged
BATCH = 16  # windows at a time on a GPU; on a CPU one, where more take longer and 130 MB each

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


@dataclass
class Loaded:
    """The model, as `mirflow.resident` holds it.

    Attributes
    ----------
    transform : axis → mean and std of the scores that it was trained on; the network says how many std from the mean
    device : torch's name of where it is
    files : its files and their sha256
    """

    network: "torch.nn.Module | None"
    transform: dict[str, dict[str, float]]
    device: str
    files: dict[str, str]

    def close(self) -> None:
        """Free its memory."""
        self.network = None
        accelerator.release()


def load(device: str = "cpu") -> Loaded:
    """Load the model from the files of its entry in the catalogue.

    Those are either what the hub has, weights in safetensors and a configuration (.json), or the checkpoint (.pt) of
    the authors' release. Nothing in them is executed, and nothing is fetched.

    Raises
    ------
    MirflowError : a file is missing, damaged or another one; a package is missing
    """
    found = {models.folder() / file.name: models.verify(file) for file in models.files(MODEL)}
    accelerator.prepare()
    try:
        from audiobox_aesthetics.model.aes import AesMultiOutput
    except ModuleNotFoundError as error:
        raise MirflowError(f"audiobox: the package {error.name} is missing; it is in envs/models.txt") from error
    by_kind = {path.suffix: path for path in found}
    read = {(".json", ".safetensors"): _from_hub, (".pt",): _from_release}.get(tuple(sorted(by_kind)))
    if read is None or len(found) != len(by_kind):
        raise MirflowError(f"models.yaml: {MODEL}: a .safetensors and a .json file are expected, or one .pt file")
    with warnings.catch_warnings(action="ignore"):  # the package uses what torch is about to drop
        network, transform = read(AesMultiOutput, by_kind)
    return Loaded(network.to(device).eval(), transform, device, {path.name: sha256 for path, sha256 in found.items()})


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


def _from_hub(network_class: type, files: dict[str, Path]) -> tuple["torch.nn.Module", dict]:
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    weights, configuration = files[".safetensors"], files[".json"]
    try:
        said = json.loads(configuration.read_text())
        network, transform = _build(network_class, said, said["target_transform"])
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
        said = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network, transform = _build(network_class, said["model_cfg"], said["target_transform"])
        network.load_state_dict({name.removeprefix("model."): value for name, value in said["state_dict"].items()})
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise _wrong(checkpoint, "checkpoint", error) from error
    return network, transform


def _build(network_class: type, configuration: dict, transform: dict) -> tuple["torch.nn.Module", dict]:
    network = network_class(**{key: configuration[key] for key in _ARGUMENTS if key in configuration})
    return network, {axis: {part: float(transform[axis][part]) for part in ("mean", "std")} for axis in AXES}


def _wrong(path: Path, what: str, error: Exception) -> MirflowError:
    said = " ".join(str(error).split())[:200]
    return MirflowError(f"{path}: {what} of AudioBox Aesthetics expected ({said})")


def measure(full_mix: Audio, model: Loaded) -> dict[str, float | None]:
    """Judge a track: the mean of its windows of 10 s, weighted by how much of each is sound and not padding.

    Parameters
    ----------
    full_mix : samples float32 [channel, n], rate in Hz; the mean of the channels is judged

    Returns
    -------
    the keys of `FEATURE`
    """
    mono = resample(full_mix.mono(), full_mix.rate, RATE)
    windows = [mono[start : start + WINDOW] for start in range(0, len(mono), WINDOW)]
    windows = [window for window in windows if np.abs(window).max() >= SILENCE]
    if not windows or full_mix.duration < SHORTEST:
        return dict.fromkeys(key for key, _ in AXES.values())
    lengths = np.array([len(window) for window in windows])
    scores: dict[str, list[float]] = {axis: [] for axis in AXES}
    with accelerator.settled(model.device), warnings.catch_warnings(action="ignore"):  # see `load`
        size = 1 if model.device == "cpu" else BATCH
        for first in range(0, len(windows), size):
            said = _judge(windows[first : first + size], model)
            for axis in AXES:
                scores[axis] += said[axis]
    means = {axis: float(np.average(scores[axis], weights=lengths)) for axis in AXES}
    scale = model.transform
    return {key: means[axis] * scale[axis]["std"] + scale[axis]["mean"] for axis, (key, _) in AXES.items()}


def _judge(windows: list[np.ndarray], model: Loaded) -> dict[str, list[float]]:
    """Return what the network says of some windows at a time; shorter ones are padded, and the padding masked."""
    import torch

    sound = np.stack([np.pad(window, (0, WINDOW - len(window))) for window in windows])
    filled = np.stack([np.arange(WINDOW) < len(window) for window in windows])
    batch = {"wav": torch.from_numpy(sound)[:, None], "mask": torch.from_numpy(filled)[:, None]}
    said = model.network({key: value.to(model.device) for key, value in batch.items()})
    return {axis: said[axis].float().reshape(-1).tolist() for axis in AXES}


def provenance(model: Loaded) -> dict:
    """Return what the fragment says of where its values come from."""
    return {
        "feature": FEATURE.name,
        "version": FEATURE.version,
        "backend": PACKAGE,
        "backend_version": importlib.metadata.version(PACKAGE),
        "model": model.files,
    }
