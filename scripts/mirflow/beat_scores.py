"""How well beats and downbeats are found, by the field's measures (mir_eval), beside other trackers."""

import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mirflow import artifacts, audio, beats
from mirflow.audio import Audio
from mirflow.beats import DECODERS
from mirflow.errors import MirflowError

COLUMNS = ("beat F", "CMLt", "AMLt", "downbeat F")
TRIMMED = 5.0  # s at the beginning that do not count, for beats and for downbeats, as mir_eval has it by default


def report(directory: str | Path, *, stems: str, decoder: str) -> Iterator[str]:
    """Track every piece below `directory` and give the report line by line.

    Parameters
    ----------
    directory : holds <id>/mix.flac with beats.txt and downbeats.txt
    stems : "true" gives the backend <id>/drums.flac, bass.flac, other.flac and vocals.flac; "none" the mix alone
    decoder : name out of `beats.DECODERS`

    Raises
    ------
    MirflowError : when there is no piece
    """
    pieces = sorted(path.parent for path in Path(directory).glob("*/mix.flac"))
    if not pieces:
        raise MirflowError(f"{directory}: no <id>/mix.flac in it")
    trackers: dict[str, Callable[[Audio, dict[str, Audio]], tuple[np.ndarray, np.ndarray | None]]] = {
        f"dsp, {decoder}": lambda mix, parts: _own(mix, parts, decoder),
        "librosa beat_track": lambda mix, _: (_librosa(mix), None),
        "Essentia multifeature": lambda mix, _: (_essentia(mix, "multifeature"), None),
        "Essentia degara": lambda mix, _: (_essentia(mix, "degara"), None),
    }
    warm = audio.read(pieces[0] / "mix.flac")
    for track in trackers.values():
        track(warm, {})
    yield f"beats and downbeats, the first {TRIMMED:.0f} s trimmed; CPU s: per minute of audio, warm"
    yield f"{'piece':32s} {'tracker':24s}" + "".join(f"{column:>12s}" for column in (*COLUMNS, "CPU s"))
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in trackers}
    for piece in pieces:
        mix = audio.read(piece / "mix.flac")
        known = {name: piece / f"{name}.flac" for name in beats.STEMS if stems == "true"}
        parts = {name: audio.read(path) for name, path in known.items() if path.exists()}
        truth = [artifacts.read_times(piece / f"{kind}.txt") for kind in ("beats", "downbeats")]
        for name, track in trackers.items():
            begin = time.process_time()
            found, downbeats = track(mix, parts)
            spent = (time.process_time() - begin) / mix.duration * 60
            row = (*score(truth[0], found), np.nan if downbeats is None else score(truth[1], downbeats)[0], spent)
            rows[name].append(row)
            yield _line(piece.name, name, row)
    for name, values in rows.items():
        yield _line("mean", name, np.mean(values, axis=0))


def score(truth: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """Return F-measure (within 70 ms), CMLt and AMLt of times in seconds, the first `TRIMMED` seconds left out."""
    from mir_eval import beat

    truth, found = beat.trim_beats(truth, TRIMMED), beat.trim_beats(found, TRIMMED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mir_eval warns of empty grids, which score 0
        _, correct, _, allowed = beat.continuity(truth, found)
        return beat.f_measure(truth, found), correct, allowed


def _line(piece: str, tracker: str, row) -> str:
    return f"{piece:32s} {tracker:24s}" + "".join(f"{'-' if np.isnan(v) else format(v, '.3f'):>12s}" for v in row)


def _own(mix: Audio, parts: dict[str, Audio], decoder: str) -> tuple[np.ndarray, np.ndarray]:
    grid = DECODERS[decoder](beats.activations(mix, parts))
    return grid.beats, grid.downbeats


def _librosa(mix: Audio) -> np.ndarray:
    import librosa

    return librosa.beat.beat_track(y=mix.mono(), sr=mix.rate, units="time")[1]


def _essentia(mix: Audio, method: str) -> np.ndarray:
    from mirflow.dsp import essentia_algorithms

    samples = audio.resample(mix.mono(), mix.rate, 44100)
    return essentia_algorithms.standard().RhythmExtractor2013(method=method)(samples)[1].astype(np.float64)
