"""The material that nets learn from: songs, human drumming and scores, each in one of three sets that share nothing."""

import csv
import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np

# Songs of POP909 by the last digit of their number; drummers of the Groove MIDI Dataset; soundfonts.
POP909_DIGITS = {"train": "0123456", "valid": "7", "test": "89"}
DRUMMERS = {"train": (1, 2, 4, 5), "valid": (6, 7), "test": (3, 8)}
SOUNDFONTS = {
    "train": ("FluidR3_GM", "OPL-3_FM_128M", "GeneralUser-v1.47", "sonivox"),
    "valid": ("sf_GMbank",),
    "test": ("TimGM6mb",),
}
KITS = {"train": ("Red_Zeppelin_4_LV2",), "valid": (), "test": ("Black_Pearl_4_LV2",)}  # soundfonts with drums only
SOUNDFONT_FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/minuet/soundfonts", "/usr/local/share/sounds/sf2")
# Notes that the drum module of the Groove MIDI Dataset sends and General MIDI does not have → General MIDI
GROOVE_NOTES = {22: 42, 26: 46, 58: 43}


def soundfont(name: str) -> Path:
    """Return the file of a soundfont.

    Raises
    ------
    FileNotFoundError : none of `SOUNDFONT_FOLDERS` has it
    """
    for folder in SOUNDFONT_FOLDERS:
        path = Path(folder, f"{name}.sf2")
        if path.exists():
            return path
    raise FileNotFoundError(f"{name}.sf2 is in none of {', '.join(SOUNDFONT_FOLDERS)}; see training/README.md")


def _midi(path: Path) -> tuple[list[tuple[str, np.ndarray]], int, list[tuple[int, int]]]:
    """Return the tracks of a MIDI file (name, notes [k, 4]: start and end in ticks, pitch, velocity), ticks per beat
    and the tempo changes (tick, microseconds per beat).
    """
    import mido

    file = mido.MidiFile(path)
    tracks, tempi = [], []
    for track in file.tracks:
        tick, open_notes, notes = 0, {}, []
        for message in track:
            tick += message.time
            if message.type == "set_tempo":
                tempi.append((tick, message.tempo))
            elif message.type == "note_on" and message.velocity:
                open_notes.setdefault(message.note, []).append((tick, message.velocity))
            elif message.type in ("note_on", "note_off") and open_notes.get(message.note):
                begin, velocity = open_notes[message.note].pop(0)
                notes.append((begin, tick, message.note, velocity))
        tracks.append((track.name, np.array(sorted(notes), float).reshape(-1, 4)))
    return tracks, file.ticks_per_beat, sorted(tempi) or [(0, 500000)]


def _seconds(ticks: np.ndarray, per_beat: int, tempi: list[tuple[int, int]]) -> np.ndarray:
    at, time = [0.0], [0.0]
    previous = tempi[0][1]
    for tick, tempo in tempi:
        time.append(time[-1] + (tick - at[-1]) * previous / per_beat / 1e6)
        at.append(tick)
        previous = tempo
    at.append(at[-1] + 1e9)
    time.append(time[-1] + 1e9 * previous / per_beat / 1e6)
    return np.interp(ticks, at, time)


@cache
def pop909_songs(folder: Path, split: str) -> tuple[Path, ...]:
    """Return the folders of the songs of a set."""
    return tuple(p for p in sorted((folder / "pop909").iterdir()) if p.name[-1] in POP909_DIGITS[split])


def pop909(song: Path) -> dict:
    """Return a song: "tracks" name → notes [k, 4] (start and end in seconds, pitch, velocity), "beats" in seconds,
    "positions" from 1, and "chords" as (start, end, root pitch class, intervals).
    """
    tracks, per_beat, tempi = _midi(next(song.glob("*.mid")))
    named = {}
    for name, notes in tracks:
        if len(notes):
            named[name] = notes.copy()
            named[name][:, :2] = _seconds(notes[:, :2], per_beat, tempi)
    table = np.loadtxt(song / "beat_midi.txt")
    beats, is_downbeat = table[:, 0], table[:, 2] == 1
    first = np.flatnonzero(is_downbeat)[0]
    positions = np.zeros(len(beats), int)
    positions[first:] = (
        np.arange(first, len(beats))
        - np.maximum.accumulate(np.where(is_downbeat, np.arange(len(beats)), first))[first:]
    )
    positions[:first] = (np.arange(first) - first) % 4
    chords = []
    for line in (song / "chord_midi.txt").read_text().splitlines():
        begin, end, name = line.split()
        if name != "N":
            chords.append((float(begin), float(end), *_chord(name)))
    return {"tracks": named, "beats": beats, "positions": positions + 1, "chords": chords}


def _chord(name: str) -> tuple[int, tuple[int, ...]]:
    root, _, quality = name.partition(":")
    pitch = "C D EF G A B".index(root[0]) + root.count("#") - root.count("b")
    quality = quality.split("/")[0]
    third = 3 if quality.startswith(("min", "dim", "hdim")) else 5 if quality.startswith("sus4") else 4
    fifth = 6 if quality.startswith(("dim", "hdim")) else 8 if quality.startswith("aug") else 7
    return pitch % 12, (0, third, fifth)


@cache
def groove_recordings(folder: Path, split: str) -> tuple[dict, ...]:
    """Return the recordings of a set that are at least 8 s long: their rows of info.csv."""
    with (folder / "groove" / "info.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["beat_type"] == "beat" and float(row["duration"]) > 8]
    return tuple(
        row
        for row in rows
        if int(row["drummer"].removeprefix("drummer")) in DRUMMERS[split]
        and row["time_signature"] in ("4-4", "3-4", "5-4")
    )


@cache
def groove(folder: Path, name: str) -> np.ndarray:
    """Return the notes of a recording [k, 4]: start and end in beats, pitch, velocity."""
    tracks, per_beat, _ = _midi(folder / "groove" / name)
    notes = np.concatenate([notes for _, notes in tracks])
    notes = notes[np.argsort(notes[:, 0], kind="stable")]
    notes[:, :2] /= per_beat
    # Drummers play ahead of the click, by 30 ms in the median. The beat of music is where they play, not the click.
    deviation = notes[:, 0] - np.round(notes[:, 0])
    near = deviation[np.abs(deviation) < 0.12]
    notes[:, :2] -= np.median(near) if len(near) else 0.0
    notes[:, 2] = [GROOVE_NOTES.get(int(pitch), int(pitch)) for pitch in notes[:, 2]]
    return notes


def revoiced(notes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a drummer's notes, half of the time on other drums, or without some: there are few drummers to learn from.

    Notes are [k, 4] with General MIDI pitches in column 2.
    """
    notes = notes.copy()
    pitches = notes[:, 2]
    hats, rides = np.isin(pitches, (42, 44, 46)), np.isin(pitches, (51, 53, 59))
    snares = np.isin(pitches, (38, 40))
    missing = np.zeros(len(notes), bool)
    if random.random() < 0.5:
        return notes
    if random.random() < 0.3:
        pitches[hats] = int(random.choice([51, 54, 70, 69]))  # ride, tambourine, maracas, cabasa
    elif random.random() < 0.3:
        missing |= hats | rides
    if random.random() < 0.3:
        pitches[rides] = int(random.choice([42, 46, 56]))
    if random.random() < 0.3:
        pitches[snares] = int(random.choice([37, 39, 40, 50]))  # side stick, clap, electric snare, tom
    if random.random() < 0.2:
        missing |= ~(hats | rides | snares | np.isin(pitches, (35, 36)))  # no toms, no crashes
    if random.random() < 0.15:
        missing |= np.isin(pitches, (35, 36))
    return notes[~missing] if not missing.all() else notes


@cache
def corpus(folder: Path, split: str) -> dict[str, list[dict]]:
    """Return the scores that `training.corpus` extracted from music21's corpus, of a set, by their collections.

    There are none if it was not run.
    """
    path = folder / "corpus.jsonl"
    if not path.exists():
        return {}
    share = {"train": range(7), "valid": range(7, 8), "test": range(8, 10)}[split]
    out = {}
    with path.open() as lines:
        for line in lines:
            piece = json.loads(line)
            if int(hashlib.sha256(piece["name"].encode()).hexdigest(), 16) % 10 in share:
                out.setdefault(piece["name"].partition("/")[0], []).append(piece)
    return out
