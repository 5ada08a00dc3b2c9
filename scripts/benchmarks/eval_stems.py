"""Measure a separator on sets of mixes with known stems, beside a simple split and masks made by hand."""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import hand_made_masks, measure, program
from benchmarks.separation_scores import level_against, sdr, si_sdr, simple_split
from mirflow.commands import stems
from mirflow.core import audio
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.core.layout import STEMS


def main(argv: list[str] | None = None) -> None:
    """Print the table line by line."""
    parser = argparse.ArgumentParser(prog="benchmarks.eval_stems", description=__doc__)
    parser.add_argument(
        "directory",
        type=Path,
        help="holds <id>/mix.flac beside the true drums, bass, other and vocals.flac, or directories (sets) of such",
    )
    stems.configure_backend(parser)
    arguments = parser.parse_args(argv)
    found = [*arguments.directory.glob("*/mix.flac"), *arguments.directory.glob("*/*/mix.flac")]
    mixes = sorted(found, key=lambda path: (path.parent.parent, path))
    if not mixes:
        raise MirflowError(f"{arguments.directory}: there is no <id>/mix.flac in it, and no <set>/<id>/mix.flac")
    separators = {
        arguments.entry or arguments.backend: stems.choose(arguments)[0],
        "masks by hand": lambda full_mix: hand_made_masks.separate(full_mix.samples, full_mix.rate),
        "simple split": lambda full_mix: simple_split(full_mix.samples, full_mix.rate),
    }
    for line in report(mixes, separators):
        print(line, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**measure.UNIT
    print(f"memory: {peak:.2f} GiB at most, all of this program")


def report(mixes: list[Path], separators: dict) -> Iterator[str]:
    """Separate every mix with every separator (name → function), and give the table line by line.

    The mixes of a set, those in folders of one directory, stand together, and its mean follows them.
    """
    scores = {name: {stem: ([], []) for stem in STEMS} for name in separators}
    cpu, wall, minutes = dict.fromkeys(separators, 0.0), dict.fromkeys(separators, 0.0), 0.0
    first = audio.read(mixes[0])
    for separate in separators.values():  # imports are not part of the time
        separate(Audio(first.samples[:, : 2 * first.rate], first.rate))
    width = max(map(len, separators)) + 2
    yield f"{'SDR / SI-SDR in dB':{28 + width}s}" + "".join(f"{stem:>16s}" for stem in STEMS)
    for number, path in enumerate(mixes):
        full_mix = audio.read(path)
        truth = {stem: audio.read(path.with_name(f"{stem}.flac")).samples for stem in STEMS}
        minutes += full_mix.duration / 60
        for name, separate in separators.items():
            began = time.process_time(), time.perf_counter()
            estimate = separate(full_mix)
            cpu[name] += time.process_time() - began[0]
            wall[name] += time.perf_counter() - began[1]
            cells = []
            for stem in STEMS:
                pair = sdr(truth[stem], estimate[stem]), si_sdr(truth[stem], estimate[stem])
                if pair[0] is None:  # the true stem is silent: whatever is in the estimate has leaked
                    cells.append(f"leak {_decibel(level_against(full_mix.samples, estimate[stem])).strip()}")
                    continue
                cells.append(" / ".join(_decibel(value) for value in pair))
                for values, value in zip(scores[name][stem], pair, strict=True):
                    values += [] if value is None else [value]
            yield f"{path.parent.name[:27]:28s}{name:{width}s}" + "".join(f"{cell:>16s}" for cell in cells)
        if number + 1 == len(mixes) or mixes[number + 1].parent.parent != path.parent.parent:
            for name, found in scores.items():
                cells = (" / ".join(_decibel(statistics.mean(v) if v else None) for v in found[stem]) for stem in STEMS)
                label = f"MEAN of {path.parent.parent.name}"[:27]
                yield f"{label:28s}{name:{width}s}" + "".join(f"{cell:>16s}" for cell in cells)
                scores[name] = {stem: ([], []) for stem in STEMS}
    for name in separators:
        yield f"{name}: {cpu[name] / minutes:.2f} CPU s per minute, {60 * minutes / wall[name]:.3g} x realtime"


def _decibel(value: float | None) -> str:
    return "   - " if value is None else f"{value:5.2f}"


if __name__ == "__main__":
    sys.exit(program.run(main))
