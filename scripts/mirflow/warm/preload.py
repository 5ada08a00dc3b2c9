"""What a worker does once, so that its children need not: import everything, and run the commands on some noise.

What is compiled on the way is kept on disk, so the installation runs this as well: ``python -m mirflow.warm.preload``.
"""

import functools
import importlib
import pkgutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mirflow import commands, features
from mirflow.core import audio, layout
from mirflow.models import catalogue

RATE = 44100
SECONDS = 4.0  # enough for the longest window of any feature


def run() -> None:
    """Import all commands, then run those that need no model on a synthetic sound.

    What fails here is no error of the worker: the command itself will say what is wrong, if it is ever asked for.
    """
    for found in pkgutil.iter_modules(commands.__path__):
        _try(lambda name=found.name: importlib.import_module(f"mirflow.commands.{name}"))
    _try(catalogue.entries)
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder, "noise.wav")
        _try(lambda: _write(sound))
        audio.shared_decode = functools.cache(audio.decode)  # each file is decoded once
        try:
            for argv in pipeline(sound, layout.TrackFiles(folder, "noise")):
                _try(lambda argv=argv: commands.main(argv))
        finally:
            audio.shared_decode = None


def pipeline(source: Path, track: layout.TrackFiles) -> Iterator[list[str]]:
    """Yield the commands that make a track's grids and features, without any model, in an order that works."""
    yield ["full_mix", str(source), "-o", track.full_mix, "--record", track.source_record]
    yield ["tags", str(source), "--record", track.source_record, "-o", track.metadata("tags")]
    yield ["fingerprint", track.full_mix, "-o", track.metadata("fingerprint")]
    yield ["stems", track.full_mix, "-o", *track.stems.values(), "--record", track.stems_record]
    record = track.beat_activations_record
    yield ["beat_activations", track.full_mix, "-o", track.beat_activations, "--record", record]
    yield ["beats_grid", track.beat_activations, "-o", track.grid("beats"), "--record", record, track.beats_record]
    yield ["downbeats", track.beat_activations, "-o", track.grid("downbeats")]
    yield ["onsets", track.full_mix, "-o", track.grid("onsets")]
    record, full_mix = track.drum_activations_record, ["--full-mix", track.full_mix]
    drums = [track.stem("drums"), *full_mix, "--backend", "embedded"]
    yield ["drum_activations", *drums, "-o", track.drum_activations, "--record", record]
    heard = ["--drums", track.stem("drums"), "--thresholds", *["0.4"] * len(layout.DRUM_STEMS)]
    yield ["drum_notes", track.drum_activations, *heard, "-o", track.drum_notes, "--record", record, track.drums_record]
    grids = ["--beats", track.grid("beats"), "--downbeats", track.grid("downbeats")]
    yield ["drums_mid", track.drum_notes, *grids, "-o", track.drums_midi]
    for feature in features.built_in():
        inputs = [track.input(name) for name in feature.inputs]
        yield [f"{commands.PREFIX}{feature.name}", *inputs, "-o", track.fragment(feature.name)]


def _write(path: Path) -> None:
    """Write noise with a click every half second, which is the tempo of the grids."""
    import soundfile

    noise = np.random.default_rng(0).standard_normal((int(SECONDS * RATE), 2)) * 0.1
    noise[(np.arange(0.0, SECONDS, 0.5) * RATE).astype(int)] += 0.5
    soundfile.write(path, noise, RATE)


def _try(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:  # noqa: BLE001 - see run
        traceback.print_exc()


if __name__ == "__main__":
    run()
