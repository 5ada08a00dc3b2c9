"""Performances to sound: soundfonts, drum kits made of formulas, and what recordings do to sound."""

from functools import cache

import numpy as np
from scipy import signal

from training.score import DRUMS, Performance
from training.sources import KITS, SOUNDFONTS, soundfont

SYNTH_BLOCK = 64  # samples: a note begins with a block of the synthesiser


@cache
def _synth(split: str, rate: int):
    """Return the synthesiser with all soundfonts of a set, and their ids: complete ones, and those with drums only."""
    import fluidsynth

    synth = fluidsynth.Synth(
        samplerate=rate,
        gain=0.5,
        **{"synth.reverb.active": 0, "synth.chorus.active": 0, "synth.polyphony": 128, "synth.midi-channels": 16},
    )
    load = lambda names: [synth.sfload(str(soundfont(name))) for name in names]  # noqa: E731
    return synth, load(SOUNDFONTS[split]), load(KITS[split])


def played(synth, count: int) -> np.ndarray:
    """Return the next samples of the synthesiser, stereo float32 [count, 2].

    A note begins with a block. So what remains of the last one is thrown away, and the next begins with what is asked
    for next, at the right time.
    """
    blocks = -(-count // SYNTH_BLOCK)
    return synth.get_samples(blocks * SYNTH_BLOCK).reshape(-1, 2)[:count] / np.float32(32768)


def choose(synth, channel: int, font: int, bank: int, program: int) -> None:
    """Set the instrument of a channel; one that the soundfont lacks becomes the first of the bank."""
    there = synth.sfpreset_name(font, bank, program) is not None
    synth.program_select(channel, font, bank, program if there else 0)


def synthesise(
    performance: Performance, split: str, random: np.random.Generator, rate: int, seconds: float
) -> np.ndarray:
    """Render a performance with soundfonts of a set, mono float32 [n]. Each part has a random level and soundfont."""
    synth, complete, kits = _synth(split, rate)
    synth.system_reset()
    played(synth, rate)  # what still sounds of the piece before
    channels, drum_channel, melodic = {}, 9, iter([c for c in range(16) if c != 9])
    formula_drums = None
    main = complete[random.integers(len(complete))]
    bend = int(np.clip(8192 + random.normal(0, 800), 0, 16383)) if random.random() < 0.5 else 8192
    for number, program in enumerate(performance.parts):
        volume = int(random.uniform(55, 120))
        if program == DRUMS:
            volume = int(random.uniform(70, 127))
            if random.random() < 0.3:
                formula_drums = number
                continue
            font = kits[random.integers(len(kits))] if kits and random.random() < 0.4 else main
            bank_program = 0 if font in kits else int(random.choice([0, 0, 0, 8, 16, 24, 25, 32, 40, 48]))
            choose(synth, drum_channel, font, 0 if font in kits else 128, bank_program)
            channels[number] = drum_channel
        else:
            channel = next(melodic)
            font = complete[random.integers(len(complete))] if random.random() < 0.3 else main
            choose(synth, channel, font, 0, program)
            channels[number] = channel
            synth.pitch_bend(channel, bend - 8192)
        synth.cc(channels[number], 7, volume)
    events = []
    for begin, duration, pitch, velocity, part in performance.notes:
        if int(part) in channels and 0 <= begin < seconds:
            channel = channels[int(part)]
            events.append((begin, 1, channel, int(pitch), int(velocity)))
            events.append((begin + duration, 0, channel, int(pitch), 0))
    events.sort()
    total = int(seconds * rate)
    out, done = np.zeros(total, np.float32), 0
    for time, is_on, channel, pitch, velocity in events:
        at = min(total, round(time * rate / SYNTH_BLOCK) * SYNTH_BLOCK)
        if at > done:
            out[done:at] = played(synth, at - done).mean(axis=1)
            done = at
        if at >= total:
            break
        if is_on:
            synth.noteon(channel, min(pitch, 127), max(1, min(velocity, 127)))
        else:
            synth.noteoff(channel, min(pitch, 127))
    if done < total:
        out[done:] = played(synth, total - done).mean(axis=1)
    if formula_drums is not None:
        drums = _formula_drums(performance.notes[performance.notes[:, 4] == formula_drums], random, rate, total)
        level = np.abs(out).max() if len(channels) else 0.3  # without any instrument, the synthesiser still dithers
        out = out + drums * (level * random.uniform(0.5, 1.6) / max(np.abs(drums).max(), 1e-6))
    return out


def _formula_drums(notes: np.ndarray, random: np.random.Generator, rate: int, total: int) -> np.ndarray:
    """Render drums with a kit of swept sines and filtered noise whose parameters are random, float32 [total]."""
    out = np.zeros(total + rate, np.float32)
    time = np.arange(int(0.7 * rate)) / rate
    noise = random.standard_normal(len(time))

    def filtered(low, high, decay):
        band = signal.butter(2, [low, min(high, 0.48 * rate)], "bandpass", fs=rate, output="sos")
        return signal.sosfilt(band, noise) * np.exp(-time / decay)

    def swept(start, end, sweep, decay):
        frequency = end + (start - end) * np.exp(-time / sweep)
        return np.sin(2 * np.pi * np.cumsum(frequency) / rate) * np.exp(-time / decay)

    u = random.uniform
    low = u(38, 70)
    kick = swept(u(90, 300), low, u(0.01, 0.05), u(0.06, 0.3)) + u(0, 0.3) * filtered(1500, 6000, 0.004)
    if random.random() < 0.25:  # of an early drum machine: a sine without a click
        kick = swept(low, low, 1.0, u(0.04, 0.3))
    tone = swept(u(180, 330), u(150, 240), 0.02, u(0.03, 0.12))
    snare = u(0.2, 0.8) * tone + filtered(u(300, 1500), u(5000, 9000), u(0.04, 0.18)) * u(0.5, 1.5)
    hat_low = u(4000, 7500)
    sounds = {
        "kick": kick, "snare": snare, "clap": filtered(700, 3500, u(0.04, 0.12)), "rim": filtered(1200, 3000, 0.012),
        "closed": filtered(hat_low, 10500, u(0.01, 0.05)), "open": filtered(hat_low, 10500, u(0.12, 0.4)),
        "crash": filtered(3000, 10500, u(0.25, 0.5)), "low": swept(u(100, 150), u(70, 100), 0.05, u(0.1, 0.3)),
        "high": swept(u(200, 300), u(140, 200), 0.05, u(0.08, 0.25)), "shaker": filtered(5000, 10000, 0.03),
    }  # fmt: skip
    sounds = {name: (sound / max(np.abs(sound).max(), 1e-9)).astype(np.float32) for name, sound in sounds.items()}
    gains = {"kick": u(0.7, 1.2), "snare": u(0.5, 1.0), "closed": u(0.12, 0.5), "open": u(0.15, 0.5)}
    names = {35: "kick", 36: "kick", 38: "snare", 40: "snare", 37: "rim", 39: "clap", 42: "closed", 44: "closed",
             46: "open", 51: "closed", 59: "closed", 53: "closed", 49: "crash", 57: "crash", 52: "crash", 55: "crash",
             41: "low", 43: "low", 45: "low", 47: "high", 48: "high", 50: "high"}  # fmt: skip
    for begin, _, pitch, velocity, _ in notes:
        at = round(begin * rate)
        if 0 <= at < total:
            name = names.get(int(pitch), "shaker")
            sound = sounds[name] * (gains.get(name, 0.4) * (velocity / 127) ** 1.5)
            out[at : at + len(sound)] += sound[: len(out) - at]
    return out[:total]


def clicks(
    times: np.ndarray, accents: np.ndarray, random: np.random.Generator, rate: int, seconds: float
) -> np.ndarray:
    """Render a metronome, float32 [n]: short tones or noise at `times`, louder or higher at `accents` (bool)."""
    out = np.zeros(int(seconds * rate) + rate, np.float32)
    time = np.arange(int(0.06 * rate)) / rate
    frequency, decay = random.uniform(400, 4000), random.uniform(0.002, 0.02)
    noise, tonal = random.standard_normal(len(time)), random.random() < 0.7
    higher, louder = random.choice([1.0, 1.33, 1.5, 2.0]), random.uniform(1, 2)
    for at, accent in zip(times, accents, strict=True):
        sound = np.sin(2 * np.pi * frequency * (higher if accent else 1) * time) if tonal else noise
        begin = round(at * rate)
        out[begin : begin + len(time)] += (sound * np.exp(-time / decay) * (louder if accent else 1)).astype(np.float32)
    return out[: int(seconds * rate)]


def recorded(samples: np.ndarray, random: np.random.Generator, rate: int) -> np.ndarray:
    """Change a sound as rooms, mixing, media and coding do: equaliser, reverb, compression, noise, MP3, level."""
    out = samples
    if random.random() < 0.35:
        decay, length = random.uniform(0.08, 0.9), int(rate * 1.2)
        response = random.standard_normal(length) * np.exp(-6.9 * np.arange(length) / rate / decay)
        low = signal.butter(1, random.uniform(1500, 8000), fs=rate, output="sos")
        response = signal.sosfilt(low, response)
        wet = signal.fftconvolve(out, response)[: len(out)]
        out = out + wet * (random.uniform(0.05, 0.5) * np.std(out) / max(np.std(wet), 1e-9))
    if random.random() < 0.4:
        low, high = random.uniform(20, 250), random.uniform(3000, 10500)
        if random.random() < 0.5:
            out = signal.sosfilt(signal.butter(1, low, "highpass", fs=rate, output="sos"), out)
        if random.random() < 0.6:
            out = signal.sosfilt(signal.butter(1, high, fs=rate, output="sos"), out)
    if random.random() < 0.4:
        peak = np.abs(out).max() or 1
        drive = random.uniform(1.5, 8)
        out = np.tanh(out / peak * drive) * peak
    if random.random() < 0.3:
        level = 10 ** (random.uniform(-60, -22) / 20) * (np.abs(out).max() or 0.1)
        noise = (
            np.cumsum(random.standard_normal(len(out))) if random.random() < 0.2 else random.standard_normal(len(out))
        )
        out = out + level * noise / max(np.abs(noise).max(), 1e-9)
    return out.astype(np.float32)
