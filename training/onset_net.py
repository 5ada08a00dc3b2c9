"""The onset network and its training: `python -m training.onset_net PIECES WORK`, or `make train-onsets`."""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mirflow.dsp.onset_network import BANDS, GROUP, HOP, LEAD, RATE
from training.beat_net import Block
from training.optimiser import Muon
from training.pieces import Pieces

CROP = 512  # groups of an example, 10.2 s
BATCH = 16
WIDTH = 1.2  # frames: standard deviation of the bell that is the target of an onset
LAYERS = 6  # dilations 1 to 32 at 50 frames/s: 2.5 s on both sides
CHANNELS = 56
CHECKED = 100  # steps between two looks at the set for early stopping
HEAVY = 2.0  # weight of what is an onset, besides 1


class OnsetNet(nn.Module):
    """Spectra [batch, group, 3, band] → log odds of an onset [batch, frame].

    Two convolutions over time and frequency read groups of two frames, so that all that follows has half of the frame
    rate; dilated convolutions see 2.5 s on both sides; the outputs have the frame rate again.
    """

    def __init__(self, channels: int = CHANNELS):
        super().__init__()
        self.front = nn.Sequential(
            nn.BatchNorm2d(GROUP + 1), nn.Conv2d(GROUP + 1, 20, (3, 8), (1, 4), (1, 2)), nn.ReLU(),
            nn.BatchNorm2d(20), nn.Conv2d(20, 28, (3, 3), (1, 2), (1, 1)), nn.ReLU(),
        )  # fmt: skip
        self.flatten = nn.Conv1d(28 * (BANDS // 8), channels, 1)
        self.blocks = nn.Sequential(*(Block(channels, 2**k) for k in range(LAYERS)))
        self.out = nn.Sequential(nn.BatchNorm1d(channels), nn.ReLU(), nn.Conv1d(channels, GROUP, 3, padding=1))

    def forward(self, spectra):
        batch, groups = spectra.shape[:2]
        x = self.front(spectra.transpose(1, 2))
        x = self.flatten(x.transpose(2, 3).reshape(batch, -1, groups))
        return self.out(self.blocks(x)).permute(0, 2, 1).reshape(batch, GROUP * groups)


class Piece:
    """A piece in memory."""

    def __init__(self, path: Path):
        with np.load(path) as stored:
            self.spectra, self.kind = stored["spectra"], str(stored["kind"])
            self.frames = stored["onsets"] * RATE / HOP + LEAD  # of the onsets, fractional


def target(frames: np.ndarray, count: int) -> np.ndarray:
    """Return bells around the onsets, float32 [frame].

    Parameters
    ----------
    frames : of the onsets (fractional), ascending
    """
    out = np.zeros(count, np.float32)
    for offset in range(-4, 5):
        at = np.round(frames).astype(int) + offset
        kept = (at >= 0) & (at < count)
        np.maximum.at(out, at[kept], np.exp(-0.5 * ((at - frames) / WIDTH) ** 2)[kept].astype(np.float32))
    return out


def example(piece: Piece, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return an excerpt of a piece, changed at random: pitch, equaliser, level, bands that are empty."""
    groups = len(piece.spectra)
    last = max(0, groups - CROP)
    begin = int(random.choice([0, last, random.integers(last + 1)], p=(0.25, 0.15, 0.6)))
    kept = piece.spectra[begin : begin + CROP].astype(np.float32)
    x = np.zeros((CROP, GROUP + 1, BANDS), np.float32)
    x[: len(kept)] = kept
    if random.random() < 0.4:
        shift = int(random.integers(-3, 4))
        x = np.roll(x, shift, axis=2)
        x[:, :, : max(shift, 0)] = 0
        x[:, :, BANDS + min(shift, 0) :] = 0
    gain = np.full(BANDS, random.uniform(-0.4, 0.3))
    if random.random() < 0.6:
        gain = gain + np.interp(np.arange(BANDS), np.linspace(0, BANDS - 1, 6), random.normal(0, 0.3, 6))
    x = np.log10(1 + np.float32(10) ** gain.astype(np.float32) * (np.float32(10) ** x - 1))
    if random.random() < 0.25:
        top = int(random.integers(30, BANDS))
        x[:, :, top:] = 0
    frames = piece.frames - GROUP * begin
    return x, target(frames[(frames > -4) & (frames < GROUP * CROP + 4)], GROUP * CROP)


def loss_of(network: OnsetNet, x: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy, in which onsets weigh more."""
    odds = network(x).float()
    weight = 1 + HEAVY * wanted
    return (functional.binary_cross_entropy_with_logits(odds, wanted, reduction="none") * weight).mean()


@torch.no_grad()
def validate(network: OnsetNet, pieces: list[Piece]) -> float:
    """Return the mean loss, without changes, over the beginnings of the pieces."""
    network.eval()
    losses = []
    for first in range(0, len(pieces), BATCH):
        rows = []
        for piece in pieces[first : first + BATCH]:
            x = np.zeros((CROP, GROUP + 1, BANDS), np.float32)
            kept = piece.spectra[:CROP]
            x[: len(kept)] = kept
            rows.append((x, target(piece.frames[piece.frames < GROUP * CROP + 4], GROUP * CROP)))
        losses.append(float(loss_of(network, *(torch.from_numpy(np.stack(c)) for c in zip(*rows, strict=True)))))
    network.train()
    return float(np.mean(losses))


def train(folder: Path, work: Path, steps: int, peak_rate: float, start: Path | None) -> None:
    """Train; keep the average of the weights that has the smallest loss on the set for early stopping."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = OnsetNet()
    if start:
        network.load_state_dict(torch.load(start, weights_only=True))
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    optimiser = Muon(network, ("out",), peak_rate)
    pieces = {split: Pieces(folder / split, "[0-9]*.npz", Piece) for split in ("train", "valid")}
    print(f"{sum(p.numel() for p in network.parameters())} weights; {len(pieces['train'])} pieces", flush=True)
    began, best, running = time.time(), np.inf, []
    for step in range(1, steps + 1):
        decay = 0.5 * (1 + np.cos(np.pi * max(0.0, 2 * step / steps - 1)))  # constant in the first half
        optimiser.set_rate(peak_rate * min(1.0, step / 100) * (0.01 + 0.99 * decay))
        chosen = random.integers(0, len(pieces["train"]), BATCH)
        examples = [example(pieces["train"][i], random) for i in chosen]
        x, wanted = (torch.from_numpy(np.stack(column)) for column in zip(*examples, strict=True))
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(network, x, wanted)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(network)
        running.append(float(loss.detach()))
        if step % CHECKED == 0:
            for found in pieces.values():
                found.look()
            found = validate(average.module, pieces["valid"])
            print(
                f"step {step}, {(time.time() - began) / 60:.1f} min, {time.process_time():.0f} CPU s, "
                f"{len(pieces['train'])} pieces: train/valid {np.mean(running):.4f}/{found:.4f}",
                flush=True,
            )
            running.clear()
            torch.save(average.module.state_dict(), work / "last.pt")
            if found < best:
                best = found
                torch.save(average.module.state_dict(), work / "best.pt")


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pieces", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    train(arguments.pieces, arguments.work, arguments.steps, arguments.rate, arguments.start)


if __name__ == "__main__":
    main()
