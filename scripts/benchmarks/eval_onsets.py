"""Measure onset detection on sets of pieces with known onsets, beside librosa and Essentia."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import program
from mirflow.core import artifacts, audio
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.dsp import onsets

WINDOW = 0.05  # s: an onset that is nearer to the true one is found
COLUMNS = ("F", "true", "found", "right", "wrong/min", "error ms", "CPU s")


def main(argv: list[str] | None = None) -> None:
    """Print the table line by line."""
    parser = argparse.ArgumentParser(prog="benchmarks.eval_onsets", description=__doc__)
    parser.add_argument(
        "directory",
        type=Path,
        help="directory of <id>/mix.flac and onsets.txt (a time in s per line), or of sets of such directories",
    )
    parser.add_argument("--detectors", nargs="+", choices=list(DETECTORS), default=list(DETECTORS))
    arguments = parser.parse_args(argv)
    for line in report(arguments.directory, arguments.detectors):
        print(line, flush=True)


def report(directory: Path, names: list[str]) -> Iterator[str]:
    """Detect the onsets of every piece below `directory`, and give the table line by line: a line for each set.

    Parameters
    ----------
    directory : holds <id>/mix.flac with onsets.txt, or <set>/<id>/mix.flac
    names : of `DETECTORS`

    Raises
    ------
    MirflowError : there is no piece
    """
    sets: dict[Path, list[Path]] = {}
    for mix in sorted([*directory.glob("*/mix.flac"), *directory.glob("*/*/mix.flac")]):
        sets.setdefault(mix.parent.parent, []).append(mix.parent)
    if not sets:
        raise MirflowError(f"{directory}: no <id>/mix.flac in it, and no <set>/<id>/mix.flac")
    first = audio.read(next(iter(sets.values()))[0] / "mix.flac")
    for name in names:
        DETECTORS[name](first)  # imports and compilation are not part of the time
    yield "F: mean over the pieces; right: share of true onsets; error: median distance; CPU s: per minute of audio"
    yield f"{'set':32s} {'detector':12s}" + "".join(f"{column:>11s}" for column in COLUMNS)
    for folder, pieces in sets.items():
        rows: dict[str, list[tuple[np.ndarray, np.ndarray, float, float]]] = {name: [] for name in names}
        for piece in pieces:
            mix, true = audio.read(piece / "mix.flac"), artifacts.read_times(piece / "onsets.txt")
            for name in names:
                began = time.process_time()
                found = DETECTORS[name](mix)
                rows[name].append((true, found, mix.duration, time.process_time() - began))
        for name in names:
            yield f"{folder.name:32s} {name:12s}" + "".join(f"{value:>11s}" for value in _summary(rows[name]))


def _summary(rows: list[tuple[np.ndarray, np.ndarray, float, float]]) -> tuple[str, ...]:
    """Return the columns for pieces: true and found onsets in s, duration in s, CPU s."""
    from mir_eval import onset, util

    scores = [onset.f_measure(true, found, window=WINDOW)[0] for true, found, _, _ in rows]
    pairs = [
        np.array(util.match_events(true, found, WINDOW), dtype=int).reshape(-1, 2) if len(true) and len(found) else None
        for true, found, _, _ in rows
    ]
    errors = np.concatenate([
        np.abs(true[pair[:, 0]] - found[pair[:, 1]])
        for (true, found, _, _), pair in zip(rows, pairs, strict=True) if pair is not None
    ] or [np.zeros(0)])  # fmt: skip
    true, found = (sum(len(row[column]) for row in rows) for column in (0, 1))
    seconds = sum(row[2] for row in rows)
    return (
        f"{np.mean(scores):.3f}",
        str(true),
        str(found),
        f"{len(errors) / max(true, 1):.3f}",
        f"{60 * (found - len(errors)) / seconds:.1f}",
        f"{1000 * np.median(errors):.1f}" if len(errors) else "-",
        f"{60 * sum(row[3] for row in rows) / seconds:.2f}",
    )


def _own(mix: Audio) -> np.ndarray:
    return onsets.detect(mix.mono(), mix.rate).times


def _librosa(mix: Audio) -> np.ndarray:
    import librosa

    return librosa.onset.onset_detect(y=mix.mono(), sr=mix.rate, units="time").astype(np.float64)


def _essentia(mix: Audio) -> np.ndarray:
    from mirflow.dsp import essentia_algorithms

    samples = audio.resample(mix.mono(), mix.rate, 44100)
    return essentia_algorithms.standard().OnsetRate()(samples)[0].astype(np.float64)


DETECTORS: dict[str, Callable[[Audio], np.ndarray]] = {"mirflow": _own, "librosa": _librosa, "Essentia": _essentia}

if __name__ == "__main__":
    sys.exit(program.run(main))
