"""Networks that hear music (models.yaml, ``network``): full mix in, their output for each patch of sound out."""

import io
import zipfile
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from mirflow import artifacts, models, tensorflow
from mirflow.audio import Audio, resample
from mirflow.errors import MirflowError

VERSION = 1  # raise it when values change
SILENCE = 1e-4  # of full scale (-80 dB): a patch whose samples all lie below holds nothing to hear


@dataclass(frozen=True)
class Framing:
    """How one of Essentia's algorithms cuts the sound: by its own defaults.

    Attributes
    ----------
    rate : Hz
    hop : samples from frame to frame
    patch, step : frames of a patch, and from patch to patch
    shortest : s, below which the output would say nothing. TempoCNN hears a tempo in the silence that follows a short
        sound, and so gets whole patches only
    batch : patches at a time on a CPU, where many at once (Essentia's 64) take three times the memory and gain nothing;
        None for graphs that are made for one size
    """

    rate: int
    hop: int
    patch: int
    step: int
    shortest: float = 1.0
    batch: int | None = None


FRAMINGS = {
    "TensorflowPredictEffnetDiscogs": Framing(16000, 256, 128, 62),
    "TensorflowPredictMusiCNN": Framing(16000, 256, 187, 93, batch=4),
    "TensorflowPredictVGGish": Framing(16000, 160, 96, 93, batch=4),
    "TensorflowPredictTempoCNN": Framing(11025, 512, 256, 128, shortest=256 * 512 / 11025),
}


@dataclass(frozen=True)
class Patches:
    """What a network said of a track.

    Attributes
    ----------
    output : float32 [patch, dimension]; of a silent or very short track [0, 0]
    model : the files of the network and their sha256
    """

    output: np.ndarray
    model: dict[str, str]

    def save(self, path: str | PathLike) -> None:
        """Write an .npz file atomically; equal content gives equal bytes."""
        stream = io.BytesIO()
        files = np.array([f"{name} {sha256}" for name, sha256 in self.model.items()], dtype=np.str_)
        np.savez(stream, output=self.output, model=files)
        artifacts.write_bytes(path, stream.getvalue())

    @staticmethod
    def load(path: str | PathLike) -> "Patches":
        """Read what `save` wrote.

        Raises
        ------
        MirflowError : when the file is no such file, naming it
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return Patches(stored["output"], dict(str(file).split() for file in stored["model"]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise MirflowError(f"{path}: not the output of a network ({error})") from error


def hear(name: str, full_mix: Audio, *, gpu: bool = False) -> Patches:
    """Run a network of the catalogue on a track.

    The mean of the channels is resampled to the network's rate. What is shorter than one patch is followed by digital
    silence up to one; patches that hold silence only are left out.

    Raises
    ------
    MirflowError : the model's file is missing, damaged or another one; the catalogue names an unknown algorithm
    """
    network = network_entry(name)
    framing = FRAMINGS[network["algorithm"]]
    file = graph_file(name)
    graph = models.folder() / file.name
    model = {file.name: models.verify(file, graph)}
    mono = resample(full_mix.mono(), full_mix.rate, framing.rate)
    if np.count_nonzero(np.abs(mono) >= SILENCE) == 0 or full_mix.duration < framing.shortest:
        return Patches(np.zeros((0, 0), np.float32), model)
    mono = np.pad(mono, (0, max(0, framing.patch * framing.hop - len(mono))))
    nodes = {key: network[key] for key in ("input", "output") if key in network}
    batch = None if gpu else framing.batch
    output = tensorflow.run(network["algorithm"], mono, graph, known=bool(file.sha256), gpu=gpu, batch=batch, **nodes)
    return Patches(output[sounding(mono, framing, len(output))], model)


def sounding(mono: np.ndarray, framing: Framing, patches: int) -> np.ndarray:
    """Return which patches hold any sample at or above `SILENCE`: bool [patch]."""
    loud = np.concatenate([[0], np.cumsum(np.abs(mono) >= SILENCE)])
    starts = np.minimum(np.arange(patches) * framing.step * framing.hop, len(mono))
    ends = np.minimum(starts + framing.patch * framing.hop, len(mono))
    return loud[ends] > loud[starts]


def names() -> tuple[str, ...]:
    """Return the models of the catalogue that hear music."""
    return tuple(name for name, entry in models.entries().items() if "network" in entry)


def network_entry(name: str) -> dict:
    """Return what the catalogue says of a network.

    Raises
    ------
    MirflowError : the model is none, or its algorithm is unknown
    """
    network = models.entry(name).get("network")
    if network is None:
        raise MirflowError(f"models.yaml: {name} is no network; there are {', '.join(names())}")
    if network["algorithm"] not in FRAMINGS:
        raise MirflowError(f"models.yaml: {name}: {network['algorithm']} is none of {', '.join(FRAMINGS)}")
    return network


def graph_file(name: str) -> models.File:
    """Return the one file of a model that is a TensorFlow graph.

    Raises
    ------
    MirflowError : when there is none, or more than one
    """
    found = [file for file in models.files(name) if Path(file.name).suffix == ".pb"]
    if len(found) != 1:
        raise MirflowError(f"models.yaml: {name}: one file that ends in .pb is expected, {len(found)} are there")
    return found[0]
