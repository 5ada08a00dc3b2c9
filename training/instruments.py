"""Instruments beside soundfonts: synthesisers of basses and choirs, and single recorded sounds played as notes.

Notes are [k, 4]: start and duration in seconds, pitch (MIDI), velocity. `seconds` is the length of the result.
"""

from functools import cache
from pathlib import Path

import numpy as np
from scipy import signal

from training import drum_kits
from training.drum_kits import SONIC_PI

RATE = 44100
LMMS = Path("/usr/share/lmms/samples")
# Single sounds of Sonic Pi and of LMMS, for training only.
BASS_SOUNDS = (
    *(
        SONIC_PI / f"bass_{name}.flac"
        for name in ("dnb_f", "drop_c", "hard_c", "hit_c", "thick_c", "trance_c", "woodsy_c")
    ),
    *(
        LMMS / f"basses/{name}.ogg"
        for name in ("bass01", "bass_acid02", "bass_hard01", "bass_punch01", "rave_bass01", "rave_bass03",
                     "synth_acid02")
    ),
    *(LMMS / f"instruments/bassslap0{k}.ogg" for k in (1, 2)),
)  # fmt: skip
OTHER_SOUNDS = (
    *(
        LMMS / f"instruments/{name}.ogg"
        for name in ("cello01", "church_organ01", "church_organ02", "e_organ01", "flute01", "church_organ03", "piano01",
                     "piano02", "steel_guitar01", "steel_guitar_heavy_distorted01", "steel_guitar_medium_distorted01",
                     "steel_guitar_slight_distorted01", "trumpet01", "violin_fingered01", "violin_pizzicato01")
    ),
    *(
        LMMS / f"stringsnpads/{name}.ogg"
        for name in ("juno_pad01", "orion_string01", "space_strings01", "strings01", "bell_choir01", "bell_choir02")
    ),
)  # fmt: skip
# Resonances of vowels in Hz, and their levels in dB
VOWELS = {
    "a": ((800, 1150, 2900, 3900, 4950), (0, -6, -24, -30, -50)),
    "o": ((450, 800, 2830, 3800, 4950), (0, -11, -26, -32, -50)),
    "u": ((325, 700, 2700, 3800, 4950), (0, -16, -35, -40, -60)),
    "e": ((400, 1600, 2700, 3300, 4950), (0, -20, -26, -32, -50)),
    "i": ((320, 1900, 2750, 3500, 4950), (0, -18, -22, -30, -50)),
}
TABLE = 4096  # samples of one period


def _frequency(pitch: np.ndarray | float) -> np.ndarray | float:
    return 440.0 * 2 ** ((pitch - 69) / 12)


def _table(levels: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """Return one period of a sound whose partials, from the first on, have these levels and phases, float32 [TABLE]."""
    spectrum = np.zeros(TABLE // 2 + 1, complex)
    spectrum[1 : len(levels) + 1] = levels * np.exp(1j * phases[: len(levels)])
    period = np.fft.irfft(spectrum)
    return (period / max(np.abs(period).max(), 1e-12)).astype(np.float32)


def _played(table: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Read a table at a phase in periods."""
    return table[(phase * TABLE).astype(np.int64) & (TABLE - 1)]


def bass(notes: np.ndarray, random: np.random.Generator, seconds: float) -> np.ndarray:
    """Play notes with a bass synthesiser whose settings are random, mono float32 [n].

    It is a waveform whose filter closes after the onset, frequency modulation, or a sine that slides as kicks of drum
    machines do and is distorted. Some slide from note to note, some have the noise of a finger or a plectrum.
    """
    total = int(seconds * RATE)
    out = np.zeros(total + 6 * RATE, np.float32)
    u = random.uniform
    kind = random.choice(["filtered", "filtered", "modulated", "sine"])
    tilt, odd, phases = u(0.5, 1.6), random.random() < 0.3, u(0, 6.28, 2000) * (random.random() < 0.5)
    closing, opened, closed, steep = u(0.02, 0.6), np.exp(u(np.log(150), np.log(3000))), u(80, 400), u(1, 4)
    ratio, index, index_decay, floor = random.choice([0.5, 1, 1, 2, 3]), u(0.5, 5), u(0.03, 0.5), u(0, 0.5)
    slide = u(0.03, 0.12) if random.random() < 0.2 else 0.0
    sweep, sweep_time = (u(0, 12), u(0.01, 0.06)) if kind == "sine" and random.random() < 0.5 else (0.0, 1.0)
    second = u(0.02, 0.6) if kind == "sine" else 0.0  # level of the octave
    plucked, decay = random.random() < 0.6, u(0.25, 2.5)
    attack, release = u(0.002, 0.015), u(0.02, 0.12)
    drive = u(1, 6) if random.random() < 0.4 else 0.0
    noise = u(0.02, 0.25) if random.random() < 0.35 else 0.0
    click = signal.sosfilt(
        signal.butter(1, [u(300, 900), u(1500, 6000)], "bandpass", fs=RATE, output="sos"),
        random.standard_normal(RATE // 20) * np.exp(-np.arange(RATE // 20) / (u(0.002, 0.01) * RATE)),
    )
    tables: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    before = None
    for begin, duration, pitch, velocity in notes[np.argsort(notes[:, 0])]:
        time = np.arange(int((min(duration, 5.0) + release) * RATE)) / RATE
        offset = sweep * np.exp(-time / sweep_time)
        if slide and before is not None:
            offset = offset + (before - pitch) * np.exp(-time / slide)
        before = pitch
        phase = np.cumsum(_frequency(pitch + offset)) / RATE
        if kind == "filtered":
            if int(pitch) not in tables:
                base = _frequency(pitch)
                k = np.arange(1, int(min(200, 14000 / base)) + 1)
                levels = k**-tilt * ((k % 2 == 1) if odd else 1)
                tables[int(pitch)] = tuple(
                    _table(levels / (1 + (k * base / cutoff) ** (2 * steep)) ** 0.5, phases)
                    for cutoff in (opened + base, closed + base)
                )
            bright, dark = tables[int(pitch)]
            weight = np.exp(-time / closing).astype(np.float32)
            sound = _played(bright, phase) * weight + _played(dark, phase) * (1 - weight)
        elif kind == "modulated":
            depth = index * (floor + (1 - floor) * np.exp(-time / index_decay))
            sound = np.sin(2 * np.pi * phase + depth * np.sin(2 * np.pi * ratio * phase))
        else:
            sound = np.sin(2 * np.pi * phase) + second * np.sin(4 * np.pi * phase)
        if plucked:
            sound = sound * np.exp(-time / decay)
        sound = sound * np.minimum(1, time / attack) * np.clip((time[-1] - time) / release, 0, 1)
        if drive:
            sound = np.tanh(drive * sound)
        sound = sound * (velocity / 127)
        at = int(begin * RATE)
        out[at : at + len(sound)] += sound[: len(out) - at]
        if noise:
            out[at : at + len(click)] += (noise * velocity / 127) * click[: len(out) - at]
    return out[:total]


def choir(notes: np.ndarray, random: np.random.Generator, seconds: float) -> np.ndarray:
    """Sing notes on a vowel with a choir of formulas, or with one voice, float32 [2, n].

    Each singer has a place, a tuning and a vibrato; the resonances of a vowel shape the partials.
    """
    total = int(seconds * RATE)
    out = np.zeros((2, total + 6 * RATE), np.float32)
    u = random.uniform
    singers = int(random.choice([1, 2, 3, 4, 5]))
    size, sharpness, tilt = u(0.85, 1.2), u(60, 160), u(0.6, 1.3)
    vowels = random.choice(list(VOWELS), 2, p=(0.4, 0.22, 0.2, 0.1, 0.08))
    attack, release, depth = u(0.02, 0.35), u(0.08, 0.5), u(0.05, 0.5)
    detune, angles = random.normal(0, 0.1, singers), u(0.1, 1.47, singers) if singers > 1 else np.array([0.785])
    breath = u(0, 0.08)
    for number, (begin, duration, pitch, velocity) in enumerate(notes[np.argsort(notes[:, 0])]):
        time = np.arange(int((min(duration, 5.0) + release) * RATE)) / RATE
        base = _frequency(pitch)
        centres, levels = VOWELS[vowels[(number // 3) % 2]]
        k = np.arange(1, int(min(120, 12000 / base)) + 1)
        near = [
            10 ** (level / 20) / np.sqrt(1 + ((k * base - size * centre) / sharpness) ** 2)
            for centre, level in zip(centres, levels, strict=True)
        ]
        partials = np.sum(near, axis=0) * k ** (-tilt / 2)
        edges = np.minimum(1, time / attack) * np.clip((time[-1] - time) / release, 0, 1) * (velocity / 127)
        at = int(begin * RATE)
        for singer in range(singers):
            rate, start = u(4.8, 6.5), u(0, 6.28)
            wobble = depth * np.minimum(1, time / 0.4) * np.sin(2 * np.pi * rate * time + start)
            drift = np.interp(time, np.linspace(0, time[-1], 6), random.normal(0, 0.08, 6))
            phase = np.cumsum(_frequency(pitch + detune[singer] + wobble + drift)) / RATE
            sound = _played(_table(partials, u(0, 6.28, len(k))), phase) * edges
            if breath:
                white = random.standard_normal(len(time))
                sound += breath * edges * np.convolve(white, [0.3, 0.4, 0.3], "same")
            sound = sound.astype(np.float32)[: out.shape[1] - at]
            out[0, at : at + len(sound)] += np.float32(np.cos(angles[singer])) * sound
            out[1, at : at + len(sound)] += np.float32(np.sin(angles[singer])) * sound
    return out[:, :total]


@cache
def _single(path: Path) -> tuple[np.ndarray, float]:
    """Return a single sound, mono float32, and its pitch."""
    import pyworld
    import soundfile

    samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    sound = samples.mean(axis=1)
    if rate != RATE:
        sound = signal.resample_poly(sound, RATE, rate)
    onset = int(np.flatnonzero(np.abs(sound) > 0.03 * np.abs(sound).max())[0])
    sound = np.ascontiguousarray(sound[onset:])
    pitch, _ = pyworld.harvest(sound[: 2 * RATE], RATE, f0_floor=30, f0_ceil=1200)
    known = pitch[pitch > 0]
    return sound.astype(np.float32), float(69 + 12 * np.log2(np.median(known) / 440)) if len(known) else 48.0


def sampled(notes: np.ndarray, path: Path, seconds: float) -> np.ndarray:
    """Play notes with a single sound, at the speeds that give their pitches, mono float32 [n]."""
    sound, own = _single(path)
    total = int(seconds * RATE)
    out = np.zeros(total, np.float32)
    for begin, duration, pitch, velocity in notes:
        at, speed = int(begin * RATE), 2 ** ((pitch - own) / 12)
        length = min(int((duration + 0.08) * RATE), int((len(sound) - 2) / speed), total - at)
        if length <= 0:
            continue
        played = np.interp(np.arange(length) * speed, np.arange(len(sound)), sound)
        fade = min(length, RATE // 20)
        played[length - fade :] *= np.linspace(1, 0, fade)
        out[at : at + length] += (played * (velocity / 127)).astype(np.float32)
    return out


def drums(notes: np.ndarray, random: np.random.Generator, seconds: float, recorded: bool) -> np.ndarray:
    """Play notes with a kit of single recorded sounds or of formulas, tuned and placed at random, float32 [2, n]."""
    total = int(seconds * RATE)
    made = drum_kits.single_hits(random) if recorded else drum_kits.formula_hits(random)
    kit = {}
    for note, _, sound in made:
        if (sound := drum_kits.cut(np.asarray(sound, np.float32))) is not None:
            kit[note] = sound / np.abs(sound).max()
    classes = {note: members for members in drum_kits.DRUMS.values() for note in members}
    gain = {note: 10 ** (random.normal(0, 3) / 20) for note in (*classes, *drum_kits.OTHERS)}
    base = {"kick": 1.0, "snare": 0.8, "tom": 0.7, "hihat": 0.25, "cymbal": 0.35}
    level = {note: base[name] for name, members in drum_kits.DRUMS.items() for note in members}
    place = {note: random.normal(0, 0.25) * (level.get(note, 0.3) < 0.75) for note in gain}
    spread, tuning = random.uniform(0, 1), 2 ** (random.normal(0, 2) / 12)
    out = np.zeros((2, total), np.float32)
    for begin, _, pitch, velocity in notes:
        note = int(pitch)
        members = [other for other in classes.get(note, drum_kits.OTHERS) if other in kit]
        at = int(begin * RATE)
        if not members or not 0 <= at < total:
            continue
        chosen = note if note in kit else members[note % len(members)]
        sound = kit[chosen]
        if abs(tuning - 1) > 0.02:
            sound = np.interp(np.arange(int((len(sound) - 2) / tuning)) * tuning, np.arange(len(sound)), sound)
        sound = sound[: total - at] * (gain.get(note, 1) * level.get(note, 0.3) * (velocity / 127) ** 1.5)
        angle = np.pi / 4 + np.clip(spread * place.get(note, 0), -0.7, 0.7)
        out[:, at : at + len(sound)] += (np.array([[np.cos(angle)], [np.sin(angle)]]) * sound).astype(np.float32)
    return out
