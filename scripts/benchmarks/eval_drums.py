"""Measure drum transcription on recordings with known notes, with every backend whose model is there.

The directory holds recordings, at any depth: <name>.csv or <name>.mid beside <name>.flac (or .wav, .mp3, .ogg), or
<name>/notes.csv beside drums.flac and mix.flac. A line of a .csv file is a time in seconds, a note of General MIDI and,
where it is known, its velocity; with a header the columns are time, pitch, velocity and stem.
"""

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import program
from mirflow.core import audio
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.models import catalogue
from mirflow.stems import embedded
from mirflow.transcribe import backends
from mirflow.transcribe.activations import DRUMS, DrumActivations
from mirflow.transcribe.midi import DRUM_CHANNEL
from mirflow.transcribe.notes import DrumNotes, read_notes

WINDOW = 0.05  # s around a true note
# Notes of General MIDI → what they are to a transcription; others (hand drums, shakers, bells) do not count.
CLASSES = {
    "kick": (35, 36),
    "snare": (37, 38, 40),
    "tom": (41, 43, 45, 47, 48, 50),
    "hihat": (42, 44, 46),
    "cymbal": (49, 51, 52, 53, 55, 57, 59),
}
HEARD = ("stem", "separated", "mix")
SUFFIXES = (".flac", ".wav", ".mp3", ".ogg")


@dataclass(frozen=True)
class Recording:
    """Drums with their notes.

    Attributes
    ----------
    name : of the recording
    drums : sound file
    mix : sound file of the music with these drums; None where there is only one file
    notes : file with the truth
    """

    name: str
    drums: Path
    mix: Path | None
    notes: Path


@dataclass
class Scores:
    """Counts of true notes, found notes and those of them that fit, per drum, and the velocities of the latter."""

    true: np.ndarray
    found: np.ndarray
    fitting: np.ndarray
    velocities: list[list[tuple[float, float]]]

    @staticmethod
    def none() -> "Scores":
        """Return the scores of no recording."""
        zeros = [np.zeros(len(DRUMS), int) for _ in range(3)]
        return Scores(*zeros, [[] for _ in DRUMS])

    def add(self, other: "Scores") -> None:
        """Add those of another recording."""
        self.true, self.found = self.true + other.true, self.found + other.found
        self.fitting = self.fitting + other.fitting
        for own, more in zip(self.velocities, other.velocities, strict=True):
            own += more

    def columns(self, of: Callable[[int, int, int], float]) -> list[float]:
        """Return a measure of true, found and fitting notes for each drum, then for all notes together."""
        counts = zip(*(np.append(c, c.sum()).tolist() for c in (self.true, self.found, self.fitting)), strict=True)
        return [of(*count) for count in counts]

    def velocity_correlations(self) -> list[float]:
        """Return Pearson's correlation of the velocities for each drum, then the mean over the notes of all drums."""
        pairs = [np.array(own, float) for own in self.velocities]
        found = [float(np.corrcoef(own.T)[0, 1]) if len(own) > 2 and own.std(axis=0).all() else np.nan for own in pairs]
        weights = np.array([len(own) * np.isfinite(r) for own, r in zip(pairs, found, strict=True)])
        return [*found, float(np.nansum(weights * found) / weights.sum()) if weights.any() else np.nan]


def precision(true: int, found: int, fitting: int) -> float:
    """Return the share of the found notes that fit."""
    return fitting / found if found else np.nan


def recall(true: int, found: int, fitting: int) -> float:
    """Return the share of the true notes that were found."""
    return fitting / true if true else np.nan


def f_measure(true: int, found: int, fitting: int) -> float:
    """Return the harmonic mean of precision and recall."""
    return 2 * fitting / (true + found) if true + found else np.nan


def main(argv: list[str] | None = None) -> None:
    """Print the table line by line."""
    parser = argparse.ArgumentParser(prog="benchmarks.eval_drums", description=__doc__)
    parser.add_argument("directory", type=Path, help="holds recordings, at any depth")
    parser.add_argument(
        "--heard",
        choices=HEARD,
        default="stem",
        help="where there is a mix: the true drums, drums that mirflow separates from the mix, or the mix",
    )
    parser.add_argument("--models", default="models", help="folder of the models' files (default: %(default)s)")
    arguments = parser.parse_args(argv)
    catalogue.use(arguments.models)
    for line in report(arguments.directory, available(), arguments.heard):
        print(line, flush=True)


def available() -> dict[str, Callable[[Audio, Audio], DrumNotes]]:
    """Return the backends whose models are there: name → function of the drums and of the mix.

    Raises
    ------
    MirflowError : there is none
    """
    names = [name for name, model in backends.MODELS.items() if not model or _are_there(model)]
    if not names:
        raise MirflowError(f"{catalogue.folder()}: no model of {', '.join(backends.NAMES)} in it (ARGS='--models …')")
    return {name: partial(_transcribe, name, backends.choose(name, entry=backends.MODELS[name])[0]) for name in names}


def _transcribe(name: str, listen: Callable[[Audio, Audio], DrumActivations], drums: Audio, mix: Audio) -> DrumNotes:
    return read_notes(listen(drums, mix), drums, backends.thresholds(name, {}))


def _are_there(model: str) -> bool:
    return all(Path(path).is_file() for path in catalogue.path(model))


def recordings(directory: Path) -> dict[str, list[Recording]]:
    """Return the recordings below a directory, by the set (the folder) that they belong to.

    Raises
    ------
    MirflowError : there are none
    """
    found: dict[str, list[Recording]] = {}
    for notes in sorted(path for path in directory.rglob("*") if path.suffix in (".csv", ".mid", ".midi")):
        folder = notes.parent
        drums = [folder / "drums.flac"] if notes.name == "notes.csv" else [notes.with_suffix(s) for s in SUFFIXES]
        drums = [path for path in drums if path.is_file()]
        if drums and notes.name == "notes.csv":
            mix = folder / "mix.flac"
            one = Recording(folder.name, drums[0], mix if mix.is_file() else None, notes)
            found.setdefault(folder.parent.name, []).append(one)
        elif drums:
            found.setdefault(folder.name, []).append(Recording(notes.stem, drums[0], None, notes))
    if not found:
        raise MirflowError(f"{directory}: no recordings with notes in it (see --help)")
    return found


def truth(path: Path) -> list[np.ndarray]:
    """Return the notes of a file for each drum: time in s and velocity (NaN where it is not known), float64 [k, 2].

    Raises
    ------
    MirflowError : it cannot be read
    """
    try:
        rows = list(_midi_rows(path) if path.suffix in (".mid", ".midi") else _csv_rows(path))
    except (OSError, ValueError, KeyError, IndexError, EOFError) as error:
        raise MirflowError(f"{path}: not a list of notes ({error})") from error
    found = []
    for drum in DRUMS:
        own = np.array([(at, velocity) for at, note, velocity in rows if note in CLASSES[drum]], float).reshape(-1, 2)
        _, first = np.unique(own[:, 0], return_index=True)  # two notes of one drum at a time are one hit
        found.append(own[first])
    return found


def _csv_rows(path: Path) -> Iterator[tuple[float, int, float]]:
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    names = ["time", "pitch", "velocity"]
    if rows and not rows[0][0].replace(".", "", 1).isdigit():
        names = rows.pop(0)
    for row in rows:
        cells = dict(zip(names, row, strict=False))
        if cells.get("stem", "drums") == "drums":
            yield float(cells["time"]), int(float(cells["pitch"])), float(cells.get("velocity") or np.nan)


def _midi_rows(path: Path) -> Iterator[tuple[float, int, float]]:
    import mido

    now = 0.0
    for message in mido.MidiFile(path):
        now += message.time
        if message.type == "note_on" and message.velocity and message.channel == DRUM_CHANNEL:
            yield now, message.note, float(message.velocity)


def score(true: list[np.ndarray], found: DrumNotes) -> Scores:
    """Compare notes with the truth: each found note fits at most one true note of its drum within `WINDOW`."""
    from mir_eval.util import match_events

    scores = Scores.none()
    for index, drum in enumerate(DRUMS):
        own = found.of(drum)
        pairs = match_events(true[index][:, 0], own.times, WINDOW) if len(true[index]) and len(own.times) else []
        scores.true[index], scores.found[index] = len(true[index]), len(own.times)
        scores.fitting[index] = len(pairs)
        scores.velocities[index] = [
            (true[index][a, 1], float(own.velocities[b])) for a, b in pairs if np.isfinite(true[index][a, 1])
        ]
    return scores


def report(
    directory: Path, transcribers: dict[str, Callable[[Audio, Audio], DrumNotes]], heard: str = "stem"
) -> Iterator[str]:
    """Transcribe every recording below `directory` with every backend, and give the table line by line.

    Parameters
    ----------
    transcribers : as from `available`
    heard : one of `HEARD`
    """
    columns = (*DRUMS, "all")
    yield f"F within {1000 * WINDOW:.0f} ms; heard: {heard} (the only file where there is no mix)"
    yield f"{'recording':32s} {'backend':12s}" + "".join(f"{column:>9s}" for column in columns)
    cpu, seconds = dict.fromkeys(transcribers, 0.0), 0.0
    for name, members in recordings(directory).items():
        totals = {backend: Scores.none() for backend in transcribers}
        for recording in members:
            drums, mix = _sounds(recording, heard)
            seconds += drums.duration
            for backend, transcribe in transcribers.items():
                began = time.process_time()
                found = transcribe(drums, mix)
                cpu[backend] += time.process_time() - began
                scores = score(truth(recording.notes), found)
                totals[backend].add(scores)
                yield _line(recording.name, backend, scores.columns(f_measure))
        for backend, scores in totals.items():
            line = partial(_line, f"{name}: {len(members)}")
            yield line(f"{backend} P", scores.columns(precision))
            yield line(f"{backend} R", scores.columns(recall))
            yield line(f"{backend} F", scores.columns(f_measure))
            yield f"{'notes':45s}" + "".join(f"{count:9d}" for count in [*scores.true, scores.true.sum()])
            if any(scores.velocities):
                yield line("velocity r", scores.velocity_correlations())
    for backend, spent in cpu.items():
        yield f"{backend}: {spent / seconds * 60:.2f} CPU s per minute, separation not counted"


def _sounds(recording: Recording, heard: str) -> tuple[Audio, Audio]:
    """Return what is heard, and the mix that its level is compared with."""
    drums = audio.read(recording.drums)
    if recording.mix is None:
        return drums, drums
    mix = audio.read(recording.mix)
    if heard == "separated":
        drums = Audio(embedded.separate(mix)["drums"], mix.rate)
    return (mix if heard == "mix" else drums), mix


def _line(name: str, backend: str, values: list[float]) -> str:
    cells = ("-" if np.isnan(value) else format(value, ".3f") for value in values)
    return f"{name[:32]:32s} {backend:12s}" + "".join(f"{cell:>9s}" for cell in cells)


if __name__ == "__main__":
    sys.exit(program.run(main))
