"""Pieces to train the stems network with, and their true stems: `python -m training.stem_pieces TRAIN OUT ...`.

A piece is OUT/<set>/<index>.npy, int16 [part, channel, n] at 44.1 kHz, with the parts of `PARTS`. Each part is rendered
by itself, so the stems are true by construction. A piece of the test set is also OUT/test-pieces/<index>/ with mix.flac
and the stems, as `make eval-stems` reads it.
"""

from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from scipy import signal

from training import compose, instruments, render, singing
from training.beat_pieces import band
from training.pieces import arguments_of, make_all
from training.score import DRUMS, SPLITS, Performance, perform, tempo_curve

RATE = 44100
SECONDS = 30.0
PARTS = ("drums", "bass", "chords", "lead", "vocals")  # chords and lead together are the stem `other`
STEMS = {"drums": (0,), "bass": (1,), "other": (2, 3), "vocals": (4,)}
BASSES = (32, 33, 34, 35, 36, 37, 38, 39)  # General MIDI programs
GUITARS = (29, 30, 30, 28, 27, 31, 81, 62)
# What counts as vocals: all that is sung, and the choirs and voices of General MIDI, its programs 53 to 55. What only
# reminds of voices (lead 6, pad 4) belongs to `other`.
CHOIRS = (52, 53, 54)
PURE = (8, 9, 10, 11, 12, 13, 14, 15, 72, 73, 74, 75, 76, 78, 79, 82, 98, 112, 113)  # bells, flutes, whistles
OTHERS = tuple(k for k in range(112) if k not in (*BASSES, *CHOIRS, 47, 55, 85, 91))


def performance(random: np.random.Generator, folder: Path, split: str) -> Performance:
    """Arrange a song, or compose a piece."""
    if random.random() < 0.5:
        return band(random, folder, split)
    score, bpm = compose.compose(random, SECONDS, drums=bool(random.random() < 0.85))
    style = random.choice(["steady", "drift", "change"], p=[0.75, 0.2, 0.05])
    times = np.concatenate([[0], np.cumsum(60 / tempo_curve(random, len(score.beats) - 1, bpm, style))])
    return perform(score, times, random, float(random.uniform(0, 0.012)))


def roles(piece: Performance, random: np.random.Generator) -> dict[str, list[tuple[int, np.ndarray]]]:
    """Return for each of `PARTS` its instruments: (program, notes [k, 4]: start, duration, pitch, velocity).

    Basses are doubled by riffs of fifths now and then, as guitars do. The melody is what may be sung.
    """
    out: dict[str, list[tuple[int, np.ndarray]]] = {name: [] for name in PARTS}
    for number, program in enumerate(piece.parts):
        notes = piece.notes[piece.notes[:, 4] == number][:, :4]
        notes = notes[(notes[:, 0] >= 0) & (notes[:, 0] < SECONDS)]
        if not len(notes):
            continue
        if program == DRUMS:
            out["drums"].append((DRUMS, notes))
        elif program in compose.BASS_PROGRAMS and np.median(notes[:, 2]) < 52:
            if np.median(notes[:, 2]) > 33 and random.random() < 0.3:
                notes[:, 2] -= 12
            out["bass"].append((program if program in BASSES else int(random.choice(BASSES)), notes))
            if random.random() < 0.4:
                root = notes.copy()
                root[:, 2] += 12 * (1 + (np.median(notes[:, 2]) < 38))
                chord = [root + np.array([0, 0, step, 0]) for step in ((0, 7), (0, 7, 12), (0,))[random.integers(3)]]
                out["lead"].append((int(random.choice(GUITARS)), np.concatenate(chord)))
        elif program in CHOIRS:
            out["vocals"].insert(0, (program, notes))
        elif program in compose.MELODY_PROGRAMS and _is_melody(notes):
            out["vocals"].append((_varied(program, random), notes))
        else:
            out["chords"].append((_varied(program, random), notes))
    return out


def _varied(program: int, random: np.random.Generator) -> int:
    """Return the program or, half of the time, any other that is neither bass nor voice."""
    draw = random.random()
    return int(random.choice(PURE if draw < 0.15 else OTHERS)) if draw < 0.5 else program


def _is_melody(notes: np.ndarray) -> bool:
    """Is there mostly one note at a time, and more than one in all?"""
    order = notes[np.argsort(notes[:, 0])]
    overlaps = order[1:, 0] < order[:-1, 0] + order[:-1, 1] - 0.05
    return bool(overlaps.sum() < 0.2 * len(overlaps))


def soundfonts(
    parts: list[tuple[int, np.ndarray]], split: str, random: np.random.Generator, centred: bool
) -> np.ndarray:
    """Render instruments in stereo with soundfonts of a set, float32 [2, n]."""
    synth, complete, kits = render._synth(split, RATE)
    synth.system_reset()
    render.played(synth, RATE)  # what still sounds of the part before
    total = int(SECONDS * RATE)
    main, events = complete[random.integers(len(complete))], []
    room = random.uniform(0, 60) if random.random() < 0.6 else 0
    melodic = iter([c for c in range(16) if c != 9])
    for program, notes in parts[:14]:
        font = main if random.random() < 0.7 else complete[random.integers(len(complete))]
        if program == DRUMS:
            channel = 9
            font = kits[random.integers(len(kits))] if kits and random.random() < 0.4 else font
            bank, choice = (0, 0) if font in kits else (128, int(random.choice([0, 0, 0, 8, 16, 24, 25, 32, 40])))
        else:
            channel, bank, choice = next(melodic), 0, program
        render.choose(synth, channel, font, bank, choice)
        wide = random.integers(0, 128) if random.random() < 0.7 else 64
        synth.cc(channel, 10, int(random.normal(64, 2)) if centred else int(wide))
        synth.cc(channel, 7, int(random.uniform(70, 120)))
        synth.cc(channel, 91, int(min(127, room * random.uniform(0.5, 1.5))))
        synth.cc(channel, 93, int(random.uniform(0, 100)) if random.random() < 0.25 else 0)
        bend = int(np.clip(random.normal(0, 500), -4096, 4096)) if random.random() < 0.3 and program != DRUMS else 0
        synth.pitch_bend(channel, bend)
        for begin, duration, pitch, velocity in notes:
            pitch, velocity = int(np.clip(pitch, 0, 127)), int(np.clip(velocity, 1, 127))
            events.append((begin, 1, channel, pitch, velocity))
            events.append((begin + duration, 0, channel, pitch, 0))
    events.sort()
    out, done = np.zeros((total, 2), np.float32), 0
    for time, is_on, channel, pitch, velocity in events:
        at = min(total, round(time * RATE / render.SYNTH_BLOCK) * render.SYNTH_BLOCK)
        if at > done:
            out[done:at] = render.played(synth, at - done)
            done = at
        if is_on:
            synth.noteon(channel, pitch, velocity)
        else:
            synth.noteoff(channel, pitch)
    if done < total:
        out[done:] = render.played(synth, total - done)
    return np.ascontiguousarray(out.T)


def formula(notes: np.ndarray, random: np.random.Generator, low: bool) -> np.ndarray:
    """Render notes with a synthesiser of formulas: partials that fade at their own rates, mono float32 [n]."""
    total = int(SECONDS * RATE)
    out = np.zeros(total + 4 * RATE, np.float32)
    tilt, damp = random.uniform(0.6, 2.2), random.uniform(0, 1.5)
    odd = random.random() < 0.3
    plucked = random.random() < 0.5
    decay, attack = random.uniform(0.3, 3.0), random.uniform(0.001, 0.01 if low or plucked else 0.1)
    detune = random.uniform(0, 0.006) if random.random() < 0.4 else 0.0
    vibrato = random.uniform(0, 0.008) if not low and random.random() < 0.5 else 0.0
    brightness = random.uniform(300, 8000)
    for begin, duration, pitch, velocity in notes:
        frequency = 440 * 2 ** ((pitch - 69) / 12)
        length = int((min(duration, 4.0) + 0.08) * RATE)
        time = np.arange(length, dtype=np.float32) / RATE
        sound = np.zeros(length, np.float32)
        for k in range(1, int(min(24, 0.45 * RATE / frequency)) + 1):
            if odd and k % 2 == 0:
                continue
            level = k**-tilt / (1 + (k * frequency / brightness) ** 2)
            if level < 3e-4:
                continue
            fade = np.exp(-time * (1 + damp * k) / decay) if plucked else 1
            for shift in (0, detune) if detune else (0,):
                phase = 2 * np.pi * k * frequency * (1 + shift) * time + random.uniform(0, 6.28)
                if vibrato:
                    phase = phase + k * frequency * vibrato / 5.5 * np.sin(2 * np.pi * 5.5 * time)
                sound += np.float32(level) * np.sin(phase) * fade
        edges = np.minimum(1, time / attack) * np.clip((length / RATE - time) / 0.06, 0, 1)
        at = int(begin * RATE)
        sound = sound * edges * (velocity / 127)
        out[at : at + length] += sound[: len(out) - at]
    return out[:total]


def room(sound: np.ndarray, random: np.random.Generator, level: tuple[float, float]) -> np.ndarray:
    """Add the reverberation of a room, different on both sides: float32 [2, n]."""
    decay = random.uniform(0.15, 2.0)
    length = int(RATE * min(decay, 1.5))
    delay = int(RATE * random.uniform(0, 0.04))
    response = random.standard_normal((2, length)) * np.exp(-6.9 * np.arange(length) / RATE / decay)
    band_pass = signal.butter(
        1, [random.uniform(60, 400), random.uniform(2000, 10000)], "bandpass", fs=RATE, output="sos"
    )
    response = np.pad(signal.sosfilt(band_pass, response), ((0, 0), (delay, 0))).astype(np.float32)
    wet = signal.oaconvolve(sound, response, axes=1)[:, : sound.shape[1]]
    amount = random.uniform(*level) * np.std(sound) / max(np.std(wet), 1e-9)
    return (sound + amount * wet).astype(np.float32)


def treated(sound: np.ndarray, random: np.random.Generator, wet: float, drive: float) -> np.ndarray:
    """Equalise, compress, saturate and reverberate one part as mixing does, float32 [2, n].

    Parameters
    ----------
    wet, drive : probabilities of reverberation and of saturation
    """
    peak = np.abs(sound).max()
    if peak < 1e-4:
        return np.zeros_like(sound)
    sound = sound / peak
    if random.random() < 0.6:  # a peak or a dip
        centre, gain, q = (
            np.exp(random.uniform(np.log(60), np.log(9000))),
            random.uniform(-10, 10),
            random.uniform(0.4, 2),
        )
        a, w = 10 ** (gain / 40), 2 * np.pi * centre / RATE
        alpha = np.sin(w) / (2 * q)
        b = np.array([1 + alpha * a, -2 * np.cos(w), 1 - alpha * a])
        sound = signal.lfilter(
            b / (1 + alpha / a), np.array([1 + alpha / a, -2 * np.cos(w), 1 - alpha / a]) / (1 + alpha / a), sound
        )
    if random.random() < drive:
        amount = random.uniform(1.2, 6)
        sound = np.tanh(sound / max(np.abs(sound).max(), 1e-6) * amount)
    if random.random() < 0.4:  # compression of the envelope
        envelope = np.sqrt(signal.lfilter([0.002], [1, -0.998], np.mean(np.square(sound), axis=0)) + 1e-7)
        sound = sound * (envelope + 0.02 * envelope.max()) ** -random.uniform(0.1, 0.6)
    if random.random() < wet:
        sound = room(sound, random, (0.05, 0.5))
    return sound.astype(np.float32)


def vocals(notes: np.ndarray, random: np.random.Generator, folder: Path, split: str) -> np.ndarray:
    """Sing a melody, perhaps doubled, in thirds, and with a delay: float32 [2, n]."""
    order = notes[np.argsort(notes[:, 0])]
    melody = np.stack([order[:, 0], order[:, 1], order[:, 2]], axis=1)
    melody[:-1, 1] = np.minimum(melody[:-1, 1], np.diff(melody[:, 0]))
    melody = melody[melody[:, 1] > 0.06]
    if not len(melody):
        return np.zeros((2, int(SECONDS * RATE)), np.float32)
    sound, voice = singing.sing(melody, split, folder, random, SECONDS)
    out = np.stack([sound, sound])
    if random.random() < 0.3:
        harmony = melody + np.array([0, 0, random.choice([0, 0, 4, 3, -5, 12])])
        other = voice if random.random() < 0.7 else None
        for side in (0, 1) if random.random() < 0.5 else (2,):
            again, _ = singing.sing(harmony, split, folder, random, SECONDS, other)
            gains = np.array([[1.0, 0.25], [0.25, 1.0], [0.7, 0.7]])[side] * random.uniform(0.3, 0.9)
            out = out + gains[:, None] * again
    out = treated(out, random, wet=0.7, drive=0.25)
    if random.random() < 0.25:
        shift, gain = int(RATE * random.uniform(0.1, 0.45)), random.uniform(0.1, 0.4)
        late = np.pad(out, ((0, 0), (shift, 0)))[:, : out.shape[1]]
        out = out + gain * (late if random.random() < 0.5 else late[::-1] * [[1.0], [0.3]])
    return out.astype(np.float32)


def make(split: str, index: int, folder: Path) -> np.ndarray:
    """Make piece number `index` of a set, float32 [part, channel, n] with a root mean square of 0.1 in each part."""
    random = np.random.default_rng([20, SPLITS.index(split), index])
    played = roles(performance(random, folder, split), random)
    out = np.zeros((len(PARTS), 2, int(SECONDS * RATE)), np.float32)
    for number, name in enumerate(PARTS):
        parts = played[name]
        if not parts:
            continue
        notes = np.concatenate([notes for _, notes in parts])
        draw = random.random()
        if name == "drums":
            if draw < 0.4:
                sound = instruments.drums(notes, random, SECONDS, recorded=split == "train" and draw < 0.25)
            else:
                sound = soundfonts(parts, split, random, centred=True)
            sound = treated(sound, random, wet=0.35, drive=0.3)
        elif name == "bass":
            if draw < 0.45:
                sound = soundfonts(parts, split, random, centred=True)
            else:
                if draw < 0.6:
                    sound = formula(notes, random, low=True)
                elif draw < 0.75 and split == "train":
                    path = instruments.BASS_SOUNDS[random.integers(len(instruments.BASS_SOUNDS))]
                    sound = instruments.sampled(notes, path, SECONDS)
                else:
                    sound = instruments.bass(notes, random, SECONDS)
                sound = np.stack([sound, sound])
            sound = _low(treated(sound, random, wet=0.08, drive=0.3), random)
            if random.random() < 0.6:
                sound = np.repeat(sound.mean(axis=0, keepdims=True), 2, axis=0)
        elif name == "vocals":
            choir = [part for part in parts if part[0] in CHOIRS]
            if choir or draw < 0.25:
                choir = choir or [(int(random.choice(CHOIRS)), parts[0][1])]
                if random.random() < 0.3:
                    sound = instruments.choir(np.concatenate([n for _, n in choir]), random, SECONDS)
                else:
                    sound = soundfonts(choir, split, random, False)
                sound = treated(sound, random, wet=0.4, drive=0.1)
            elif draw < 0.65:
                sound = vocals(parts[0][1], random, folder, split)
            else:  # played, not sung
                sound = treated(soundfonts(parts, split, random, False), random, wet=0.3, drive=0.15)
                out[PARTS.index("lead")] += _level(sound)
                continue
        elif draw < 0.22:
            if draw < 0.12 or split != "train":
                sound = formula(notes, random, low=False)
            else:
                path = instruments.OTHER_SOUNDS[random.integers(len(instruments.OTHER_SOUNDS))]
                sound = instruments.sampled(notes, path, SECONDS)
            sound = treated(np.stack([sound, sound]), random, wet=0.7, drive=0.2)
        else:
            sound = treated(soundfonts(parts, split, random, False), random, wet=0.3, drive=0.15)
        out[number] += _level(sound)
    return out


def _level(sound: np.ndarray) -> np.ndarray:
    """Bring the root mean square of the loud second to 0.1."""
    power = np.mean(np.square(sound), axis=0)
    seconds = power[: len(power) // RATE * RATE].reshape(-1, RATE).mean(axis=1)
    loud = np.sqrt(np.percentile(seconds, 75))
    return sound * (0.1 / loud if loud > 1e-5 else 0.0)


def _low(sound: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Take highs from a bass that has half of its power above 250 Hz, as no bass does in a mix."""
    power = np.square(np.abs(np.fft.rfft(sound.mean(axis=0)[: 20 * RATE])))
    if power[round(250 * min(20.0, SECONDS)) :].sum() <= 0.5 * power.sum():
        return sound
    return signal.lfilter(*signal.butter(1, random.uniform(80, 200), fs=RATE), sound).astype(np.float32)


def mixed(parts: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Mix a piece of the test set with levels drawn at random: the mix and its stems, float32 [2, n]."""
    gains = 10 ** (random.normal([0, -1, -2, -2, 1], [3, 3, 3, 3, 2]) / 20)
    stems = {
        name: np.sum(parts[list(numbers)] * gains[list(numbers), None, None], axis=0) for name, numbers in STEMS.items()
    }
    mix = sum(stems.values())
    gain = 0.89 / max(np.abs(mix).max(), 1e-6)
    return {name: (sound * gain).astype(np.float32) for name, sound in (stems | {"mix": mix}).items()}


def write(split: str, folder: Path, out: Path, index: int, file: BinaryIO) -> None:
    """Make a piece and write it; of the test set, also its mix and stems."""
    import soundfile

    parts = make(split, index, folder)
    if split == "test":
        piece = out / "test-pieces" / f"{index:06d}"
        piece.mkdir(parents=True, exist_ok=True)
        for name, sound in mixed(parts, np.random.default_rng([21, index])).items():
            soundfile.write(piece / f"{name}.flac", sound.T, RATE, subtype="PCM_24")
    peaks = np.abs(parts).max(axis=(1, 2), keepdims=True)
    np.save(file, np.round(np.clip(parts / np.maximum(peaks, 1), -1, 1) * 32767).astype(np.int16))


def main() -> None:
    """Make pieces FIRST to FIRST + COUNT - 1 of a set; those that exist are kept."""
    arguments = arguments_of(__doc__, "folder")
    make_all(arguments, ".npy", partial(write, arguments.split, arguments.folder, arguments.out))


if __name__ == "__main__":
    main()
