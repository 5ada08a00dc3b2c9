"""The drum network and its training: `python -m training.drum_net PIECES WORK`, or `make train-drums`."""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mirflow.transcribe.activations import DRUMS, FRAME_RATE
from mirflow.transcribe.embedded import BANDS, GAIN, GROUP
from training.beat_net import Block
from training.optimiser import Muon
from training.pieces import Pieces

CROP = 800  # frames of an example, 8 s
BATCH = 16
WIDTH = 1.0  # frames: standard deviation of the bell that is the target of a hit
SAME = 2.5  # frames: hits of a drum that are closer are one
LAYERS = 7  # dilations 1 to 64 at 50 frames/s: 5 s on both sides
CHANNELS = 64
WEIGHTS = (1.0, 1.0, 1.5, 1.0, 1.2)  # of the drums in the loss: toms and cymbals are rare
VALID_VERSIONS = 2  # changes of each piece of the set for early stopping


class DrumNet(nn.Module):
    """Spectrogram [batch, frame, band] → log odds that each drum is hit, and velocities, both [batch, frame, drum].

    Two convolutions over time and frequency read groups of frames, so that all that follows has half of the frame rate;
    dilated convolutions see 5 s on both sides; the outputs have the frame rate of the input again. The number of frames
    must be a multiple of `GROUP`.
    """

    def __init__(self, channels: int = CHANNELS):
        super().__init__()
        self.front = nn.Sequential(
            nn.BatchNorm2d(GROUP), nn.Conv2d(GROUP, 24, (3, 8), (1, 4), (1, 2)), nn.ReLU(),
            nn.BatchNorm2d(24), nn.Conv2d(24, 48, (3, 3), (1, 2), (1, 1)), nn.ReLU(),
        )  # fmt: skip
        self.flatten = nn.Conv1d(48 * (BANDS // 8), channels, 1)
        self.blocks = nn.Sequential(*(Block(channels, 2**k) for k in range(LAYERS)))
        self.out = nn.Sequential(
            nn.BatchNorm1d(channels), nn.ReLU(), nn.Conv1d(channels, GROUP * 2 * len(DRUMS), 3, padding=1)
        )

    def forward(self, mel):
        batch, frames, bands = mel.shape
        groups = mel.reshape(batch, frames // GROUP, GROUP, bands).transpose(1, 2)
        x = self.front(groups)
        x = self.flatten(x.transpose(2, 3).reshape(batch, -1, frames // GROUP))
        x = self.out(self.blocks(x)).permute(0, 2, 1).reshape(batch, frames, 2, len(DRUMS))
        return x[:, :, 0], x[:, :, 1]


class Piece:
    """A piece in memory: magnitudes times `GAIN`, float16, of its drums and of the rest, and its notes."""

    def __init__(self, path: Path):
        with np.load(path) as stored:
            self.notes, self.kind = stored["notes"], str(stored["kind"])
            self.drums, self.rest = (
                (10 ** stored[name].astype(np.float32) - 1).astype(np.float16) for name in ("drums", "rest")
            )


def targets(notes: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bells around the hits [frame, drum], velocities in [0, 1], and where these count.

    Parameters
    ----------
    notes : [k, 3]: frame (fractional), drum, velocity
    """
    hits, velocities, count = (np.zeros((frames, len(DRUMS)), np.float32) for _ in range(3))
    for drum in range(len(DRUMS)):
        own = notes[notes[:, 1] == drum]
        own = own[np.argsort(own[:, 0])]
        own = own[np.diff(own[:, 0], prepend=-np.inf) >= SAME] if len(own) else own
        for offset in range(-4, 5):
            at = np.round(own[:, 0]).astype(int) + offset
            kept = (at >= 0) & (at < frames)
            bell = np.exp(-0.5 * ((at - own[:, 0]) / WIDTH) ** 2)
            np.maximum.at(hits[:, drum], at[kept], bell[kept].astype(np.float32))
            if abs(offset) <= 1:
                velocities[at[kept], drum], count[at[kept], drum] = own[kept, 2] / 127, 1
    return hits, velocities, count


def _crop(mel: np.ndarray, begin: int, stretch: float) -> np.ndarray:
    """Return `CROP` frames from `begin` on, played faster by `stretch`; zeros beyond the end."""
    if stretch == 1:
        part = mel[begin : begin + CROP].astype(np.float32)
        return np.pad(part, ((0, CROP - len(part)), (0, 0)))
    position = begin + np.arange(CROP) * stretch
    low = position.astype(int)
    share = (position - low)[:, None].astype(np.float32)
    inside = (low + 1 < len(mel))[:, None]
    low = np.minimum(low, len(mel) - 2)
    return (mel[low] * (1 - share) + mel[low + 1] * share) * inside


def _colour(random: np.random.Generator, spread: float) -> np.ndarray:
    """Return the gain of a random equaliser: float32 [band]."""
    knots = random.normal(0, spread, int(random.integers(4, 9)))
    decibels = np.interp(np.arange(BANDS), np.linspace(0, BANDS - 1, len(knots)), knots)
    return (10 ** (decibels / 20)).astype(np.float32)


def separated(drums: np.ndarray, rest: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return what a separation of the drums gives: a mask that errs, and what leaks through it."""
    error = np.exp(random.normal(0, random.uniform(0, 0.8), (len(drums) // 8 + 1, BANDS // 4)))
    error = np.repeat(np.repeat(error, 8, axis=0), 4, axis=1).astype(np.float32)[: len(drums)]
    power = random.uniform(1, 2)
    drums_power, rest_power = drums**power * error, rest**power
    mask = drums_power / (drums_power + rest_power + 1e-6)
    mask = np.maximum(mask, np.float32(10 ** (random.uniform(-40, -12) / 20)))
    return mask * np.sqrt(drums**2 + rest**2)


def _attacks(rest: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return what a separation takes for drums in music without any: attacks."""
    before = int(random.integers(6, 16))
    total = np.cumsum(np.pad(rest, ((before, 0), (0, 0))), axis=0)
    return np.maximum(rest - random.uniform(0.6, 1.2) * (total[before:] - total[:-before]) / before, 0.05 * rest)


def example(pieces: list[Piece], index: int, random: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return an excerpt of a piece, changed at random: its spectrogram, and its targets.

    The drums are heard alone, in a mix, or separated from a mix by a mask; now and then there are no drums.
    """
    piece = pieces[index]
    stretch = float(np.exp(random.uniform(-0.15, 0.15))) if random.random() < 0.25 else 1.0
    begin = int(random.integers(0, len(piece.drums) - int(CROP * stretch)))
    drums, notes = _crop(piece.drums, begin, stretch), piece.notes * 1
    notes[:, 0] = (notes[:, 0] * FRAME_RATE - begin) / stretch
    rest = None
    own = len(piece.rest) > 0 and random.random() < 0.85
    if own:
        rest = _crop(piece.rest, begin, stretch)
    elif random.random() < 0.35:
        for _ in range(8):
            other = pieces[random.integers(len(pieces))]
            if len(other.rest) > CROP:
                rest = _crop(other.rest, int(random.integers(0, len(other.rest) - CROP)), 1.0)
                break
    if random.random() < 0.6:
        drums *= _colour(random, 4)
    if random.random() < 0.25:
        shift = int(random.integers(-2, 3))
        drums = np.roll(drums, shift, axis=1)
        drums[:, : max(shift, 0)] = 0
        drums[:, BANDS + min(shift, 0) :] = 0
    level = random.normal(0, 3)
    if piece.kind == "none" or (rest is not None and random.random() < 0.05):
        notes = notes[:0]
        out = np.zeros_like(drums) if rest is None else rest * _colour(random, 3)
        out = _attacks(out, random) * np.float32(2) if random.random() < 0.5 else out
        level = random.uniform(-12, 4)
    elif rest is None:
        out = drums
    else:
        rest = rest * _colour(random, 3)
        if random.random() < 0.5:
            ratio = 10 ** (random.uniform(-14, 6) / 20)
            out = np.sqrt(drums**2 + (rest * np.float32(ratio)) ** 2)
        else:
            ratio = 10 ** (random.uniform(-10, 10) / 20)
            out, ratio = separated(drums, rest * np.float32(ratio), random), 0.0
        level -= 10 * np.log10(1 + ratio**2)
    out *= np.float32(10 ** (level / 20))
    if random.random() < 0.4:  # lossy coding, tapes, old loudspeakers
        top = int(random.integers(50, BANDS))
        out[:, top:] *= np.float32(10 ** (-random.uniform(10, 60) / 20))
    if random.random() < 0.15:
        out[:, : int(random.integers(1, 5))] *= np.float32(10 ** (-random.uniform(5, 40) / 20))
    if random.random() < 0.5:
        noise = GAIN * 10 ** (random.uniform(-95, -60) / 20) * _colour(random, 8)
        out = out + noise * random.rayleigh(1, out.shape).astype(np.float32)
    if random.random() < 0.1:
        width = int(random.integers(4, 20))
        at = int(random.integers(0, BANDS - width))
        out[:, at : at + width] *= np.float32(random.uniform(0, 0.3))
    kept = (notes[:, 0] > -4) & (notes[:, 0] < CROP + 4)
    return np.log10(1 + out).astype(np.float32), *targets(notes[kept], CROP)


def loss_of(network: DrumNet, mel, hits, velocities, count) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the loss, and its parts."""
    odds, levels = (output.float() for output in network(mel))
    weight = torch.tensor(WEIGHTS) * (1 + 3 * hits)
    cross = (functional.binary_cross_entropy_with_logits(odds, hits, reduction="none") * weight).mean((0, 1))
    errors = (((torch.sigmoid(levels) - velocities) ** 2) * count).sum() / count.sum().clamp(min=1)
    total = cross.sum() * 4 + errors * 4
    parts = {drum: float(value) for drum, value in zip(DRUMS, cross.detach(), strict=True)}
    return total, {"loss": float(total.detach()), **parts, "velocity": float(errors.detach())}


def batch_of(examples) -> tuple[torch.Tensor, ...]:
    """Stack examples."""
    return tuple(torch.from_numpy(np.stack(column)) for column in zip(*examples, strict=True))


@torch.no_grad()
def validate(network: DrumNet, batches: list[tuple[torch.Tensor, ...]]) -> dict[str, float]:
    """Return the mean loss over fixed batches, and its parts."""
    network.eval()
    with torch.autocast("cpu", torch.bfloat16):
        parts = [loss_of(network, *batch)[1] for batch in batches]
    network.train()
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}


def train(folder: Path, work: Path, steps: int, peak_rate: float, resume: Path | None) -> None:
    """Train; keep the average of the weights that has the smallest loss on the set for early stopping."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = DrumNet()
    if resume:
        network.load_state_dict(torch.load(resume, weights_only=True))
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.996), use_buffers=True
    )
    optimiser = Muon(network, ("out",), peak_rate)
    pieces = Pieces(folder / "train", "[0-9]*.npz", Piece)
    others = Pieces(folder / "valid", "[0-9]*.npz", Piece)
    fixed = np.random.default_rng(1)
    rows = [example(others, index, fixed) for index in range(len(others)) for _ in range(VALID_VERSIONS)]
    valid = [batch_of(rows[begin : begin + 32]) for begin in range(0, len(rows), 32)]
    print(f"{sum(p.numel() for p in network.parameters())} weights; {len(pieces)} pieces", flush=True)
    began, best = time.time(), np.inf
    running: list[dict[str, float]] = []
    for step in range(1, steps + 1):
        decay = 0.5 * (1 + np.cos(np.pi * np.clip((step / steps - 0.4) / 0.6, 0, 1)))
        optimiser.set_rate(peak_rate * min(1.0, step / 100) * (0.01 + 0.99 * decay))
        examples = batch_of([example(pieces, i, random) for i in random.integers(0, len(pieces), BATCH)])
        with torch.autocast("cpu", torch.bfloat16):
            total, detail = loss_of(network, *examples)
        optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(network)
        running.append(detail)
        if step % 200 == 0:
            pieces.look()
            found = validate(average.module, valid)
            mean = {name: np.mean([row[name] for row in running]) for name in running[0]}
            running.clear()
            marks = " ".join(f"{name} {mean[name]:.4f}/{found[name]:.4f}" for name in mean)
            used = f"{(time.time() - began) / 60:.1f} min, {time.process_time():.0f} CPU s, {len(pieces)} pieces"
            print(f"step {step}, {used}: train/valid {marks}", flush=True)
            torch.save(average.module.state_dict(), work / "last.pt")
            if found["loss"] < best:
                best = found["loss"]
                torch.save(average.module.state_dict(), work / "best.pt")
    if best == np.inf:
        raise SystemExit("too short: the set for early stopping was never looked at; give more --steps")
    # Between the best weights and the last ones, which fit the training better, there may be still better ones.
    states = [torch.load(work / f"{name}.pt", weights_only=True) for name in ("best", "last")]
    between = {name: (one + states[1][name]) / 2 if one.is_floating_point() else one for name, one in states[0].items()}
    network.load_state_dict(between)
    found = validate(network, valid)
    print(f"between the best and the last: valid loss {found['loss']:.4f}", flush=True)
    if found["loss"] < best:
        torch.save(between, work / "best.pt")


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pieces", type=Path, help="from training.drum_pieces")
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    train(arguments.pieces, arguments.work, arguments.steps, arguments.rate, arguments.resume)


if __name__ == "__main__":
    main()
