"""What the warm worker does once, so that its children need not: import, and run everything on a moment of sound."""

import importlib
import pkgutil
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mirflow import audio, beats, commands, full_mix, models, registry, stems
from mirflow.dsp import onsets

RATE = 44100
SECONDS = 4.0  # enough for the longest window of any feature


def run() -> None:
    """Import all commands, then make every artifact and feature of a synthetic sound.

    What fails here is no error of the worker: the command itself will say what is wrong, if it is ever asked for.
    """
    for found in pkgutil.iter_modules(commands.__path__):
        _try(lambda name=found.name: importlib.import_module(f"mirflow.commands.{name}"))
    _try(models.entries)
    noise = np.random.default_rng(0).standard_normal((int(SECONDS * RATE), 2)) * 0.1
    times = np.arange(0.0, SECONDS, 0.5)
    noise[(times * RATE).astype(int)] += 0.5
    inputs = {name: times for name in registry.GRIDS} | {"downbeats": times[::4]}
    with tempfile.TemporaryDirectory() as folder:
        _try(lambda: inputs.update(_artifacts(noise, Path(folder))))
    for name in registry.feature_names():
        _try(lambda name=name: registry.measure(name, inputs))


def _artifacts(samples: np.ndarray, folder: Path) -> dict[str, audio.Audio]:
    """Go from a file with `samples` [n, channel] to stems and grids; return mix and stems as features get them."""
    import soundfile

    soundfile.write(folder / "noise.wav", samples, RATE)
    full_mix.make(folder / "noise.wav", folder / "full_mix.flac")
    mix = audio.read(folder / "full_mix.flac")
    paths = {stem: folder / f"{stem}.mp3" for stem in registry.STEMS}
    stems.write(stems.separate(mix), mix.rate, paths, "mp3", 192)
    parts = {stem: audio.read(path) for stem, path in paths.items()}
    beats.decode(beats.activations(mix, parts))
    onsets.detect(mix.mono(), mix.rate)
    return {"full_mix": mix, **parts}


def _try(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:  # noqa: BLE001 - see run
        traceback.print_exc()
