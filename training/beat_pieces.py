"""Pieces for the training of the beat network, each with its grid: `python -m training.beat_pieces TRAIN OUT ...`.

A piece is OUT/<set>/<index>.npz: "mel" float16 [frame, band], "beats" in seconds, "positions" from 1 (0: the metre is
unknown), "kind". A piece of the test set is also OUT/<set>/<kind>/<index>/ with mix.flac, beats.txt and downbeats.txt,
as `make eval-beats` reads it.
"""

from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mirflow.core import artifacts
from mirflow.dsp.beats.log_mel import RATE, log_mel
from training import compose, render, sources
from training.pieces import arguments_of, make_all
from training.score import DRUMS, SPLITS, Performance, Score, perform, tempo_curve

SECONDS = 45.0
KINDS = {
    "band": 0.28,
    "composed": 0.24,
    "scores": 0.17,
    "piano": 0.08,
    "pianist": 0.04,
    "drums": 0.09,
    "patterns": 0.05,
    "loops": 0.05,
    "clicks": 0.015,
    "none": 0.035,
}
EXPRESSIVE_PROGRAMS = (0, 0, 0, 1, 2, 4, 6, 24, 46)


def _times(random, count: int, bpm: float, style: str, start: float) -> np.ndarray:
    return start + np.concatenate([[0], np.cumsum(60 / tempo_curve(random, count - 1, bpm, style))])


def _jitter(random) -> float:
    return 0.0 if random.random() < 0.25 else float(random.uniform(0.002, 0.014))


def composed(random, folder: Path, split: str, pitched: bool = True, program: int | None = None) -> Performance:
    """Compose a piece, with its own tempo curve; with a program, for that instrument alone."""
    score, bpm = compose.compose(random, SECONDS, drums=None if program is None else False, pitched=pitched)
    if program is not None:
        score.parts = [program] * len(score.parts)
    has_drums = DRUMS in score.parts
    styles = ("steady", "drift", "change", "ramp", "rubato")
    style = random.choice(styles, p=(0.5, 0.28, 0.08, 0.08, 0.06) if has_drums else (0.38, 0.22, 0.05, 0.08, 0.27))
    jitter = _jitter(random)
    return perform(score, _times(random, len(score.beats), bpm, style, 0.0), random, jitter)


def _drummed(random, folder: Path, split: str, name: str) -> np.ndarray:
    """Return the notes of a drummer; in the training, they may be on other drums."""
    notes = sources.groove(folder, name)
    return sources.revoiced(notes, random) if split == "train" else notes


def band(random, folder: Path, split: str, expressive: bool = False) -> Performance:
    """Arrange a song of POP909 for random instruments, with drums by a person or a pattern, and a bass line."""
    songs = sources.pop909_songs(folder, split)
    song = sources.pop909(songs[random.integers(len(songs))])
    times, positions = song["beats"], song["positions"]
    index = np.arange(len(times), dtype=float)

    def score_time(seconds: np.ndarray) -> np.ndarray:
        period = np.median(np.diff(times))
        low = np.concatenate([[times[0] - 8 * period], times, [times[-1] + 8 * period]])
        return np.interp(seconds, low, np.concatenate([[-8.0], index, [index[-1] + 8]]))

    original = 60 / np.median(np.diff(times))
    # Most songs stay near their own tempo: how dense the notes are tells then which of two tempi is meant, one of them
    # double the other. Were each song played at every tempo, nothing would.
    stretch = float(np.exp(random.normal(0, 0.08) if random.random() < 0.75 else random.uniform(-0.45, 0.45)))
    bpm = float(np.clip(original * stretch, 45, 220))
    length = int(SECONDS * bpm / 60) + 2
    starts = np.flatnonzero(positions == 1)
    starts = starts[starts < max(len(times) - length, 1)]
    first = int(starts[random.integers(len(starts))]) if len(starts) and random.random() < 0.8 else 0
    last = min(len(times), first + length)
    score = Score(index[first:last] - first, positions[first:last])
    transpose = int(random.integers(-5, 7))
    tracks = {name: notes for name, notes in song["tracks"].items() if name in ("MELODY", "BRIDGE", "PIANO")}
    if expressive:
        kept = ["PIANO", "MELODY"] if random.random() < 0.5 else ["PIANO"]
    else:
        kept = [name for name in tracks if random.random() < 0.85] or ["PIANO"]
    program = int(random.choice(EXPRESSIVE_PROGRAMS))
    for name in kept:
        if name not in tracks:
            continue
        if expressive:
            part = score.part(program)
        else:
            pool = compose.MELODY_PROGRAMS if name == "MELODY" else compose.CHORD_PROGRAMS
            part = score.part(int(random.choice(pool)))
        begin, end = score_time(tracks[name][:, 0]) - first, score_time(tracks[name][:, 1]) - first
        for b, e, pitch, velocity in zip(begin, end, tracks[name][:, 2], tracks[name][:, 3], strict=True):
            if -4 <= b < last - first:
                score.notes.append((b, e - b, int(np.clip(pitch + transpose, 0, 127)), int(velocity), part))
    if not expressive and random.random() < 0.65:
        part = score.part(int(random.choice(compose.BASS_PROGRAMS)))
        cells = compose._bass_times(random, 4, 4, bpm)
        root = np.zeros(last - first + 8, int) - 1
        for b, e, pitch, _ in song["chords"]:
            low, high = np.round(score_time(np.array([b, e])) - first).astype(int)
            root[max(low, 0) : max(high, 0)] = pitch
        for at in np.flatnonzero(score.positions == 1):
            for t, duration, kind in cells:
                beat = int(at + t)
                if beat < len(root) and root[beat] >= 0:
                    pitch = 36 + (root[beat] + transpose) % 12 + {"fifth": 7, "octave": 12}.get(kind, 0)
                    score.notes.append((at + t, duration, pitch, int(random.integers(75, 110)), part))
    if not expressive and random.random() < 0.75:
        part = score.part(DRUMS)
        downbeats = np.flatnonzero(score.positions == 1)
        recordings = [
            row for row in sources.groove_recordings(folder, split)
            if row["time_signature"] == "4-4" and 0.72 < float(row["bpm"]) / bpm < 1.39
        ]  # fmt: skip
        if len(downbeats) and recordings and random.random() < 0.6:
            row = recordings[random.integers(len(recordings))]
            notes = _drummed(random, folder, split, row["midi_filename"])
            bars = max(1, int(notes[-1, 0] // 4))
            for repeat in range(-1, (last - first) // (4 * bars) + 1):
                for b, e, pitch, velocity in notes:
                    at = downbeats[0] + repeat * 4 * bars + b
                    if b < 4 * bars and 0 <= at < last - first:
                        score.notes.append((at, e - b, int(pitch), int(velocity), part))
        elif len(downbeats):
            for t, drum, velocity in compose.drum_track(random, (last - first) // 4 + 1, 4, 4, bpm):
                at = downbeats[0] % 4 - 4 + t
                if 0 <= at < last - first:
                    score.notes.append((at, 0.2, drum, velocity, part))
    if expressive:
        style = random.choice(["rubato", "drift", "steady"], p=[0.6, 0.2, 0.2])
        jitter = float(random.uniform(0.004, 0.022))
    else:
        style = random.choice(["steady", "drift", "change", "ramp"], p=[0.6, 0.26, 0.06, 0.08])
        jitter = _jitter(random)
    return perform(score, _times(random, len(score.beats), bpm, style, 0.0), random, jitter)


def piano(random, folder: Path, split: str) -> Performance:
    """Play the piano of a song of POP909 expressively."""
    return band(random, folder, split, expressive=True)


def drums(random, folder: Path, split: str) -> Performance:
    """A person's drumming alone, at its own tempo or near it."""
    recordings = sources.groove_recordings(folder, split)
    row = recordings[random.integers(len(recordings))]
    beats = int(row["time_signature"][0])
    notes = _drummed(random, folder, split, row["midi_filename"])
    bpm = float(np.clip(float(row["bpm"]) * np.exp(random.normal(0, 0.15)), 45, 230))
    count = int(notes[-1, 0]) + 1
    length = int(SECONDS * bpm / 60) + 2
    first = int(random.integers(max(1, (count - length) // beats + 1))) * beats
    last = min(count, first + length)
    if last - first < 8:
        first, last = 0, max(count, 8)
    score = Score(np.arange(last - first, dtype=float), (np.arange(first, last) % beats) + 1)
    part = score.part(DRUMS)
    score.notes = [(b - first, e - b, int(p), int(v), part) for b, e, p, v in notes if first - 0.2 <= b < last - 0.4]
    return perform(score, _times(random, last - first, bpm, "steady", 0.0), random, 0.0)


def pianist(random, folder: Path, split: str) -> Performance:
    """Compose a piece for a piano, or another instrument that plays chords, alone."""
    return composed(random, folder, split, program=int(random.choice(EXPRESSIVE_PROGRAMS)))


def patterns(random, folder: Path, split: str) -> Performance:
    """Drum patterns alone."""
    return composed(random, folder, split, pitched=False)


def loops(random, folder: Path, split: str) -> Performance:
    """Loops of a kick on each beat and hi-hats."""
    score, bpm = compose.loop(random, SECONDS)
    return perform(score, _times(random, len(score.beats), bpm, "steady", 0.0), random, _jitter(random) / 2)


def scores(random, folder: Path, split: str) -> Performance:
    """A written score from the corpus of music21, for random instruments, with the freedom of a performer."""
    collections = list(sources.corpus(folder, split).values())
    if not collections:
        return composed(random, folder, split)
    weights = np.sqrt([len(pieces) for pieces in collections])  # folk songs would be nearly all of them
    pieces = collections[random.choice(len(collections), p=weights / weights.sum())]
    piece = pieces[random.integers(len(pieces))]
    beats, positions = np.array(piece["beats"]), np.array(piece["positions"])
    unit = np.median(np.diff(beats))
    compound = abs(unit - 1.5) < 1e-6
    bpm = float(np.clip(np.exp(random.normal(np.log(88 if compound else 105), 0.3)), 42, 220))
    length = int(SECONDS * bpm / 60) + 2
    starts = np.flatnonzero(positions == 1)
    starts = starts[starts < max(len(beats) - length, 1)]
    first = int(starts[random.integers(len(starts))]) if len(starts) and random.random() < 0.5 else 0
    last = min(len(beats), first + length)
    while last - first < 10:
        return composed(random, folder, split)
    score = Score(beats[first:last], positions[first:last])
    same = random.random() < 0.45
    family = compose.CHORD_PROGRAMS if random.random() < 0.5 else compose.MELODY_PROGRAMS
    program = int(random.choice(family))
    numbers = {}
    transpose = int(random.integers(-5, 6))
    for begin, duration, pitch, number in piece["notes"]:
        if beats[first] - 3 <= begin < beats[last - 1] + 3 and (begin >= beats[first] - 1e-6 or first == 0):
            if number not in numbers:
                numbers[number] = score.part(program if same else int(random.choice(family)))
            strong = np.abs(beats[positions == 1] - begin).min() < 1e-3
            velocity = int(np.clip(random.normal(84 if strong else 74, 9), 20, 127))
            score.notes.append((begin, duration, int(np.clip(pitch + transpose, 0, 127)), velocity, numbers[number]))
    if not score.notes:
        return composed(random, folder, split)
    if len(numbers) == 1 and random.random() < 0.65:
        accompany(random, score, bpm, float(unit), compound, None if random.random() < 0.8 else program)
    style = random.choice(["steady", "drift", "rubato", "ramp"], p=[0.3, 0.25, 0.38, 0.07])
    return perform(score, _times(random, len(score.beats), bpm, style, 0.0), random, float(random.uniform(0, 0.018)))


def accompany(random, score: Score, bpm: float, unit: float, compound: bool, program: int | None) -> None:
    """Add chords that fit a tune to it, sometimes a bass and drums; bars of 2 to 7 beats only."""
    starts = np.flatnonzero(score.positions == 1)
    beats = int(np.bincount(np.diff(starts)).argmax()) if len(starts) > 2 else 0
    if not 2 <= beats <= 7:
        return
    subdivisions = 3 if compound else 4
    melody = np.array(score.notes)
    part = score.part(int(random.choice(compose.CHORD_PROGRAMS)) if program is None else program)
    level = random.uniform(50, 95)
    bass = score.part(int(random.choice(compose.BASS_PROGRAMS))) if random.random() < 0.4 else None
    cells = compose._chord_times(random, beats, subdivisions, bpm)
    bass_cells = compose._bass_times(random, beats, subdivisions, bpm)
    for at, end in zip(starts, [*starts[1:], len(score.beats)], strict=True):
        begin, length = score.beats[at], (end - at) * unit
        inside = melody[(melody[:, 0] >= begin - 1e-6) & (melody[:, 0] < begin + length - 1e-6)]
        root, third = fitting_chord(inside)
        chord = [root, root + third, root + 7]
        for index, (t, duration, kind) in enumerate(cells):
            if t >= end - at:
                continue
            low = 48 if kind == "bass" or (kind == "arpeggio" and index == 0) else 60
            chosen = [root] if low == 48 else [chord[(0, 1, 2, 1)[index % 4]]] if kind == "arpeggio" else chord
            for pitch in chosen:
                score.notes.append((begin + t * unit, duration * unit, low - 5 + (pitch + 5) % 12, int(level), part))
        for t, duration, kind in bass_cells if bass is not None else ():
            if t < end - at:
                pitch = 36 + (root + {"fifth": 7, "walk": int(random.choice(chord)) - root}.get(kind, 0)) % 12
                score.notes.append((begin + t * unit, duration * unit, pitch, int(level + 10), bass))
    if random.random() < 0.35:
        part = score.part(DRUMS)
        for t, drum, velocity in compose.drum_track(random, len(starts), beats, subdivisions, bpm):
            bar, rest = divmod(t + 1e-9, beats)
            score.notes.append((score.beats[starts[int(bar)]] + rest * unit, 0.2, drum, velocity, part))


def fitting_chord(notes: np.ndarray) -> tuple[int, int]:
    """Return the root's pitch class and the third (3 or 4 semitones) of the triad that most of the notes belong to."""
    weight = np.zeros(12)
    np.add.at(weight, notes[:, 2].astype(int) % 12, notes[:, 1] + 0.1)
    if len(notes):
        weight[int(notes[0, 2]) % 12] += 0.5
    choices = [(weight[[root, (root + third) % 12, (root + 7) % 12]].sum() + 0.3 * weight[root], root, third)
               for root in range(12) for third in (4, 3)]  # fmt: skip
    return max(choices)[1:]


MAKERS = {"band": band, "composed": composed, "drums": drums, "loops": loops, "patterns": patterns, "piano": piano,
          "pianist": pianist, "scores": scores}  # fmt: skip


def without_beats(random, split: str) -> np.ndarray:
    """Return a sound without beats: noise, a held chord, bursts like syllables, single events, or nearly nothing."""
    total, kind = int(SECONDS * RATE), random.integers(5)
    time = np.arange(total) / RATE
    if kind == 0:
        colour = random.choice([0.0, 0.5, 0.95, 0.995])
        out = render.signal.lfilter([1], [1, -colour], random.standard_normal(total))
        out *= 1 + random.uniform(0, 0.9) * np.sin(2 * np.pi * random.uniform(0.02, 0.3) * time)
    elif kind == 1:
        notes = []
        begin = 0.0
        while begin < SECONDS:
            length = float(random.exponential(6) + 2)
            root = random.integers(36, 60)
            notes += [(begin + random.uniform(0, 0.5), length, int(root + k), 70, 0) for k in (0, 7, 12, 16)]
            begin += length * random.uniform(0.7, 1.1)
        sound = Performance(
            np.array(notes, float),
            [int(random.choice([48, 49, 50, 52, 88, 89, 90, 91, 94, 95, 19]))],
            np.zeros(0),
            np.zeros(0, int),
        )
        out = render.synthesise(sound, split, random, RATE, SECONDS)
    elif kind == 2:
        out, begin = 0.001 * random.standard_normal(total), 0
        while begin < total - RATE:
            length = int(RATE * random.uniform(0.06, 0.3))
            pitch = random.uniform(90, 260) * np.exp(np.cumsum(random.normal(0, 0.002, length)))
            voice = (
                render.signal.sawtooth(2 * np.pi * np.cumsum(pitch) / RATE)
                if random.random() < 0.7
                else random.standard_normal(length)
            )
            formant = random.uniform(300, 2500)
            voice = render.signal.sosfilt(
                render.signal.butter(1, [formant * 0.7, formant * 1.4], "bandpass", fs=RATE, output="sos"), voice
            )
            out[begin : begin + length] += voice * np.hanning(length) * random.uniform(0.1, 1)
            begin += length + int(
                RATE * (random.exponential(0.06) + (random.random() < 0.15) * random.uniform(0.2, 1.2))
            )
    elif kind == 3:
        count = int(random.integers(1, 60))
        notes = [
            (t, random.uniform(0.1, 3), int(random.integers(36, 90)), int(random.integers(40, 120)), 0)
            for t in random.uniform(0, SECONDS, count)
        ]
        sound = Performance(
            np.array(notes, float),
            [int(random.choice([0, 12, 47, 98, 115, 122, 123, DRUMS]))],
            np.zeros(0),
            np.zeros(0, int),
        )
        out = render.synthesise(sound, split, random, RATE, SECONDS)
    else:
        out = 1e-3 * random.standard_normal(total)
        out[int(random.integers(total))] = random.uniform(0, 1)
    return np.asarray(out, np.float32) * 0.5 / max(np.abs(out).max(), 1e-9)


def make(split: str, index: int, folder: Path) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """Make piece number `index` of a set: its kind, samples float32 [n] at `RATE`, beats in seconds, and positions."""
    random = np.random.default_rng([SPLITS.index(split), index])
    kind = str(random.choice(list(KINDS), p=np.array(list(KINDS.values())) / sum(KINDS.values())))
    if kind == "none":
        samples, beats, positions = without_beats(random, split), np.zeros(0), np.zeros(0, int)
    elif kind == "clicks":
        bpm, bar = random.uniform(40, 240), int(random.choice([0, 0, 3, 4]))
        beats = np.arange(random.choice([0.0, random.uniform(0, 3)]), SECONDS - 0.1, 60 / bpm)
        positions = np.arange(len(beats)) % bar + 1 if bar else np.zeros(len(beats), int)
        samples = render.clicks(beats, positions == 1, random, RATE, SECONDS)
    else:
        performance = MAKERS[kind](random, folder, split)
        choice = random.random()
        # Music begins at sample 0, after a silence, or was cut from the middle of a piece.
        start = (
            0.0
            if choice < 0.35
            else float(random.uniform(0.05, 3.5))
            if choice < 0.7
            else -float(random.uniform(0.5, 9))
        )
        if performance.notes[:, 0].min(initial=0) < 0 and start >= 0:
            start -= performance.notes[:, 0].min()
        start = max(start, -performance.beats[-1] / 2)  # half of a short piece is left
        performance.notes[:, 0] += start
        end = min(SECONDS, start + performance.beats[-1] + 1.5)
        performance.beats = performance.beats + start
        samples = render.synthesise(performance, split, random, RATE, end)
        samples = samples * (0.7 / max(np.abs(samples).max(), 1e-6))
        if random.random() < 0.12:
            samples = np.pad(samples, (0, int(random.uniform(1, 6) * RATE)))
        beats, positions = performance.beats, performance.positions
        sounding = performance.notes[(performance.notes[:, 0] >= 0) & (performance.notes[:, 0] < end)]
        if len(sounding):
            period = np.median(np.diff(beats))
            last = (sounding[:, 0]).max() + period * 0.6
            first = sounding[:, 0].min() - 0.06
            if start < 0:
                first = -0.02
            kept = (beats >= max(first, -0.02)) & (beats <= min(last, end))
            beats, positions = np.maximum(beats[kept], 0), positions[kept]
        else:
            beats, positions = np.zeros(0), np.zeros(0, int)
    return kind, render.recorded(samples, random, RATE), beats, positions


def write(split: str, folder: Path, out: Path, index: int, file: BinaryIO) -> None:
    """Make a piece and write it; of the test set, also its audio and annotations."""
    import soundfile

    kind, samples, beats, positions = make(split, index, folder)
    np.savez(file, mel=log_mel(samples).astype(np.float16), beats=beats, positions=positions, kind=kind)
    if split == "test" and kind != "none":
        piece = out / split / kind / f"{index:06d}"
        piece.mkdir(parents=True, exist_ok=True)
        soundfile.write(piece / "mix.flac", samples / max(1.0, np.abs(samples).max()), RATE)
        artifacts.write_times(piece / "beats.txt", beats)
        artifacts.write_times(piece / "downbeats.txt", beats[positions == 1])


def main() -> None:
    """Make pieces FIRST to FIRST + COUNT - 1 of a set; those that exist are kept."""
    arguments = arguments_of(__doc__, "folder")
    make_all(arguments, ".npz", partial(write, arguments.split, arguments.folder, arguments.out))


if __name__ == "__main__":
    main()
