"""Backend `beat_this`: activations by the network of Foscarin, Schlüter & Widmer (2024), from a local checkpoint."""

from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from mirflow import accelerator, audio
from mirflow.audio import Audio
from mirflow.beats import Activations
from mirflow.errors import MirflowError

if TYPE_CHECKING:
    import torch

RATE = 22050  # Hz
FRAME = 1024  # samples
HOP = 441  # samples: 50 frames/s
CHUNK = 1500  # frames, what the network was trained on
OVERLAP = 500  # frames, across which one chunk fades into the next


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Return the network's input, float32 [frame, 128]: log(1 + 1000 * mel magnitude), 30 Hz to 11 kHz.

    Equal to torchaudio's MelSpectrogram(normalized="frame_length", mel_scale="slaney", power=1), without torchaudio.

    Parameters
    ----------
    samples : float32 [n] at `RATE`, n > `FRAME` / 2
    """
    import librosa

    weights = librosa.filters.mel(sr=RATE, n_fft=FRAME, n_mels=128, fmin=30, fmax=11000, htk=False, norm=None)
    spectrum = librosa.stft(samples, n_fft=FRAME, hop_length=HOP, window="hann", center=True, pad_mode="reflect")
    return np.log1p(1000 * (np.abs(spectrum.T) / np.sqrt(FRAME)) @ weights.T).astype(np.float32)


def load(checkpoint: str | PathLike, device: str = "cpu") -> "torch.nn.Module":
    """Load the network from a checkpoint of Beat This (final0, small0 ...); nothing in the file is executed.

    Raises
    ------
    MirflowError : when the file is no such checkpoint, naming it
    """
    import inspect
    import pickle
    import zipfile

    import torch
    from beat_this.model.beat_tracker import BeatThis

    if not zipfile.is_zipfile(checkpoint):
        raise MirflowError(f"{checkpoint}: not a checkpoint of Beat This (no such file, or cut short)")
    try:
        stored = torch.load(checkpoint, map_location=device, weights_only=True)
        known = inspect.signature(BeatThis).parameters
        network = BeatThis(**{name: value for name, value in stored["hyper_parameters"].items() if name in known})
        network.load_state_dict({name.removeprefix("model."): value for name, value in stored["state_dict"].items()})
    except (OSError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MirflowError(f"{checkpoint}: not a checkpoint of Beat This ({reason})") from error
    return network.to(device).eval()


@dataclass
class Loaded:
    """The network, as `mirflow.resident` holds it."""

    network: "torch.nn.Module | None"
    sha256: str

    def close(self) -> None:
        """Free its memory."""
        self.network = None
        accelerator.release()


def activations(full_mix: Audio, network: "torch.nn.Module") -> Activations:
    """Run the network over a track.

    A long track is read in chunks that overlap by a third; their log odds fade into each other, so there is no seam.
    """
    import torch

    samples = audio.resample(full_mix.mono(), full_mix.rate, RATE)
    if len(samples) <= FRAME // 2:
        nothing = np.zeros(len(samples) // HOP + 1, np.float32)
        return Activations(nothing, nothing, RATE / HOP)
    spectrum = log_mel(samples)
    device = next(network.parameters()).device
    odds, total = np.zeros((2, len(spectrum))), np.zeros(len(spectrum))
    fade = np.minimum(np.arange(1, CHUNK + 1), np.arange(CHUNK, 0, -1)).clip(max=OVERLAP) / OVERLAP
    last = max(0, len(spectrum) - CHUNK)
    for begin in [*range(0, last, CHUNK - OVERLAP), last]:
        piece = torch.from_numpy(spectrum[begin : begin + CHUNK]).to(device)
        with accelerator.settled(device.type):
            judged = network(piece[None])
        weight = fade[: len(piece)]
        for row, name in enumerate(("beat", "downbeat")):
            odds[row, begin : begin + CHUNK] += judged[name][0].float().cpu().numpy() * weight
        total[begin : begin + CHUNK] += weight
    beat, downbeat = (1 / (1 + np.exp(-odds / total))).astype(np.float32)
    return Activations(beat, downbeat, RATE / HOP)
