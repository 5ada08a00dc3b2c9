"""Synthetic sounds with known pitches, for the tests."""

import numpy as np

from mirflow.core.audio import Audio

MAJOR, MINOR = (0, 4, 7), (0, 3, 7)
CADENCES = {  # (root in semitones above the tonic, chord) of I IV V I and i iv V i
    "major": ((0, MAJOR), (5, MAJOR), (7, MAJOR), (0, MAJOR)),
    "minor": ((0, MINOR), (5, MINOR), (7, MAJOR), (0, MINOR)),
}


def tone(note, seconds, rate=44100, partials=6, a4=440.0):
    """Return one MIDI note whose partial k has the amplitude 1/k, with fades of 20 ms at both ends: float64 [n]."""
    time = np.arange(round(seconds * rate)) / rate
    frequency = a4 * 2 ** ((note - 69) / 12)
    fade = np.minimum(1, np.minimum(time, time[::-1]) / 0.02)
    return fade * sum(np.sin(2 * np.pi * frequency * k * time) / k for k in range(1, partials + 1))


def chords(sequence, seconds=0.6, rate=44100, **timbre):
    """Return a sequence of chords, which are lists of MIDI notes: float64 [n]."""
    return 0.1 * np.concatenate([sum(tone(note, seconds, rate, **timbre) for note in notes) for notes in sequence])


def cadence(tonic, scale, rate=44100, **timbre):
    """Return the mono stems bass and other of a cadence in one of the 24 keys, name → `Audio`."""
    roots = [(tonic + degree) % 12 for degree, _ in CADENCES[scale]]
    bass = chords([[36 + root] for root in roots], rate=rate, **timbre)
    triads = [
        [60 + (root + step) % 12 for step in chord] for root, (_, chord) in zip(roots, CADENCES[scale], strict=True)
    ]
    other = chords(triads, rate=rate, **timbre)
    return {name: Audio(part[None].astype(np.float32), rate) for name, part in (("bass", bass), ("other", other))}


def silence_like(sound):
    """Return digital silence of the same duration, rate and number of channels."""
    return Audio(np.zeros_like(sound.samples), sound.rate)


def mix_of(*sounds):
    """Return the sum of sounds of equal length and rate."""
    return Audio(sum(sound.samples for sound in sounds), sounds[0].rate)
