"""Backend `roformer`: band-split and mel-band RoFormers (Lu et al. 2024, Wang et al. 2024), from local files.

A model is a checkpoint (.ckpt, .pth or .safetensors) and the YAML configuration that it was trained with, in the format
of the project Music-Source-Separation-Training. The networks are those of the package audio-separator; nothing else of
it is used, such as its downloads.
"""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirflow.core.errors import MirflowError
from mirflow.stems.trained import Separator, fold

if TYPE_CHECKING:
    import torch

VERSION = 1  # raise it when the stems change
PACKAGE = "audio-separator"

# What a configuration must state. The classes have a default for most of it, and would compute something else with that
# than what was trained: nothing but a missing key tells that a file was cut off at the end of a line.
REQUIRED = (
    "audio.chunk_size or inference.chunk_size", "audio.sample_rate or model.sample_rate",
    "model.dim", "model.depth", "model.num_stems", "model.dim_head", "model.heads",
    "model.stft_n_fft", "model.stft_hop_length", "model.stft_win_length",
    "training.instruments", "inference",
)  # fmt: skip
SHOWN_KEYS = 3  # in an error message, of the weights that do not fit

# Arguments that the classes accept but ignore: a network that was trained with one computes something else.
IGNORED_ARGUMENTS = ("skip_connection",)
# Arguments for training; they change nothing in what the network computes.
TRAINING_ARGUMENTS = ("use_torch_checkpoint", "sage_attention")


class RoFormer(Separator):
    """A network, as `mirflow.stems.trained.separate` runs it."""

    def forward(self, audio: "torch.Tensor") -> "torch.Tensor":
        """Separate float32 [channel, segment] into [source, channel, segment]."""
        return self.network(audio[None])[0]


def pair(files: Sequence[str | PathLike], what: str) -> tuple[Path, Path]:
    """Return the checkpoint and the configuration (.yaml) of a network, from its files in any order.

    Raises
    ------
    MirflowError : it is another number of files, or two of one kind; the message names them and `what` they should be
    """
    by_kind = {Path(file).suffix.lower() in (".yaml", ".yml"): Path(file) for file in files}
    if len(files) != 2 or len(by_kind) != 2:
        raise MirflowError(
            f"{what} is a checkpoint and its .yaml file, not {', '.join(str(file) for file in files) or 'nothing'}"
        )
    return by_kind[False], by_kind[True]


def load(files: Sequence[str | PathLike], device: str, segment: float = 0.0) -> RoFormer:
    """Load a model; nothing in its files is executed.

    Parameters
    ----------
    files : the checkpoint and its configuration (.yaml), in any order
    segment : seconds that the network processes at once; 0 means as many as the configuration says

    Raises
    ------
    MirflowError : a file is damaged or something else, the two do not fit, or drums, bass or vocals are missing
    """
    checkpoint, configuration = pair(files, "a RoFormer")
    about = read_configuration(configuration, REQUIRED)
    try:
        arguments, training, audio = dict(about["model"]), about["training"], about.get("audio") or {}
        sources = tuple(
            map(
                str,
                [training.get("target_instrument")] if training.get("target_instrument") else training["instruments"],
            )
        )
        rate = int(audio.get("sample_rate") or arguments["sample_rate"])
        chunk = int(about["inference"].get("chunk_size") or audio["chunk_size"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MirflowError(
            f"{configuration}: not the configuration of a RoFormer ({type(error).__name__}: {error})"
        ) from error
    try:
        fold(sources)
    except MirflowError as error:
        raise MirflowError(f"{checkpoint}: {error}") from error
    network = _network(arguments, len(sources), configuration)
    load_weights(network, checkpoint)
    # Its inverse transform returns whole hops only.
    hop = network.stft_kwargs["hop_length"]
    if segment and segment < 1:
        raise MirflowError(f"{checkpoint}: processes at least 1 s at once, not stems.segment: {segment:g}")
    return RoFormer(
        network=network.to(device).eval(),
        sources=sources,
        rate=rate,
        channels=2 if network.stereo else 1,
        segment=max(int(segment * rate) or chunk, network.stft_kwargs["n_fft"]) // hop * hop,
        device=device,
    )


def read_configuration(path: Path, required: Sequence[str]) -> dict[str, Any]:
    """Read the YAML of a model, in which tuples have a tag of their own; any other Python object is refused.

    Parameters
    ----------
    required : keys that it must have, as "section" or "section.key", also several of which one is enough: "a.b or c.d"

    Raises
    ------
    MirflowError : it is not valid, holds such an object, or lacks a key; names the file
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Reads plain data and tuples."""

    Loader.add_constructor(
        "tag:yaml.org,2002:python/tuple", lambda loader, node: tuple(loader.construct_sequence(node, deep=True))
    )
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MirflowError(f"{path}: not a configuration ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise MirflowError(f"{path}: not a configuration (an object is expected)")
    for keys in required:
        if not any(_has(content, key) for key in keys.split(" or ")):
            raise MirflowError(f"{path}: the key {keys} is missing; perhaps the file was cut off")
    return content


def _has(content: dict[str, Any], key: str) -> bool:
    section, _, name = key.partition(".")
    found = content.get(section)
    return found is not None if not name else isinstance(found, dict) and found.get(name) is not None


def _network(arguments: dict[str, Any], stems: int, path: Path) -> "torch.nn.Module":
    """Make the network that the section `model` of a configuration describes; its weights are still random."""
    import inspect

    from audio_separator.separator.uvr_lib_v5.roformer.bs_roformer import BSRoformer
    from audio_separator.separator.uvr_lib_v5.roformer.mel_band_roformer import MelBandRoformer
    from beartype.roar import BeartypeException

    kind = MelBandRoformer if "num_bands" in arguments else BSRoformer
    known = inspect.signature(kind).parameters
    arguments = {key: value for key, value in arguments.items() if key not in TRAINING_ARGUMENTS}
    unknown = [key for key, value in arguments.items() if value and (key not in known or key in IGNORED_ARGUMENTS)]
    if unknown:
        raise MirflowError(f"{path}: {kind.__name__} has no {', '.join(unknown)}: a network of another kind")
    if arguments.get("num_stems", 1) != stems:
        raise MirflowError(f"{path}: num_stems is {arguments.get('num_stems', 1)}, but {stems} instruments are named")
    arguments = {
        key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items() if key in known
    }
    try:
        return kind(**arguments | {"flash_attn": True})  # same output, less memory
    except (AssertionError, TypeError, ValueError, RuntimeError, BeartypeException) as error:
        raise MirflowError(
            f"{path}: no {kind.__name__} can be built from it ({' '.join(str(error).split())[:300]})"
        ) from error


def load_weights(network: "torch.nn.Module", checkpoint: Path) -> None:
    """Load the weights of a checkpoint into a network, whose weights they must be exactly.

    Raises
    ------
    MirflowError : they cannot be read, or do not fit; names the file
    """
    _into(network, _state(checkpoint), checkpoint)


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
        for section in ("state_dict", "model_state_dict", "model", "state"):
            if isinstance(stored, dict) and isinstance(stored.get(section), dict):
                stored = stored[section]
        if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
            raise ValueError("a dictionary of weights is expected")
        return stored
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, safetensors.SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MirflowError(f"{path}: not a checkpoint ({reason})") from error


def _into(network: "torch.nn.Module", state: dict, path: Path) -> None:
    """Load the weights of a checkpoint into a network, whose weights they must be exactly.

    Raises
    ------
    MirflowError : they do not fit; names the file and the first keys that differ
    """
    wanted = network.state_dict()
    differing = {
        "missing": [key for key in wanted if key not in state],
        "unknown": [key for key in state if key not in wanted],
        "of another shape": [key for key in wanted if key in state and state[key].shape != wanted[key].shape],
    }
    if any(differing.values()):
        details = "; ".join(f"{how}: {_first(keys)}" for how, keys in differing.items() if keys)
        raise MirflowError(f"{path}: weights of another network ({details})")
    network.load_state_dict(state)


def _first(names: Sequence[str]) -> str:
    """Return the first few names of a list, and the number of the others."""
    more = f" and {len(names) - SHOWN_KEYS} more" if len(names) > SHOWN_KEYS else ""
    return ", ".join(names[:SHOWN_KEYS]) + more
