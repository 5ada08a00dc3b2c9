"""Trained separators: choosing one, running it over a track in segments, and making four stems of its sources.

A backend is a module of this package. Its ``load`` returns a `Separator`, which splits one segment of audio into
sources. Everything else is here: rates, channels, levels, overlapping segments, and sources that are not among the four
stems.
"""

import importlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mirflow.core.audio import Audio, resample
from mirflow.core.errors import MirflowError
from mirflow.core.layout import STEMS
from mirflow.dsp.separation.channels import pairs
from mirflow.models import accelerator, catalogue

if TYPE_CHECKING:
    import torch

# Name → its default model.
BACKENDS = {"demucs": "htdemucs", "roformer": "bs_roformer_4stems", "scnet": "scnet_xl_ihf"}
PRECISIONS = ("float32", "float16", "bfloat16")
DEFAULTS = {"shifts": 0, "overlap": 0.25, "segment": 0.0, "precision": "float32"}

MAX_SHIFT = 0.5  # s, of the shift trick (Défossez et al. 2019)
SEED = 0  # of the shifts
BLOCK = 2**20  # samples that are processed at a time, to save memory
SILENT = 1e-8  # standard deviation: a mix below it counts as silent


@dataclass
class Separator:
    """A loaded network; each backend calls it in its own way.

    Attributes
    ----------
    network : the network itself
    sources : the sources that it separates, in the order of its output
    rate : of its input and output, Hz
    channels : of its input and output, 1 or 2
    segment : samples that it processes at once
    device : torch's name of the device that it is on
    """

    network: "torch.nn.Module"
    sources: tuple[str, ...]
    rate: int
    channels: int
    segment: int
    device: str

    def forward(self, audio: "torch.Tensor") -> "torch.Tensor":
        """Separate float32 [channel, segment] into [source, channel, segment]; the mix is scaled to unit deviation."""
        raise NotImplementedError


def entry(backend: str, model: str = "") -> str:
    """Return the name of a backend's model in config/models.yaml; an empty `model` is the backend's default.

    Raises
    ------
    MirflowError : there is no such model, or it belongs to another backend; names the models of this backend
    """
    model = model or BACKENDS[backend]
    belongs = catalogue.entry(model).get("separator", {}).get("backend")
    if belongs != backend:
        fitting = [name for name, about in catalogue.entries().items() if _backend(about) == backend]
        what = f"a model of the backend {belongs}" if belongs else "not a separator"
        raise MirflowError(f"stems.model: {model} is {what}; for {backend} there are {', '.join(fitting)}")
    return model


def extra_stems(entry: str) -> list[str]:
    """Return what a separator tells apart beyond the four stems.

    Raises
    ------
    MirflowError : nothing
    """
    found = catalogue.entry(entry).get("extra_stems", [])
    if not found:
        able = [name for name, about in catalogue.entries().items() if about.get("extra_stems")]
        raise MirflowError(f"stems.extra: {entry} separates four stems only; more do {', '.join(able)}")
    return found


def load(files: Sequence[Path], device: str, *, backend: str, segment: float, entry: str = "") -> Separator:
    """Load a separator from its files; `device` is "auto" or "cpu".

    Parameters
    ----------
    segment : seconds that it processes at once; 0 means as many as in training
    entry : name in config/models.yaml, whose entry holds the weights of a bag

    Raises
    ------
    MirflowError : the files are not a model of this backend
    """
    about = catalogue.entry(entry)["separator"] if entry else {}
    weights = {"weights": about["weights"]} if "weights" in about else {}
    module = importlib.import_module(f"mirflow.stems.{backend}")
    return module.load(files, accelerator.device(device), segment=segment, **weights)


def package(backend: str) -> str:
    """Return the name of the package that runs a backend."""
    return {"demucs": "demucs", "scnet": "msst"}.get(backend, "audio-separator")


def _backend(about: dict) -> str | None:
    return about.get("separator", {}).get("backend")


def fold(sources: Sequence[str], extra: Sequence[str] = ()) -> np.ndarray:
    """Return which sources add up to which stem: float32 [stem, source] of 0 and 1, the stems of `extra` at the end.

    Sources beside the four stems (guitar, piano ...) belong to `other`. Its row is zero where no source is called so:
    `separate` then takes the rest of the mix.

    Raises
    ------
    MirflowError : drums, bass or vocals are missing, or a stem of `extra`
    """
    names = [source.lower() for source in sources]
    missing = [stem for stem in ("drums", "bass", "vocals", *extra) if stem not in names]
    if missing:
        raise MirflowError(
            f"it separates {', '.join(names)}, but {' and '.join(missing)} are needed too: take a model of four stems"
        )
    rows = {stem: [float(name == stem) for name in names] for stem in STEMS}
    # Without a source of that name, the remaining sources may be only a part of the rest.
    rows["other"] = [float("other" in names and name not in ("drums", "bass", "vocals")) for name in names]
    rows |= {stem: [float(name == stem) for name in names] for stem in extra}
    return np.array([rows[stem] for stem in (*STEMS, *extra)], np.float32)


def separate(
    full_mix: Audio,
    separator: Separator,
    shifts: int = DEFAULTS["shifts"],
    overlap: float = DEFAULTS["overlap"],
    precision: str = DEFAULTS["precision"],
    extra: Sequence[str] = (),
    folding: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Split a mix with a trained network.

    Parameters
    ----------
    shifts : runs over the track that are averaged, each with its segments at other places; 0: one run from the start
    overlap : of neighbouring segments, which are cross-faded, as a share of a segment
    precision : one of `PRECISIONS`, of the network's matrix products; spectra and sums are always float32
    extra : further sources that are wanted as stems of their own; they stay a part of `other`, so that the four stems
        add up to the mix
    folding : what to make of which sources instead, name → float32 [source] of 0 and 1

    Returns
    -------
    drums, bass, other, vocals, and those of `extra`, or the names of `folding` : float32 [channel, n] like the mix, at
        its level

    Raises
    ------
    MirflowError : the mix has NaN or infinity, or the precision overflows or is not available on the device

    Notes
    -----
    A mono mix is given to a stereo network on both channels, and the mean of its two output channels is taken. Of
    surround sound, each pair of left and right is separated on its own, and every other channel as mono. The mean of
    the mix (an offset) goes to `other`.
    """
    samples = full_mix.samples
    if not np.isfinite(samples).all():
        raise MirflowError("the mix holds NaN or infinity")
    groups = (
        pairs(len(samples), full_mix.layout) if separator.channels == 2 else [(c, None) for c in range(len(samples))]
    )
    if folding is None:
        folding = dict(zip((*STEMS, *extra), fold(separator.sources, extra), strict=True))
    stems: dict[str, np.ndarray] = {}
    for first, second in groups:
        members = [first] if second is None else [first, second]
        part = samples if len(members) == len(samples) else samples[members]
        for name, stem in _separate(part, full_mix.rate, separator, shifts, overlap, precision, folding):
            if stem.shape == samples.shape:
                stems[name] = stem
            else:
                stems.setdefault(name, np.empty_like(samples))[members] = stem
    return {name: stems[name] for name in folding}


def _separate(
    samples: np.ndarray,
    rate: int,
    separator: Separator,
    shifts: int,
    overlap: float,
    precision: str,
    folding: Mapping[str, np.ndarray],
) -> Iterator[tuple[str, np.ndarray]]:
    """Separate one or two channels; yield each stem, float32 [channel, n] at `rate`, and free its memory after that."""
    import torch

    mix = resample(samples, rate, separator.rate)
    mean, scale = mean_and_deviation(mix)
    found = {stem: np.zeros_like(mix) for stem in folding}
    if scale > SILENT:
        computing = _computing_in(precision, separator.device)
        with _reproducible(separator.device):
            matrix = torch.from_numpy(np.stack(list(folding.values()))).to(separator.device)
            for start, length, weight in _plan(
                mix.shape[1], separator.segment, overlap, shift_offsets(shifts, separator.rate)
            ):
                segment = torch.from_numpy(_cut(mix, start, length, separator.segment, mean, scale))
                segment = segment.expand(separator.channels, -1).contiguous().to(separator.device)
                with computing():
                    sources = separator.forward(segment)
                before = (separator.segment - length) // 2
                parts = torch.tensordot(matrix, sources[..., before : before + length].float(), 1)
                parts = parts.mean(dim=1, keepdim=True) if len(mix) < separator.channels else parts
                parts = parts.cpu().numpy()
                if not np.isfinite(parts).all():
                    raise MirflowError("the network's output is not finite; take precision float32")
                begin = max(start, 0)
                for stem, part in zip(folding, parts, strict=True):
                    found[stem][:, begin : start + length] += (part * (weight * scale))[:, begin - start :]
    if "other" in folding:
        if folding["other"].any() and scale > SILENT:
            found["other"] += mean
        else:
            found["other"] = mix - found["drums"] - found["bass"] - found["vocals"]
    del mix
    for stem in folding:
        yield stem, _fit(resample(found.pop(stem), separator.rate, rate), samples.shape[1])


def mean_and_deviation(samples: np.ndarray) -> tuple[np.float32, np.float32]:
    """Return mean and standard deviation over all channels, using little memory.

    (Demucs itself takes those of the channels' mean, which is silent where left and right are opposite.)
    """
    mean, blocks = samples.mean(dtype=np.float64), range(0, samples.shape[1], BLOCK)
    power = sum(np.square(samples[:, start : start + BLOCK] - mean).sum() for start in blocks)
    return np.float32(mean), np.float32(np.sqrt(power / max(samples.size, 1)))


def shift_offsets(shifts: int, rate: int) -> list[int]:
    """Return how many samples before the track each run starts; drawn as Demucs draws them, but with a fixed seed."""
    generator, longest = random.Random(SEED), int(MAX_SHIFT * rate)
    return [longest - generator.randint(0, longest) for _ in range(shifts)] or [0]


def _plan(n: int, segment: int, overlap: float, offsets: Sequence[int]) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield start, length and weight (float32 [length]) of every segment; the weights at each sample add up to 1.

    Weights are triangles, divided by the sum of all triangles at that sample, as in Demucs.

    Parameters
    ----------
    offsets : of the runs, see `shift_offsets`
    """
    triangle = np.minimum(np.arange(1, segment + 1), np.arange(segment, 0, -1)).astype(np.float64)
    stride = max(int((1 - overlap) * segment), 1)
    for offset in offsets:
        for start in range(-offset, n, stride):
            if start + segment <= 0:
                continue  # with short segments, some lie entirely before the track
            total = triangle.copy()
            for distance in range(stride, segment, stride):
                if start - distance >= -offset:
                    total[:-distance] += triangle[distance:]
                if start + distance < n:
                    total[distance:] += triangle[:-distance]
            length = min(segment, n - start)
            yield start, length, (triangle / (total * len(offsets)))[:length].astype(np.float32)


def _cut(mix: np.ndarray, start: int, length: int, segment: int, mean: np.float32, scale: np.float32) -> np.ndarray:
    """Return float32 [channel, segment] with mix[start : start + length], standardised, in its middle.

    Before and after it comes what surrounds it in the mix, and zeros beyond the ends of the mix.
    """
    first = start - (segment - length) // 2
    begin, end = max(first, 0), min(first + segment, mix.shape[1])
    return np.pad((mix[:, begin:end] - mean) / scale, ((0, 0), (begin - first, first + segment - end)))


def _fit(samples: np.ndarray, n: int) -> np.ndarray:
    """Return float32 [channel, n]: cut, or padded with zeros at the end."""
    samples = samples[:, :n]
    return samples if samples.shape[1] == n else np.pad(samples, ((0, 0), (0, n - samples.shape[1])))


def _computing_in(precision: str, device: str) -> Callable[[], AbstractContextManager]:
    """Return a function that makes the context in which a network computes with a precision.

    Raises
    ------
    MirflowError : the device does not have this precision
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
def _reproducible(device: str) -> Iterator[None]:
    """Compute without gradients and with deterministic kernels (`accelerator.reproducible`), in little memory.

    The "fast path" of torch's attention layers is turned off: it stores the weights of every position for every other
    one, which `scaled_dot_product_attention` avoids, and on the CPU it is slower as well.
    """
    import torch

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with accelerator.reproducible(device):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
