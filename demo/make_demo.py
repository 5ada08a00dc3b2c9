"""Synthesise the demo pieces, with numpy alone: the same samples every time.

    python demo/make_demo.py [FOLDER]

writes ``Nightline.flac`` (4/4, 112 bpm, E minor, swung sixteenths) and ``waltzes/Paper Boat.ogg`` (3/4, 126 bpm,
F major) and prints what is in them.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

RATE = 44100  # Hz
LEAD_IN = 0.1  # s before the first beat
TAIL = 1.2  # s after the last bar
STEPS = 4  # per beat


@dataclass
class Piece:
    """What is known about a piece, and its buses, each float64 [2, n].

    Attributes
    ----------
    swing : by how much of a step every second one comes late
    """

    name: str
    key: str
    tempo: float
    metre: int
    bars: int
    swing: float = 0.0
    dry: np.ndarray = field(init=False)
    wet: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        n = round((LEAD_IN + self.bars * self.metre * 60 / self.tempo + TAIL) * RATE)
        self.dry, self.wet = np.zeros((2, n)), np.zeros((2, n))

    def time(self, bar: int, step: float) -> float:
        """Return when a step of a bar sounds, in seconds."""
        late = self.swing if step % 2 == 1 else 0.0
        return LEAD_IN + (bar * self.metre + (step + late) / STEPS) * 60 / self.tempo

    def length(self, steps: float) -> float:
        """Return how long so many steps are, in seconds."""
        return steps / STEPS * 60 / self.tempo

    def beats(self) -> np.ndarray:
        """Return the times of all beats, in seconds."""
        return LEAD_IN + np.arange(self.bars * self.metre) * 60 / self.tempo

    def add(self, sound: np.ndarray, bar: int, step: float, level: float, pan: float = 0.0, send: float = 0.0) -> None:
        """Mix a sound [n] in; `pan` goes from -1 (left) to 1, `send` is what the room gets of it."""
        at = round(self.time(bar, step) * RATE)
        sound = level * sound[: self.dry.shape[1] - at]
        angle = (pan + 1) * np.pi / 4
        for channel, gain in enumerate((np.cos(angle), np.sin(angle))):
            self.dry[channel, at : at + len(sound)] += gain * sound
            self.wet[channel, at : at + len(sound)] += send * gain * sound

    def mixed(self, peak: float) -> np.ndarray:
        """Return the finished piece, int16 [n, 2]: the room added, peaks rounded off, the end faded."""
        mix = self.dry + np.stack([convolved(self.wet[side], room(seed=side)) for side in (0, 1)])
        mix = np.tanh(1.4 * mix / np.abs(mix).max()) / np.tanh(1.4)
        fade = round(0.6 * RATE)
        mix[:, -fade:] *= np.linspace(1, 0, fade) ** 2
        return np.rint(mix.T * peak * 32767).astype(np.int16)


# Sounds: float64 [n], peak about 1


def seconds(length: float) -> np.ndarray:
    """Return the times of the samples of a sound, float64 [n]."""
    return np.arange(round(length * RATE)) / RATE


def noise(n: int, seed: int) -> np.ndarray:
    """Return uniform noise in ±1; the raw stream of a bit generator never changes between versions of numpy."""
    return np.random.PCG64(seed).random_raw(n) / 2.0**63 - 1


def convolved(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the beginning of the convolution, as long as `first`."""
    n = 1 << (len(first) + len(second)).bit_length()
    return np.fft.irfft(np.fft.rfft(first, n) * np.fft.rfft(second, n), n)[: len(first)]


def band(sound: np.ndarray, low: float, high: float) -> np.ndarray:
    """Keep what lies between two frequencies in Hz, with slopes of an octave."""
    frequency = np.fft.rfftfreq(len(sound), 1 / RATE)
    gain = np.clip(frequency * 2 / low - 1, 0, 1) * np.clip(2 - frequency / high, 0, 1)
    return np.fft.irfft(np.fft.rfft(sound) * gain, len(sound))


def room(seed: int) -> np.ndarray:
    """Return the impulse response of a room: noise that dies away, darker than white."""
    time = seconds(1.1)
    response = band(noise(len(time), 100 + seed), 250, 2500) * np.exp(-time / 0.28) * (time > 0.012)
    return response / np.sqrt((response**2).sum())


def pitch(note: float) -> float:
    """Return the frequency of a MIDI note in Hz."""
    return 440 * 2 ** ((note - 69) / 12)


def shaped(sound: np.ndarray, attack: float, release: float) -> np.ndarray:
    """Round off both ends of a sound, in seconds."""
    rise, fall = round(attack * RATE), min(round(release * RATE), len(sound))
    sound[:rise] *= np.linspace(0, 1, rise)[: len(sound)]
    sound[len(sound) - fall :] *= np.cos(np.linspace(0, np.pi / 2, fall)) ** 2
    return sound


def kick() -> np.ndarray:
    """Return a bass drum: a sine that falls from 160 to 48 Hz."""
    time = seconds(0.32)
    phase = 2 * np.pi * (48 * time + 112 * 0.022 * (1 - np.exp(-time / 0.022)))
    return shaped(np.sin(phase) * np.exp(-time / 0.11), 0.001, 0.05)


def snare(seed: int) -> np.ndarray:
    """Return a snare drum: two modes of the head, and the wires."""
    time = seconds(0.24)
    head = np.sin(2 * np.pi * 184 * time) + 0.6 * np.sin(2 * np.pi * 331 * time)
    wires = band(noise(len(time), seed), 900, 5000)
    return shaped(0.5 * head * np.exp(-time / 0.045) + 1.1 * wires * np.exp(-time / 0.06), 0.0005, 0.05)


def hat(seed: int, decay: float) -> np.ndarray:
    """Return a hi-hat; `decay` in seconds says how far open it is."""
    time = seconds(4.5 * decay)
    return shaped(band(noise(len(time), seed), 7000, 13000) * np.exp(-time / decay), 0.0005, 0.01)


def tom(note: float) -> np.ndarray:
    """Return a tom."""
    time = seconds(0.3)
    phase = 2 * np.pi * pitch(note) * (time + 0.02 * (1 - np.exp(-time / 0.03)))
    return shaped(np.sin(phase) * np.exp(-time / 0.1), 0.001, 0.05)


def bass(note: float, length: float) -> np.ndarray:
    """Return a plucked bass: a sawtooth whose upper partials die first."""
    time, frequency = seconds(length), pitch(note)
    partials = [
        np.sin(2 * np.pi * k * frequency * time) / k * np.exp(-time * (1.2 + 1.6 * (k - 1)))
        for k in range(1, 11)
        if k * frequency < 1800
    ]
    return shaped(0.8 * np.sum(partials, axis=0), 0.004, 0.04)


def electric_piano(note: float, length: float) -> np.ndarray:
    """Return an electric piano: two operators of frequency modulation, and a tine."""
    time, frequency = seconds(length), pitch(note)
    modulation = 1.3 * np.exp(-time / 0.35) * np.sin(2 * np.pi * frequency * time)
    tine = 0.12 * np.exp(-time / 0.06) * np.sin(2 * np.pi * 7 * frequency * time)
    return shaped((np.sin(2 * np.pi * frequency * time + modulation) + tine) * np.exp(-time / 0.9), 0.003, 0.06)


def pad(note: float, length: float, detune: float) -> np.ndarray:
    """Return soft strings: a few partials, slightly out of tune."""
    time, frequency = seconds(length), pitch(note + detune)
    partials = [np.sin(2 * np.pi * k * frequency * time + k) / k**1.6 for k in range(1, 6)]
    return shaped(0.6 * np.sum(partials, axis=0), 0.18, 0.35)


def lead(note: float, length: float) -> np.ndarray:
    """Return a reed-like voice: odd partials, vibrato that comes in late."""
    time, frequency = seconds(length), pitch(note)
    depth = 0.0045 * np.clip((time - 0.15) / 0.25, 0, 1)
    phase = 2 * np.pi * frequency * np.cumsum(1 + depth * np.sin(2 * np.pi * 5.4 * time)) / RATE
    partials = [amplitude * np.sin(k * phase) for k, amplitude in ((1, 1), (2, 0.25), (3, 0.35), (5, 0.12), (7, 0.05))]
    return shaped(0.6 * np.sum(partials, axis=0) * (0.75 + 0.25 * np.exp(-time / 0.2)), 0.012, 0.05)


def bell(note: float, length: float) -> np.ndarray:
    """Return a music box: a bar's first modes (1 : 2.76 : 5.4), each dying faster."""
    time, frequency = seconds(length), pitch(note)
    modes = ((1, 1.0, 0.9), (2.76, 0.3, 0.25), (5.4, 0.12, 0.08))
    partials = [a * np.sin(2 * np.pi * r * frequency * time) * np.exp(-time / d) for r, a, d in modes]
    return shaped(np.sum(partials, axis=0), 0.002, 0.05)


# The pieces

CHORDS = {  # voiced close to each other, MIDI notes
    "Em": (55, 59, 64), "C": (55, 60, 64), "Am": (57, 60, 64), "B7": (57, 59, 63, 66),
    "F": (57, 60, 65), "Bb": (58, 62, 65), "C7": (58, 60, 64), "Dm": (57, 62, 65), "Gm": (58, 62, 67),
}  # fmt: skip
ROOTS = {"Em": 40, "C": 36, "Am": 33, "B7": 35, "F": 41, "Bb": 34, "C7": 36, "Dm": 38, "Gm": 43}

NIGHTLINE = ("Em", "B7", "Em", "C", "Am", "B7", "Am", "Em", "C", "B7", "Em")  # a chord a bar: intro 2, A 4, B 4, end
NIGHTLINE_LEAD = {  # bar → (step, steps, note)
    1: ((12, 2, 66), (14, 2, 69)),
    2: ((0, 3, 71), (3, 3, 69), (6, 4, 67), (10, 2, 64), (12, 2, 67), (14, 2, 69)),
    3: ((0, 6, 72), (6, 2, 71), (8, 4, 67), (12, 4, 64)),
    4: ((0, 3, 69), (3, 3, 71), (6, 4, 72), (10, 2, 76), (12, 2, 74), (14, 2, 72)),
    5: ((0, 6, 71), (6, 2, 69), (8, 3, 66), (11, 3, 63), (14, 2, 66)),
    6: ((0, 4, 76), (4, 2, 74), (6, 4, 72), (10, 2, 69), (12, 4, 72)),
    7: ((0, 4, 71), (4, 2, 69), (6, 6, 67), (12, 2, 64), (14, 2, 67)),
    8: ((0, 3, 72), (3, 3, 74), (6, 4, 76), (10, 2, 79), (12, 4, 76)),
    9: ((0, 4, 75), (4, 4, 78), (8, 4, 71), (12, 4, 75)),
    10: ((0, 14, 76),),
}
BASS_LINE = ((0, 3, 0), (3, 2, 0), (6, 2, 12), (8, 2, 0), (10, 2, 7), (12, 2, 12), (14, 2, 7))  # step, steps, interval


def nightline() -> tuple[Piece, np.ndarray]:
    """Return the first piece: intro (2 bars), A (4), B (4), last chord."""
    piece = Piece("Nightline", "E minor", tempo=112, metre=4, bars=len(NIGHTLINE), swing=0.16)
    last = len(NIGHTLINE) - 1
    for bar, chord in enumerate(NIGHTLINE):
        in_intro, in_b, at_end = bar < 2, 6 <= bar < last, bar == last
        for voice, note in enumerate(CHORDS[chord]):
            pan = -0.5 + voice * 0.45
            for detune, side in ((-0.06, -0.9), (0.06, 0.9)):
                sound = pad(note, piece.length(18), detune)
                piece.add(sound, bar, 0, 0.045 if in_b else 0.035, side, 0.3)
            stabs = ((0, 14),) if at_end else ((0, 5), (10, 4)) if in_intro else ((0, 3), (3, 2), (7, 3), (10, 4))
            for step, steps in stabs:
                piece.add(electric_piano(note, piece.length(steps)), bar, step, 0.10 if step else 0.12, pan, 0.25)
        line = ((0, 14, 0),) if at_end else ((0, 6, 0), (8, 6, 0)) if in_intro else BASS_LINE
        for step, steps, interval in line:
            sound = bass(ROOTS[chord] + interval, piece.length(steps) * 0.92)
            piece.add(sound, bar, step, 0.34 if step % 8 == 0 else 0.28)
        for step, steps, note in NIGHTLINE_LEAD.get(bar, ()):
            sound = lead(note, piece.length(steps) * 0.95)
            piece.add(sound, bar, step, 0.20 if in_b else 0.17, -0.1, 0.3)
            for echo, side in ((3, 0.8), (6, -0.8)):
                piece.add(sound, bar, step + echo, 0.04 / echo * 3, side, 0.4)
            if in_b:
                piece.add(lead(note - 12, piece.length(steps) * 0.95), bar, step, 0.06, 0.35, 0.2)
        nightline_drums(piece, bar, in_intro, in_b, at_end)
    return piece, piece.mixed(peak=0.56)


def nightline_drums(piece: Piece, bar: int, in_intro: bool, in_b: bool, at_end: bool) -> None:
    """Play one bar on the drums; the last bar of each part ends in a fill."""
    fills = bar in (1, 5, 9)
    if at_end:
        piece.add(kick(), bar, 0, 0.55)
        piece.add(hat(900, 0.16), bar, 0, 0.14, 0.3, 0.3)
        return
    for step in (0, 8) if in_intro else (0, 7, 8, 14) if in_b else (0, 8, 10):
        piece.add(kick(), bar, step, 0.55 if step % 8 == 0 else 0.42)
    if not in_intro:
        for step in (4,) if fills else (4, 12):
            piece.add(snare(bar * 16 + step), bar, step, 0.30, 0.0, 0.15)
        if in_b and not fills:
            piece.add(snare(bar * 16 + 15), bar, 15, 0.07)
    for step in range(0, 16, 2 if not in_b else 1):
        if fills and step >= 12:
            break
        is_open = step == 14 and not in_intro
        level = 0.07 if step % 4 == 0 else 0.05 if step % 2 == 0 else 0.03
        piece.add(hat(bar * 16 + step, 0.07 if is_open else 0.015), bar, step, level)
    if fills:
        for step, note, pan in ((12, 50, 0.3), (13, 50, 0.3), (14, 45, -0.1), (15, 41, -0.4)):
            piece.add(tom(note), bar, step, 0.30 if in_intro else 0.36, pan, 0.2)
        piece.add(snare(bar * 16 + 12), bar, 12, 0.26, 0.0, 0.15)


PAPER_BOAT = ("F", "Bb", "F", "C7", "F", "Dm", "C7", "F", "Gm", "C7", "F")
PAPER_BOAT_MELODY = {
    0: ((0, 4, 77), (4, 4, 81), (8, 4, 84)),
    1: ((0, 8, 82), (8, 4, 79)),
    2: ((0, 4, 81), (4, 2, 79), (6, 2, 77), (8, 4, 72)),
    3: ((0, 12, 76),),
    4: ((0, 4, 77), (4, 4, 81), (8, 4, 84)),
    5: ((0, 8, 86), (8, 2, 84), (10, 2, 81)),
    6: ((0, 4, 79), (4, 4, 82), (8, 4, 76)),
    7: ((0, 8, 77), (8, 4, 77)),
    8: ((0, 4, 82), (4, 4, 79), (8, 4, 74)),
    9: ((0, 4, 72), (4, 4, 76), (8, 4, 79)),
    10: ((0, 12, 77),),
}


def paper_boat() -> tuple[Piece, np.ndarray]:
    """Return the second piece: a small waltz for music box, electric piano and brushes."""
    piece = Piece("Paper Boat", "F major", tempo=126, metre=3, bars=len(PAPER_BOAT))
    last = len(PAPER_BOAT) - 1
    for bar, chord in enumerate(PAPER_BOAT):
        piece.add(bass(ROOTS[chord], piece.length(10)), bar, 0, 0.40)
        piece.add(kick(), bar, 0, 0.30)
        for step in (0,) if bar == last else (4, 8):
            for voice, note in enumerate(CHORDS[chord]):
                sound = electric_piano(note, piece.length(12 if bar == last else 3))
                piece.add(sound, bar, step, 0.13, -0.4 + 0.4 * voice, 0.3)
            if bar != last:
                brush = band(snare(bar * 12 + step), 1500, 7000)
                piece.add(brush, bar, step, 0.09, 0.25, 0.2)
        for step, steps, note in PAPER_BOAT_MELODY[bar]:
            level = 0.22 if 4 <= bar < 8 else 0.17
            piece.add(bell(note, piece.length(steps) + 0.5), bar, step, level, -0.15, 0.35)
    return piece, piece.mixed(peak=0.6)


PIECES = {"Nightline.flac": nightline, "waltzes/Paper Boat.ogg": paper_boat}


def main() -> None:
    """Write both files, and say what is in them."""
    import soundfile

    parser = argparse.ArgumentParser(description="Synthesise the demo pieces.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    folder = parser.parse_args().folder
    for name, make in PIECES.items():
        piece, samples = make()
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, RATE, compression_level=1.0 if path.suffix == ".flac" else None)
        beats = piece.beats()
        print(
            f"{path}: {len(samples) / RATE:.2f} s, {piece.metre}/4, {piece.tempo} bpm, {piece.key}, {piece.bars} bars"
        )
        print(f"  beats every {60 / piece.tempo:.6f} s from {beats[0]:.6f} to {beats[-1]:.6f} s; a downbeat first")


if __name__ == "__main__":
    main()
