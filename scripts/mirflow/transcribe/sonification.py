"""Sonification of drum notes: the track on the left, synthetic drums on the right."""

import numpy as np

from mirflow.core.audio import Audio
from mirflow.transcribe.activations import DRUMS
from mirflow.transcribe.notes import HIGH_TOM, LOW_TOM, OPEN, RIDE, DrumNotes

VERSION = 1  # of the audio; raise it when its samples change
TRACK_LEVEL, DRUM_LEVEL = 0.7, 0.5  # of full scale
SEED = 0  # of the noise of snares, hi-hats and cymbals


def beside_the_track(full_mix: Audio, drums: DrumNotes) -> Audio:
    """Return the track on the left and its drum notes on the right.

    Parameters
    ----------
    full_mix : the whole track, samples float32 [channel, n]

    Returns
    -------
    samples float32 [2, n], clipped to [-1, 1]
    """
    left = TRACK_LEVEL * full_mix.mono()
    right = np.zeros_like(left)
    sounds: dict[tuple[int, int], np.ndarray] = {}
    for time, drum, pitch, velocity in zip(drums.times, drums.drums, drums.pitches, drums.velocities, strict=True):
        if (drum, pitch) not in sounds:
            sounds[drum, pitch] = _sound(DRUMS[drum], int(pitch), full_mix.rate)
        begin = round(time * full_mix.rate)
        target = right[begin : begin + len(sounds[drum, pitch])]
        target += np.float32(DRUM_LEVEL * (velocity / 127) ** 2) * sounds[drum, pitch][: len(target)]
    return Audio(np.clip(np.stack([left, right]), -1, 1), full_mix.rate)


def _sound(drum: str, pitch: int, rate: int) -> np.ndarray:
    """Return one hit of a drum: float32 [n], peak about 1."""
    seconds, noisiness, frequency, decay = {
        "kick": (0.3, 0.0, 55.0, 0.08),
        "snare": (0.25, 0.7, 190.0, 0.06),
        "tom": (0.4, 0.0, {LOW_TOM: 80.0, HIGH_TOM: 180.0}.get(pitch, 120.0), 0.12),
        "hihat": (0.5, 1.0, 0.0, 0.15 if pitch == OPEN else 0.025),
        "cymbal": (1.2, 1.0, 0.0, 0.2 if pitch == RIDE else 0.4),
    }[drum]
    time = np.arange(round(seconds * rate)) / rate
    white = np.random.default_rng(SEED).standard_normal(len(time) + 1) / 3
    if drum in ("hihat", "cymbal"):
        white[1:] = np.diff(white) / np.sqrt(2)  # more of the highs
    tone = np.sin(2 * np.pi * frequency * (time + 0.01 * (1 - np.exp(-time / 0.01))))
    return (np.exp(-time / decay) * (noisiness * white[1:] + (1 - noisiness) * tone)).astype(np.float32)
