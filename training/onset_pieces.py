"""Pieces for the training of the onset network, each with its onsets: `python -m training.onset_pieces TRAIN OUT ...`.

A piece is OUT/<set>/<index>.npz: "spectra" float16 [group, 3, band], "onsets" in seconds, "kind". What the network is
judged by is not made here, but in `onset_cases`.
"""

from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from scipy import signal

from mirflow.dsp.onset_network import RATE, spectra
from training import beat_pieces, render
from training.drum_kits import cut, formula_hits, single_hits
from training.instruments import TABLE, VOWELS, _frequency, _played, _table
from training.pieces import arguments_of, make_all
from training.score import DRUMS, SPLITS, Performance

SECONDS = 12.0
SLOWEST_TREMOLO = 3.0  # Hz: slower ones cannot be told from repeated notes that fade in and out
TOGETHER = 0.025  # s: notes that begin within this time of the first one are one onset
KINDS = {
    "music": 0.16,  # songs, scores and composed music, for any instruments
    "drums": 0.04,  # what drummers play, and patterns
    "instrument": 0.18,  # one instrument of a soundfont: lines, repeated notes, chords
    "synthesiser": 0.20,  # the same for random sounds made of formulas
    "repeated": 0.06,  # one of these sounds repeats a note that fades in while the one before fades out
    "pads": 0.05,  # chords of slow attacks, made of formulas
    "roll": 0.05,  # rolls and flams
    "clicks": 0.02,
    "nothing": 0.24,  # sounds without onsets, or with a few
}
PITCHED = (*range(0, 96), 104, 105, 106, 107, 108, 109, 110, 111, 112, 114)
# Slow attacks, and notes that are held: they are what is hard, so they are played more often than their share.
SLOW = (*range(16, 24), *range(40, 45), *range(48, 55), *range(56, 80), *range(88, 96))
BASSES = (*range(32, 40), 43, 58, 87)


def line(
    random: np.random.Generator, seconds: float, low: int, high: int, chords: float = 0.3, shortest: float = 0.09
) -> np.ndarray:
    """Return notes [k, 4] (start, duration, pitch, velocity) of a random line, or of chords that follow each other."""
    u = random.uniform
    step = float(np.exp(u(np.log(shortest), np.log(2.5))))
    rhythm = (1.0,) if random.random() < 0.5 else ((1, 2, 1, 1), (1, 1, 2), (0.5, 0.5, 1), (3, 1), (1, 1, 4))[
        random.integers(5)
    ]  # fmt: skip
    mode = random.choice(["same", "two", "walk", "leaps"], p=(0.4, 0.1, 0.25, 0.25))
    is_chords, keeps = random.random() < chords, random.random()
    legato = u(0.15, 0.9) if random.random() < 0.4 else u(0.9, 1.02) if random.random() < 0.6 else u(1.0, 1.3)
    jitter, rests = (
        (0.0 if random.random() < 0.5 else u(0.002, 0.015)),
        (0.0 if random.random() < 0.6 else u(0.05, 0.4)),
    )
    level, spread = u(45, 115), u(0, 22) * (random.random() < 0.6)
    crescendo = u(-50, 50) * (random.random() < 0.25)
    strum = u(0, 0.02) * (random.random() < 0.2)
    pitch, time, count, notes = int(random.integers(low, high)), u(0, 1.2), 0, []
    chord = [pitch + k for k in ((0, 4, 7), (0, 3, 7), (0, 7, 12), (0, 5, 9), (0, 4, 7, 12))[random.integers(5)]]
    while time < seconds - 0.03:
        interval = step * rhythm[count % len(rhythm)]
        count += 1
        if random.random() >= rests:
            if mode == "two":
                pitch += (-1) ** count * 7
            elif mode == "walk":
                pitch += int(random.integers(-3, 4))
            elif mode == "leaps":
                pitch = int(random.integers(low, high))
            pitch = int(np.clip(pitch, low, high))
            velocity = level + random.normal(0, spread) + crescendo * time / seconds
            if is_chords and mode != "same":
                # Some of the voices stay where they are.
                chord = [
                    key if random.random() < 0.5 * keeps else int(np.clip(key + random.integers(-4, 5), low, high + 14))
                    for key in chord
                ]
            at = time + random.normal(0, jitter)
            for number, key in enumerate(sorted(set(chord)) if is_chords else [pitch]):
                notes.append((at + number * strum, max(interval * legato, 0.04), key, velocity))
        time += interval
    notes = np.array(notes, float).reshape(-1, 4)
    notes[:, 3] = np.clip(notes[:, 3], 12, 127)
    return notes[notes[:, 0] >= 0]


def soundfont(
    notes: np.ndarray, program: int, split: str, random: np.random.Generator, seconds: float, moves: bool = False
) -> np.ndarray:
    """Play notes with a soundfont of a set, mono float32 [n].

    Parameters
    ----------
    notes : start, duration, pitch, velocity [k, 4]
    program : of General MIDI, or `DRUMS`
    moves : with random vibrato, swells and tremolo by the controllers of a keyboard: changes that are no onsets
    """
    synth, complete, kits = render._synth(split, RATE)
    synth.system_reset()
    render.played(synth, RATE)  # what still sounds of the piece before
    font = complete[random.integers(len(complete))]
    channel = 9 if program == DRUMS else 0
    if program == DRUMS:
        fonts = [font, *kits]
        font = fonts[random.integers(len(fonts))]
        bank, number = (0, 0) if font in kits else (128, int(random.choice([0, 0, 8, 16, 24, 25, 32, 40, 48])))
        render.choose(synth, channel, font, bank, number)
    else:
        render.choose(synth, channel, font, 0, program)
    events = [(begin, 1, int(pitch), int(velocity)) for begin, _, pitch, velocity in notes]
    events += [(begin + duration, 0, int(pitch), 0) for begin, duration, pitch, _ in notes]
    if moves:
        time = np.arange(0, seconds, 0.02)
        if random.random() < 0.6:
            swell = np.interp(time, np.linspace(0, seconds, 6), random.uniform(40, 127, 6))
            if random.random() < 0.5:
                swell -= random.uniform(5, 30) * (1 + np.sin(2 * np.pi * random.uniform(2, 8) * time))
            events += [(t, 2, 11, int(np.clip(v, 1, 127))) for t, v in zip(time, swell, strict=True)]
        if random.random() < 0.5:
            bend = random.uniform(50, 1500) * np.sin(2 * np.pi * random.uniform(4, 7.5) * time)
            events += [(t, 3, 0, int(v)) for t, v in zip(time, bend, strict=True)]
        if random.random() < 0.4:
            events.append((0.0, 2, 1, int(random.integers(20, 127))))
    events.sort()
    total = int(seconds * RATE)
    out, done = np.zeros(total, np.float32), 0
    for time, event, first, second in events:
        at = min(total, round(max(time, 0) * RATE / render.SYNTH_BLOCK) * render.SYNTH_BLOCK)
        if at > done:
            out[done:at] = render.played(synth, at - done).mean(axis=1)
            done = at
        if at >= total:
            break
        if event == 1:
            synth.noteon(channel, min(first, 127), max(1, min(second, 127)))
        elif event == 0:
            synth.noteoff(channel, min(first, 127))
        elif event == 2:
            synth.cc(channel, first, second)
        else:
            synth.pitch_bend(channel, second)
    if done < total:
        out[done:] = render.played(synth, total - done).mean(axis=1)
    return out


def synthesiser(
    notes: np.ndarray,
    random: np.random.Generator,
    seconds: float,
    held: bool = False,
    slow: bool = False,
    fades: bool = False,
) -> np.ndarray:
    """Play notes with a random sound made of formulas, mono float32 [n].

    Its waveform, attack, decay and release, vibrato, tremolo, beating voices, breath and brightness are random.

    Parameters
    ----------
    notes : start, duration, pitch, velocity [k, 4]
    held : whether a note lasts as long as its key is down
    slow : whether it begins slowly
    fades : whether it begins softly, and fades while the next one begins
    """
    u, total = random.uniform, int(seconds * RATE)
    out = np.zeros(total + 4 * RATE, np.float32)
    kind = random.choice(["sine", "sine", "partials", "partials", "pulse", "vowel", "modulated", "noise"])
    voices = int(random.choice([1, 1, 1, 2, 3, 5]))
    detune = random.normal(0, u(0.02, 0.15), voices) if voices > 1 else np.zeros(1)
    attack, release = np.exp(u(np.log(0.003), np.log(0.6))), np.exp(u(np.log(0.01), np.log(0.8)))
    curve = random.choice([0.5, 1, 1, 2])
    decay = np.exp(u(np.log(0.08), np.log(3))) if random.random() < 0.35 and not held else None
    vibrato, rate = u(0.05, 1.3) * (random.random() < (0.55 if held else 0.3)), u(4, 7.5)
    tremolo, beat = u(0.05, 0.6) * (random.random() < (0.4 if held else 0.2)), u(SLOWEST_TREMOLO, 9)
    glide = u(0.02, 0.12) if random.random() < 0.12 else 0.0
    tilt, odd = u(0.4, 2), random.random() < 0.25
    ratio, index = random.choice([0.5, 1, 2, 3, 1.41]), u(0.5, 4)
    breath, bright = u(0.01, 0.15) * (random.random() < 0.3), u(0.05, 1) * (random.random() < 0.4)
    centres, levels = VOWELS[random.choice(list(VOWELS))]
    gaps = notes[1:, 0] - notes[:-1, 0]
    if slow:
        attack, release, decay = np.exp(u(np.log(0.06), np.log(0.65))), u(0.05, 0.6), None
    inside = not (held or slow or fades) and random.random() < 0.35  # whether a note fades before its end, or after it
    if inside:
        attack, release = (0.004 + 0.06 * u(0, 1, 2) ** 2) if random.random() < 0.6 else (attack, min(release, 0.2))
    elif fades or (not (held or slow) and random.random() < 0.3):  # or while the next one begins
        attack, release, decay = u(0.02, 0.2), u(0.02, 0.2), None
    attack = min(attack, 0.9 * float(np.median(gaps[gaps > 0.03]))) if (gaps > 0.03).any() else attack
    tables: dict[int, np.ndarray] = {}
    before = None
    for begin, duration, pitch, velocity in notes:
        base = _frequency(pitch)
        if kind in ("partials", "pulse", "vowel") and int(pitch) not in tables:
            k = np.arange(1, int(min(TABLE // 4, 15000 / base)) + 1)
            strength = k**-tilt * ((k % 2 == 1) if odd or kind == "pulse" else 1.0)
            if kind == "vowel":
                near = [10 ** (y / 20) / np.sqrt(1 + ((k * base - x) / 100) ** 2)
                        for x, y in zip(centres, levels, strict=True)]  # fmt: skip
                strength = np.sum(near, axis=0)
            tables[int(pitch)] = _table(strength, u(0, 6.28, len(k)))
        length = max(min(duration, seconds), release + 0.01) if inside else min(duration, seconds) + release
        time = np.arange(int(length * RATE)) / RATE
        sound = np.zeros(len(time), np.float32)
        for shift in detune:
            offset = shift + vibrato * np.minimum(1, time / 0.3) * np.sin(2 * np.pi * rate * time + u(0, 6.28))
            if glide and before is not None:
                offset = offset + (before - pitch) * np.exp(-time / glide)
            phase = np.cumsum(base * 2 ** (offset / 12)) / RATE + u(0, 1)
            if kind == "sine":
                sound += np.sin(2 * np.pi * phase).astype(np.float32)
            elif kind == "modulated":
                depth = index * np.exp(-time / 0.4) if bright else index
                sound += np.sin(2 * np.pi * phase + depth * np.sin(2 * np.pi * ratio * phase)).astype(np.float32)
            elif kind == "noise":
                band = np.clip([base, base * 1.6], 40, 18000)
                sos = signal.butter(2, band, "bandpass", fs=RATE, output="sos")
                sound += 3 * signal.sosfilt(sos, random.standard_normal(len(time))).astype(np.float32)
            else:
                sound += _played(tables[int(pitch)], phase)
                if bright:
                    sound -= bright * np.minimum(1, time / 0.2) * (_played(tables[int(pitch)], phase) - np.sin(
                        2 * np.pi * phase
                    ))  # fmt: skip
        before = pitch
        if breath:
            sound += breath * random.standard_normal(len(time))
        shape = np.minimum(1, time / attack) ** curve * np.clip((time[-1] - time) / release, 0, 1)
        if decay:
            shape = shape * np.exp(-np.maximum(time - attack, 0) / decay)
        shape = shape * (1 - tremolo * (0.5 + 0.5 * np.sin(2 * np.pi * beat * (begin + time))))
        at = int(begin * RATE)
        sound = (sound * shape * (velocity / 127) / voices).astype(np.float32)
        out[at : at + len(sound)] += sound[: len(out) - at]
    return out[:total]


def music(random, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Twelve seconds of a song, a score or a composed piece."""
    kind = str(random.choice(["band", "composed", "scores", "piano", "pianist"], p=(0.4, 0.22, 0.2, 0.1, 0.08)))
    performance = beat_pieces.MAKERS[kind](random, folder, split)
    return _excerpt(performance, random, split)


def _excerpt(performance: Performance, random, split: str) -> tuple[np.ndarray, np.ndarray]:
    notes = performance.notes
    begin = float(random.uniform(0, max(0.1, notes[:, 0].max() - SECONDS)))
    notes = notes[(notes[:, 0] >= begin - 1) & (notes[:, 0] < begin + SECONDS)].copy()
    notes[:, 0] -= begin - 1
    used = Performance(notes, performance.parts, performance.beats, performance.positions)
    samples = render.synthesise(used, split, random, RATE, SECONDS + 1)
    return samples[RATE:], notes[:, 0] - 1


def drums(random, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """What a drummer plays, or a pattern, often with a kit of single sounds or of formulas."""
    performance = beat_pieces.MAKERS[str(random.choice(["drums", "patterns"], p=(0.7, 0.3)))](random, folder, split)
    if random.random() < 0.5:
        return _excerpt(performance, random, split)
    notes = performance.notes
    begin = float(random.uniform(0, max(0.1, notes[:, 0].max() - SECONDS)))
    notes = notes[(notes[:, 0] >= begin) & (notes[:, 0] < begin + SECONDS)][:, :4] - [begin, 0, 0, 0]
    return hits(notes, random, split), notes[:, 0]


def hits(notes: np.ndarray, random, split: str) -> np.ndarray:
    """Play notes (start, duration, pitch, velocity) with a kit of formulas, or of single sounds (training only)."""
    made = single_hits(random) if split == "train" and random.random() < 0.5 else formula_hits(random)
    kit = {note: y / np.abs(y).max() for note, _, x in made if (y := cut(np.asarray(x, np.float32))) is not None}
    out = np.zeros(int(SECONDS * RATE) + 10 * RATE, np.float32)
    known = sorted(kit)
    for begin, _, pitch, velocity in notes:
        note = min(known, key=lambda key: abs(key - pitch))
        at = max(0, round(begin * RATE))
        out[at : at + len(kit[note])] += kit[note] * np.float32((velocity / 127) ** 1.5)
    return out[: int(SECONDS * RATE)]


def roll(random, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Rolls and flams on a drum: sixteenths to more than thirty strokes a second, with accents and crescendi."""
    u, notes = random.uniform, []
    time = u(0, 0.6)
    pitch = int(
        random.choice([38, 40, 37, 42, 41, 45, 48, 36, 44], p=(0.4, 0.2, 0.05, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05))
    )
    while time < SECONDS - 0.05:
        rate, count = float(np.exp(u(np.log(8), np.log(34)))), int(random.integers(4, 70))
        low, high = np.sort(u(20, 127, 2)) if random.random() < 0.6 else [u(50, 120)] * 2
        rising, jitter, accent = random.random() < 0.7, u(0, 0.06) * random.random(), u(0, 35) * (random.random() < 0.5)
        for k in range(count):
            part = k / count if rising else 1 - k / count
            at = time + (k + random.normal(0, jitter)) / rate
            if 0 <= at < SECONDS - 0.03:
                notes.append((at, 0.1, pitch, np.clip(low + part * (high - low) + accent * (k % 4 == 0), 8, 127)))
        time += count / rate + u(0, 0.8)
    notes = np.array(sorted(notes), float)
    choice = random.random()
    if choice < 0.45:
        samples = soundfont(notes, DRUMS, split, random, SECONDS)
    else:
        samples = hits(notes, random, split) if choice < 0.7 else bursts(notes, random)
    return samples, notes[:, 0]


def bursts(notes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Play notes (start, duration, pitch, velocity) as bursts of noise that decay, mono float32 [n]."""
    out, time = np.zeros(int((SECONDS + 1) * RATE), np.float32), np.arange(RATE // 2) / RATE
    shape = np.exp(-time / random.uniform(0.015, 0.1)) * np.minimum(1, time / random.uniform(0.0002, 0.004))
    low = np.exp(random.uniform(np.log(50), np.log(3000)))
    sos = signal.butter(1, [low, random.uniform(max(2 * low, 4000), 21000)], "bandpass", fs=RATE, output="sos")
    for begin, _, _, velocity in notes:
        at = round(begin * RATE)
        burst = signal.sosfilt(sos, random.standard_normal(len(time))) * shape * (velocity / 127) ** 1.5
        out[at : at + len(time)] += burst.astype(np.float32)[: len(out) - at]
    return out[: int(SECONDS * RATE)]


def clicks(random, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Clicks of one sample, or short tones and noises, some of them weaker."""
    times = np.arange(random.uniform(0, 0.5), SECONDS - 0.05, np.exp(random.uniform(np.log(0.04), np.log(1.2))))
    if random.random() < 0.5:
        return render.clicks(times, random.random(len(times)) < 0.3, random, RATE, SECONDS), times
    samples = np.zeros(int(SECONDS * RATE), np.float32)
    gains = np.where(np.arange(len(times)) % 2, 10 ** (random.uniform(-26, 0) / 20), 1.0)
    samples[np.round(times * RATE).astype(int)] = gains
    return samples, times


def nothing(random, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Held tones with vibrato, tremolo, swells or beats; noise, applause, fades and reverberation."""
    u, total = random.uniform, int(SECONDS * RATE)
    time = np.arange(total) / RATE
    kind, starts = (
        random.choice(
            ["held", "synthesiser", "wavering", "noise", "beats", "applause"], p=(0.24, 0.14, 0.34, 0.14, 0.09, 0.05)
        ),
        [],
    )
    if kind in ("held", "synthesiser"):
        chord = random.choice([1, 1, 2, 3, 4])
        starts = [0.0] if random.random() < 0.3 else np.sort(u(0, 9, int(random.integers(1, 3)))).tolist()
        low = int(random.integers(30, 84))
        notes = [
            (at, SECONDS if random.random() < 0.7 else u(2, 6), low + k, u(40, 120))
            for at in starts for k in random.choice([0, 3, 4, 7, 10, 12, 16, 19], chord, replace=False)
        ]  # fmt: skip
        notes = np.array(notes, float)
        out = (
            soundfont(notes, int(random.choice(PITCHED)), split, random, SECONDS, moves=random.random() < 0.75)
            if kind == "held"
            else synthesiser(notes, random, SECONDS, held=True)
        )
    elif kind == "noise":
        colour = random.choice([0.0, 0.5, 0.95, 0.995, 1.0])
        out = signal.lfilter([1], [1, -colour], random.standard_normal(total))
        if random.random() < 0.5:
            low = np.exp(u(np.log(60), np.log(5000)))
            sos = signal.butter(2, [low, min(low * u(1.3, 6), 20000)], "bandpass", fs=RATE, output="sos")
            out = signal.sosfilt(sos, out)
        out = out * (1 + u(0, 0.9) * np.sin(2 * np.pi * u(0.05, 6) * time))
    elif kind == "wavering":  # vibrato, tremolo or both, of partials of any strength
        base, rate = np.exp(u(np.log(60), np.log(1500))), u(2.5, 8)
        depth = u(0.05, 1.5) * (random.random() < 0.75)
        phase = 2 * np.pi * base * np.cumsum(2 ** (depth / 12 * np.sin(2 * np.pi * rate * time + u(0, 6.28)))) / RATE
        count, tilt = int(np.clip(random.integers(1, 24), 1, 0.4 * RATE / base)), u(0.3, 2)
        out = sum(np.sin(k * phase + u(0, 6.28)) / k**tilt for k in range(1, count + 1))
        out = out * (
            1 - u(0, 0.8) * (random.random() < 0.5) * (0.5 + 0.5 * np.sin(2 * np.pi * u(SLOWEST_TREMOLO, 9) * time))
        )
    elif kind == "beats":
        base = np.exp(u(np.log(50), np.log(2000)))
        out = sum(
            np.sin(2 * np.pi * base * (1 + random.normal(0, u(0.0005, 0.02))) * k * time + u(0, 6.28)) / k
            for k in range(1, int(random.integers(2, 8))) for _ in range(int(random.integers(2, 4)))
        )  # fmt: skip
    else:
        rate, clap = u(60, 900), random.standard_normal(RATE // 25) * np.exp(-np.arange(RATE // 25) / u(60, 600))
        impulses = (random.random(total) < rate / RATE) * np.abs(random.normal(1, 0.6, total))
        out = signal.fftconvolve(impulses, clap)[:total]
    if random.random() < 0.35:
        fade = np.interp(time, np.sort(u(0, SECONDS, 2)), u(0, 1, 2) ** 2)
        out = out * fade
    return np.asarray(out, np.float32), np.array(starts)


def made(kind: str, random: np.random.Generator, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return samples float32 [n], and the starts of notes in seconds [k], of a kind."""
    if kind in ("instrument", "synthesiser"):
        is_bass = random.random() < 0.22
        low = int(random.integers(26, 36)) if is_bass else int(random.integers(34, 80))
        notes = line(random, SECONDS, low, low + 5 + int(random.integers(0, 14)), 0.05 if is_bass else 0.35)
        if kind == "synthesiser":
            return synthesiser(notes, random, SECONDS), notes[:, 0]
        pool = BASSES if is_bass else SLOW if random.random() < 0.6 else PITCHED
        return soundfont(notes, int(random.choice(pool)), split, random, SECONDS, random.random() < 0.15), notes[:, 0]
    if kind == "repeated":
        step, pitch = float(np.exp(random.uniform(np.log(0.2), np.log(1.2)))), int(random.integers(34, 84))
        starts, duration = np.arange(random.uniform(0, 1), SECONDS, step), step * random.uniform(0.7, 1)
        notes = np.array([(at, duration, pitch, 90.0) for at in starts])
        return synthesiser(notes, random, SECONDS, fades=True), starts
    if kind == "pads":
        low = int(random.integers(40, 70))
        notes = line(random, SECONDS, low, low + 7, 0.9, 0.7)
        return synthesiser(notes, random, SECONDS, slow=True), notes[:, 0]
    makers = {"music": music, "drums": drums, "roll": roll, "clicks": clicks, "nothing": nothing}
    return makers[kind](random, folder, split)


def onsets_of(starts: np.ndarray, seconds: float) -> np.ndarray:
    """Return the onsets of notes: those that begin together are one, at its first note."""
    out: list[float] = []
    for start in np.sort(starts):
        if 0 <= start < seconds and (not out or start - out[-1] >= TOGETHER):
            out.append(float(start))
    return np.array(out)


def make(split: str, index: int, folder: Path) -> tuple[str, np.ndarray, np.ndarray]:
    """Make piece number `index` of a set: its kind, samples float32 [n] at `RATE`, and onsets in seconds."""
    random = np.random.default_rng([7, SPLITS.index(split), index])
    kind = str(random.choice(list(KINDS), p=np.array(list(KINDS.values()))))
    samples, starts = made(kind, random, folder, split)
    peak = np.abs(samples).max() or 1.0
    samples = samples * np.float32(0.7 / peak)
    if random.random() < 0.3:  # two things at once
        other = str(random.choice(["nothing", "instrument", "synthesiser", "drums"], p=(0.5, 0.2, 0.15, 0.15)))
        more, also = made(other, random, folder, split)
        gain = 10 ** (random.uniform(-24, 3 if other == "nothing" else -3) / 20)
        samples = samples + np.float32(0.7 * gain / (np.abs(more).max() or 1.0)) * more
        if other != "nothing" or gain > 0.1:
            starts = np.concatenate([starts, also])
        kind = f"{kind}+{other}"
    if random.random() < 0.3:  # the track begins within the sound
        at = int(random.uniform(0.1, 4) * RATE)
        samples, starts = samples[at:], starts - at / RATE
    samples = recorded(samples, random)
    # A track that begins within a sound has an onset there.
    if np.sqrt(np.mean(samples[: RATE // 20] ** 2)) > 0.03 * np.sqrt(np.mean(samples**2)):
        starts = np.append(starts, 0.0)
    return kind, samples, onsets_of(starts, len(samples) / RATE - 0.02)


def recorded(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Change a sound as rooms, mixing and media do."""
    return render.recorded(samples, random, RATE) if random.random() < 0.5 else samples.astype(np.float32)


def write(split: str, folder: Path, index: int, file: BinaryIO) -> None:
    """Make a piece and write it."""
    kind, samples, onsets = make(split, index, folder)
    np.savez(file, spectra=spectra(samples).astype(np.float16), onsets=onsets, kind=kind)


def main() -> None:
    """Make pieces FIRST to FIRST + COUNT - 1 of a set; those that exist are kept."""
    arguments = arguments_of(__doc__, "folder")
    make_all(arguments, ".npz", partial(write, arguments.split, arguments.folder))


if __name__ == "__main__":
    main()
