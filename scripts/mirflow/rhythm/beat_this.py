"""Backend `beat_this`: activations by the network Beat This, from a local checkpoint.

Source: Foscarin, Schlüter & Widmer 2024, Beat this! Accurate beat tracking without DBN postprocessing, ISMIR.
"""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from mirflow.core import audio
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.models import accelerator
from mirflow.rhythm.activations import Activations

if TYPE_CHECKING:
    import torch

VERSION = 1  # of the activations; raise it when their values change
RATE = 22050  # Hz
FRAME = 1024  # samples
HOP = 441  # samples: 50 frames/s
CHUNK = 1500  # frames: the length of the training excerpts
OVERLAP = 500  # frames of the cross-fade between consecutive chunks


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Return the network's input: log(1 + 1000 * mel magnitude) of 128 mel bands from 30 Hz to 11 kHz.

    The mel spectrogram equals that of torchaudio's MelSpectrogram(normalized="frame_length", mel_scale="slaney",
    power=1), but does not need torchaudio.

    Parameters
    ----------
    samples : float32 [n] at `RATE`, n > `FRAME` / 2

    Returns
    -------
    float32 [frame, band]
    """
    import librosa

    weights = librosa.filters.mel(sr=RATE, n_fft=FRAME, n_mels=128, fmin=30, fmax=11000, htk=False, norm=None)
    spectrum = librosa.stft(samples, n_fft=FRAME, hop_length=HOP, window="hann", center=True, pad_mode="reflect")
    return np.log1p(1000 * (np.abs(spectrum.T) / np.sqrt(FRAME)) @ weights.T).astype(np.float32)


def load(files: Sequence[str | PathLike], device: str = "cpu") -> "torch.nn.Module":
    """Load the network from a checkpoint of Beat This (final0, small0 ...). No code from the file is executed.

    Parameters
    ----------
    files : one file, the checkpoint
    device : "auto" or "cpu"

    Returns
    -------
    the network in evaluation mode, on the device

    Raises
    ------
    MirflowError : the file is no checkpoint of Beat This (the message names it), or there is not exactly one
    """
    import inspect
    import pickle
    import zipfile

    device = accelerator.device(device)
    import torch
    from beat_this.model.beat_tracker import BeatThis

    if len(files) != 1:
        raise MirflowError(f"beat_this: one checkpoint is expected, {len(files)} files are given")
    (checkpoint,) = files
    if not zipfile.is_zipfile(checkpoint):
        raise MirflowError(f"{checkpoint}: not a checkpoint of Beat This (the file is missing or incomplete)")
    try:
        stored = torch.load(checkpoint, map_location=device, weights_only=True)
        parameters = inspect.signature(BeatThis).parameters
        network = BeatThis(**{name: value for name, value in stored["hyper_parameters"].items() if name in parameters})
        network.load_state_dict({name.removeprefix("model."): value for name, value in stored["state_dict"].items()})
    except (OSError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MirflowError(f"{checkpoint}: not a checkpoint of Beat This ({reason})") from error
    return network.to(device).eval()


def activations(full_mix: Audio, network: "torch.nn.Module") -> Activations:
    """Estimate beat and downbeat activations with the network.

    A long track is analysed in chunks that overlap by a third. The log odds of overlapping chunks are cross-faded, so
    that the activations have no discontinuity between chunks.

    Parameters
    ----------
    full_mix : the whole track, samples float32 [channel, n]
    network : from `load`

    Returns
    -------
    activations at 50 frames/s, without tempo evidence; all zero for a track shorter than half a frame (23 ms)
    """
    import torch

    samples = audio.resample(full_mix.mono(), full_mix.rate, RATE)
    if len(samples) <= FRAME // 2:
        zeros = np.zeros(len(samples) // HOP + 1, np.float32)
        return Activations(zeros, zeros, RATE / HOP)
    spectrum = log_mel(samples)
    device = next(network.parameters()).device
    log_odds, total_weight = np.zeros((2, len(spectrum))), np.zeros(len(spectrum))
    fade_weights = np.minimum(np.arange(1, CHUNK + 1), np.arange(CHUNK, 0, -1)).clip(max=OVERLAP) / OVERLAP
    last_chunk = max(0, len(spectrum) - CHUNK)
    for begin in [*range(0, last_chunk, CHUNK - OVERLAP), last_chunk]:
        chunk = torch.from_numpy(spectrum[begin : begin + CHUNK]).to(device)
        with accelerator.reproducible(device.type):
            logits = network(chunk[None])
        weight = fade_weights[: len(chunk)]
        for row, name in enumerate(("beat", "downbeat")):
            log_odds[row, begin : begin + CHUNK] += logits[name][0].float().cpu().numpy() * weight
        total_weight[begin : begin + CHUNK] += weight
    beat, downbeat = (1 / (1 + np.exp(-log_odds / total_weight))).astype(np.float32)
    return Activations(beat, downbeat, RATE / HOP)
