"""Embeddings: the output of a network of config/models.yaml (``network``) for each patch of a track.

Here are the networks that Essentia runs; others are in `mirflow.labels.encoders`.
"""

import importlib.util
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from mirflow.core import artifacts
from mirflow.core.audio import Audio, resample
from mirflow.core.errors import MirflowError
from mirflow.core.layout import STEMS
from mirflow.models import catalogue, graphs

VERSION = 1  # raise it when values change
SHORTEST = 1.0  # s; of a shorter track the output would be meaningless
SILENCE = 1e-4  # of full scale (-80 dB): a patch whose samples all lie below counts as silent
# A stem holds traces of the other instruments even where its own are silent: of stems, patches with a lower RMS level
# than this count as silent.
SILENT_STEM_DB = -50.0  # dBFS


@dataclass(frozen=True)
class Framing:
    """How one of Essentia's algorithms cuts a signal into patches: these are its own defaults.

    Attributes
    ----------
    rate : Hz
    hop : samples from frame to frame
    patch, step : frames of a patch, and from patch to patch
    shortest : s. TempoCNN finds a tempo even in the silence that pads a short track, so it only gets whole patches
    batch : patches at a time on a CPU, where many at once (Essentia's 64) take three times the memory for no gain; None
        for graphs that accept a single batch size
    """

    rate: int
    hop: int
    patch: int
    step: int
    shortest: float = SHORTEST
    batch: int | None = None


FRAMINGS = {
    "TensorflowPredictEffnetDiscogs": Framing(16000, 256, 128, 62),
    "TensorflowPredictMusiCNN": Framing(16000, 256, 187, 93, batch=4),
    "TensorflowPredictVGGish": Framing(16000, 160, 96, 93, batch=4),
    "TensorflowPredictTempoCNN": Framing(11025, 512, 256, 128, shortest=256 * 512 / 11025),
}


@dataclass(frozen=True)
class Patches:
    """The output of a network for a track.

    Attributes
    ----------
    output : float32 [patch, dimension]; [0, 0] for a silent or very short track
    model_files : the files of the network: name → sha256
    """

    output: np.ndarray
    model_files: dict[str, str]

    def save(self, path: str | PathLike) -> None:
        """Write an .npz file atomically; equal content gives equal bytes."""
        stream = io.BytesIO()
        files = np.array([f"{name} {sha256}" for name, sha256 in self.model_files.items()], dtype=np.str_)
        np.savez(stream, output=self.output, model=files)
        artifacts.write_bytes(path, stream.getvalue())

    @staticmethod
    def load(path: str | PathLike) -> "Patches":
        """Read what `save` wrote.

        Raises
        ------
        MirflowError : the file holds something else; names it
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return Patches(stored["output"], dict(str(file).split() for file in stored["model"]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise MirflowError(f"{path}: not the output of a network ({error})") from error


@dataclass(frozen=True)
class Network:
    """A network of the catalogue, ready to run (TensorFlow itself loads its graph at each call).

    Attributes
    ----------
    algorithm : Essentia's, a key of `FRAMINGS`
    name : of the graph's file in the catalogue
    nodes : names of the graph's input and output, where they differ from the algorithm's own
    graph : path of that file
    trusted : whether the catalogue has the file's hash
    gpu : whether it runs on a GPU
    """

    algorithm: str
    name: str
    nodes: dict[str, str]
    graph: Path
    trusted: bool
    gpu: bool


def load(files: Sequence[Path], device: str, *, name: str) -> Network:
    """Return a network of the catalogue.

    Parameters
    ----------
    files : the model's files, in the order of its entry
    device : "cpu" or "gpu"
    name : of the model

    Raises
    ------
    MirflowError : its entry names an unknown algorithm, or does not have exactly one graph
    """
    network, file = network_entry(name), graph_file(name)
    graph = files[catalogue.files(name).index(file)]
    nodes = {key: network[key] for key in ("input", "output") if key in network}
    return Network(network["algorithm"], file.name, nodes, graph, bool(file.sha256), device == "gpu")


def embed(full_mix: Audio, network: Network, files: dict[str, str], stem: str = "") -> Patches:
    """Run a network on a track, or on one of its stems.

    The mean of the channels is resampled to the network's rate. A track shorter than one patch is padded with zeros to
    one patch; patches without any sample at or above `SILENCE` are left out, of a stem those below `SILENT_STEM_DB`.

    Parameters
    ----------
    full_mix : or the stem
    stem : its name; "" for the mix
    files : the network's files: name → sha256

    Raises
    ------
    MirflowError : the graph is damaged, or does not fit the algorithm
    """
    framing = FRAMINGS[network.algorithm]
    model = {network.name: files[network.name]}
    mono = resample(full_mix.mono(), full_mix.rate, framing.rate)
    if np.count_nonzero(np.abs(mono) >= SILENCE) == 0 or full_mix.duration < framing.shortest:
        return Patches(np.zeros((0, 0), np.float32), model)
    mono = np.pad(mono, (0, max(0, framing.patch * framing.hop - len(mono))))
    output = graphs.run(
        network.algorithm,
        mono,
        network.graph,
        trusted=network.trusted,
        gpu=network.gpu,
        batch=None if network.gpu else framing.batch,
        **network.nodes,
    )
    heard = sounding(mono, framing, len(output)) if not stem else above(mono, framing, len(output), SILENT_STEM_DB)
    return Patches(output[heard] if heard.any() else np.zeros((0, 0), np.float32), model)


def sounding(mono: np.ndarray, framing: Framing, patches: int) -> np.ndarray:
    """Return which patches hold any sample at or above `SILENCE`: bool [patch]."""
    loud = np.concatenate([[0], np.cumsum(np.abs(mono) >= SILENCE)])
    starts, ends = _edges(mono, framing, patches)
    return loud[ends] > loud[starts]


def above(mono: np.ndarray, framing: Framing, patches: int, level: float) -> np.ndarray:
    """Return which patches have an RMS level of at least `level` dBFS: bool [patch]."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(mono, dtype=np.float64))])
    starts, ends = _edges(mono, framing, patches)
    return energy[ends] - energy[starts] >= 10 ** (level / 10) * np.maximum(ends - starts, 1)


def _edges(mono: np.ndarray, framing: Framing, patches: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first sample of each patch, and the one after its last."""
    starts = np.minimum(np.arange(patches) * framing.step * framing.hop, len(mono))
    return starts, np.minimum(starts + framing.patch * framing.hop, len(mono))


def of_stem(name: str) -> tuple[str, str]:
    """Split the name of an embedding: "discogs-effnet.vocals" is that network on this stem, "" stands for the mix."""
    network, _, stem = name.rpartition(".")
    return (network, stem) if stem in STEMS else (name, "")


def names() -> tuple[str, ...]:
    """Return the names of the models that are networks: they compute embeddings from audio."""
    return tuple(name for name, entry in catalogue.entries().items() if "network" in entry)


def network_entry(name: str) -> dict:
    """Return the section ``network`` of a model's entry.

    Raises
    ------
    MirflowError : it has no such section, or names an unknown algorithm or encoder
    """
    network = catalogue.entry(name).get("network")
    if network is None:
        raise MirflowError(f"models.yaml: {name} is not a network; the networks are {', '.join(names())}")
    if "encoder" in network:
        if not network["encoder"].isidentifier() or not _is_encoder(network["encoder"]):
            raise MirflowError(f"models.yaml: {name}: unknown encoder {network['encoder']}")
    elif network["algorithm"] not in FRAMINGS:
        raise MirflowError(
            f"models.yaml: {name}: unknown algorithm {network['algorithm']}; known are {', '.join(FRAMINGS)}"
        )
    return network


def _is_encoder(name: str) -> bool:
    return importlib.util.find_spec(f"mirflow.labels.encoders.{name}") is not None


def shortest(name: str) -> float:
    """Return how many seconds a track must have for a network's output."""
    network = network_entry(name)
    return FRAMINGS[network["algorithm"]].shortest if "algorithm" in network else SHORTEST


def graph_file(name: str) -> catalogue.File:
    """Return the one file of a model that is a TensorFlow graph.

    Raises
    ------
    MirflowError : there is no such file, or more than one
    """
    found = [file for file in catalogue.files(name) if Path(file.name).suffix == ".pb"]
    if len(found) != 1:
        raise MirflowError(f"models.yaml: {name}: one file that ends in .pb is expected, {len(found)} are there")
    return found[0]
