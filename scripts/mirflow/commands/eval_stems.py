"""Score a separator against true stems, beside a simple split."""

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path

from mirflow import audio
from mirflow.commands import stems as command
from mirflow.dsp import separation
from mirflow.dsp.separation_scores import level_against, sdr, si_sdr
from mirflow.errors import MirflowError
from mirflow.registry import STEMS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory", type=Path, help="holds <id>/mix.flac beside the true drums, bass, other and vocals.flac"
    )
    command.configure_backend(parser)


def run(arguments: argparse.Namespace) -> None:
    mixes = sorted(arguments.directory.glob("*/mix.flac"))
    if not mixes:
        raise MirflowError(f"{arguments.directory}: there is no <id>/mix.flac in it")
    separators = {
        arguments.entry or arguments.backend: command.chosen(arguments)[0],
        "simple split": lambda full_mix: separation.simple_split(full_mix.samples, full_mix.rate),
    }
    scores = {name: {stem: ([], []) for stem in STEMS} for name in separators}
    cpu, wall, minutes = dict.fromkeys(separators, 0.0), dict.fromkeys(separators, 0.0), 0.0

    first = audio.read(mixes[0])
    for separator in separators.values():  # imports are not part of the time
        separator(audio.Audio(first.samples[:, : 2 * first.rate], first.rate))
    width = max(map(len, separators)) + 2
    print(f"{'SDR / SI-SDR in dB':{28 + width}s}" + "".join(f"{stem:>16s}" for stem in STEMS))
    for path in mixes:
        full_mix = audio.read(path)
        truth = {stem: audio.read(path.with_name(f"{stem}.flac")).samples for stem in STEMS}
        minutes += full_mix.duration / 60
        for name, separator in separators.items():
            started = time.process_time(), time.perf_counter()
            estimate = separator(full_mix)
            cpu[name] += time.process_time() - started[0]
            wall[name] += time.perf_counter() - started[1]
            cells = []
            for stem in STEMS:
                pair = sdr(truth[stem], estimate[stem]), si_sdr(truth[stem], estimate[stem])
                if pair[0] is None:  # nothing to find: what there is has leaked
                    cells.append(f"leak {_decibel(level_against(full_mix.samples, estimate[stem])).strip()}")
                    continue
                cells.append(" / ".join(_decibel(value) for value in pair))
                for values, value in zip(scores[name][stem], pair, strict=True):
                    values += [] if value is None else [value]
            print(f"{path.parent.name[:27]:28s}{name:{width}s}" + "".join(f"{cell:>16s}" for cell in cells), flush=True)
    for name, found in scores.items():
        medians = (" / ".join(_decibel(statistics.median(v) if v else None) for v in found[stem]) for stem in STEMS)
        print(f"{'MEDIAN':28s}{name:{width}s}" + "".join(f"{cell:>16s}" for cell in medians))
    for name in separators:
        print(f"{name}: {cpu[name] / minutes:.2f} CPU s per minute, {60 * minutes / wall[name]:.3g} x realtime")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes, bytes on macOS
    print(f"memory: {peak / 2 ** (30 if sys.platform == 'darwin' else 20):.2f} GiB at most, all of this run")


def _decibel(value: float | None) -> str:
    return "   - " if value is None else f"{value:5.2f}"
