"""Measure beat and downbeat tracking on sets of pieces with known grids, beside librosa and Essentia."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import program
from benchmarks.beat_scores import TRIMMED, score
from mirflow.core import artifacts, audio
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.rhythm import backends
from mirflow.rhythm.decoders import DECODERS

COLUMNS = ("beat F", "CMLt", "AMLt", "downbeat F", "CPU s")

Tracker = Callable[[Audio], tuple[np.ndarray, np.ndarray | None]]  # → beats and downbeats in seconds


def main(argv: list[str] | None = None) -> None:
    """Print the table line by line."""
    parser = argparse.ArgumentParser(prog="benchmarks.eval_beats", description=__doc__)
    parser.add_argument(
        "sets",
        type=Path,
        help="directory of <id>/mix.flac, beats.txt and downbeats.txt (a time in s per line; no downbeats: unknown), "
        "or of such directories",
    )
    parser.add_argument("--backend", choices=backends.NAMES, default="embedded", help="what finds the beats")
    parser.add_argument("--entry", default="", help="the model in config/models.yaml, for backends that need one")
    parser.add_argument("--decoder", choices=sorted(DECODERS), default="hmm", help="how the grid is found")
    arguments = parser.parse_args(argv)
    for line in report(arguments.sets, arguments.decoder, arguments.backend, arguments.entry):
        print(line, flush=True)


def report(directory: Path, decoder: str, backend: str = "embedded", entry: str = "") -> Iterator[str]:
    """Track every piece below `directory`, and give the table line by line, with the mean of each set.

    Parameters
    ----------
    directory : holds <id>/mix.flac with beats.txt and downbeats.txt (empty: unknown), or <set>/<id>/mix.flac
    decoder : name out of `DECODERS`
    backend : name out of `backends.NAMES`
    entry : the model that the backend needs, by its name in config/models.yaml

    Raises
    ------
    MirflowError : there is no piece
    """
    found_mixes = [*directory.glob("*/mix.flac"), *directory.glob("*/*/mix.flac")]
    pieces = sorted((path.parent for path in found_mixes), key=lambda piece: (piece.parent, piece))
    if not pieces:
        raise MirflowError(f"{directory}: no <id>/mix.flac in it, and no <set>/<id>/mix.flac")
    activations, _ = backends.choose(backend, entry=entry)

    def own(mix: Audio) -> tuple[np.ndarray, np.ndarray]:
        grid = DECODERS[decoder](activations(mix))
        return grid.beats, grid.downbeats

    trackers: dict[str, Tracker] = {
        f"{backend}, {decoder}": own,
        "librosa beat_track": lambda mix: (_librosa(mix), None),
        "Essentia multifeature": lambda mix: (_essentia(mix, "multifeature"), None),
        "Essentia degara": lambda mix: (_essentia(mix, "degara"), None),
    }
    first = audio.read(pieces[0] / "mix.flac")
    for track in trackers.values():
        track(first)  # imports and compilation are not part of the time
    yield f"beats and downbeats, without the first {TRIMMED:.0f} s; CPU s: per minute of audio"
    yield f"{'piece':32s} {'tracker':24s}" + "".join(f"{column:>12s}" for column in COLUMNS)
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in trackers}
    for number, piece in enumerate(pieces):
        mix = audio.read(piece / "mix.flac")
        beats, downbeats = (artifacts.read_times(piece / f"{kind}.txt") for kind in ("beats", "downbeats"))
        for name, track in trackers.items():
            began = time.process_time()
            found, found_downbeats = track(mix)
            spent = (time.process_time() - began) / mix.duration * 60
            known = found_downbeats is not None and len(downbeats)
            downbeat_f = score(downbeats, found_downbeats)[0] if known else np.nan
            rows[name].append((*score(beats, found), downbeat_f, spent))
            yield _line(piece.name, name, rows[name][-1])
        if number + 1 == len(pieces) or pieces[number + 1].parent != piece.parent:
            label = "mean" if piece.parent == directory else f"mean of {piece.parent.name}"
            for name in rows:
                yield _line(label, name, np.ma.masked_invalid(rows[name]).mean(axis=0).filled(np.nan))
                rows[name].clear()


def _line(piece: str, tracker: str, row) -> str:
    return f"{piece:32s} {tracker:24s}" + "".join(f"{'-' if np.isnan(v) else format(v, '.3f'):>12s}" for v in row)


def _librosa(mix: Audio) -> np.ndarray:
    import librosa

    return librosa.beat.beat_track(y=mix.mono(), sr=mix.rate, units="time")[1]


def _essentia(mix: Audio, method: str) -> np.ndarray:
    from mirflow.dsp import essentia_algorithms

    samples = audio.resample(mix.mono(), mix.rate, 44100)
    return essentia_algorithms.standard().RhythmExtractor2013(method=method)(samples)[1].astype(np.float64)


if __name__ == "__main__":
    sys.exit(program.run(main))
