"""What the warm worker does once, so that its children need not: import, and run everything on a moment of sound."""

import importlib
import pkgutil
import traceback
from collections.abc import Callable

import numpy as np

from mirflow import commands, registry
from mirflow.audio import Audio

RATE = 44100
SECONDS = 4.0  # enough for the longest window of any feature


def run() -> None:
    """Import all commands, then measure every feature on synthetic sound.

    What fails here is no error of the worker: the command itself will say what is wrong, if it is ever asked for.
    """
    for found in pkgutil.iter_modules(commands.__path__):
        _try(lambda name=found.name: importlib.import_module(f"mirflow.commands.{name}"))
    noise = np.random.default_rng(0).standard_normal((2, int(SECONDS * RATE))).astype(np.float32) * 0.1
    times = np.arange(0.0, SECONDS, 0.5)
    noise[:, (times * RATE).astype(int)] += 0.5
    mix = Audio(noise, RATE)
    inputs = {name: times if name in registry.GRIDS else mix for name in registry.INPUTS}
    inputs["downbeats"] = times[::4]
    for name in registry.feature_names():
        _try(lambda name=name: registry.measure(name, inputs))


def _try(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:  # noqa: BLE001 - see run
        traceback.print_exc()
