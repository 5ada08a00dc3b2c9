"""The beat network, its training and its export: `python -m training.beat_net PIECES WORK`, or `make train-beats`."""

import argparse
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mirflow.dsp.beats.log_mel import BANDS, FRAME_RATE
from mirflow.dsp.beats.network import GROUP, HEADS, LONGEST_PERIOD, POOL, TEMPI
from training.optimiser import Muon
from training.pieces import Pieces

CROP = 3072  # frames of an example, 31 s
BATCH = 8
WIDTH = 1.5  # frames: standard deviation of the bell that is the target of a beat
LAYERS = 9  # dilations 1 to 256 at 25 frames/s: 40 s on both sides
CHANNELS = 88
ATTENTIONS, WIDE = 3, 64  # layers of attention, and numbers of each of their steps
AFTER = 2  # residual layers after the attention
CHECKED = 200  # steps between two looks at the set for early stopping
EARLY_SHARE = 0.3  # of the best weights before the rate falls, in the mean with those of the whole training


class Block(nn.Module):
    """A residual layer: a dilated convolution over time, and one over channels."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.wide = nn.Conv1d(channels, channels, 5, padding=2 * dilation, dilation=dilation)
        self.point = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        return x + self.point(functional.relu(self.wide(functional.relu(self.norm(x)))))


class Attention(nn.Module):
    """A layer of a transformer: each time asks the others, whose distance rotates what they answer with."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.ask, self.answer = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide_norm, self.wide = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.point = nn.Linear(3 * width, width)

    def forward(self, x, turn):
        """Add what the layer finds to x [batch, time, width]; `turn` is the cosine and sine of `rotation`."""
        batch, time, width = x.shape
        parts = self.ask(self.norm(x)).reshape(batch, time, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        query, key, value = rotated(parts[0], turn), rotated(parts[1], turn), parts[2]
        found = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.answer(found.transpose(1, 2).reshape(batch, time, width))
        return x + self.point(functional.relu(self.wide(self.wide_norm(x))))


def rotation(time: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosine and sine of the angle of each time and pair of numbers, [time, size / 2]."""
    rate = np.pi * (LONGEST_PERIOD / 2) ** (-np.arange(size // 2) / (size // 2 - 1))
    angle = torch.from_numpy(np.arange(time)[:, None] * rate).float()
    return torch.cos(angle), torch.sin(angle)


def rotated(x, turn):
    """Rotate pairs of numbers of [..., time, size] (Su et al. 2021)."""
    cosine, sine = (part.to(x.dtype) for part in turn)
    one, other = x.chunk(2, dim=-1)
    return torch.cat([one * cosine - other * sine, one * sine + other * cosine], dim=-1)


class BeatNet(nn.Module):
    """Log-mel spectrogram [batch, frame, band] → log odds of beat and downbeat [batch, frame, 2], and tempo scores.

    Two convolutions over time and frequency read groups of four frames, so that all that follows has a quarter of the
    frame rate; dilated convolutions see 40 s on both sides, and layers of attention, at a quarter of that rate, the
    whole excerpt; the outputs have the frame rate of the input again. The number of frames must be a multiple of
    sixteen.
    """

    def __init__(self, channels: int = CHANNELS):
        super().__init__()
        self.front = nn.Sequential(
            nn.BatchNorm2d(GROUP), nn.Conv2d(GROUP, 24, (3, 8), (1, 4), (1, 2)), nn.ReLU(),
            nn.BatchNorm2d(24), nn.Conv2d(24, 32, (3, 3), (1, 2), (1, 1)), nn.ReLU(),
        )  # fmt: skip
        self.flatten = nn.Conv1d(32 * (BANDS // 8), channels, 1)
        self.blocks = nn.Sequential(*(Block(channels, 2**k) for k in range(LAYERS)))
        self.narrow = nn.Sequential(nn.BatchNorm1d(channels), nn.ReLU(), nn.Conv1d(channels, WIDE, POOL, POOL))
        self.attention = nn.ModuleList(Attention(WIDE) for _ in range(ATTENTIONS))
        self.widen_norm = nn.LayerNorm(WIDE)
        self.widen = nn.ConvTranspose1d(WIDE, channels, POOL, POOL)
        self.last = nn.Sequential(*(Block(channels, 2**k) for k in range(AFTER)))
        for layer in (self.widen, *(block.point for block in self.last)):  # at first, they change nothing
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.out = nn.Sequential(nn.BatchNorm1d(channels), nn.ReLU(), nn.Conv1d(channels, 2 * GROUP, 3, padding=1))
        self.tempo = nn.Sequential(nn.BatchNorm1d(channels), nn.ReLU(), nn.Conv1d(channels, len(TEMPI), 1))

    def forward(self, mel):
        batch, frames, bands = mel.shape
        groups = mel.reshape(batch, frames // GROUP, GROUP, bands).transpose(1, 2)
        x = self.front(groups)
        x = self.flatten(x.transpose(2, 3).reshape(batch, -1, frames // GROUP))
        x = self.blocks(x)
        state = self.narrow(x).transpose(1, 2)
        turn = rotation(state.shape[1], WIDE // HEADS)
        for layer in self.attention:
            state = layer(state, turn)
        x = x + self.widen(self.widen_norm(state).transpose(1, 2))
        x = self.last(x)
        return self.out(x).permute(0, 2, 1).reshape(batch, frames, 2), self.tempo(x)


class Piece:
    """A piece in memory, and its targets."""

    def __init__(self, path: Path):
        with np.load(path) as stored:
            self.mel, self.beats, self.positions = stored["mel"], stored["beats"], stored["positions"]
            self.kind = str(stored["kind"])


def targets(beats: np.ndarray, positions: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets of beat and downbeat [frame, 2] (-1: unknown), and the tempo class of each group (-1: none).

    Parameters
    ----------
    beats : frames (fractional), ascending
    positions : from 1; 0: unknown
    """
    out, tempo = np.zeros((frames, 2), np.float32), np.full(frames // GROUP, -1, np.int64)
    for column, times in enumerate((beats, beats[positions == 1])):
        for offset in range(-5, 6):
            at = np.round(times).astype(int) + offset
            kept = (at >= 0) & (at < frames)
            value = np.exp(-0.5 * ((at - times) / WIDTH) ** 2)
            np.maximum.at(out[:, column], at[kept], value[kept].astype(np.float32))
    if len(positions) and not positions.any():
        out[:, 1] = -1
    if len(beats) > 2:
        bpm = 60 * FRAME_RATE / np.diff(beats)
        smooth = np.convolve(np.pad(bpm, 1, mode="edge"), np.ones(3) / 3, "valid")
        classes = np.round(12 * np.log2(smooth / TEMPI[0])).astype(int)
        classes[(classes < 0) | (classes >= len(TEMPI))] = -1
        at = np.arange(frames // GROUP) * GROUP
        inside = (at >= beats[0]) & (at < beats[-1])
        tempo[inside] = classes[np.searchsorted(beats, at[inside], side="right") - 1]
    return out, tempo


def example(piece: Piece, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an excerpt of a piece, changed at random: tempo, pitch, equaliser, level, gaps."""
    stretch = float(np.exp(random.uniform(-0.16, 0.16))) if random.random() < 0.5 else 1.0
    source = int(CROP * stretch)
    frames = len(piece.mel)
    begin = 0.0
    if frames > source and random.random() < 0.75:
        begin = float(random.integers(0, frames - source + 1))
    position = begin + np.arange(CROP) * stretch + (random.uniform(0, 1) if begin else 0)
    low = np.floor(position).astype(int)
    part = (position - low)[:, None].astype(np.float32)
    inside = (low >= 0) & (low + 1 < frames)
    rows = np.clip(low, 0, frames - 2)
    mel = piece.mel[rows].astype(np.float32) * (1 - part) + piece.mel[rows + 1].astype(np.float32) * part
    mel[~inside] = 0
    if random.random() < 0.4:
        shift = int(random.integers(-3, 4))
        mel = np.roll(mel, shift, axis=1)
        if shift > 0:
            mel[:, :shift] = 0
        elif shift < 0:
            mel[:, shift:] = 0
    gain = np.full(BANDS, random.uniform(-0.3, 0.3))
    if random.random() < 0.6:
        knots = random.normal(0, 0.3, 6)
        gain = gain + np.interp(np.arange(BANDS), np.linspace(0, BANDS - 1, 6), knots)
    mel = np.log10(1 + np.float32(10) ** gain.astype(np.float32) * (np.float32(10) ** mel - 1))
    if random.random() < 0.25:
        width = int(random.integers(4, 24))
        at = int(random.integers(0, BANDS - width))
        mel[:, at : at + width] = 0
    if random.random() < 0.2:
        width = int(random.integers(20, 200))
        at = int(random.integers(0, CROP - width))
        mel[at : at + width] *= random.choice([0.0, 0.3])
    beats = (piece.beats * FRAME_RATE - position[0]) / stretch
    kept = (beats > -1) & (beats < CROP)
    return mel, *targets(beats[kept], piece.positions[kept], CROP)


def loss_of(network: BeatNet, mel, target, tempo) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the loss and its parts."""
    odds, scores = network(mel)
    odds, scores = odds.float(), scores.float()
    known = (target >= 0).float()
    weight = torch.tensor([1.0, 1.5]) * known * (1 + 2 * target.clamp(min=0))
    cross = (functional.binary_cross_entropy_with_logits(odds, target.clamp(min=0), reduction="none") * weight).mean(
        (0, 1)
    )
    tempo_loss = (
        functional.cross_entropy(scores, tempo, ignore_index=-1, label_smoothing=0.1)
        if (tempo >= 0).any()
        else cross.sum() * 0
    )
    total = cross[0] * 4 + cross[1] * 4 + 0.3 * tempo_loss
    return total, {
        "beat": float(cross[0].detach()),
        "downbeat": float(cross[1].detach()),
        "tempo": float(tempo_loss.detach()),
    }


def batch_of(examples) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Stack examples."""
    return tuple(torch.from_numpy(np.stack(column)) for column in zip(*examples, strict=True))


@torch.no_grad()
def validate(network: BeatNet, pieces: list[Piece]) -> dict[str, float]:
    """Return the mean loss, without changes, over the beginnings of the pieces."""
    network.eval()
    parts = []
    for begin in range(0, len(pieces), BATCH):
        rows = []
        for piece in pieces[begin : begin + BATCH]:
            mel = np.zeros((CROP, BANDS), np.float32)
            mel[: len(piece.mel)] = piece.mel[:CROP]
            kept = piece.beats * FRAME_RATE < CROP
            rows.append((mel, *targets(piece.beats[kept] * FRAME_RATE, piece.positions[kept], CROP)))
        total, detail = loss_of(network, *batch_of(rows))
        parts.append({"loss": float(total.detach()), **detail})
    network.train()
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}


def train(
    folder: Path,
    work: Path,
    steps: int,
    peak_rate: float,
    channels: int,
    resume: Path | None,
    wanted: Callable[[int], bool] = lambda _: True,
) -> None:
    """Train; keep the average of the weights that has the smallest loss on the set for early stopping.

    If its mean with the best one before the rate falls is better still, that is kept.
    """
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = BeatNet(channels)
    if resume:
        _, unknown = network.load_state_dict(torch.load(resume, weights_only=True), strict=False)
        if unknown:
            raise SystemExit(f"{resume}: weights of another network ({', '.join(unknown)})")
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.996), use_buffers=True
    )
    optimiser = Muon(network, ("out", "tempo"), peak_rate)
    pieces = {
        "train": Pieces(folder / "train", "[0-9]*.npz", Piece, wanted),
        "valid": Pieces(folder / "valid", "[0-9]*.npz", Piece),
    }
    print(f"{sum(p.numel() for p in network.parameters())} weights; {len(pieces['train'])} pieces", flush=True)
    began, best, early = time.time(), np.inf, {}
    running: list[dict[str, float]] = []
    for step in range(1, steps + 1):
        decay = 0.5 * (1 + np.cos(np.pi * max(0.0, 2 * step / steps - 1)))  # constant in the first half
        optimiser.set_rate(peak_rate * min(1.0, step / 400) * (0.01 + 0.99 * decay))
        chosen = random.integers(0, len(pieces["train"]), BATCH)
        examples = batch_of([example(pieces["train"][i], random) for i in chosen])
        with torch.autocast("cpu", torch.bfloat16):
            total, detail = loss_of(network, *examples)
        optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(network)
        running.append({"loss": float(total.detach()), **detail})
        if step % CHECKED == 0:
            for found in pieces.values():
                found.look()
            found = validate(average.module, pieces["valid"])
            mean = {name: np.mean([row[name] for row in running]) for name in running[0]}
            running.clear()
            marks = " ".join(f"{name} {mean[name]:.4f}/{found[name]:.4f}" for name in mean)
            used = (
                f"{(time.time() - began) / 60:.1f} min, {time.process_time():.0f} CPU s, {len(pieces['train'])} pieces"
            )
            print(f"step {step}, {used}: train/valid {marks}", flush=True)
            torch.save(average.module.state_dict(), work / "last.pt")
            if found["loss"] < best:
                best = found["loss"]
                torch.save(average.module.state_dict(), work / "best.pt")
                if step <= steps / 2:
                    early = deepcopy(average.module.state_dict())
    if early:
        late = torch.load(work / "best.pt", weights_only=True)
        mean = {
            name: torch.lerp(late[name], early[name], EARLY_SHARE) if late[name].is_floating_point() else late[name]
            for name in late
        }
        network.load_state_dict(mean)
        found = validate(network, pieces["valid"])
        print(f"mean with the best before the rate falls: valid loss {found['loss']:.4f}", flush=True)
        if found["loss"] < best:
            torch.save(mean, work / "best.pt")


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pieces", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=22000)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--channels", type=int, default=CHANNELS)
    parser.add_argument("--resume", type=Path, help="WORK/last.pt of a run before, also of one without attention")
    parser.add_argument("--first", type=int, default=0, help="number of the first piece to learn from; all take memory")
    parser.add_argument("--half", type=int, choices=(0, 1), help="learn from the pieces with even (0) or odd numbers")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    half = (0, 1) if arguments.half is None else (arguments.half,)
    train(
        arguments.pieces, arguments.work, arguments.steps, arguments.rate, arguments.channels, arguments.resume,
        lambda number: number >= arguments.first and number % 2 in half,
    )  # fmt: skip


if __name__ == "__main__":
    main()
