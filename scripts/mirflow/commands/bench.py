"""Measure what each stage and each feature costs: CPU seconds per minute of audio, warm, in one thread."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mirflow import audio, beats, full_mix, registry, stems, warmup
from mirflow.dsp import onsets

DEMO = Path(__file__).resolve().parents[3] / "demo"
TARGET = 12.0  # CPU seconds per minute of stereo audio at 44.1 kHz, everything together


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", type=Path, nargs="*", help="audio files (default: the demo)")


def run(arguments: argparse.Namespace) -> None:
    """Time every step on every file and print the table, dearest first."""
    files = arguments.files or sorted(path for path in DEMO.rglob("*") if path.suffix in (".flac", ".ogg"))
    warmup.run()
    spent: dict[str, float] = {}
    minutes = 0.0

    def timed(step: str, function: Callable, *values: object) -> object:
        began = time.process_time()
        result = function(*values)
        spent[step] = spent.get(step, 0.0) + time.process_time() - began
        return result

    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            flac = Path(folder, "full_mix.flac")
            timed("full_mix", full_mix.make, file, flac)
            mix = timed("read full_mix", audio.read, flac)
            minutes += mix.duration / 60
            paths = {stem: Path(folder, f"{stem}.mp3") for stem in registry.STEMS}
            parts = timed("stems: separate", stems.separate, mix)
            timed("stems: write", stems.write, parts, mix.rate, paths, "mp3", 192)
            decoded = {stem: timed("read stems", audio.read, path) for stem, path in paths.items()}
            activations = timed("beat_activations", beats.activations, mix, decoded)
            grid = timed("beats_grid, downbeats", beats.decode, activations)
            found = timed("onsets (file)", lambda mix=mix: onsets.detect(mix.mono(), mix.rate).times)
            inputs = {"full_mix": mix, **decoded, "beats": grid.beats, "downbeats": grid.downbeats}
            inputs["onsets"] = np.asarray(found)
            for name in registry.feature_names():
                timed(f"feature {name}", registry.measure, name, inputs)
    total = sum(spent.values())
    print(f"{'step':32} {'CPU s / min':>12} {'share':>7}")
    for step, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{step:32} {seconds / minutes:12.2f} {seconds / total:7.0%}")
    print(f"{'everything, each file read once':32} {total / minutes:12.2f}   (target {TARGET:g})")
    print(f"{len(files)} files, {minutes:.1f} minutes of audio")
