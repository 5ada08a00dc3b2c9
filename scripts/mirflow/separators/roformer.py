"""Backend `roformer`: band-split and mel-band RoFormers (Lu et al. 2024, Wang et al. 2024), from local files.

A model is a checkpoint (.ckpt, .pth or .safetensors) and the YAML file that it was trained with, in the form of the
project Music-Source-Separation-Training. The networks are those of audio-separator, without its downloads and files.
"""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirflow.errors import MirflowError
from mirflow.separators import Separator, fold

if TYPE_CHECKING:
    import torch

PACKAGE = "audio-separator"

SHOWN_KEYS = 3  # of those that a checkpoint lacks or has too many

# Accepted by the classes, but without any effect in them; a network that was trained with it would be another one.
NOT_THERE = ("skip_connection",)
# Of the training; they change nothing in what the network computes.
OF_TRAINING = ("use_torch_checkpoint", "sage_attention")


class RoFormer(Separator):
    """A network, as `mirflow.separators.separate` runs it."""

    def forward(self, sound: "torch.Tensor") -> "torch.Tensor":
        """Separate float32 [channel, segment] into [source, channel, segment]."""
        return self.network(sound[None])[0]


def load(files: Sequence[str | PathLike], device: str, segment: float = 0.0) -> RoFormer:
    """Load a model; nothing in its files is executed.

    Parameters
    ----------
    files : the checkpoint and its configuration (.yaml), in any order
    segment : seconds that the network hears at once; 0 means as many as the configuration says

    Raises
    ------
    MirflowError : a file is not what it should be, the two do not fit, or drums, bass or vocals are missing
    """
    by_kind = {Path(file).suffix.lower() in (".yaml", ".yml"): Path(file) for file in files}
    if len(files) != 2 or len(by_kind) != 2:
        raise MirflowError(
            f"a RoFormer is a checkpoint and its .yaml file, not {', '.join(str(file) for file in files) or 'nothing'}"
        )
    checkpoint, configuration = by_kind[False], by_kind[True]
    about = read_configuration(configuration)
    try:
        arguments, training, sound = dict(about["model"]), about["training"], about.get("audio") or {}
        sources = tuple(
            map(
                str,
                [training.get("target_instrument")] if training.get("target_instrument") else training["instruments"],
            )
        )
        rate = int(sound.get("sample_rate") or 44100)
        chunk = int((about.get("inference") or {}).get("chunk_size") or sound["chunk_size"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MirflowError(
            f"{configuration}: not the configuration of a RoFormer ({type(error).__name__}: {error})"
        ) from error
    try:
        fold(sources)
    except MirflowError as error:
        raise MirflowError(f"{checkpoint}: {error}") from error
    network = _network(arguments, len(sources), configuration)
    _into(network, _state(checkpoint), checkpoint)
    # Its inverse transform gives whole hops only.
    hop = network.stft_kwargs["hop_length"]
    if segment and segment < 1:
        raise MirflowError(
            f"{checkpoint}: cannot hear less than 1 s at once, which stems.segment: {segment:g} asks for"
        )
    return RoFormer(
        network=network.to(device).eval(),
        sources=sources,
        rate=rate,
        channels=2 if network.stereo else 1,
        segment=max(int(segment * rate) or chunk, network.stft_kwargs["n_fft"]) // hop * hop,
        device=device,
    )


def read_configuration(path: Path) -> dict[str, Any]:
    """Read the YAML of a model, in which tuples have a tag of their own; any other object of Python is refused.

    Raises
    ------
    MirflowError : it is not valid, or holds such an object, naming the file
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Knows tuples."""

    Loader.add_constructor(
        "tag:yaml.org,2002:python/tuple", lambda loader, node: tuple(loader.construct_sequence(node, deep=True))
    )
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MirflowError(f"{path}: not a configuration ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise MirflowError(f"{path}: not a configuration (an object is expected)")
    return content


def _network(arguments: dict[str, Any], stems: int, path: Path) -> "torch.nn.Module":
    """Make the network that the section `model` of a configuration describes, with random weights."""
    import inspect

    from audio_separator.separator.uvr_lib_v5.roformer.bs_roformer import BSRoformer
    from audio_separator.separator.uvr_lib_v5.roformer.mel_band_roformer import MelBandRoformer
    from beartype.roar import BeartypeException

    kind = MelBandRoformer if "num_bands" in arguments else BSRoformer
    known = inspect.signature(kind).parameters
    arguments = {key: value for key, value in arguments.items() if key not in OF_TRAINING}
    strange = [key for key, value in arguments.items() if value and (key not in known or key in NOT_THERE)]
    if strange:
        raise MirflowError(f"{path}: {kind.__name__} has no {', '.join(strange)}: a network of another kind")
    if arguments.get("num_stems", 1) != stems:
        raise MirflowError(f"{path}: num_stems is {arguments.get('num_stems', 1)}, but {stems} instruments are named")
    arguments = {
        key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items() if key in known
    }
    try:
        return kind(**arguments | {"flash_attn": True})  # the same numbers in less memory
    except (AssertionError, TypeError, ValueError, RuntimeError, BeartypeException) as error:
        raise MirflowError(
            f"{path}: no {kind.__name__} can be made of it ({' '.join(str(error).split())[:300]})"
        ) from error


def _state(path: Path) -> dict[str, "torch.Tensor"]:
    """Read the weights of a checkpoint."""
    import pickle
    import zipfile

    import safetensors
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        for section in ("state_dict", "model_state_dict", "model"):
            if isinstance(stored, dict) and isinstance(stored.get(section), dict):
                stored = stored[section]
        if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
            raise ValueError("weights by name are expected")
        return stored
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, safetensors.SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MirflowError(f"{path}: not a checkpoint ({reason})") from error


def _into(network: "torch.nn.Module", state: dict, path: Path) -> None:
    """Load a checkpoint's weights, all of them and nothing else.

    Raises
    ------
    MirflowError : they do not fit, naming the file and the first of the keys that differ
    """
    wanted = network.state_dict()
    faults = {
        "missing": [key for key in wanted if key not in state],
        "not known": [key for key in state if key not in wanted],
        "of another shape": [key for key in wanted if key in state and state[key].shape != wanted[key].shape],
    }
    if any(faults.values()):
        said = "; ".join(f"{fault}: {_first(keys)}" for fault, keys in faults.items() if keys)
        raise MirflowError(f"{path}: weights of another network ({said})")
    network.load_state_dict(state)


def _first(names: Sequence[str]) -> str:
    """Return the first few names of a list, and how many more there are."""
    more = f" and {len(names) - SHOWN_KEYS} more" if len(names) > SHOWN_KEYS else ""
    return ", ".join(names[:SHOWN_KEYS]) + more
