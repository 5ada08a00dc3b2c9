"""Trained separators: choosing one, running it over a track in segments, and making four stems of what it finds.

A backend is a module of this package. Its ``load`` gives a `Separator`, which turns one segment of sound into sources;
all the rest is here: rates, channels, levels, overlapping segments, and sources that are no stem.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mirflow import accelerator, models
from mirflow.audio import Audio, resample
from mirflow.dsp.separation_layout import pairs
from mirflow.errors import MirflowError
from mirflow.registry import STEMS, module_identity
from mirflow.stems import FILES_VERSION

if TYPE_CHECKING:
    import torch

BACKENDS = {"demucs": "htdemucs", "roformer": "bs_roformer_4stems"}  # each with the model that it takes by default
PRECISIONS = ("float32", "float16", "bfloat16")
DEFAULTS = {"shifts": 0, "overlap": 0.25, "segment": 0.0, "precision": "float32"}

MAX_SHIFT = 0.5  # s, of the shift trick (Défossez et al. 2019)
SEED = 0  # of the shifts
BLOCK = 2**20  # samples, of what is done piece by piece to save memory
SILENT = 1e-8  # standard deviation below which there is nothing to separate


@dataclass
class Separator:
    """A loaded network; each backend has its own way to call it.

    Attributes
    ----------
    network : itself
    sources : what it finds, in its order
    rate : Hz, of its sound
    channels : 1 or 2, of its sound
    segment : samples that it hears at once
    device : torch's name of it
    """

    network: "torch.nn.Module"
    sources: tuple[str, ...]
    rate: int
    channels: int
    segment: int
    device: str

    def forward(self, sound: "torch.Tensor") -> "torch.Tensor":
        """Separate float32 [channel, segment] into [source, channel, segment]; the input has a deviation near 1."""
        raise NotImplementedError


@dataclass
class Loaded:
    """A separator, as `mirflow.resident` holds it."""

    separator: Separator | None
    sha256: dict[str, str]  # of its files, by name

    def close(self) -> None:
        """Free its memory."""
        self.separator = None
        accelerator.release()


def entry(backend: str, model: str = "") -> str:
    """Return the name of a backend's model in config/models.yaml; an empty `model` is the backend's default.

    Raises
    ------
    MirflowError : there is no such model, or it is none of this backend, naming those that are
    """
    model = model or BACKENDS[backend]
    belongs = models.entry(model).get("separator", {}).get("backend")
    if belongs != backend:
        fitting = [name for name, about in models.entries().items() if _backend(about) == backend]
        what = f"a model of the backend {belongs}" if belongs else "no separator"
        raise MirflowError(f"stems.model: {model} is {what}; for {backend} there are {', '.join(fitting)}")
    return model


def identity(backend: str) -> str:
    """Return a hash of the sources that make stems with a backend, for the ``params`` of its rule.

    Of the module that writes them it is only the version: the other backend is in it as well, and a change there is no
    reason to run a network over a library again.
    """
    modules = ("mirflow.separators", f"mirflow.separators.{backend}")
    return " ".join([*map(module_identity, modules), str(FILES_VERSION)])


def _backend(about: dict) -> str | None:
    return about.get("separator", {}).get("backend")


def fold(sources: Sequence[str]) -> np.ndarray:
    """Return what goes where: float32 [stem, source] of 0 and 1. Whatever is no stem (guitar, piano ...) is `other`.

    The row of `other` is zero when no source belongs there: `separate` then takes what is left of the mix.

    Raises
    ------
    MirflowError : drums, bass or vocals are missing
    """
    names = [source.lower() for source in sources]
    missing = [stem for stem in ("drums", "bass", "vocals") if stem not in names]
    if missing:
        raise MirflowError(
            f"it separates {', '.join(names)}, but {' and '.join(missing)} are wanted too: take a model of four stems"
        )
    rows = {stem: [float(name == stem) for name in names] for stem in STEMS}
    # Without a source of that name, the remaining ones need not be all the rest.
    rows["other"] = [float("other" in names and name not in ("drums", "bass", "vocals")) for name in names]
    return np.array([rows[stem] for stem in STEMS], np.float32)


def separate(
    full_mix: Audio,
    separator: Separator,
    shifts: int = DEFAULTS["shifts"],
    overlap: float = DEFAULTS["overlap"],
    precision: str = DEFAULTS["precision"],
) -> dict[str, np.ndarray]:
    """Split a mix with a trained network.

    Parameters
    ----------
    shifts : runs over the track whose mean is taken, each with its segments somewhere else; 0 is one from the start
    overlap : of neighbouring segments, which fade into each other, as a share of a segment
    precision : out of `PRECISIONS`, of the network's matrix products; spectra and sums are always float32

    Returns
    -------
    drums, bass, other, vocals : float32 [channel, n] like the mix, at its level

    Raises
    ------
    MirflowError : for a mix with NaN or infinity, or a precision that the device does not have or that overflows

    Notes
    -----
    A mono mix is heard with both channels alike, and the mean of both taken. Of surround sound each pair of left and
    right is heard on its own, and every single channel as mono. An offset of the mix (its mean) goes to `other`.
    """
    samples = full_mix.samples
    if not np.isfinite(samples).all():
        raise MirflowError("the mix holds NaN or infinity")
    heard_together = pairs(len(samples)) if separator.channels == 2 else [(c, None) for c in range(len(samples))]
    stems: dict[str, np.ndarray] = {}
    for first, second in heard_together:
        members = [first] if second is None else [first, second]
        part = samples if len(members) == len(samples) else samples[members]
        for name, stem in _separate(part, full_mix.rate, separator, shifts, overlap, precision):
            if stem.shape == samples.shape:
                stems[name] = stem
            else:
                stems.setdefault(name, np.empty_like(samples))[members] = stem
    return {name: stems[name] for name in STEMS}


def _separate(
    samples: np.ndarray, rate: int, separator: Separator, shifts: int, overlap: float, precision: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each stem of what is heard together, float32 [channel, n] at `rate`, and forget it."""
    import torch

    mix = resample(samples, rate, separator.rate)
    mean, scale = level(mix)
    found = {stem: np.zeros_like(mix) for stem in STEMS}
    folding = fold(separator.sources)
    if scale > SILENT:
        computing = _computing_in(precision, separator.device)
        with _settled(separator.device):
            matrix = torch.from_numpy(folding).to(separator.device)
            for start, length, weight in _plan(mix.shape[1], separator.segment, overlap, leads(shifts, separator.rate)):
                sound = torch.from_numpy(_cut(mix, start, length, separator.segment, mean, scale))
                sound = sound.expand(separator.channels, -1).contiguous().to(separator.device)
                with computing():
                    sources = separator.forward(sound)
                before = (separator.segment - length) // 2
                parts = torch.tensordot(matrix, sources[..., before : before + length].float(), 1)
                parts = parts.mean(dim=1, keepdim=True) if len(mix) < separator.channels else parts
                parts = parts.cpu().numpy()
                if not np.isfinite(parts).all():
                    raise MirflowError("the network's output is not finite; take precision float32")
                begin = max(start, 0)
                for stem, part in zip(STEMS, parts, strict=True):
                    found[stem][:, begin : start + length] += (part * (weight * scale))[:, begin - start :]
    if folding[STEMS.index("other")].any() and scale > SILENT:
        found["other"] += mean
    else:
        found["other"] = mix - found["drums"] - found["bass"] - found["vocals"]
    del mix
    for stem in STEMS:
        yield stem, _fit(resample(found.pop(stem), separator.rate, rate), samples.shape[1])


def level(samples: np.ndarray) -> tuple[np.float32, np.float32]:
    """Return mean and standard deviation of all channels together, in little memory.

    Demucs takes those of the channels' mean, which is nothing where left and right are opposite.
    """
    mean, blocks = samples.mean(dtype=np.float64), range(0, samples.shape[1], BLOCK)
    power = sum(np.square(samples[:, start : start + BLOCK] - mean).sum() for start in blocks)
    return np.float32(mean), np.float32(np.sqrt(power / max(samples.size, 1)))


def leads(shifts: int, rate: int) -> list[int]:
    """Return by how many samples before the track each run starts; Demucs draws them likewise, from its own dice."""
    dice, longest = random.Random(SEED), int(MAX_SHIFT * rate)
    return [longest - dice.randint(0, longest) for _ in range(shifts)] or [0]


def _plan(n: int, segment: int, overlap: float, leads: Sequence[int]) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield start, length and weight (float32 [length]) of every segment; all weights of a sample add up to 1.

    Weights are triangles, over the sum of all triangles that are there, as Demucs has them.
    """
    triangle = np.minimum(np.arange(1, segment + 1), np.arange(segment, 0, -1)).astype(np.float64)
    stride = max(int((1 - overlap) * segment), 1)
    for lead in leads:
        for start in range(-lead, n, stride):
            if start + segment <= 0:
                continue  # of short segments, some lie before the track altogether
            total = triangle.copy()
            for distance in range(stride, segment, stride):
                if start - distance >= -lead:
                    total[:-distance] += triangle[distance:]
                if start + distance < n:
                    total[distance:] += triangle[:-distance]
            length = min(segment, n - start)
            yield start, length, (triangle / (total * len(leads)))[:length].astype(np.float32)


def _cut(mix: np.ndarray, start: int, length: int, segment: int, mean: np.float32, scale: np.float32) -> np.ndarray:
    """Return float32 [channel, segment] with mix[start : start + length], standardised, in its middle.

    Around it there is what surrounds it in the mix, and zeros beyond its ends.
    """
    first = start - (segment - length) // 2
    begin, end = max(first, 0), min(first + segment, mix.shape[1])
    return np.pad((mix[:, begin:end] - mean) / scale, ((0, 0), (begin - first, first + segment - end)))


def _fit(samples: np.ndarray, n: int) -> np.ndarray:
    """Return float32 [channel, n]: cut, or followed by zeros."""
    samples = samples[:, :n]
    return samples if samples.shape[1] == n else np.pad(samples, ((0, 0), (0, n - samples.shape[1])))


def _computing_in(precision: str, device: str) -> Callable[[], AbstractContextManager]:
    """Return what makes the context for a network's matrix products.

    Raises
    ------
    MirflowError : for a precision that the device does not have
    """
    import torch

    if precision not in PRECISIONS:
        raise MirflowError(f"precision: {precision!r} is none of {', '.join(PRECISIONS)}")
    if device == "cpu" and precision == "float16":
        raise MirflowError("precision float16 needs a GPU; the CPU computes in float32 or bfloat16")
    if device == "cuda" and precision == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise MirflowError("precision bfloat16: this GPU does not have it; take float32 or float16")
    return nullcontext if precision == "float32" else partial(torch.autocast, device, dtype=getattr(torch, precision))


@contextmanager
def _settled(device: str) -> Iterator[None]:
    """Compute without gradients, and with kernels that give the same every time.

    Attention is torch's `scaled_dot_product_attention`, which keeps no weights of each moment for each other; what
    torch calls the fast path of its attention layers does, and on the CPU it is slower, too.
    """
    import torch

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with accelerator.settled(device):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
