"""Music composed at random: drum patterns, bass lines, accompaniment and melodies in many metres."""

import numpy as np

from training.score import DRUMS, Score, metre, swung

KICK, SNARE, RIM, CLAP = 36, 38, 37, 39
CLOSED, PEDAL, OPEN, RIDE, CRASH = 42, 44, 46, 51, 49
TOMS = (41, 43, 45, 47, 48, 50)
PERCUSSION = (54, 56, 60, 61, 62, 63, 64, 69, 70, 75, 76)

# (beats per bar, thirds of a beat instead of quarters, probability)
METRES = (
    (4, False, 0.38), (3, False, 0.15), (2, False, 0.03), (5, False, 0.09), (7, False, 0.06), (6, False, 0.04),
    (2, True, 0.11), (4, True, 0.09), (3, True, 0.05),
)  # fmt: skip

CHORD_PROGRAMS = (0, 1, 4, 5, 6, 7, 11, 16, 18, 19, 21, 24, 25, 26, 27, 28, 29, 30, 46, 48, 50, 52, 61, 62, 63, 80, 81,
                  88, 89, 90, 105, 15, 45)  # fmt: skip
BASS_PROGRAMS = (32, 33, 34, 35, 36, 37, 38, 39, 43, 58, 87)
MELODY_PROGRAMS = (0, 4, 9, 10, 11, 12, 13, 22, 24, 26, 40, 41, 42, 52, 53, 54, 56, 57, 59, 60, 64, 65, 66, 68, 69, 71,
                   72, 73, 74, 75, 79, 80, 81, 82, 84, 85, 104, 108)  # fmt: skip


def choose_metre(random: np.random.Generator) -> tuple[int, int, int]:
    """Return beats per bar, subdivisions of a beat (3, or 4), and the kind of grouping seed."""
    index = random.choice(len(METRES), p=np.array([m[2] for m in METRES]) / sum(m[2] for m in METRES))
    beats, compound, _ = METRES[index]
    return beats, 3 if compound else 4, int(random.integers(1 << 30))


def choose_tempo(random: np.random.Generator, beats_per_bar: int, subdivisions: int) -> float:
    """Return beats per minute between 40 and 240: all octaves are frequent, the middle most."""
    if subdivisions == 3:
        return float(np.clip(np.exp(random.normal(np.log(90), 0.35)), 40, 190))
    if beats_per_bar == 7:
        return float(np.clip(np.exp(random.normal(np.log(165), 0.35)), 70, 240))
    if random.random() < 0.3:
        return float(random.uniform(40, 240))
    return float(np.clip(np.exp(random.normal(np.log(112), 0.36)), 40, 240))


def _groups(random: np.random.Generator, beats: int) -> list[int]:
    """Return the beats of a bar that begin a group, such as 0 and 3 of five."""
    choices = {2: [[0]], 3: [[0]], 4: [[0, 2]], 5: [[0, 3], [0, 2], [0, 3]], 6: [[0, 3], [0, 2, 4]],
               7: [[0, 2, 4], [0, 4], [0, 3], [0, 3, 5], [0, 2, 4]]}[beats]  # fmt: skip
    return choices[random.integers(len(choices))]


Hits = list[tuple[float, int, int]]  # (time in the bar in beats, General MIDI drum, velocity)


def drum_bar(random: np.random.Generator, beats: int, subdivisions: int, bpm: float) -> Hits:
    """Return one bar of a drum pattern that makes the beat and its octave plain enough to be learnt."""
    cell = 1 / subdivisions
    hits: Hits = []

    def put(times, drum, velocity, spread=6):
        hits.extend((float(t), drum, int(np.clip(random.normal(velocity, spread), 12, 127))) for t in times)

    groups = _groups(random, beats)
    fast, slow = bpm > 150, bpm < 80
    # What keeps time
    keeper = random.choice([CLOSED, CLOSED, CLOSED, RIDE, OPEN, PEDAL, 70, 54])
    every = np.arange(beats, dtype=float)
    if subdivisions == 3:
        kinds = {"all": 0.6, "beats": 0.15, "skip": 0.15, "none": 0.1}
    elif fast:
        kinds = {"beats": 0.45, "halves": 0.3, "offbeats": 0.1, "alternate": 0.05, "none": 0.1}
    elif slow:
        kinds = {"halves": 0.4, "quarters": 0.35, "beats": 0.05, "offbeats": 0.08, "none": 0.12}
    else:
        kinds = {"halves": 0.45, "quarters": 0.17, "beats": 0.14, "offbeats": 0.12, "none": 0.12}
    kind = random.choice(list(kinds), p=list(kinds.values()))
    accent = random.integers(0, 25)
    if kind in ("all", "halves", "quarters", "beats", "alternate"):
        step = {"all": cell, "halves": 0.5, "quarters": 0.25, "beats": 1.0, "alternate": 2.0}[kind]
        base = random.uniform(55, 95)
        for t in np.arange(0, beats, step):
            put([t], keeper, base + (accent if t % 1 < 1e-6 else 0))
    elif kind == "offbeats":
        put(every + 0.5, random.choice([CLOSED, OPEN]), random.uniform(60, 100))
    elif kind == "skip":
        put(every, keeper, random.uniform(60, 95))
        put(every + 2 / 3, keeper, random.uniform(50, 80))
    # Kick and snare
    if beats == 4:
        # Fast bars with a stroke every second beat or fewer look like slow ones, so these are rare.
        styles = {"rock": 0.36, "floor": 0.22 if not fast else 0.08, "half": 0.1 if not (slow or fast) else 0.03,
                  "double": 0.06 if not fast else 0.02, "ska": 0.05, "drop": 0.06 if not fast else 0.02, "motown": 0.04,
                  "train": 0.04, "bossa": 0.05, "jazz": 0.05, "sparse": 0.06 if not fast else 0.02,
                  "free": 0.06}  # fmt: skip
        weights = np.array(list(styles.values()))
        style = random.choice(list(styles), p=weights / weights.sum())
        extra = [t for t in (0.5, 1.5, 2.5, 3.5) if random.random() < 0.22]
        if subdivisions == 4 and not fast:
            extra += [t for t in (0.75, 1.75, 2.25, 2.75, 3.25, 3.75) if random.random() < 0.08]
        if subdivisions == 3:
            extra = [t for t in (2 / 3, 5 / 3, 8 / 3, 11 / 3) if random.random() < 0.25]
        backbeat = random.choice([SNARE, SNARE, SNARE, 40, CLAP, RIM])
        if style == "rock":
            put([0, 2] if random.random() < 0.8 else [0], KICK, 105)
            put(extra, KICK, 90)
            put([1, 3], backbeat, 105)
            if random.random() < 0.2 and not fast:
                put([t for t in (0.75, 1.75, 2.25, 3.75) if random.random() < 0.4], SNARE, 40)
        elif style == "floor":
            put(every, KICK, 110)
            if random.random() < 0.55:
                put([1, 3], backbeat, 95)
            if random.random() < 0.6 and subdivisions == 4:
                put(every + 0.5, random.choice([OPEN, CLOSED]), 90)
        elif style == "half":
            put([0], KICK, 108)
            put([t for t in extra if t != 2], KICK, 90)
            put([2], backbeat, 108)
        elif style == "double":
            put(every, KICK, 105)
            put(every + 0.5, backbeat, 95)
        elif style == "ska":
            put([1, 3], backbeat, 95)
            put([0, 2] if random.random() < 0.5 else [1, 3], KICK, 100)
            put(every + 0.5, CLOSED, 95)
        elif style == "drop":
            put([2], KICK, 108)
            put([2], random.choice([RIM, SNARE]), 95)
            put([t for t in (1.5, 3.5, 3.75) if random.random() < 0.25], RIM, 60)
        elif style == "motown":
            put(every, backbeat, 100)
            put([0, 2], KICK, 105)
            put(extra, KICK, 95)
        elif style == "train":
            for t in np.arange(0, 4, 0.25):
                put([t], SNARE, 95 if t % 1 == 0.5 else 45)
            put(every if random.random() < 0.5 else [0, 2], KICK, 95)
        elif style == "bossa":
            put([0, 1.5, 2, 3.5], KICK, 90)
            put([0, 1.5, 3] if random.random() < 0.5 else [0.5, 1.5, 3, 3.5], RIM, 85)
        elif style == "jazz":
            put([0, 1, 2, 3, 1 + 2 / 3, 3 + 2 / 3], RIDE, 85)
            put([1, 3], PEDAL, 80)
            put([t for t in (0, 2, 2 / 3, 8 / 3) if random.random() < 0.25], KICK, 60)
            put([t for t in (2 / 3, 5 / 3, 3, 11 / 3) if random.random() < 0.25], SNARE, 55)
        elif style == "sparse":
            put([0], KICK, 100)
            if random.random() < 0.5:
                put([random.choice([1, 2, 3])], backbeat, 90)
        else:
            put([0], random.choice([KICK, *TOMS]), 105)
            pool = np.arange(0, 4, 0.5 if fast else cell)
            put(random.choice(pool, random.integers(2, 6), replace=False), random.choice([KICK, *TOMS, SNARE]), 85)
            put(random.choice(every, 2, replace=False), SNARE, 95)
    else:
        put(groups, KICK, 108)
        rest = [b for b in range(beats) if b not in groups]
        style = random.random() * (0.9 if fast else 1.0)  # fast bars always have more than the kick
        if style < 0.45:  # the last beats of each group
            ends = [b - 1 for b in [*groups[1:], beats] if b - 1 not in groups]
            put(ends, SNARE, 100)
        elif style < 0.75:
            put(rest, random.choice([SNARE, RIM, CLOSED, 40]), 92)
        elif style < 0.9 and rest:
            put([random.choice(rest)], SNARE, 100)
        if random.random() < 0.4:
            pool = np.setdiff1d(np.round(np.arange(0, beats, 0.5 if subdivisions == 4 else cell), 4), [0.0])
            put(random.choice(pool, min(len(pool), random.integers(1, 4)), replace=False), KICK, 85)
    if random.random() < 0.15:
        drum = random.choice(PERCUSSION)
        step = 1 if fast else random.choice([1, 0.5, cell])
        put(np.arange(0, beats, step), drum, 75, 14)
    if not hits:
        put(every, KICK, 100)
    return hits


def fill_bar(random: np.random.Generator, beats: int, subdivisions: int, bpm: float, bar: Hits) -> Hits:
    """Return a bar whose last beat or two are a fill on snare and toms."""
    length = min(beats, int(random.choice([1, 1, 2])))
    step = 0.5 if bpm > 150 and subdivisions == 4 else 1 / subdivisions
    hits = [hit for hit in bar if hit[0] < beats - length]
    for t in np.arange(beats - length, beats - 1e-6, step):
        if random.random() < 0.8:
            hits.append((float(t), int(random.choice([SNARE, *TOMS])), int(random.integers(70, 118))))
    return hits


def drum_track(random: np.random.Generator, bars: int, beats: int, subdivisions: int, bpm: float) -> Hits:
    """Return the hits of a whole piece, in beats: one or two patterns, small variations, fills, crashes, breaks."""
    patterns = [drum_bar(random, beats, subdivisions, bpm) for _ in range(random.choice([1, 2]))]
    period = int(random.choice([4, 8, 8, 16]))
    plain = random.random() < 0.35
    out: Hits = []
    for bar in range(bars):
        pattern = patterns[(bar // period) % len(patterns)]
        if not plain and bar % period == period - 1 and random.random() < 0.7:
            pattern = fill_bar(random, beats, subdivisions, bpm, pattern)
        elif not plain:
            pattern = [hit for hit in pattern if random.random() > 0.03]
        if not plain and bar % period == 0 and random.random() < 0.5:
            pattern = [*pattern, (0.0, CRASH, 110)]
        out.extend((bar * beats + t, drum, velocity) for t, drum, velocity in pattern if 0 <= t < beats)
    return out


HELD_PROGRAMS = (16, 17, 18, 19, 20, 21, 48, 50, 52, 62, 81, 88, 89, 90, 92, 94, 95)


def loop(random: np.random.Generator, seconds: float) -> tuple[Score, float]:
    """Compose a loop: a kick on each beat, mostly with hi-hats, over nothing or over a chord that is held.

    Without a backbeat and without chords that change, only the kick tells the beat from the hi-hats between.

    Returns
    -------
    the score, whose unit is a beat, and its tempo in beats per minute
    """
    bpm = float(np.clip(np.exp(random.normal(np.log(118), 0.24)), 66, 190))
    bars = max(2, int(np.ceil(seconds * bpm / 240)))
    score = Score(*metre(bars, 4))
    drums = score.part(DRUMS)
    hats = random.choice(["halves", "offbeats", "quarters", "beats", "none"], p=[0.36, 0.22, 0.2, 0.08, 0.14])
    times = {"halves": np.arange(0, 4, 0.5), "offbeats": np.arange(4) + 0.5, "quarters": np.arange(0, 4, 0.25),
             "beats": np.arange(4), "none": ()}[hats]  # fmt: skip
    hat, level = int(random.choice([CLOSED, CLOSED, CLOSED, PEDAL, OPEN, RIDE, 69, 70])), random.uniform(50, 110)
    pattern = [(float(t), KICK, 110.0) for t in range(4)] + [(float(t), hat, level) for t in times]
    if random.random() < 0.2:
        pattern += [(t, int(random.choice([CLAP, SNARE, RIM])), 90.0) for t in (1.0, 3.0)]
    if random.random() < 0.15:
        drum = int(random.choice(PERCUSSION))
        pattern += [(float(t), drum, 70.0) for t in random.choice(np.arange(0, 4, 0.25), 3, replace=False)]
    spread = random.choice([0.0, 4.0])
    for bar in range(bars):
        for t, drum, strength in pattern:
            velocity = int(np.clip(random.normal(strength, spread), 15, 127))
            score.notes.append((4 * bar + t, 0.2, drum, velocity, drums))
    root, marked = int(random.integers(-6, 6)), False
    if random.random() < 0.6:
        part = score.part(int(random.choice(HELD_PROGRAMS)))
        held = int(random.choice([4, 8, bars]))  # bars
        marked = held < bars
        chord = [57 + root + k for k in ((0, 3, 7), (0, 4, 7), (0, 7, 12), (0,))[random.integers(4)]]
        for bar in range(0, bars, held):
            step = int(random.choice([0, 3, 5, 7, 10])) if bar else 0
            score.notes += [(4.0 * bar, 4 * held - 0.05, pitch + step, 70, part) for pitch in chord]
    if random.random() < 0.4:
        part = score.part(int(random.choice(BASS_PROGRAMS)))
        step, shift = ((4.0 * bars, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.0))[random.integers(4)]
        starts = np.arange(shift, 4 * bars, step)
        score.notes += [(float(t), step * 0.9, 45 + root, 90, part) for t in starts]
    if not marked:
        score.positions[:] = 0  # nothing says where a bar begins
    return score, bpm


SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10)}
PROGRESSIONS = (
    (0, 4, 5, 3),
    (0, 5, 3, 4),
    (5, 3, 0, 4),
    (0, 3, 4, 4),
    (1, 4, 0, 0),
    (0, 0, 3, 4),
    (0, 6, 5, 4),
    (0, 3),
)


def _triad(scale: tuple[int, ...], degree: int) -> list[int]:
    return [scale[(degree + k) % 7] + 12 * ((degree + k) // 7) for k in (0, 2, 4)]


def _chord_times(
    random: np.random.Generator, beats: int, subdivisions: int, bpm: float
) -> list[tuple[float, float, str]]:
    """Return one bar of accompaniment: (time, duration, "chord", "bass", "arpeggio")."""
    fast = bpm > 150
    names = {
        "bar": 0.17,
        "beats": 0.17,
        "offbeats": 0.1,
        "halves": 0.1,
        "arpeggio": 0.18,
        "waltz": 0.13,
        "groups": 0.15,
    }
    name = random.choice(list(names), p=list(names.values()))
    length = random.choice([0.9, 0.5, 0.25])
    if name == "bar":
        return [(0.0, beats * 0.98, "chord")]
    if name == "beats":
        return [(float(b), length, "chord") for b in range(beats)]
    if name == "offbeats":
        shift = 0.5 if subdivisions == 4 else 2 / 3
        return [(b + shift, min(length, 0.45), "chord") for b in range(beats)]
    if name == "halves":
        step = 1.0 if fast else 0.5 if subdivisions == 4 else 1 / 3
        return [(float(t), step * 0.8, "chord") for t in np.arange(0, beats - 1e-6, step)]
    if name == "arpeggio":
        step = (1.0 if bpm > 190 else 0.5) if fast else random.choice([0.5, 0.25]) if subdivisions == 4 else 1 / 3
        return [(float(t), step * random.choice([0.9, 2.0]), "arpeggio") for t in np.arange(0, beats - 1e-6, step)]
    if name == "waltz":
        groups = _groups(random, beats)
        return [(float(b), 0.8, "bass" if b in groups else "chord") for b in range(beats)]
    pool = np.round(np.arange(0, beats, 0.5 if subdivisions == 4 else 1 / 3), 4)[1:]
    extra = np.sort(random.choice(pool, min(len(pool), random.integers(1, 3)), replace=False))
    times = [0.0, *(float(t) for t in extra)]
    return [(t, (end - t) * 0.9, "chord") for t, end in zip(times, [*times[1:], beats], strict=True)]


def _bass_times(
    random: np.random.Generator, beats: int, subdivisions: int, bpm: float
) -> list[tuple[float, float, str]]:
    """Return one bar of a bass line: (time, duration, "root", "fifth", "octave", "walk")."""
    fast = bpm > 150
    cell = 0.5 if subdivisions == 4 else 1 / 3
    names = ("root", "groups", "fifths", "beats", "walk", "eighths", "octaves", "syncopated")
    name = random.choice(names, p=(0.12, 0.17, 0.14, 0.15, 0.1, 0.12, 0.06, 0.14))
    groups = _groups(random, beats)
    if name == "root":
        return [(0.0, beats * 0.95, "root")]
    if name == "groups":
        return [(float(g), 0.9, "root") for g in groups]
    if name == "fifths":
        return [
            (float(g), 0.9, "root" if k % 2 == 0 else "fifth")
            for k, g in enumerate(range(0, beats, 2 if beats > 3 else 1))
        ]
    if name == "beats" or (name == "eighths" and fast):
        return [(float(b), 0.8, "root") for b in range(beats)]
    if name == "walk":
        return [(float(b), 0.9, "walk" if b else "root") for b in range(beats)]
    if name == "eighths":
        return [(float(t), cell * 0.9, "root") for t in np.arange(0, beats - 1e-6, cell)]
    if name == "octaves":
        return [
            (float(t), cell * 0.8, "root" if k % 2 == 0 else "octave")
            for k, t in enumerate(np.arange(0, beats - 1e-6, cell))
        ]
    pool = np.round(np.arange(cell, beats - 1e-6, cell), 4)
    extra = np.sort(random.choice(pool, min(len(pool), random.integers(1, 4)), replace=False))
    return [(float(t), 0.45, "root") for t in [0.0, *extra]]


RIFF_PROGRAMS = (27, 29, 30, 30, 30, 38, 62, 63, 80, 81, 87)


def _riff(random: np.random.Generator, beats: int, subdivisions: int, bpm: float) -> list[tuple[float, float, int]]:
    """Return one bar of a riff: (time, duration, semitones above the root), notes on and between the beats."""
    cell = 0.5 if bpm > 150 and subdivisions == 4 else 1 / subdivisions if random.random() < 0.5 else 1 / 2
    cell = 1 / 3 if subdivisions == 3 else cell
    density = random.uniform(0.35, 1.0)
    times = [float(t) for t in np.arange(0, beats - 1e-6, cell) if t == 0 or random.random() < density]
    steps = [int(random.choice([0, 0, 0, 0, 3, 5, 6, 7, 10, 12, -2])) if t else 0 for t in times]
    short = random.choice([0.4, 0.7, 0.95])
    return [(t, (end - t) * short, step) for t, end, step in zip(times, [*times[1:], beats], steps, strict=True)]


def _melody_rhythm(random: np.random.Generator, beats: int, subdivisions: int, bpm: float) -> list[float]:
    """Return the onsets of one bar in beats: most on beats, some between them."""
    cell = 1.0 if bpm > 200 else 0.5 if bpm > 110 and subdivisions == 4 else 1 / subdivisions
    on_beat, between = random.uniform(0.5, 0.95), random.uniform(0.05, 0.55)
    if cell < 0.5 and subdivisions == 4:
        between *= 0.7
    times = []
    for t in np.arange(0, beats - 1e-6, cell):
        strong = abs(t - round(t)) < 1e-6
        half = subdivisions == 4 and abs(t * 2 - round(t * 2)) < 1e-6
        chance = on_beat if strong else between * (1.3 if half else 0.8)
        if random.random() < chance:
            times.append(float(t))
    return times or [0.0]


def compose(
    random: np.random.Generator, seconds: float, drums: bool | None = None, pitched: bool = True
) -> tuple[Score, float]:
    """Compose a piece.

    Parameters
    ----------
    seconds : about how long it will be
    drums : with, without, or by chance
    pitched : False: only drums

    Returns
    -------
    the score, whose unit is a beat, and its tempo in beats per minute
    """
    beats, subdivisions, _ = choose_metre(random)
    bpm = choose_tempo(random, beats, subdivisions)
    bars = max(2, int(np.ceil(seconds * bpm / 60 / beats)))
    score = Score(*metre(bars, beats))
    swing = random.uniform(0.54, 0.7) if subdivisions == 4 and random.random() < 0.22 and bpm < 220 else 0.5
    unit = 0.5 if bpm < 75 and swing > 0.5 and random.random() < 0.5 else 1.0
    with_drums = (random.random() < 0.62) if drums is None else drums
    sections = int(random.choice([4, 8, 8, 16]))
    quiet: dict[str, set[int]] = {}
    for name in ("drums", "bass", "chords", "melody", "second"):
        out = {s for s in range(bars // sections + 1) if random.random() < 0.13}
        quiet[name] = out if pitched else set()

    def add(part: int, name: str, t: float, duration: float, pitch: int, velocity: float) -> None:
        if int(t // beats) // sections not in quiet[name]:
            at = swung(t, swing, unit) if swing != 0.5 else t
            score.notes.append((at, duration, int(pitch), int(np.clip(velocity, 10, 127)), part))

    if with_drums or not pitched:
        part = score.part(DRUMS)
        for t, drum, velocity in drum_track(random, bars, beats, subdivisions, bpm):
            add(part, "drums", t, 0.2, drum, velocity)
    if not pitched:
        return score, bpm

    key, scale = random.integers(-6, 6), SCALES[random.choice(list(SCALES))]
    progression = PROGRESSIONS[random.integers(len(PROGRESSIONS))]
    if random.random() < 0.3:
        progression = tuple(random.integers(0, 7, random.choice([2, 4, 8])))
    rhythm = random.choice(["bar", "two bars", "half bar"], p=[0.65, 0.15, 0.2])
    middle = _groups(random, beats)[-1] if beats > 2 else 1

    def degree(t: float) -> int:
        bar, at = divmod(t + 1e-6, beats)
        index = (
            int(bar) // 2
            if rhythm == "two bars"
            else int(bar) * 2 + (at >= middle)
            if rhythm == "half bar"
            else int(bar)
        )
        return int(progression[index % len(progression)])

    def figure(make, number: int):
        """Return a bar for each bar of the piece: figures change with the section."""
        made = [make(random, beats, subdivisions, bpm) for _ in range(number)]
        return [made[(bar // sections) % number] for bar in range(bars)]

    has_chords, has_bass, has_melody = random.random() < 0.82, random.random() < 0.75, random.random() < 0.7
    if not (has_chords or has_bass or has_melody):
        has_chords = True
    has_riff = has_chords and random.random() < 0.18
    if has_riff:
        bars_of_riff = [_riff(random, beats, subdivisions, bpm) for _ in range(random.choice([1, 2, 2, 4]))]
        power = random.random() < 0.6
        voices = [(score.part(int(random.choice(RIFF_PROGRAMS))), 48, random.uniform(75, 115))]
        if has_bass and random.random() < 0.7:
            voices.append((score.part(int(random.choice(BASS_PROGRAMS))), 36, random.uniform(80, 110)))
            has_bass = False
        for bar in range(bars):
            for t, duration, step in bars_of_riff[bar % len(bars_of_riff)]:
                time = bar * beats + t
                root = (key + scale[degree(bar // 4 * 4 * beats) % 7] + 5) % 12 - 5 + step
                for number, octave, level in voices:
                    for interval in (0, 7, 12) if power and octave == 48 else (0,):
                        add(number, "chords", time, duration, octave + root + interval, random.normal(level, 5))
    elif has_chords:
        for name in ("chords", "second") if random.random() < 0.35 else ("chords",):
            part, octave, level = (
                score.part(int(random.choice(CHORD_PROGRAMS))),
                random.integers(4, 6),
                random.uniform(55, 100),
            )
            strum = random.uniform(0, 0.04) if random.random() < 0.2 else 0.0
            for bar, cells in enumerate(figure(_chord_times, random.integers(1, 3))):
                for index, (t, duration, kind) in enumerate(cells):
                    time = bar * beats + t
                    chord = [key + 12 * octave + p for p in _triad(scale, degree(time))]
                    strength = level + (random.uniform(0, 14) if t == 0 else 0) + random.normal(0, 4)
                    if kind == "bass":
                        add(part, name, time, duration, chord[0] - 12, strength + 6)
                    elif kind == "arpeggio":
                        order = (0, 1, 2, 1) if subdivisions == 4 else (0, 1, 2)
                        add(
                            part,
                            name,
                            time,
                            duration,
                            (chord[0] - 12) if index == 0 else chord[order[index % len(order)]],
                            strength,
                        )
                    else:
                        for k, pitch in enumerate(chord):
                            add(part, name, time + strum * k, duration, pitch, strength)
    if has_bass:
        part, level = score.part(int(random.choice(BASS_PROGRAMS))), random.uniform(75, 110)
        for bar, cells in enumerate(figure(_bass_times, random.integers(1, 3))):
            for t, duration, kind in cells:
                time = bar * beats + t
                triad = [key + 36 + p for p in _triad(scale, degree(time))]
                pitch = {"root": triad[0], "fifth": triad[2], "octave": triad[0] + 12}.get(kind)
                if pitch is None:
                    pitch = key + 36 + scale[random.integers(7)]
                add(part, "bass", time, duration, pitch, random.normal(level, 5))
    if has_melody:
        part, level = score.part(int(random.choice(MELODY_PROGRAMS))), random.uniform(70, 112)
        motifs = [_melody_rhythm(random, beats, subdivisions, bpm) for _ in range(random.integers(2, 5))]
        step, order = int(random.integers(5, 12)), [int(random.integers(len(motifs))) for _ in range(4)]
        lead = [] if random.random() < 0.6 else [-t for t in (0.5, 1.0, 1.5) if random.random() < 0.6]
        for bar in range(bars):
            times = (
                motifs[order[bar % 4]] if random.random() < 0.8 else _melody_rhythm(random, beats, subdivisions, bpm)
            )
            for t, end in zip(times, [*times[1:], beats], strict=True):
                time = bar * beats + t
                step = int(np.clip(step + random.choice([-2, -1, -1, 0, 1, 1, 2, 3, -3]), 0, 16))
                if abs(t - round(t)) < 1e-6 and random.random() < 0.5:
                    step = min(
                        range(17),
                        key=lambda s: (s % 7 not in [(degree(time) + k) % 7 for k in (0, 2, 4)], abs(s - step)),
                    )
                pitch = key + 60 + scale[step % 7] + 12 * (step // 7)
                add(
                    part,
                    "melody",
                    time,
                    (end - t) * random.uniform(0.6, 1),
                    pitch,
                    level + random.normal(0, 6) + (8 if t == 0 else 0),
                )
        for t in lead:  # a pick-up before the first bar
            score.notes.append((t, 0.45, key + 60 + scale[step % 7], int(level), part))
    return score, bpm
