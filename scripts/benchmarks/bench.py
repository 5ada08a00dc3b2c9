"""Measure what each rule costs: CPU seconds per minute of audio, in one process that has compiled everything."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

from benchmarks import baseline, plan, program, project
from benchmarks.plan import Command
from mirflow.core import artifacts, audio, layout
from mirflow.core.audio import Audio
from mirflow.warm import preload

TARGET = 12.0  # CPU seconds per minute of stereo audio at 44.1 kHz, all rules together
CROPS = ("crops={mode: exact}",)  # settings: crops are made too, and stand apart
CROP_RULES = ("crops", "crop_features", "crop_info")
READ = "read audio"  # full mixes and stems, each once; full_mix itself decodes the file of the library


def main(argv: list[str] | None = None) -> None:
    """Make all tracks once, and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.bench", description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", help="audio files (default: the demo)")
    files = parser.parse_args(argv).files or project.demo_files()
    with tempfile.TemporaryDirectory(prefix="mirflow-bench-") as folder:
        library, results = Path(folder, "library"), Path(folder, "results")
        link(files, library)
        tracks = plan.read(library, results, config=CROPS)
        preload.run()
        spent: Counter[str] = Counter()
        for track in tracks.values():
            spent.update(measure(track))
        minutes = sum(duration(results, track) for track in tracks) / 60
        of_crops = {rule: spent.pop(rule) for rule in CROP_RULES}
        cropped = sum(crop_seconds(results, track) for track in tracks) / 60
    print(*table(spent, minutes), sep="\n")
    print(f"{len(files)} files, {minutes:.1f} minutes of audio")
    print(*crop_table(of_crops, cropped, spent, minutes), sep="\n")


def link(files: Iterable[Path], library: Path) -> None:
    """Make a library of links to files, with a name of its own for each."""
    library.mkdir()
    for index, file in enumerate(files):
        (library / f"track {index:04}{file.suffix}").symlink_to(file.resolve())


def measure(track: list[Command]) -> Counter[str]:
    """Run the commands of a track; return the CPU seconds of each rule, without those for reading audio, and of `READ`.

    Raises
    ------
    MirflowError : a command failed
    """
    spent: Counter[str] = Counter()

    def decode(path: str | PathLike) -> Audio:
        began = time.process_time()
        try:
            return audio.decode(path)
        finally:
            spent[READ] += time.process_time() - began

    with baseline.decoding_once(decode):
        for command in track:
            began = time.process_time() - spent[READ]
            baseline.perform(command)
            spent[command.rule] += time.process_time() - spent[READ] - began
    return spent


def duration(results: Path, track: str) -> float:
    """Return the length of a track's full mix in seconds."""
    import soundfile

    return soundfile.info(layout.track_files(str(results), track).full_mix).duration


def table(spent: Counter[str], minutes: float) -> Iterator[str]:
    """Yield the lines of the table: the most expensive rule first, the sum at the end."""
    total = sum(spent.values())
    yield f"{'rule':32} {'CPU s / min':>12} {'share':>7}"
    for step, seconds in spent.most_common():
        yield f"{step:32} {seconds / minutes:12.2f} {seconds / total:7.0%}"
    yield f"{'total':32} {total / minutes:12.2f}   (target {TARGET:g})"


def crop_seconds(results: Path, track: str) -> float:
    """Return the length of all crops of a track together, in seconds."""
    listed = artifacts.read_json(layout.track_files(str(results), track).crops)
    return sum(crop["valid_samples"] for crop in listed["crops"]) / listed["sample_rate"]


def crop_table(of_crops: dict[str, float], cropped: float, of_tracks: Counter[str], minutes: float) -> Iterator[str]:
    """Yield lines that compare a minute of crops with a minute of tracks: all rules, and the features alone.

    Parameters
    ----------
    of_crops : CPU seconds of each rule of `CROP_RULES`
    cropped : minutes of all crops
    of_tracks : CPU seconds of the other rules
    minutes : of all tracks
    """
    if not cropped:
        yield "crops: none, the files are too short"
        return
    features = sum(seconds for rule, seconds in of_tracks.items() if rule.startswith("feature_"))
    for rule, seconds in of_crops.items():
        yield f"{rule:32} {seconds / cropped:12.2f}   CPU s per minute of crops"
    yield f"{'crops in all':32} {sum(of_crops.values()) / cropped:12.2f}   CPU s per minute of crops, of {cropped:.1f}"
    yield f"{'features of the tracks':32} {features / minutes:12.2f}   CPU s per minute of tracks"
    yield f"{'tracks in all':32} {sum(of_tracks.values()) / minutes:12.2f}   CPU s per minute of tracks"


if __name__ == "__main__":
    sys.exit(program.run(main))
