"""Cases that onsets are judged by: `python -m training.onset_cases TRAIN OUT tune`, or `report`.

Each case is OUT/<set>/<kind>/<case>/ with mix.flac and onsets.txt, as `make eval-onsets` reads it. The two sets have
other soundfonts, instruments, pitches and tempi; neither has a soundfont of the training, nor its formulas.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import signal

from mirflow.core import artifacts
from training import beat_pieces, onset_pieces, render

RATE = 44100
SPLIT = {"tune": "valid", "report": "test"}  # of soundfonts and songs
Case = tuple[str, str, np.ndarray, np.ndarray]  # kind, name, samples, onsets

BURSTS = {
    "tune": ((220, 0.5), (440, 0.5), (880, 0.3), (1319, 0.4)),
    "report": ((131, 0.6), (196, 0.37), (523, 0.62), (740, 0.25)),
}  # Hz, s
PADS = {"tune": ((48, 55, 64), 3.0, 1.0), "report": ((45, 52, 60, 67), 2.4, 1.6)}  # chord, s, tilt of the partials
# program: pitch
SUSTAINED = {
    "tune": {40: 69, 42: 50, 44: 62, 48: 60, 52: 64, 56: 67, 61: 58, 71: 65, 73: 76, 19: 60, 90: 60, 82: 67},
    "report": {41: 62, 42: 45, 49: 57, 50: 64, 53: 62, 57: 53, 60: 57, 68: 70, 75: 74, 20: 62, 16: 55, 89: 57, 81: 71},
}
FAMILIES = {16: "organ", 40: "strings", 52: "choir", 56: "brass", 64: "winds", 80: "synthesiser"}  # by first program
INTERVALS = {"tune": (0.5, 0.33), "report": (0.6, 0.4, 0.27)}  # s between repeated notes
ROLLS = {
    "tune": ((130, 4), (170, 4), (140, 8), (180, 8)),
    "report": ((120, 4), (150, 4), (200, 4), (125, 8), (160, 8), (180, 8), (200, 8)),
}  # beats per minute, strokes a beat
BASS_PROGRAMS = {"tune": (33, 38, 32), "report": (34, 39, 35, 43)}
BASS_LENGTHS = {"tune": (0.12, 0.25), "report": (0.1, 0.2, 0.3)}  # s
PLUCKED = {"tune": (24, 0, 11, 46, 105), "report": (25, 4, 12, 45, 107, 26)}
HELD = {
    "tune": (0, 9, 16, 24, 33, 40, 48, 56, 65, 73, 80, 88, 98, 104, 52, 61, 109),
    "report": (2, 11, 19, 21, 26, 39, 42, 44, 49, 53, 60, 66, 70, 75, 77, 81, 85, 89, 91, 94, 95, 99, 106, 110),
}
SONGS = 10


def _samples(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * RATE)) / RATE


def _place(parts: list[tuple[float, np.ndarray]], seconds: float) -> np.ndarray:
    out = np.zeros(round(seconds * RATE))
    for begin, part in parts:
        at = round(begin * RATE)
        out[at : at + len(part)] += part[: len(out) - at]
    return out


def _hertz(pitch: float) -> float:
    return 440 * 2 ** ((pitch - 69) / 12)


def _tone(pitch: float, seconds: float, attack: float, release: float, tilt: float = 1.0, partials: int = 12):
    time, base = _samples(seconds), _hertz(pitch)
    count = min(partials, int(0.4 * RATE / base))
    wave = sum(np.sin(2 * np.pi * base * k * time + k * k) / k**tilt for k in range(1, count + 1))
    return wave * np.minimum(1, np.minimum(time / attack, time[::-1] / release))


def bursts(which: str, random, folder: Path) -> Iterator[Case]:
    """Sine tones with soft ends."""
    for hertz, interval in BURSTS[which]:
        for soft in (0.01, 0.02, 0.04):
            at, time = np.arange(0.5, 9.5, interval), _samples(interval)
            tone = np.sin(2 * np.pi * hertz * time) * np.minimum(1, np.minimum(time, time[::-1]) / soft)
            yield "sine bursts", f"{hertz} {soft}", _place([(x, tone) for x in at], 10.5), at


def pads(which: str, random, folder: Path) -> Iterator[Case]:
    """Chords with slow attacks: one after the other, overlapping, and with common notes."""
    chord, interval, tilt = PADS[which]
    for attack in (0.1, 0.3, 0.5):
        for name, overlap, shifts in (
            ("apart", -0.2, (0, 2, 4, 5)), ("overlapping", 0.3, (0, -3, 4, 2)), ("common notes", 0.2, None),
        ):  # fmt: skip
            at, parts = 0.8 + interval * np.arange(6), []
            for k, x in enumerate(at):
                moved = [shifts[k % 4] if shifts else 2 * ((k + voice) % 3 == 0) for voice in range(len(chord))]
                pitches = [pitch + shift for pitch, shift in zip(chord, moved, strict=True)]
                parts += [(x, _tone(p, interval + overlap, attack, 0.4, tilt)) for p in pitches]
            yield f"pads {attack} s", name, _place(parts, at[-1] + interval + 1), at


def sustained(which: str, random, folder: Path) -> Iterator[Case]:
    """Strings, choirs, winds, organs and synthesisers that repeat a note or change chords."""
    split = SPLIT[which]
    for program, pitch in SUSTAINED[which].items():
        family = FAMILIES[max(first for first in FAMILIES if first <= program)]
        for number, interval in enumerate(INTERVALS[which]):
            for name, ratio in (("detached", 0.6), ("legato", 1.0)):
                at = np.arange(0.5, 9.5, interval)
                notes = np.array([(x, ratio * interval, pitch + 5 * number, 90) for x in at])
                yield (
                    f"repeated, {name}: {family}",
                    f"{program} {interval}",
                    _font(notes, program, split, random, 10.5),
                    at,
                )
        at = np.arange(0.5, 13, 1.3 if which == "tune" else 1.7)
        roots = random.integers(-4, 6, len(at)).cumsum() % 7
        roots[1:][np.diff(roots) == 0] += 1
        notes = np.array(
            [(x, at[1] - at[0], pitch - 12 + r + k, 85) for x, r in zip(at, roots, strict=True) for k in (0, 4, 7, 12)]
        )
        yield f"chords: {family}", f"{program}", _font(notes, program, split, random, 14.5), at


def _font(notes, program, split, random, seconds):
    return onset_pieces.soundfont(notes, program, split, random, seconds)


def _snare(variant: int, random) -> np.ndarray:
    time = _samples(0.25)
    noise = random.standard_normal(len(time))
    decay, low, body = ((0.05, 900, 190), (0.09, 400, 230), (0.03, 1800, 160))[variant]
    sos = signal.butter(1, low, "highpass", fs=RATE, output="sos")
    ringing = 0.5 * np.sin(2 * np.pi * body * time) * np.exp(-time / 0.04)
    return (0.5 * signal.sosfilt(sos, noise) * np.exp(-time / decay) + ringing) * np.minimum(1, time / 0.0005)


def rolls(which: str, random, folder: Path) -> Iterator[Case]:
    """Snare rolls, sampled (as kits of a soundfont have them) and of formulas, even and swelling."""
    for bpm, strokes in ROLLS[which]:
        interval = 60 / bpm / strokes
        at = np.arange(0.5, 5.5, interval)
        for swells in (False, True):
            level = np.linspace(30, 120, len(at)) if swells else np.where(np.arange(len(at)) % 4, 85, 105)
            name = f"{bpm} {'swelling' if swells else 'even'}"
            kind = f"{'16ths' if strokes == 4 else '32nds'}"
            for note in (38, 40):
                notes = np.array([(x, interval, note, v) for x, v in zip(at, level, strict=True)])
                yield f"rolls, sampled, {kind}", f"{name} {note}", _kit(notes, which, random), at
            variant = int(random.integers(2)) if which == "tune" else 2 * int(random.integers(2))
            parts = [(x, (v / 127) ** 1.5 * _snare(variant, random)) for x, v in zip(at, level, strict=True)]
            yield f"rolls, formula, {kind}", f"{name}", _place(parts, 6.2), at


def _kit(notes, which, random):
    program = (25, 0, 24, 40)[int(random.integers(4))]
    synth, complete, _ = render._synth(SPLIT[which], RATE)
    synth.system_reset()
    render.played(synth, RATE)
    render.choose(synth, 9, complete[0], 128, program)
    out, done = np.zeros(int(6.2 * RATE), np.float32), 0
    for begin, _, pitch, velocity in notes:
        at = round(begin * RATE / 64) * 64
        out[done:at] = render.played(synth, at - done).mean(axis=1)
        done = at
        synth.noteon(9, int(pitch), int(velocity))
    out[done:] = render.played(synth, len(out) - done).mean(axis=1)
    return out


def basses(which: str, random, folder: Path) -> Iterator[Case]:
    """Short notes from E1 to E2: sines, a synthesiser, sampled basses."""
    for length in BASS_LENGTHS[which]:
        at = 0.4 + np.arange(24) * (length + 0.02 if which == "tune" else length * 1.25)
        pitches = random.integers(28, 41, len(at))
        end = at[-1] + 1
        tilt = 1.5 if which == "tune" else 1.1
        for kind, name, keys, sound in (
            ("sine", "", pitches, (0.008, 0.02, 1.0, 1)),
            ("sine", "same ", [33] * len(at), (0.008, 0.02, 1.0, 1)),
            ("synthesiser", "", pitches, (0.004, 0.03, tilt, 20)),
        ):
            parts = [(x, _tone(key, length, *sound)) for x, key in zip(at, keys, strict=True)]
            yield f"bass: {kind}", f"{name}{length}", _place(parts, end), at
        for program in BASS_PROGRAMS[which]:
            notes = np.array([(x, length, p, 95) for x, p in zip(at, pitches, strict=True)])
            yield "bass: sampled", f"{program} {length}", _font(notes, program, SPLIT[which], random, end), at


def plucked(which: str, random, folder: Path) -> Iterator[Case]:
    """Melodies of plucked and struck instruments."""
    for program in PLUCKED[which]:
        steps = random.choice([0.15, 0.3, 0.45, 0.6] if which == "tune" else [0.12, 0.24, 0.36, 0.72], 40)
        at = 0.5 + np.cumsum(steps)
        at = at[at < 10]
        pitches = np.clip(64 + np.cumsum(random.integers(-4, 5, len(at))), 48, 84)
        notes = np.array(
            [(x, 0.5, p, v) for x, p, v in zip(at, pitches, random.integers(60, 110, len(at)), strict=True)]
        )
        yield "plucked melodies", f"{program}", _font(notes, program, SPLIT[which], random, 11.5), at


def songs(which: str, random, folder: Path) -> Iterator[Case]:
    """Arranged songs: melody, chords, bass and drums."""
    for number in range(SONGS):
        performance = beat_pieces.band(random, folder, SPLIT[which])
        samples, starts = onset_pieces._excerpt(performance, random, SPLIT[which])
        yield "songs", f"{number}", samples, onset_pieces.onsets_of(starts, onset_pieces.SECONDS - 0.05)


def nothing(which: str, random, folder: Path) -> Iterator[Case]:
    """Sounds with one onset or none."""
    split, tune = SPLIT[which], which == "tune"
    for program in HELD[which]:
        for pitches in ((57,), (48, 55, 64)):
            notes = np.array([(0.5, 11.0, p, 90) for p in pitches])
            yield "held notes", f"{program} {len(pitches)}", _font(notes, program, split, random, 11.0), np.array([0.5])
    for program in (40, 48, 73, 53) if tune else (42, 49, 60, 75, 81):
        synth, fonts, _ = render._synth(split, RATE)
        synth.system_reset()
        render.played(synth, RATE)
        synth.program_select(0, fonts[0], 0, program)
        synth.cc(0, 1, 110)
        synth.noteon(0, 64, 90)
        yield "vibrato", f"{program}", render.played(synth, 11 * RATE).mean(axis=1), np.zeros(1)
    time = _samples(12)
    for hertz, depth, rate in (
        ((440, 0.5, 5.5), (220, 1.0, 6)) if tune else ((330, 0.7, 5), (660, 0.3, 6.5), (165, 1.2, 4.5))
    ):
        phase = 2 * np.pi * hertz * time + hertz * depth * 0.0595 / rate * np.sin(2 * np.pi * rate * time)
        yield "vibrato", f"{hertz}", sum(np.sin(k * phase) / k for k in range(1, 10)), np.zeros(1)
    for hertz, depth, rate in ((440, 0.3, 5), (150, 0.5, 3)) if tune else ((262, 0.4, 6), (880, 0.6, 4), (98, 0.5, 7)):
        wave = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 9))
        yield "tremolo", f"{hertz}", wave * (1 - depth * (0.5 + 0.5 * np.sin(2 * np.pi * rate * time))), np.zeros(1)
    for hertz, beat in ((440, 1), (220, 4), (110, 0.7)) if tune else ((330, 2), (523, 0.6), (82, 1.5), (196, 8)):
        for partials in (1, 8):
            wave = sum(
                np.sin(2 * np.pi * k * (hertz + d) * time) / k for k in range(1, partials + 1) for d in (0, beat)
            )
            yield "beating tones", f"{hertz} {beat} {partials}", wave, np.zeros(1)
    for hertz in (55, 1000) if tune else (41, 247, 3000):
        yield "steady tones", f"{hertz}", np.sin(2 * np.pi * hertz * time), np.zeros(1)
    for seed in range(2):
        white = random.standard_normal(len(time) + RATE)
        yield "noise", f"white {seed}", white[: len(time)], np.zeros(1)
        yield "noise", f"brown {seed}", signal.lfilter([1], [1, -0.999], white)[RATE:], np.zeros(1)
        pink = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.maximum(np.arange(len(white) // 2 + 1), 20)))
        yield "noise", f"pink {seed}", pink[: len(time)], np.zeros(1)
        slow = 1 + (0.6 if tune else 0.8) * np.sin(2 * np.pi * (0.2 + 0.3 * seed) * time)
        yield "noise", f"wind {seed}", pink[: len(time)] * slow, np.zeros(1)
    for decay in (2, 5) if tune else (1.5, 3.5, 7):
        click = np.zeros(len(time))
        click[RATE // 2] = 1
        tail = random.standard_normal(len(time)) * np.exp(-6.9 * time / decay)
        chord = _place([(0.5, sum(_tone(p, 0.4, 0.003, 0.05) for p in (60, 64, 67)))], 12)
        yield (
            "reverberation",
            f"click {decay}",
            click + signal.fftconvolve(click, 0.1 * tail)[: len(time)],
            np.array([0.5]),
        )
        yield (
            "reverberation",
            f"chord {decay}",
            chord + signal.fftconvolve(chord, 0.02 * tail)[: len(time)],
            np.array([0.5]),
        )
    for length in (4, 9) if tune else (3, 6, 11):
        pad = sum(_tone(p, 12, 0.01, 0.01) for p in (50, 57, 62, 66))
        yield "fades", f"in {length}", pad * np.minimum(1, time / length), np.zeros(1)
        yield "fades", f"out {length}", pad * np.minimum(1, time[::-1] / length), np.zeros(1)
    for rate in (150, 600) if tune else (100, 300, 1000):
        clap = random.standard_normal(RATE // 30) * np.exp(-np.arange(RATE // 30) / 250)
        impulses = (random.random(len(time)) < rate / RATE) * np.abs(random.normal(1, 0.5, len(time)))
        yield "applause", f"{rate}", signal.fftconvolve(impulses, clap)[: len(time)], np.zeros(1)


MAKERS = (bursts, pads, sustained, rolls, basses, plucked, songs, nothing)


def main() -> None:
    """Make the cases of a set."""
    import soundfile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the source material")
    parser.add_argument("out", type=Path)
    parser.add_argument("which", choices=list(SPLIT))
    arguments = parser.parse_args()
    for maker in MAKERS:
        random = np.random.default_rng([list(SPLIT).index(arguments.which), MAKERS.index(maker)])
        for kind, name, samples, onsets in maker(arguments.which, random, arguments.folder):
            case = arguments.out / arguments.which / kind / name
            case.mkdir(parents=True, exist_ok=True)
            samples = np.asarray(samples, np.float64) + 1e-5 * random.standard_normal(len(samples))
            soundfile.write(case / "mix.flac", 0.5 * samples / np.abs(samples).max(), RATE, subtype="PCM_24")
            artifacts.write_times(case / "onsets.txt", onsets)


if __name__ == "__main__":
    main()
