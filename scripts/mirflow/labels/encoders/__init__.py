"""Encoders: networks that turn windows of sound into embeddings, one module each (``network: {encoder: <module>}``).

A module has `VERSION`, `MEMORY` (MB of a job), and ``load(files, device)``, which returns an `Encoder`. Everything else
is here: rate, windows, silence. The networks of Essentia are not among them (`mirflow.labels.embedding`).
"""

import importlib
import json
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from mirflow.core.audio import Audio, resample
from mirflow.core.errors import MirflowError
from mirflow.labels.embedding import SHORTEST, SILENCE, SILENT_STEM_DB, Patches
from mirflow.models import accelerator

if TYPE_CHECKING:
    import torch

BATCH = 8  # windows at a time on a GPU; on a CPU one, where more take more memory and no less time
SHOWN_KEYS = 3  # in an error message, of the weights that are missing


@dataclass
class Encoder:
    """A loaded encoder; each module calls its network in its own way.

    Attributes
    ----------
    network : the network itself
    rate : of the sound that it hears, Hz
    window : samples that it hears at once
    device : torch's name of the device that it is on
    """

    network: "torch.nn.Module"
    rate: int
    window: int
    device: str

    def encode(self, windows: np.ndarray) -> "torch.Tensor":
        """Encode float32 [window, samples] into [window, dimension]; a track shorter than a window is one short one."""
        raise NotImplementedError


def names() -> tuple[str, ...]:
    """Return the names of all encoders."""
    return tuple(module.name for module in pkgutil.iter_modules(__path__))


def module(name: str) -> ModuleType:
    """Return the module of an encoder."""
    return importlib.import_module(f"{__name__}.{name}")


def load(files: Sequence[Path], device: str, *, encoder: str) -> Encoder:
    """Load an encoder from its files; `device` is "auto" or "cpu". Nothing in the files is executed.

    Raises
    ------
    MirflowError : the files are not a model of this encoder, or a package is missing
    """
    try:
        return module(encoder).load(files, accelerator.device(device))
    except ModuleNotFoundError as error:
        raise MirflowError(f"{encoder}: the package {error.name} is missing; it is in envs/models.txt") from error


def embed(full_mix: Audio, encoder: Encoder, files: dict[str, str], stem: str = "") -> Patches:
    """Encode a track, or one of its stems, window by window.

    The mean of the channels is resampled to the encoder's rate. Windows follow each other without a gap; the last one
    ends with the track, and reaches back into the one before. Silent windows are left out: those without any sample at
    or above `SILENCE`, of a stem those below `SILENT_STEM_DB`.

    Parameters
    ----------
    full_mix : or the stem
    stem : its name; "" for the mix
    files : the model's files: name → sha256

    Raises
    ------
    MirflowError : the sound or the network's output is not finite
    """
    mono = resample(full_mix.mono(), full_mix.rate, encoder.rate)
    if not np.isfinite(mono).all():
        raise MirflowError("the sound holds NaN or infinity")
    shortest = round(SHORTEST * encoder.rate)
    windows = [mono[begin : begin + encoder.window] for begin in starts(len(mono), encoder.window, shortest)]
    windows = [window for window in windows if _sounds(window, stem)]
    size = 1 if encoder.device == "cpu" else BATCH
    found = []
    with accelerator.reproducible(encoder.device):
        for first in range(0, len(windows), size):
            found.append(encoder.encode(np.stack(windows[first : first + size])).float().cpu().numpy())
    output = np.concatenate(found) if found else np.zeros((0, 0), np.float32)
    if not np.isfinite(output).all():
        raise MirflowError(f"{', '.join(files)}: the network's output is not finite")
    return Patches(output, files)


def starts(n: int, window: int, shortest: int) -> list[int]:
    """Return the first samples of the windows over `n` samples; none where there are fewer than `shortest`.

    A rest at the end that is shorter than that gets no window of its own.
    """
    if n < shortest:
        return []
    found = list(range(0, max(n - window, 0) + 1, window))
    rest = n - found[-1] - window
    return [*found, n - window] if rest >= shortest else found


def _sounds(window: np.ndarray, stem: str) -> bool:
    if not stem:
        return bool(np.abs(window).max() >= SILENCE)
    return bool(np.mean(np.square(window, dtype=np.float64)) >= 10 ** (SILENT_STEM_DB / 10))


def read_configuration(path: Path) -> dict[str, Any]:
    """Read a model's configuration.

    Raises
    ------
    MirflowError : it is no JSON object; names the file
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MirflowError(f"{path}: not a configuration ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise MirflowError(f"{path}: not a configuration (an object is expected)")
    return content


def load_weights(network: "torch.nn.Module", path: Path, stored: Mapping[str, "torch.Tensor"]) -> None:
    """Load weights into a network, all of whose weights must be among them; others, of its text part say, are ignored.

    Raises
    ------
    MirflowError : weights are missing, or have another shape; names the file
    """
    try:
        missing = network.load_state_dict(stored, strict=False).missing_keys
    except RuntimeError as error:  # another shape
        raise MirflowError(f"{path}: weights of another network ({' '.join(str(error).split())[:300]})") from error
    if missing:
        more = f" and {len(missing) - SHOWN_KEYS} more" if len(missing) > SHOWN_KEYS else ""
        raise MirflowError(f"{path}: weights of another network ({', '.join(missing[:SHOWN_KEYS])}{more} missing)")
