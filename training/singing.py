"""Synthetic singing: the speech of persons and of speech synthesisers, with the pitches and lengths of a melody.

Speech is taken apart by WORLD (Morise et al. 2016, IEICE Trans. E99-D) into pitch, spectral envelope and aperiodicity.
Each note gets one syllable: its consonants keep their speed, its vowel is held, and the pitch of the speech is replaced
by that of the melody, with portamento, vibrato and drift.
"""

import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage, signal

RATE = 44100
STEP = 0.005  # seconds from frame to frame of WORLD
FFT = 2048
# Persons: folders of TRAIN/speech. Voices of flite, festival and espeak-ng: "flite:awb", "espeak:fr". Each voice is in
# one set.
VOICES = {
    "train": (
        "en_US_f_Allison", "fr_CA_f_June", "it_IT_m_Carlo", "flite:awb", "flite:rms", "espeak:en-us",
        "festival:lp_diphone", "festival:pc_diphone", "festival:czech_dita", "festival:czech_machac",
        "festival:czech_krb", "festival:suo_fi_lj_diphone", "festival:hy_fi_mv_diphone", "festival:upc_ca_ona_hts",
        "festival:ked_diphone",
    ),
    "valid": ("flite:slt",),
    "test": ("ru_RU_f_IvrvoiceRU", "flite:kal16", "espeak:de"),
}  # fmt: skip
MEN = ("_m_", "rms", "awb", "kal", "RU", "espeak", ":pc_", "machac", "mv_", "ked")  # parts of their names
WORDS = """love time night day heart never always going home away over the river under a golden sky dancing alone with
you and me singing softly through summer rain waiting dreaming falling in silver light tomorrow yesterday remember
follow highway morning fire baby hold on say goodbye where are we now no more tears open window hear them calling
shadow water mountain feel your hand stay close forever young beautiful lonely stranger moving slowly higher""".split()
BANDWIDTH = 7200.0  # Hz, up to where speech of 16 kHz says how a voice sounds


def _speech(voice: str, folder: Path, random: np.random.Generator, seconds: float) -> np.ndarray:
    """Return about so many seconds of speech, float64 [n] at `RATE`."""
    import soundfile
    import soxr

    parts, total = [], 0.0
    while total < seconds:
        if ":" in voice:
            text = " ".join(random.choice(WORDS, 40))
            program, _, name = voice.partition(":")
            with tempfile.TemporaryDirectory() as scratch:
                path = f"{scratch}/speech.wav"
                if program == "flite":
                    command = ["flite", "-voice", name, "-t", text, "-o", path]
                elif program == "festival":
                    (text_file := Path(scratch, "text")).write_text(text)
                    command = ["text2wave", "-eval", f"(voice_{name})", "-o", path, str(text_file)]
                else:
                    command = ["espeak-ng", "-v", name, "-s", "130", "-p", str(random.integers(20, 80)), "-w", path]
                    command.append(text)
                subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
                samples, rate = soundfile.read(path)
        else:
            files = _recordings(folder / "speech" / voice)
            samples, rate = _decode(files[random.integers(len(files))]), 16000
        if len(samples) > rate:
            parts.append(soxr.resample(samples, rate, RATE))
            total += len(samples) / rate
    return np.concatenate(parts).astype(np.float64)


@lru_cache
def _recordings(folder: Path) -> list[Path]:
    """Return the files with sentences: those that are long enough."""
    return sorted(path for path in folder.rglob("*.g722") if path.stat().st_size > 16000)


def _decode(path: Path) -> np.ndarray:
    import av

    with av.open(str(path), format="g722") as container:
        return np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)]).astype(np.float64) / 32768


@lru_cache(maxsize=12)
def _analysed(voice: str, folder: Path, number: int, seconds: float = 14.0) -> tuple:
    """Return log envelope and aperiodicity float32 [frame, bin], and the syllables (start, middle, end) in frames."""
    import pyworld

    random = np.random.default_rng([number, sum(map(ord, voice))])
    speech = _speech(voice, folder, random, seconds)
    speech = speech / max(np.abs(speech).max(), 1e-9)
    pitch, times = pyworld.dio(speech, RATE, frame_period=1000 * STEP)
    pitch = pyworld.stonemask(speech, pitch, times, RATE)
    envelope = np.log(pyworld.cheaptrick(speech, pitch, times, RATE, fft_size=FFT) + 1e-16)
    noise = pyworld.d4c(speech, pitch, times, RATE, fft_size=FFT)
    # Recorded speech ends at 8 kHz: above, the envelope falls with 9 dB an octave, and the sound is noise.
    limit = int(BANDWIDTH * FFT / RATE)
    level = envelope[:, limit - 60 : limit].mean(axis=1, keepdims=True)
    octaves = np.log2(np.arange(limit, envelope.shape[1]) / limit)
    envelope[:, limit:] = level - octaves * (9 / 10 * np.log(10))
    noise[:, limit:] = np.maximum(noise[:, limit - 1 : limit], np.minimum(0.5 + octaves, 1))
    return envelope.astype(np.float32), noise.astype(np.float32), pitch > 0, _syllables(envelope, pitch)


def _syllables(envelope: np.ndarray, pitch: np.ndarray) -> list[tuple[int, int, int]]:
    """Find syllables: maxima of the level of voiced speech, with the minima around them."""
    level = 10 * np.log10(np.exp(envelope).sum(axis=1) + 1e-12)
    level = ndimage.gaussian_filter1d(level, 3)
    peaks, _ = signal.find_peaks(np.where(pitch > 0, level, -120), distance=20, prominence=2, height=level.max() - 30)
    out = []
    for k, peak in enumerate(peaks):
        low = max(peaks[k - 1] if k else 0, peak - 50)
        high = min(peaks[k + 1] if k + 1 < len(peaks) else len(level) - 1, peak + 50)
        if peak - low > 4 and high - peak > 4:
            out.append((low + int(level[low:peak].argmin()), int(peak), peak + int(level[peak:high].argmin())))
    return out


def sing(
    melody: np.ndarray,
    split: str,
    folder: Path,
    random: np.random.Generator,
    seconds: float,
    voice: tuple | None = None,
) -> tuple[np.ndarray, tuple]:
    """Sing a melody.

    Parameters
    ----------
    melody : [note, 3]: start and duration in seconds, pitch in semitones (MIDI); one note at a time
    split : the set of voices
    seconds : length of the sound
    voice : of an earlier call, to sing a second take; None: by chance

    Returns
    -------
    float32 [n] at `RATE`, and the voice
    """
    import pyworld

    if voice is None:
        name = str(random.choice(VOICES[split]))
        male = any(mark in name for mark in MEN)
        voice = name, int(random.integers(12)), float(random.normal(1.0, 0.07)), male, float(random.uniform(0, 1.5))
    name, number, formants, male, breath = voice
    envelope, noise, voiced, syllables = _analysed(name, folder, number)
    count = int(seconds / STEP) + 1
    silent = np.log(1e-14)
    position, loudness = np.zeros(count, np.float32), np.full(count, silent, np.float32)
    semitones = np.full(count, np.nan)
    centre = 52 if male else 63
    octave = 12 * np.round((centre + random.uniform(-2, 4) - np.median(melody[:, 2])) / 12)
    first = int(random.integers(len(syllables)))
    gain = random.normal(0, 0.25, len(melody))
    vowel = None
    for k, (begin, duration, pitch) in enumerate(melody):
        low, middle, high = syllables[(first + k) % len(syllables)]
        if vowel is not None and random.random() < 0.12:  # a melisma: the vowel goes on
            low = middle = vowel
            high = middle + 1
        vowel = middle
        length = max(int(duration / STEP), 8)
        attack = min(middle - low, int(0.6 * length))
        decay = min(high - middle, int(0.3 * length))
        held = max(length - attack - decay, 1)
        wander = middle + np.clip(np.cumsum(random.normal(0, 0.15, held)), -2, 2)
        path = np.concatenate(
            [np.linspace(middle - attack, middle, attack), wander, np.linspace(middle, middle + decay, decay)]
        )
        lead = int(voiced[low:middle].argmax()) if middle > low else 0  # consonants come before the beat
        at = int(begin / STEP) - min(lead, attack)
        start, stop = max(at, 0), min(at + len(path), count)
        if stop <= start:
            continue
        position[start:stop] = path[start - at : stop - at]
        loudness[start:stop] = gain[k] - np.linspace(0, random.uniform(0, 0.8), len(path))[start - at : stop - at]
        semitones[start:stop] = pitch + octave
    known = np.flatnonzero(~np.isnan(semitones))
    if len(known) == 0:
        return np.zeros(int(seconds * RATE), np.float32), voice
    semitones = np.interp(np.arange(count), known, semitones[known])
    sounding = loudness > silent
    semitones = ndimage.gaussian_filter1d(semitones, random.uniform(4, 14))
    since = np.arange(count) - np.maximum.accumulate(
        np.where(np.abs(np.diff(semitones, prepend=semitones[0])) > 0.05, np.arange(count), 0)
    )
    depth = random.uniform(0.05, 0.7) * np.clip((since - 30) / 60, 0, 1)
    phase = 2 * np.pi * np.cumsum(random.uniform(4.8, 6.8) * (1 + 0.1 * _slow(random, count, 60))) * STEP
    semitones = semitones + depth * np.sin(phase) + 0.12 * _slow(random, count, 12) + random.normal(0, 0.05)
    below = np.clip(position.astype(int), 0, len(envelope) - 2)
    part = (position - below)[:, None]
    shape = envelope[below] * (1 - part) + envelope[below + 1] * part
    rough = noise[below] * (1 - part) + noise[below + 1] * part
    if abs(formants - 1) > 0.005:
        bins = np.clip(np.arange(shape.shape[1]) / formants, 0, shape.shape[1] - 1.001)
        whole = bins.astype(int)
        rest = (bins - whole).astype(np.float32)
        shape = shape[:, whole] * (1 - rest) + shape[:, whole + 1] * rest
    loudness = np.where(sounding, loudness, -12)
    loudness = ndimage.gaussian_filter1d(loudness, 2) - 20.0 * ndimage.gaussian_filter1d(1.0 - sounding, 2)
    shape = np.exp(np.clip(shape + loudness[:, None], -36, 20))
    rough = np.clip(rough ** (1 / (1 + breath)), 1e-3, 1 - 1e-3)
    pitch = np.where(voiced[below] & sounding, 440 * 2 ** ((semitones - 69) / 12), 0.0)
    arrays = (np.ascontiguousarray(array, np.float64) for array in (pitch, shape, rough))
    sound = pyworld.synthesize(*arrays, RATE, 1000 * STEP)
    sound = np.pad(sound, (0, max(0, int(seconds * RATE) - len(sound))))[: int(seconds * RATE)]
    return (sound / max(np.abs(sound).max(), 1e-6)).astype(np.float32), voice


def _slow(random: np.random.Generator, count: int, width: float) -> np.ndarray:
    out = ndimage.gaussian_filter1d(random.normal(0, 1, count), width)
    return out / max(out.std(), 1e-9)
