"""Pieces for the training of the drum network, with their notes: `python -m training.drum_pieces TRAIN KITS OUT ...`.

A piece is OUT/<set>/<index>.npz: "drums" and "rest" float16 [frame, band], the spectrograms of its drums and of what
else sounds (without frames if there is nothing), each alone and at `LOUDNESS`; "notes" [k, 3]: time in seconds, index
in `DRUMS`, velocity; "kind". A piece of the test set is also OUT/test/<kind>/<index>/ with drums.flac, mix.flac and
notes.csv, as `make eval-drums` reads it.
"""

import csv
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from scipy import signal

from mirflow.core.audio import Audio
from mirflow.stems import embedded as stems_embedded
from mirflow.transcribe import hearing
from mirflow.transcribe.embedded import BANDS, spectrogram
from training import beat_pieces, drum_kits, render, sources
from training.drum_kits import LEAD, RATE, Kit
from training.pieces import arguments_of, make_all
from training.score import DRUMS as DRUM_PART
from training.score import SPLITS, Performance

DRUMS = tuple(drum_kits.DRUMS)
DRUM_OF = {note: index for index, notes in enumerate(drum_kits.DRUMS.values()) for note in notes}
SECONDS = 24.0
LOUDNESS = -24.0  # LUFS
KINDS = {"drummer": 0.28, "band": 0.28, "composed": 0.14, "patterns": 0.06, "fast": 0.06, "free": 0.08, "none": 0.1}
SEPARATED = 0.6  # of the pieces with something beside drums, in the set for training
SOFTEST = 10  # notes with a lower velocity are not heard among others: neither played nor to be found
HATS = (42, 44, 46)
CLAP = 39
# How often a kit is chosen, by the beginning of its name: there are few recorded kits, and any number of formulas.
WEIGHTS = {
    "Red": 22.0,
    "Black": 22.0,
    "FluidR3": 6.0,
    "GeneralUser-v1.47": 5.0,
    "sonivox": 6.0,
    "single": 0.8,
    "formula": 0.3,
}


@cache
def recordings(folder: Path, split: str) -> tuple[dict, ...]:
    """Return the rows of all recordings of the drummers of a set, with the fills."""
    with (folder / "groove" / "info.csv").open() as file:
        rows = list(csv.DictReader(file))
    return tuple(r for r in rows if int(r["drummer"].removeprefix("drummer")) in sources.DRUMMERS[split])


def drummer(random: np.random.Generator, folder: Path, split: str) -> np.ndarray:
    """Play what a person played, at another tempo, now and then with another's fill: time in s, note, velocity."""
    rows, parts, end = recordings(folder, split), [], 0.0
    fills = [row for row in rows if row["beat_type"] == "fill"]
    beats = [row for row in rows if row["beat_type"] == "beat"]
    stretch = np.exp(random.normal(0, 0.12))
    while end < SECONDS:
        fill = fills and random.random() < 0.3
        row = fills[random.integers(len(fills))] if fill else beats[random.integers(len(beats))]
        notes = sources.groove(folder, row["midi_filename"])
        beat = 60 / (float(row["bpm"]) * stretch)
        length = SECONDS if not fill else float(notes[-1, 0]) + 1
        length = float(random.uniform(4, 24)) if random.random() < 0.4 and not fill else length
        first = random.uniform(0, max(notes[-1, 0] - length / beat, 0)) if not fill else 0
        kept = notes[(notes[:, 0] >= first) & (notes[:, 0] < first + length / beat)]
        if len(kept):
            parts.append(np.stack([end + (kept[:, 0] - kept[0, 0]) * beat, kept[:, 2], kept[:, 3]], axis=1))
            end = parts[-1][-1, 0] + beat * random.choice([0.25, 0.5, 1.0])
    return np.concatenate(parts)


def fast(random: np.random.Generator, folder: Path, split: str) -> np.ndarray:
    """Play metal and punk: double kicks, blast beats, crashes on the beat, long fills on the toms."""
    beat = 60 / random.uniform(150, 230)
    rows: list[tuple[float, int, float]] = []
    keeper = int(random.choice([42, 46, 49, 51, 57, 52]))

    def put(time, note, velocity):
        rows.append((time + random.normal(0, 0.006), note, velocity + random.normal(0, 7)))

    time = 0.0
    while time < SECONDS:
        style = random.choice(["punk", "blast", "double", "half", "fill"], p=[0.35, 0.15, 0.2, 0.15, 0.15])
        if random.random() < 0.35:
            keeper = int(random.choice([42, 46, 49, 51, 57, 52]))
        for bar in range(1 if style == "fill" else int(random.choice([1, 2, 4]))):
            if random.random() < 0.3 or bar == 0:
                put(time, int(random.choice([49, 57])), 112)
            order = np.sort(random.choice([50, 48, 47, 45, 43, 41, 38], 4))[::-1]
            for step in range(16):
                at, on = time + step * beat / 4, step % 4 == 0
                if style == "fill":
                    if random.random() < (1.0 if on else 0.75):
                        put(at, int(order[step // 4]), 105 if on else 88)
                    if on and random.random() < 0.4:
                        put(at, 36, 100)
                    continue
                if step % (2 if style != "half" and beat > 0.3 else 4) == 0:
                    put(at, keeper, 96 if on else 80)
                if style == "punk":
                    put(at, 36, 108) if step in (0, 8, 10) and random.random() < 0.9 else None
                    put(at, 38, 112) if step in (4, 12) else None
                elif style == "blast":
                    put(at, 36 if step % 4 == 0 else 38, 98) if step % 2 == 0 else None
                elif style == "double":
                    put(at, 36, 96) if step % (1 if beat > 0.33 else 2) == 0 else None
                    put(at, 38, 112) if step in (4, 12) else None
                else:
                    put(at, 36, 105) if step in (0, 6, 10) and random.random() < 0.8 else None
                    put(at, 38, 112) if step == 8 else None
            time += 4 * beat
    return np.array(rows)


def free(random: np.random.Generator, folder: Path, split: str) -> np.ndarray:
    """Hit all drums equally often: at random, as rolls, flams and several drums at a time."""
    rows: list[tuple[float, int, float]] = []
    time, rate = 0.0, float(np.exp(random.uniform(np.log(1.5), np.log(9))))
    names = list(drum_kits.DRUMS.values())
    share = random.dirichlet(np.full(5, 1.5))
    while time < SECONDS:
        note = int(random.choice(names[random.choice(5, p=share)]))
        velocity = float(np.clip(random.normal(85, 28), 15, 127))
        kind = random.random()
        if kind < 0.06:  # roll
            step, note = random.uniform(0.055, 0.12), int(random.choice([38, 38, 41, 43, 45, 47, 48, 50, 36, 42]))
            count = int(random.integers(4, 16))
            levels = np.clip(velocity + np.linspace(0, random.uniform(-30, 30), count), 15, 127)
            rows += [(time + k * step + random.normal(0, 0.004), note, v) for k, v in enumerate(levels)]
            time += count * step
        elif kind < 0.12:  # flam
            rows += [(time - random.uniform(0.02, 0.04), note, velocity * 0.4), (time, note, velocity)]
        else:
            rows.append((time, note, velocity))
            while random.random() < 0.4:
                note = int(random.choice(names[random.choice(5, p=share)]))
                rows.append((time + random.normal(0, 0.004), note, float(np.clip(random.normal(85, 25), 15, 127))))
        time += random.exponential(1 / rate) if random.random() < 0.5 else 1 / rate
    return np.array(rows)


def percussion(random: np.random.Generator) -> np.ndarray:
    """Play a tambourine, a shaker or another thing that is none of the drums, in a steady pattern."""
    note, beat = int(random.choice([54, 54, 54, 70, 82, 69, 56, 75, 62, 63])), 60 / random.uniform(70, 180)
    pattern = [[0, 1, 2, 3], [2], [0, 2], [0, 1, 2, 3], [0, 2, 3]][random.integers(5)]
    accent, softer = int(random.choice([0, 2])), random.uniform(0, 35)
    rows = []
    for bar in range(int(SECONDS / (2 * beat))):
        for step in (step + 4 * k for k in range(2) for step in pattern):
            time = random.uniform(0, 0.01) + (2 * bar + step / 4) * beat
            rows.append((time, note, 95 - (softer if step % 4 != accent else 0) + random.normal(0, 7)))
    return np.array(rows)


def performed(
    kind: str, random: np.random.Generator, folder: Path, split: str
) -> tuple[np.ndarray, Performance | None]:
    """Return the drum notes of a piece (time in s, note, velocity), and what else is played, if anything."""
    if kind in ("drummer", "fast", "free"):
        return {"drummer": drummer, "fast": fast, "free": free}[kind](random, folder, split), None
    makers = {"band": beat_pieces.band, "patterns": beat_pieces.patterns, "composed": beat_pieces.composed}
    played = makers["band" if kind == "none" else kind](random, folder, split)
    played.notes[:, 0] -= max(played.notes[:, 0].min(initial=0), random.uniform(0, 8))
    part = np.array([program == DRUM_PART for program in played.parts] or [False])
    is_drum = part[played.notes[:, 4].astype(int)]
    drums = played.notes[is_drum][:, [0, 2, 3]]
    rest = Performance(played.notes[~is_drum], played.parts, played.beats, played.positions)
    return (np.zeros((0, 3)) if kind == "none" else drums), (rest if len(rest.notes) else None)


class Player:
    """A drum kit as it is set up and recorded for one piece: sounds of one kit or several, tuned, damped, equalised."""

    def __init__(self, kits: tuple[Kit, ...], random: np.random.Generator):
        self.random = random
        weights = np.array([WEIGHTS.get(kit.name.split("_")[0], 1.0) for kit in kits])
        chosen = random.choice(len(kits), 7, p=weights / weights.sum())
        # Most drums are of one kit, some of others.
        self.kits = [kits[chosen[0] if random.random() < 0.65 else number] for number in chosen[1:]]
        self.power = random.uniform(1.0, 2.2, 6)  # of the velocity, in the amplitude
        self.pitch = np.exp2(np.clip(random.normal(0, (2.0, 2.0, 2.5, 1.2, 1.2, 1.5)), -5, 5) / 12)
        self.damping = np.where(random.random(6) < 0.35, random.uniform(0.04, 0.5, 6), np.inf)  # s
        self.gain = 10 ** (random.normal(0, (3, 3, 3, 5, 5, 4)) / 20) * np.array([1.0, 0.9, 0.9, 0.45, 0.6, 0.4])
        self.cache: dict[tuple, np.ndarray] = {}

    def sound(self, note: int, velocity: float) -> tuple[np.ndarray | None, int]:
        """Return a hit, its `LEAD` included, and the number of its drum (5: another)."""
        drum = DRUM_OF.get(note, 5)
        hits = self.kits[drum].hits
        if note not in hits:
            family = [n for n in (list(drum_kits.DRUMS.values())[drum] if drum < 5 else drum_kits.OTHERS) if n in hits]
            near = [n for n in family if abs(n - note) <= 2] or family
            if drum == 3:  # an open hi-hat is not a closed one
                near = [n for n in family if (n == 46) == (note == 46)] or family
            if not near:
                return None, drum
            note = near[note % len(near)]
        layers = hits[note]
        layer = int(np.argmin([abs(v - velocity) for v, _ in layers]))
        key = (note, layer, int(self.random.integers(2)))
        if key not in self.cache:
            sound, loudest = layers[layer][1], layers[-1][1]
            sound = sound * (np.abs(loudest).max() / np.abs(sound).max())
            factor = self.pitch[drum] * np.exp(self.random.normal(0, 0.006))
            at = np.arange(LEAD, (len(sound) - 1 - LEAD) / factor + LEAD)
            sound = np.interp(LEAD + (at - LEAD) * factor, np.arange(len(sound)), sound).astype(np.float32)
            sound = np.concatenate([np.zeros(LEAD, np.float32), sound])
            if np.isfinite(self.damping[drum]):
                sound = sound * np.exp(-np.arange(len(sound)) / RATE / self.damping[drum]).astype(np.float32)
            self.cache[key] = sound
        level = (velocity / 110) ** self.power[drum]
        return self.cache[key] * np.float32(level * self.gain[drum]), drum


def play(notes: np.ndarray, split: str, kits: Path, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Play drum notes on a random kit, and record them.

    Parameters
    ----------
    notes : [k, 3]: time in s, note of General MIDI, velocity

    Returns
    -------
    samples : float32 [n] at `RATE`
    notes : float [k, 3]: time in s, index in `DRUMS`, velocity
    """
    player = Player(drum_kits.load(kits, split), random)
    total = round(SECONDS * RATE)
    buses = np.zeros((6, total + 4 * RATE), np.float32)
    notes = notes[np.argsort(notes[:, 0])]
    notes = notes[
        (notes[:, 0] >= 0) & (notes[:, 0] < SECONDS - 0.02) & (notes[:, 2] >= SOFTEST) & (notes[:, 1] != CLAP)
    ]
    hats = notes[np.isin(notes[:, 1], HATS), 0]
    found = []
    for time, note, velocity in notes:
        velocity = min(velocity, 127)
        sound, drum = player.sound(int(note), velocity)
        if sound is None:
            continue
        if note == 46:  # the next hit of the hi-hat ends this one
            following = np.searchsorted(hats, time + 0.02)
            if following < len(hats):
                end = LEAD + round((hats[following] - time) * RATE)
                if end + 900 < len(sound):
                    sound = sound[: end + 900] * 1
                    sound[end:] *= np.linspace(1, 0, 900, dtype=np.float32)
        at = round(time * RATE) - LEAD
        sound = sound[max(-at, 0) :]
        at = max(at, 0)
        buses[drum, at : at + len(sound)] += sound[: buses.shape[1] - at]
        if drum < 5:
            found.append((time, drum, velocity))
    return recorded(buses[:, :total], random), np.array(found, float).reshape(-1, 3)


def _equalised(samples: np.ndarray, random: np.random.Generator, most_db: float) -> np.ndarray:
    """Raise or lower a band, or the lows, or the highs."""
    frequency = float(np.exp(random.uniform(np.log(80), np.log(12000))))
    gain = 10 ** (random.uniform(-most_db, most_db) / 20)
    low, high = frequency / 1.6, min(frequency * 1.6, 0.47 * RATE)
    kind = random.choice(["band", "low", "high"])
    sos = signal.butter(
        1, {"band": [low, high], "low": frequency, "high": frequency}[kind],
        {"band": "bandpass", "low": "lowpass", "high": "highpass"}[kind], fs=RATE, output="sos",
    )  # fmt: skip
    return samples + np.float32(gain - 1) * signal.sosfilt(sos, samples).astype(np.float32)


def recorded(buses: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mix the drums of a kit as microphones, a room, a desk and a master do: float32 [n].

    Parameters
    ----------
    buses : float32 [drum, n]
    """
    for bus in buses:
        if bus.any():
            if random.random() < 0.5:
                bus[:] = _equalised(bus, random, 9)
            if random.random() < 0.25:  # a compressor raises the tail over the attack
                drive, peak = random.uniform(1, 5), np.abs(bus).max()
                bus[:] = np.tanh(bus / peak * drive) * (peak / np.tanh(drive))
    out = buses.sum(axis=0)
    if random.random() < 0.65:
        seconds = float(np.exp(random.uniform(np.log(0.08), np.log(1.2))))
        count = int(RATE * min(seconds, 1.0))
        response = random.standard_normal(count) * np.exp(-6.9 * np.arange(count) / RATE / seconds)
        response[: int(RATE * random.uniform(0, 0.012))] = 0
        response = signal.sosfilt(signal.butter(1, random.uniform(1500, 12000), fs=RATE, output="sos"), response)
        sent = (buses * random.uniform(0.3, 1.2, 6).astype(np.float32)[:, None]).sum(axis=0)
        wet = signal.oaconvolve(sent, response.astype(np.float32))[: len(out)]
        out = out + wet * np.float32(random.uniform(0.05, 0.9) * np.std(out) / max(np.std(wet), 1e-9))
    for _ in range(2):
        if random.random() < 0.5:
            out = _equalised(out, random, 8)
    if random.random() < 0.45:
        peak, drive = np.abs(out).max() or 1, random.uniform(1, 6)
        out = np.tanh(out / peak * drive) * peak
    if random.random() < 0.2:  # a compressor on the whole kit: quieter for a while after loud hits
        step = 441
        power = np.sqrt(np.maximum(np.add.reduceat(out**2, np.arange(0, len(out), step)) / step, 1e-12))
        release = np.exp(-step / RATE / random.uniform(0.05, 0.4))
        level = signal.lfilter([1 - release], [1, -release], power)
        gain = (np.maximum(level, np.percentile(level, 30)) / level.max()) ** -random.uniform(0.2, 0.6)
        out = out * np.interp(np.arange(len(out)), np.arange(len(gain)) * step, gain).astype(np.float32)
    return out.astype(np.float32)


def accompaniment(played: Performance, split: str, random: np.random.Generator) -> np.ndarray:
    """Render what is not drums, sometimes with a voice-like sound: float32 [n] at `RATE`."""
    out = render.synthesise(played, split, random, RATE, SECONDS)
    if random.random() < 0.35:
        out = out + voice(random, len(out)) * (np.abs(out).max() * random.uniform(0.3, 1.2))
    return out


def voice(random: np.random.Generator, total: int) -> np.ndarray:
    """Return syllables: harmonics through two formants, and hisses; float32 [n] whose peak is 1."""
    out, begin = np.zeros(total, np.float32), 0
    base = random.uniform(90, 350)
    while begin < total - RATE // 2:
        length = int(RATE * random.uniform(0.08, 0.45))
        if random.random() < 0.3:
            sound = random.standard_normal(length)
            band = [random.uniform(3000, 6000), random.uniform(7000, 14000)]
            sound = signal.sosfilt(signal.butter(2, band, "bandpass", fs=RATE, output="sos"), sound)
            length, level = min(length, RATE // 6), random.uniform(0.05, 0.4)
            sound = sound[:length]
        else:
            pitch = base * 2 ** (random.integers(-5, 8) / 12) * np.exp(np.cumsum(random.normal(0, 0.0006, length)))
            source, sound = signal.sawtooth(2 * np.pi * np.cumsum(pitch) / RATE), 0.0
            for low, high in ((300, 900), (900, 3000)):
                formant = random.uniform(low, high)
                band = signal.butter(1, [formant * 0.8, formant * 1.25], "bandpass", fs=RATE, output="sos")
                sound = sound + signal.sosfilt(band, source)
            level = random.uniform(0.3, 1)
        attack = int(RATE * random.uniform(0.008, 0.06))
        shape = np.minimum(1, np.arange(length) / attack) * np.minimum(1, np.arange(length, 0, -1) / (0.3 * length))
        out[begin : begin + length] += (sound / np.abs(sound).max() * shape * level).astype(np.float32)
        begin += length + int(RATE * (random.exponential(0.05) + (random.random() < 0.2) * random.uniform(0.3, 2)))
    return out / np.abs(out).max()


def at_loudness(samples: np.ndarray) -> np.ndarray:
    """Bring a sound to `LOUDNESS`; a silent one stays."""
    level = hearing.integrated_loudness(Audio(samples[None], RATE))
    return samples if level is None else samples * np.float32(10 ** ((LOUDNESS - level) / 20))


def separated(drums: np.ndarray, rest: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return what mirflow's own separation takes for drums in a mix, at the level at which it is heard: float32 [n]."""
    ratio, place = 10 ** (random.uniform(-6, 10) / 20), random.uniform(0, np.pi / 2)
    left, right = (drums + rest * np.float32(ratio * side) for side in (np.cos(place), np.sin(place)))
    mix = Audio(np.stack([left, right]), RATE)
    stem = Audio(stems_embedded.separate(mix)["drums"], RATE)
    level = hearing.heard_level(hearing.integrated_loudness(stem), hearing.integrated_loudness(mix))
    return stem.mono() if level is None else stem.mono() * np.float32(10 ** ((LOUDNESS - level) / 20))


def make(split: str, index: int, folder: Path, kits: Path) -> tuple[str, np.ndarray, np.ndarray | None, np.ndarray]:
    """Make piece number `index` of a set: its kind, the samples of the drums and of the rest, and the notes.

    Some drums of the set for training are what a separation makes of them, without a rest; some pieces without drums
    are what it takes for drums there.
    """
    random = np.random.default_rng([SPLITS.index(split), index, 7])
    kind = str(random.choice(list(KINDS), p=np.array(list(KINDS.values())) / sum(KINDS.values())))
    notes, rest = performed(kind, random, folder, split)
    if len(notes) and random.random() < 0.15:
        notes = np.concatenate([notes, percussion(random)])
    drums, found = play(notes, split, kits, random)
    drums = at_loudness(drums)
    if rest is None:
        return kind, drums, None, found
    rest = at_loudness(accompaniment(rest, split, random))
    if split == "train" and random.random() < SEPARATED:
        stem = separated(drums, rest, random)
        return (kind, drums, stem, found) if kind == "none" else (kind, stem, None, found)
    return kind, drums, rest, found


def write(split: str, folder: Path, kits: Path, out: Path, index: int, file: BinaryIO) -> None:
    """Make a piece and write it; of the test set, also its audio and annotations."""
    kind, drums, rest, notes = make(split, index, folder, kits)
    mels = {"drums": spectrogram(drums), "rest": spectrogram(rest) if rest is not None else np.zeros((0, BANDS))}
    np.savez(file, notes=notes, kind=kind, **{name: mel.astype(np.float16) for name, mel in mels.items()})
    if split == "test":
        write_piece(out / split / kind / f"{index:06d}", drums, rest, notes)


def write_piece(folder: Path, drums: np.ndarray, rest: np.ndarray | None, notes: np.ndarray) -> None:
    """Write a piece as `make eval-drums` reads it, its drums as loud as the rest."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    mix = drums if rest is None else drums + rest
    scale = np.float32(0.9 / max(np.abs(mix).max(), np.abs(drums).max(), 1e-9))
    soundfile.write(folder / "drums.flac", drums * scale, RATE)
    soundfile.write(folder / "mix.flac", mix * scale, RATE)
    first = [notes_of[0] for notes_of in drum_kits.DRUMS.values()]
    with (folder / "notes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "pitch", "velocity"])
        writer.writerows((f"{time:.6f}", first[int(drum)], round(velocity)) for time, drum, velocity in notes)


def main() -> None:
    """Make pieces FIRST to FIRST + COUNT - 1 of a set, from the kits of `drum_kits`; those that exist are kept."""
    arguments = arguments_of(__doc__, "folder", "kits")
    make_all(arguments, ".npz", partial(write, arguments.split, arguments.folder, arguments.kits, arguments.out))


if __name__ == "__main__":
    main()
