"""The stems network for training: `python -m training.stem_net PIECES WORK`.

Mixes are made while training goes on: stems of one piece or of several, with random gains, places in the stereo image,
equalisers, speeds and band limits. The loss is the signal-to-distortion ratio of each stem that its mask would give,
computed from spectra: the mask m of a cell with the power P of the mix and the share r of a stem (the real part of the
correlation of stem and mix over P) makes the error P (m - r)² and what no mask can mend.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import fft
from torch import nn
from torch.nn import functional

from mirflow.dsp import layers
from mirflow.dsp.separation.network import (
    BANDS,
    BEFORE_CONTEXT,
    BINS,
    BLOCKS,
    CELL_COUNT,
    CONTEXT,
    FEATURES,
    GROUP,
    SOURCES,
    features,
    pool,
)
from training.optimiser import Muon
from training.pieces import Pieces
from training.stem_pieces import PARTS, RATE, STEMS

CHANNELS, STATE, HIDDEN = 32, 80, 48
SIZE, HOP = 4096, 1024  # samples, of the short-time spectra
FRAMES = 224  # of an example, 5.2 s
LENGTH = (FRAMES - 1) * HOP  # samples
NOISE_POWER = 0.375 * SIZE  # of a bin of white noise with a mean power of one
BATCH = 4
POOL = 240  # examples in memory
USES = 6.0  # how often each is used on average
SHARES = torch.tensor([1, 1.4, 1, 1.3]) / 4.7  # of each source in the loss; basses and voices are the hardest
DETAIL = 0.3  # weight of the second part of the loss, in which soft sounds count more
# Power relative to the mix below which it matters less and less how small an error is. Without it, mixes with a single
# source, of which the error can be nothing, would teach that everything belongs to the most frequent source.
SILENT = 0.02
WINDOW = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SIZE) / SIZE)).astype(np.float32)
WIDTHS = torch.from_numpy(
    np.concatenate([np.full(256, 1.0), np.full(128, 2.0), np.full(128, 4.0), np.full(32, 16.0)]).astype(np.float32)
)  # bins in each cell


class Norm(nn.BatchNorm1d):
    """Batch normalisation of the last axis."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise [..., channel]."""
        return super().forward(x.reshape(-1, x.shape[-1])).reshape(x.shape)


class Convolution(nn.Module):
    """A convolution over three places of an axis, zero-padded."""

    def __init__(self, channels: int, dilation: int, axis: int) -> None:
        super().__init__()
        self.linear, self.dilation, self.axis = nn.Linear(3 * channels, channels), dilation, axis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve [..., channel]."""
        length = x.shape[self.axis]
        padding = [0, 0] * (x.ndim - 1 - self.axis) + [self.dilation, self.dilation]
        padded = functional.pad(x, padding)
        taps = [padded.narrow(self.axis, k * self.dilation, length) for k in range(3)]
        return self.linear(torch.cat(taps, dim=-1))


class Block(nn.Module):
    """Convolutions over time [1] and bands [2] of [example, frame, band, channel]."""

    def __init__(self, channels: int, over_frames: int, over_bands: int) -> None:
        super().__init__()
        self.norm = Norm(channels)
        self.time, self.band = Convolution(channels, over_frames, 1), Convolution(channels, over_bands, 2)
        self.point = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what the block finds."""
        inner = functional.relu(self.norm(x))
        inner = functional.relu(self.band(functional.relu(self.time(inner))))
        return x + self.point(inner)


class Layer(nn.Module):
    """A dilated convolution over time of [example, frame, state]."""

    def __init__(self, state: int, dilation: int) -> None:
        super().__init__()
        self.norm, self.time, self.point = Norm(state), Convolution(state, dilation, 1), nn.Linear(state, state)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what the layer finds."""
        return x + self.point(functional.relu(self.time(functional.relu(self.norm(x)))))


def _per_band(inputs: int, outputs: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(BANDS, inputs, outputs) * inputs**-0.5)


class StemNet(nn.Module):
    """See `mirflow.dsp.separation.network.run`, which computes the same."""

    def __init__(self, channels: int = CHANNELS, state: int = STATE, hidden: int = HIDDEN) -> None:
        super().__init__()
        inputs = GROUP * FEATURES
        self.encode, self.encode_bias = _per_band(inputs, channels), nn.Parameter(torch.zeros(BANDS, channels))
        self.blocks = nn.ModuleList(Block(channels, *dilations) for dilations in BLOCKS)
        self.narrow_norm = Norm(channels)
        self.narrow = nn.Linear(BANDS * channels, state)
        self.context = nn.ModuleList(Layer(state, dilation) for dilation in CONTEXT)
        self.widen_norm = Norm(state)
        self.widen = nn.Linear(state, BANDS * channels)
        self.out_norm = Norm(channels)
        self.decode, self.decode_input = _per_band(channels, hidden), _per_band(inputs, hidden)
        self.decode_bias = nn.Parameter(torch.zeros(BANDS, hidden))
        self.last = nn.Parameter(torch.randn(BANDS, hidden, 2 * SOURCES * GROUP) * 0.3 * hidden**-0.5)
        self.last_bias = nn.Parameter(torch.zeros(BANDS, 2 * SOURCES * GROUP))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Return the logarithms of the shares up to a constant, [band, example, frame, 2, source, cell of the band].

        `seen` is [example, frame, cell, feature].
        """
        examples, frames = seen.shape[:2]
        bands = seen.reshape(examples * frames, BANDS, -1).transpose(0, 1)  # [band, example * frame, input]
        x = torch.baddbmm(self.encode_bias[:, None], bands, self.encode).transpose(0, 1)
        x = x.reshape(examples, frames, BANDS, -1)
        for index, block in enumerate(self.blocks):
            if index == BEFORE_CONTEXT:
                state = self.narrow(functional.relu(self.narrow_norm(x)).flatten(2))
                for layer in self.context:
                    state = layer(state)
                x = x + self.widen(functional.relu(self.widen_norm(state))).reshape(x.shape)
            x = block(x)
        x = functional.relu(self.out_norm(x)).reshape(examples * frames, BANDS, -1).transpose(0, 1)
        hidden = torch.baddbmm(self.decode_bias[:, None], x, self.decode) + torch.bmm(bands, self.decode_input)
        scores = torch.baddbmm(self.last_bias[:, None], functional.relu(hidden), self.last)
        return scores.reshape(BANDS, examples, frames, 2, SOURCES, GROUP)


# ---------------------------------------------------------------------------------------------------------- examples


def _spectrum(signal: np.ndarray) -> np.ndarray:
    """Return float32 [LENGTH] as complex64 [FRAMES, BINS]; frame k is centred on sample k * HOP."""
    padded = np.pad(signal, SIZE // 2 + HOP)[HOP:]
    frames = np.lib.stride_tricks.sliding_window_view(padded, SIZE)[::HOP][:FRAMES]
    return fft.rfft(frames * WINDOW, axis=1)[:, :BINS]


def _curve(random: np.random.Generator, spread: float) -> np.ndarray:
    """Return a smooth random gain of each bin, float32 [BINS]."""
    knots = 10 ** (random.normal(0, spread, 9) / 20)
    octave = np.log2(np.maximum(np.arange(BINS), 2))
    return np.interp(octave, np.linspace(1, np.log2(BINS), 9), knots).astype(np.float32)


def _vibrato(random: np.random.Generator) -> np.ndarray:
    """Return by how many samples a sound is early or late, for a vibrato that comes and goes: float64 [LENGTH]."""
    rate = random.uniform(3.5, 7.5)  # Hz
    depth = random.uniform(0.003, 0.03) * RATE / (2 * np.pi * rate)  # the speed varies by up to 3 %, half a semitone
    seconds = np.arange(LENGTH) / RATE
    strength = np.interp(seconds, np.linspace(0, LENGTH / RATE, 9), random.uniform(0, 1, 9))
    return depth * strength * np.sin(2 * np.pi * rate * seconds + random.uniform(0, 6))


def _slice(piece: np.ndarray, part: int, at: int, speed: float, vibrato: np.ndarray | None = None) -> np.ndarray:
    """Return a part of a piece from a sample on, played at a speed: float32 [2, LENGTH]."""
    spare = 0 if vibrato is None else int(np.abs(vibrato).max()) + 2
    at = max(0, at - spare)
    length = int(LENGTH * speed) + 2 + 2 * spare
    found = piece[part, :, at : at + length].astype(np.float32) / 32767
    if found.shape[1] < length:
        found = np.pad(found, ((0, 0), (0, length - found.shape[1])))
    if speed == 1 and vibrato is None:
        return found[:, :LENGTH]
    where = np.arange(LENGTH) * speed
    if vibrato is not None:
        where = where + spare + vibrato
    below = where.astype(int)
    rest = (where - below).astype(np.float32)
    return found[:, below] * (1 - rest) + found[:, below + 1] * rest


STEM_OF = [k for number in range(len(PARTS)) for k, members in enumerate(STEMS.values()) if number in members]
OTHER = list(STEMS).index("other")
# Mean and standard deviation of the level of each part in dB, and how often it is left out.
LEVELS = {
    "drums": (0, 4, 0.1),
    "bass": (0, 4, 0.1),
    "chords": (-2, 5, 0.12),
    "lead": (-3, 5, 0.3),
    "vocals": (1, 4, 0.35),
}
ALONE = 0.08  # of the examples have no drums, bass or vocals


def example(pieces: list[np.ndarray], random: np.random.Generator, changed: bool = True) -> tuple:
    """Mix an example.

    Parameters
    ----------
    pieces : int16 [part, 2, n]
    changed : False: only levels are drawn, for half of the set for early stopping

    Returns
    -------
    seen : float16 [frame, cell, feature]
    shares : float16 [2, source, frame, band, cell of the band] of mid and side
    rest : float32 [source], the power of the errors that no mask can mend
    power : float32 [source], of the stems
    """
    together = not changed or random.random() < 0.45
    chosen = pieces[random.integers(len(pieces))]
    speed = float(np.exp(random.uniform(-0.25, 0.25))) if changed and random.random() < 0.5 else 1.0
    at = int(random.integers(max(1, chosen.shape[2] - int(LENGTH * speed))))
    spectra = np.zeros((SOURCES, 2, FRAMES, BINS), np.complex64)
    mono = changed and random.random() < 0.1
    alone = changed and random.random() < ALONE
    for number, name in enumerate(PARTS):
        level, deviation, missing = LEVELS[name]
        piece, start, rate = chosen, at, speed
        if changed and not together:
            for _ in range(4):  # many pieces have no bass, or nobody sings
                piece = pieces[random.integers(len(pieces))]
                if piece[number, 0, :: RATE // 4].any():
                    break
            rate = float(np.exp(random.uniform(-0.35, 0.35))) if random.random() < 0.6 else 1.0
            if STEM_OF[number] == OTHER and random.random() < 0.12:  # low accompaniment: organs, pianos, low strings
                rate = float(random.uniform(0.4, 0.75))
            elif name == "bass" and random.random() < 0.25:  # high basses
                rate = float(random.uniform(1.4, 2.3))
            start = int(random.integers(max(1, piece.shape[2] - int(LENGTH * rate))))
        gain = 10 ** (random.normal(level, deviation) / 20)
        if changed and (random.random() < missing or (alone and STEM_OF[number] != OTHER)):
            continue
        # Only voices would have vibrato, glides and vowels, so instruments of recordings would be taken for voices.
        instrument = name in ("chords", "lead")
        vibrato = _vibrato(random) if changed and instrument and random.random() < 0.4 else None
        sound = _slice(piece, number, start, rate, vibrato)
        if not sound.any():
            continue
        mid, side = (sound[0] + sound[1]) * np.float32(0.7071), (sound[0] - sound[1]) * np.float32(0.7071)
        if changed:
            gain *= random.choice([-1, 1])
            if STEM_OF[number] >= OTHER:
                width = random.choice([0.0, 1.0, 1.0, random.uniform(0.5, 2.5)])
                if random.random() < (0.5 if STEM_OF[number] == OTHER else 0.15):  # a chorus, a second take
                    late = np.roll(mid, int(RATE * random.uniform(0.004, 0.03)))
                    side = side + np.float32(random.uniform(0.2, 1.0)) * late
            else:  # bass and drums are in the middle of most music
                width = random.choice([0.0, 0.0 if name == "bass" else 1.0, 1.0, random.uniform(0.3, 1.3)])
            side = side * np.float32(width * random.choice([-1, 1]))
            if name in ("chords", "lead") and random.random() < 0.4:  # elsewhere in the image
                angle = random.uniform(-0.7, 0.7)
                mid, side = mid * np.cos(angle) + side * np.sin(angle), side * np.cos(angle) - mid * np.sin(angle)
            elif name in ("drums", "vocals") and random.random() < 0.1:
                angle = random.uniform(-0.4, 0.4)
                mid, side = mid * np.cos(angle) + side * np.sin(angle), side * np.cos(angle) - mid * np.sin(angle)
        shape = np.float32(gain)
        if changed and random.random() < 0.8:
            shape = shape * _curve(random, 6.0 if name == "bass" else 4.0)
        if changed and instrument and random.random() < 0.35:
            knots = np.stack([_curve(random, 5.0) for _ in range(int(random.integers(3, 14)))])
            place = np.linspace(0, len(knots) - 1, FRAMES)
            below = np.minimum(place.astype(int), len(knots) - 2)
            rest = (place - below)[:, None].astype(np.float32)
            shape = shape * (knots[below] * (1 - rest) + knots[below + 1] * rest)
        source = STEM_OF[number]
        spectra[source, 0] += _spectrum(mid.astype(np.float32)) * shape
        if not mono and side.any():
            spectra[source, 1] += _spectrum(side.astype(np.float32)) * shape
    if changed:
        if random.random() < 0.4:
            spectra *= _curve(random, 4.0)
        if random.random() < 0.2:  # recordings and codecs have no high frequencies
            limit = int(random.uniform(250, BINS))
            spectra[..., limit:] *= np.float32(random.choice([0.0, 0.03]))
        if random.random() < 0.15:  # nor low ones
            limit = int(random.uniform(2, 14))
            spectra[..., :limit] *= np.linspace(0, 1, limit, dtype=np.float32)
        if random.random() < 0.3:  # compression
            level = np.sqrt(np.square(np.abs(spectra.sum(axis=0))).sum(axis=(0, 2)))
            spectra *= ((level + 0.1 * level.max() + 1e-9) ** -random.uniform(0.1, 0.6))[:, None].astype(np.float32)
    mix = spectra.sum(axis=0)
    mean = float(np.square(np.abs(mix)).mean(axis=(1, 2)).sum()) * BINS / (SIZE / 2)
    scale = np.sqrt(NOISE_POWER / max(mean, 1e-9)) * 10 ** ((random.normal(0, 3) if changed else 0) / 20)
    spectra *= np.float32(scale)
    mix *= np.float32(scale)
    seen = features(mix[0], mix[1], NOISE_POWER)
    shares = np.empty((2, SOURCES, FRAMES, CELL_COUNT), np.float16)
    widths = WIDTHS.numpy()
    rest, power = np.zeros(SOURCES), np.zeros(SOURCES)
    for signal in (0, 1):
        total = pool(np.square(np.abs(mix[signal]))) + np.float32(1e-9 * NOISE_POWER)
        for source in range(SOURCES):
            stem = spectra[source, signal]
            common = pool(stem.real * mix[signal].real + stem.imag * mix[signal].imag)
            shares[signal, source] = np.clip(common / total, -4, 4)
            own = float((pool(np.square(np.abs(stem))) * widths).sum(dtype=np.float64))
            power[source] += own / NOISE_POWER
            rest[source] += (
                max(own - float((np.square(common) / total * widths).sum(dtype=np.float64)), 0) / NOISE_POWER
            )
    shares = shares.reshape(2, SOURCES, FRAMES, BANDS, GROUP)
    return seen.astype(np.float16), shares, rest.astype(np.float32), power.astype(np.float32)


# ---------------------------------------------------------------------------------------------------------- training


def loss_of(network: StemNet, seen, shares, rest, power, learn: bool) -> tuple[float, np.ndarray]:
    """Return the loss and the mean SDR of each source in dB, over the examples where it sounds, [source].

    Parameters
    ----------
    learn : write the gradients. They are computed here by formula, which is faster than automatic differentiation:
        there are many numbers for each cell.
    """
    examples, frames = seen.shape[:2]
    with torch.autocast("cpu", torch.bfloat16):
        scores = network(seen)  # [band, example, frame, 2, source, cell]
    with torch.no_grad():
        masks = scores.detach().float()
        masks.sub_(masks.amax(dim=4, keepdim=True)).exp_()
        masks.div_(masks.sum(dim=4, keepdim=True))
        total = (10 ** (2 * seen[..., 0].float()) - 1e-7).clamp(min=0) * WIDTHS  # [example, frame, cell]
        side = (seen[..., 1].float() / 2).clamp(0, 1)
        weight = torch.stack([total * (1 - side), total * side], dim=2).reshape(examples, frames, 2, BANDS, GROUP)
        weight = weight.permute(3, 0, 1, 2, 4)[:, :, :, :, None].contiguous()  # [band, example, frame, 2, 1, cell]
        soft = weight**0.4
        deviation = masks - shares
        square = torch.square(deviation)
        over = (0, 2, 3, 5)  # all but example and source
        error = (square * weight).sum(dim=over) + rest  # [example, source]
        coarse = (square * soft).sum(dim=over)
        silent = SILENT * power.sum(dim=1, keepdim=True) + 1e-6
        quiet = SILENT * soft.sum(dim=over) + 1e-6
        heard = (torch.square(shares) * soft).sum(dim=over)
        loss = torch.log((error + silent) / (power + silent)) + DETAIL * torch.log((coarse + quiet) / (heard + quiet))
        sounds = power > 1e-3 * power.sum(dim=1, keepdim=True)
        ratio = torch.where(sounds, 10 * torch.log10(power / error.clamp(min=1e-9)), 0)
    if learn:
        with torch.no_grad():
            form = (1, examples, 1, 1, SOURCES, 1)
            slope = weight * (2 / examples * SHARES / (error + silent)).reshape(form)
            slope += soft * (2 / examples * SHARES * DETAIL / (coarse + quiet)).reshape(form)
            slope *= deviation  # by the mask
            slope -= (slope * masks).sum(dim=4, keepdim=True)
            slope *= masks  # by the score
        scores.backward(slope.to(scores.dtype))
    return float((loss @ SHARES).mean()), (ratio.sum(0) / sounds.sum(0).clamp(min=1)).numpy()


def batch_of(examples: list[tuple]) -> list[torch.Tensor]:
    """Stack examples; the shares as [band, example, frame, 2, source, cell]."""
    seen, shares, rest, power = (np.stack(column) for column in zip(*examples, strict=True))
    shares = torch.from_numpy(shares).permute(4, 0, 3, 1, 2, 5).float().contiguous()
    return [torch.from_numpy(seen), shares, torch.from_numpy(rest), torch.from_numpy(power)]


@torch.no_grad()
def validate(network: StemNet, examples: list[tuple]) -> tuple[float, np.ndarray]:
    """Return the loss and the SDR of each source."""
    network.eval()
    found = []
    for begin in range(0, len(examples), BATCH):
        seen, *truth = batch_of(examples[begin : begin + BATCH])
        found.append(loss_of(network, seen, *truth, learn=False))
    network.train()
    return float(np.mean([loss for loss, _ in found])), np.mean([ratios for _, ratios in found], axis=0)


@torch.no_grad()
def start_from(network: StemNet, stored: dict[str, torch.Tensor], seen: torch.Tensor) -> None:
    """Set the weights to exported ones, of `training.export_stems.arrays`.

    These have no statistics of normalisations. Those of the examples `seen` are taken, with weights that leave the
    outputs as they are.
    """
    parameters = dict(network.named_parameters())

    def fill(name: str, values: torch.Tensor) -> None:
        parameters[name].copy_(values.reshape(parameters[name].shape))

    def fill_norm(name: str, exported: str) -> None:
        fill(f"{name}.weight", stored[f"{exported}.scale"])
        fill(f"{name}.bias", stored[f"{exported}.shift"])

    def fill_linear(name: str, exported: str, bias: str) -> None:
        fill(f"{name}.weight", stored[exported].reshape(-1, parameters[f"{name}.weight"].shape[0]).T)
        fill(f"{name}.bias", stored[bias])

    fill("encode", stored["encode.weight"])
    fill("encode_bias", stored["encode.bias"])
    for kind, exported, layers_of, parts in (
        ("blocks", "block", network.blocks, ("time", "band")),
        ("context", "context", network.context, ("time",)),
    ):
        for index in range(len(layers_of)):
            fill_norm(f"{kind}.{index}.norm", f"{exported}{index}")
            for part in parts:
                fill_linear(
                    f"{kind}.{index}.{part}.linear", f"{exported}{index}.{part}", f"{exported}{index}.{part}_bias"
                )
            fill_linear(f"{kind}.{index}.point", f"{exported}{index}.point", f"{exported}{index}.point_bias")
    for name in ("narrow", "widen", "out"):
        fill_norm(f"{name}_norm", name)
    fill_linear("narrow", "narrow.weight", "narrow.bias")
    fill("widen.weight", stored["widen.weight"].transpose(0, 1).flatten(1).T)
    fill("widen.bias", stored["widen.bias"])
    for name, exported in (
        ("decode", "decode.state"), ("decode_input", "decode.input"), ("decode_bias", "decode.bias"),
        ("last", "last.weight"), ("last_bias", "last.bias"),
    ):  # fmt: skip
        fill(name, stored[exported])

    def measure(norm: Norm, inputs: tuple[torch.Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0].reshape(-1, inputs[0].shape[-1]), dim=0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.bias += mean * norm.weight
        norm.weight *= torch.sqrt(variance + norm.eps)

    hooks = [part.register_forward_pre_hook(measure) for part in network.modules() if isinstance(part, Norm)]
    network.eval()(seen)
    network.train()
    for hook in hooks:
        hook.remove()


def train(folder: Path, work: Path, steps: int, peak_rate: float, resume: Path | None, start: Path | None) -> None:
    """Train; keep the average of the weights with the smallest loss for early stopping.

    Candidates are moving averages of the weights on the way, and at the end the mean of those of most of the run.
    """
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = StemNet()
    if resume:
        network.load_state_dict(torch.load(resume, weights_only=True))
    elif start:
        stored = {name: torch.from_numpy(values) for name, values in layers.load(start).items()}
        sample = np.random.default_rng(2)
        paths = sorted((folder / "train").glob("[0-9]*.npy"))[:40]
        some = [example([np.load(path, mmap_mode="r") for path in paths], sample) for _ in range(16)]
        start_from(network, stored, batch_of(some)[0].float())
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    mean = torch.optim.swa_utils.AveragedModel(average.module, use_buffers=True)  # over most of the run
    optimiser = Muon(network, ("encode", "decode", "last"), peak_rate)  # these have a matrix for each band
    read = partial(np.load, mmap_mode="r")
    pieces = {split: Pieces(folder / split, "[0-9]*.npy", read) for split in ("train", "valid")}
    fixed = np.random.default_rng(1)
    valid = [example(pieces["valid"], fixed, changed=bool(number % 2)) for number in range(128)]
    stored = [example(pieces["train"], random) for _ in range(min(POOL, 80))]
    print(f"{sum(p.numel() for p in network.parameters())} weights; {len(pieces['train'])} pieces", flush=True)
    began, best, owed = time.time(), np.inf, 0.0
    running: list[tuple] = []
    for step in range(1, steps + 1):
        decay = 0.5 * (1 + np.cos(np.pi * np.clip((step / steps - 0.4) / 0.6, 0, 1)))  # constant at first
        optimiser.set_rate(peak_rate * min(1.0, step / 100) * (0.01 + 0.99 * decay))
        owed += BATCH / USES
        while owed >= 1:
            owed -= 1
            new = example(pieces["train"], random)
            if len(stored) < POOL:
                stored.append(new)
            else:
                stored[random.integers(POOL)] = new
        seen, *truth = batch_of([stored[i] for i in random.integers(0, len(stored), BATCH)])
        optimiser.zero_grad()
        running.append(loss_of(network, seen, *truth, learn=True))
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(network)
        if step % 200 == 0:
            for found in pieces.values():
                found.look()
            found = validate(average.module, valid)
            loss, ratios = np.mean([r[0] for r in running]), np.mean([r[1] for r in running], axis=0)
            running.clear()
            marks = " ".join(f"{a:.1f}/{b:.1f}" for a, b in zip(ratios, found[1], strict=True))
            print(
                f"step {step}, {(time.time() - began) / 60:.1f} min, {time.process_time():.0f} CPU s, "
                f"{len(pieces['train'])} pieces: "
                f"loss {loss:.3f}/{found[0]:.3f}, SDR train/valid {marks}",
                flush=True,
            )
            torch.save(average.module.state_dict(), work / "last.pt")
            if found[0] < best:
                best = found[0]
                torch.save(average.module.state_dict(), work / "best.pt")
            if step > 0.3 * steps:
                mean.update_parameters(average.module)
    if mean.n_averaged:
        loss, ratios = validate(mean.module, valid)
        print(f"mean of the last {int(mean.n_averaged)}: loss {loss:.3f}, SDR {np.round(ratios, 1)}", flush=True)
        if loss < best:
            torch.save(mean.module.state_dict(), work / "best.pt")


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pieces", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=15000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--resume", type=Path, help="WORK/last.pt of a run before")
    parser.add_argument("--start", type=Path, help="exported weights to start from (.npz)")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    train(arguments.pieces, arguments.work, arguments.steps, arguments.rate, arguments.resume, arguments.start)


if __name__ == "__main__":
    main()
