"""Drum kits as single hits: `python -m training.drum_kits OUT` renders every note of every kit once.

A kit is OUT/<set>/<kit>.npz: "notes" of General MIDI and "velocities" of its hits, where each hit "begins" in
"samples" (int16, `RATE`), and one more begin for the end of the last. A hit begins `LEAD` before its onset.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import signal

from training.sources import soundfont

RATE = 44100  # Hz
LEAD = 44  # samples before the onset
VELOCITIES = (24, 52, 80, 104, 127)
DRUMS = {
    "kick": (35, 36),
    "snare": (37, 38, 40),
    "tom": (41, 43, 45, 47, 48, 50),
    "hihat": (42, 44, 46),
    "cymbal": (49, 51, 52, 53, 55, 57, 59),
}
OTHERS = (54, 56, 60, 61, 62, 63, 64, 69, 70, 75, 76, 82)  # percussion that is none of the drums
LONG = (46, *DRUMS["cymbal"])
# Kits of soundfonts: programs of their bank for drums. None: the soundfont holds one kit, in bank 0.
SOUNDFONTS = {
    "train": {
        "FluidR3_GM": (0, 8, 16, 24, 25, 32, 40, 48),
        "OPL-3_FM_128M": (0,),
        "GeneralUser-v1.47": (0, 8, 16, 24, 25, 32, 40, 48),
        "sonivox": (0, 8, 32, 40),
        "Red_Zeppelin_4_LV2": None,
        "Black_Pearl_4_LV2": None,
    },
    "valid": {"sf_GMbank": (0, 8, 16, 24, 25, 32, 40, 48)},
    "test": {"TimGM6mb": (0, 8, 16, 24, 25, 32, 40, 48)},
}
# Single sounds, for training only: file name without its number → note. A kit is a random choice of them.
SONIC_PI, LMMS = Path("/usr/share/sonic-pi/samples"), Path("/usr/share/lmms/samples/drums")
SINGLE = {
    "bd_808": 36, "bd_ada": 36, "bd_boom": 36, "bd_fat": 36, "bd_gas": 36, "bd_haus": 36, "bd_klub": 36, "bd_pure": 36,
    "bd_sone": 36, "bd_tek": 36, "bd_zome": 36, "bd_zum": 36, "drum_bass_hard": 36, "drum_bass_soft": 36,
    "drum_heavy_kick": 36, "elec_hollow_kick": 36, "elec_soft_kick": 36, "drum_snare_hard": 38, "drum_snare_soft": 38,
    "sn_dolf": 38, "sn_dub": 38, "sn_generic": 38, "sn_zome": 38, "elec_snare": 38, "elec_hi_snare": 38,
    "elec_lo_snare": 38, "elec_mid_snare": 38, "elec_filt_snare": 38, "drum_tom_hi_hard": 50, "drum_tom_hi_soft": 50,
    "drum_tom_mid_hard": 47, "drum_tom_mid_soft": 47, "drum_tom_lo_hard": 43, "drum_tom_lo_soft": 43,
    "elec_fuzz_tom": 45, "drum_cymbal_closed": 42, "drum_cymbal_pedal": 44, "drum_cymbal_open": 46,
    "drum_cymbal_hard": 49, "drum_cymbal_soft": 51, "drum_splash_hard": 55, "drum_splash_soft": 55,
    "drum_cowbell": 56, "elec_cymbal": 49,
    "bassdrum": 36, "bassdrum_acoustic": 36, "kick": 36, "kick_hard": 36, "kick_hardcore": 36, "kick_hiphop": 36,
    "kick_long": 36, "kick_soft": 36, "kick_distorted": 36, "snare": 38, "snare_acoustic": 38, "snare_electro": 38,
    "snare_harsh": 38, "snare_hiphop": 38, "snare_muffled": 38, "snare_rim": 38, "snare_short": 38, "sidestick": 37,
    "rim": 37, "tom": 45, "tom_hi": 50, "tom_low": 43, "tom_mid": 47, "hihat_closed": 42, "hihat_foot_pedal": 44,
    "hihat_opened": 46, "crash": 49, "ride": 51, "shaker": 70, "clav": 75, "wood": 76,
}  # fmt: skip
FORMULA_KITS = {"train": 80, "valid": 6, "test": 6}


@dataclass(frozen=True)
class Kit:
    """The hits of a kit: note → list of (velocity, float32 [n] whose peak is at most 1)."""

    name: str
    hits: dict[int, list[tuple[int, np.ndarray]]]


@cache
def load(folder: Path, split: str) -> tuple[Kit, ...]:
    """Return all kits of a set."""
    kits = []
    for path in sorted((folder / split).glob("*.npz")):
        with np.load(path) as stored:
            notes, velocities, begins, samples = (stored[n] for n in ("notes", "velocities", "begins", "samples"))
        hits: dict[int, list[tuple[int, np.ndarray]]] = {}
        for note, velocity, begin, end in zip(notes, velocities, begins[:-1], begins[1:], strict=True):
            hits.setdefault(int(note), []).append((int(velocity), samples[begin:end].astype(np.float32) / 32767))
        kits.append(Kit(path.stem, hits))
    return tuple(kits)


def cut(sound: np.ndarray) -> np.ndarray | None:
    """Cut a hit to `LEAD` before its onset, and where it has decayed; None if it is silent."""
    peak = np.abs(sound).max(initial=0)
    if peak < 1e-4:
        return None
    onset = int(np.flatnonzero(np.abs(sound) > 0.08 * np.abs(sound[: RATE // 4]).max())[0])
    last = int(np.flatnonzero(np.abs(sound) > 1e-3 * peak)[-1]) + 1
    out = np.pad(sound, (LEAD, 0))[onset : last + LEAD].astype(np.float32)
    fade = min(len(out), RATE // 50)
    out[len(out) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return out


def soundfont_hits(name: str, program: int | None) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield note, velocity and samples of each hit of a soundfont's kit."""
    import fluidsynth

    synth = fluidsynth.Synth(
        samplerate=RATE, gain=0.5, **{"synth.reverb.active": 0, "synth.chorus.active": 0, "synth.polyphony": 16}
    )
    font = synth.sfload(str(soundfont(name)))
    for note in (*(note for notes in DRUMS.values() for note in notes), *OTHERS):
        for velocity in VELOCITIES:
            synth.system_reset()
            if synth.program_select(9, font, 128 if program is not None else 0, program or 0) != 0:
                return
            synth.noteon(9, note, velocity)
            stereo = synth.get_samples(round(RATE * (3.0 if note in LONG else 1.2))).reshape(-1, 2)
            yield note, velocity, stereo.mean(axis=1) / 32768
    synth.delete()


def single_hits(random: np.random.Generator) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield note, velocity and samples of hits from the folders of single sounds: one sound for each note."""
    import soundfile

    found: dict[int, list[Path]] = {}
    for path in sorted([*SONIC_PI.glob("*.flac"), *LMMS.glob("*.ogg")]):
        name = path.stem if path.parent == SONIC_PI else path.stem.rstrip("0123456789")
        if name in SINGLE and path.read_bytes()[:4] in (b"fLaC", b"OggS"):  # kick04.ogg is a WAV file with Vorbis in it
            found.setdefault(SINGLE[name], []).append(path)
    for note, paths in found.items():
        samples, rate = soundfile.read(paths[random.integers(len(paths))], dtype="float32", always_2d=True)
        mono = samples.mean(axis=1)
        if rate != RATE:
            mono = signal.resample_poly(mono, RATE, rate).astype(np.float32)
        yield note, 110, mono[: 3 * RATE]


def formula_hits(random: np.random.Generator) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield note, velocity and samples of hits made of swept sines, noise and rings of many partials."""
    time = np.arange(3 * RATE) / RATE
    u = random.uniform

    def noise(low, high, decay, attack=0.0005):
        white = random.standard_normal(len(time))
        band = signal.butter(2, [low, min(high, 0.47 * RATE)], "bandpass", fs=RATE, output="sos")
        out = signal.sosfilt(band, white) * np.exp(-time / decay) * np.minimum(1, time / attack)
        return out / np.abs(out).max()

    def swept(start, end, sweep, decay):
        frequency = end + (start - end) * np.exp(-time / sweep)
        return np.sin(2 * np.pi * np.cumsum(frequency) / RATE + u(0, 1.5)) * np.exp(-time / decay)

    def ring(low, high, count, decay):
        partials = np.exp(u(np.log(low), np.log(high), count))
        decays = decay * u(0.4, 1.2, count)
        out = sum(
            np.sin(2 * np.pi * f * time + u(0, 6.3)) * np.exp(-time / d) for f, d in zip(partials, decays, strict=True)
        )
        return out / np.abs(out).max()

    kick = swept(u(80, 320), u(38, 75), u(0.008, 0.05), u(0.05, 0.35))
    kick += u(0, 0.5) * noise(u(800, 2500), u(4000, 9000), u(0.003, 0.01)) + u(0, 0.2) * noise(60, 400, u(0.02, 0.1))
    yield 36, 110, kick
    modes = (swept(u(190, 330), u(150, 240), 0.02, u(0.03, 0.15)) + u(0, 0.6) * swept(u(300, 420), 300, 0.02, 0.05)) / 2
    wires = noise(u(300, 2000), u(5000, 14000), u(0.04, 0.22))
    yield 38, 110, u(0.3, 1.2) * modes + u(0.4, 1.2) * wires + u(0, 0.5) * noise(2000, 8000, 0.006)
    yield 37, 100, noise(u(1000, 2000), u(2500, 5000), u(0.006, 0.02)) + u(0, 0.8) * swept(u(400, 900), 400, 0.01, 0.02)
    base, decay = u(70, 120), u(0.1, 0.4)
    for note, ratio in zip(DRUMS["tom"], np.cumprod(u(1.1, 1.3, 6)), strict=True):
        skin = swept(base * ratio * u(1.1, 1.6), base * ratio, u(0.02, 0.06), decay / ratio**0.5)
        yield note, 110, skin + u(0.05, 0.4) * noise(500, 5000, u(0.01, 0.05))
    low, metal, bright = u(4000, 8000), u(0, 1.2), u(11000, 19000)
    for note, decay, soft in ((42, u(0.012, 0.06), 0), (44, u(0.015, 0.06), 1), (46, u(0.12, 0.6), 0)):
        attack = 0.004 if soft else 0.0005
        yield note, 100, noise(low * (0.8 if soft else 1), bright, decay, attack) + metal * ring(3000, 14000, 30, decay)
    for note in (49, 57):
        yield note, 110, noise(u(1500, 3500), bright, u(0.4, 1.2), u(0.001, 0.006)) + metal * ring(400, 12000, 60, 1.0)
    ping = ring(u(300, 1500), u(6000, 11000), 25, u(0.2, 0.8))
    yield 51, 100, ping + u(0.1, 0.8) * noise(4000, bright, u(0.2, 0.8)) + u(0, 0.6) * noise(3000, 9000, 0.01)
    yield 53, 100, ring(u(500, 1200), 6000, 10, u(0.2, 0.7)) + 0.2 * noise(4000, bright, 0.3)
    yield 55, 100, noise(3000, bright, u(0.15, 0.4)) + metal * ring(1500, 14000, 40, 0.3)
    yield 54, 90, noise(5000, 14000, u(0.03, 0.08), 0.003) + ring(5000, 12000, 12, 0.08)
    yield 70, 90, noise(4500, 12000, u(0.02, 0.05), u(0.004, 0.02))


def write(path: Path, hits: Iterator[tuple[int, int, np.ndarray]]) -> None:
    """Write a kit; nothing if it has no sounds."""
    kept = [(note, velocity, cut(sound)) for note, velocity, sound in hits]
    kept = [hit for hit in kept if hit[2] is not None]
    if not kept:
        return
    # Loud and soft hits keep their ratio; single sounds and formulas have one level for each note.
    peak = max(np.abs(hit[2]).max() for hit in kept)
    sounds = [np.round(hit[2] * (32767 / peak)).astype(np.int16) for hit in kept]
    np.savez(
        path,
        notes=[hit[0] for hit in kept],
        velocities=[hit[1] for hit in kept],
        begins=np.cumsum([0, *(len(sound) for sound in sounds)]),
        samples=np.concatenate(sounds),
    )


def main() -> None:
    """Write the kits of all sets; those that exist are kept."""
    out = Path(sys.argv[1])
    for index, (split, fonts) in enumerate(SOUNDFONTS.items()):
        (out / split).mkdir(parents=True, exist_ok=True)
        made = {
            f"{font}_{program}": soundfont_hits(font, program) for font, ps in fonts.items() for program in ps or [None]
        }
        if split == "train":
            made |= {f"single_{k:03d}": single_hits(np.random.default_rng([9, k])) for k in range(30)}
        made |= {
            f"formula_{k:03d}": formula_hits(np.random.default_rng([index, k])) for k in range(FORMULA_KITS[split])
        }
        for name, hits in made.items():
            if not (path := out / split / f"{name}.npz").exists():
                write(path, hits)


if __name__ == "__main__":
    main()
