"""Conflicts: texts that name another tempo or key than the measured one.

Such a text describes music that the model has made up; users keep it out of training. Only clear contradictions count.
Half and double tempo are the same beat counted differently (accuracy 2 of the MIREX tempo tasks), a relative key has
the same notes, and where a text names several tempos or keys, one that agrees is enough.
"""

import re
from collections.abc import Mapping

TEMPO_TOLERANCE = 0.04  # of the MIREX tempo tasks
TEMPO_LEVELS = (1 / 3, 1 / 2, 1, 2, 3)
CLEAR_KEY = 0.7  # below this tonic_strength the measured key is little more than a guess, and no text contradicts it
NOTES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
SIGNS = {"#": 1, "sharp": 1, "b": -1, "flat": -1, "": 0}
NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

_NUMBER = r"(\d{2,3}(?:\.\d+)?)"
_RANGE = rf"{_NUMBER}(?:\s*(?:-|to|and)\s*{_NUMBER})?"
_UNIT = r"(?:bpm\b|b\.p\.m\.|beats[ -]per[ -]minute\b)"
_TEMPO = re.compile(
    rf"{_RANGE}\s*-?\s*{_UNIT}"
    rf"|(?:\b{_UNIT}|(?<![\w-])tempo)\s*(?:\bis\b|\bof\b|:|=)\s*(?:about|around|approximately|roughly|circa|ca\.|near|~)?\s*{_RANGE}(?![\d/])",
    re.I,
)
_KEY = re.compile(
    r"(?:\b[Kk]ey(?: signature| cent(?:re|er))?\b|\b[Ii]n\b|\b[Tt]onality\b|\b[Tt]onal cent(?:re|er)\b|\b[Tt]onic\b)"
    r"(?:\s+(?:of|is|in|the|key|around|likely|probably|appears to be|seems to be))*\s*[:=]?\s*"
    r"([A-G])(?:[ -]?(#|b|[Ss]harp|[Ff]lat)(?![a-z]))?[ -]?([Mm]ajor|[Mm]inor|[Mm]aj|[Mm]in)\b"
    r"(?! (?:change|changes|shift|role|part|way|hit|issue|label|difference|7th|seventh)\b)"
)


def tempos(text: str) -> list[tuple[float, float]]:
    """Return the tempos that a text (normalised) names, each as a range (low, high) in beats per minute."""
    found = []
    for match in _TEMPO.finditer(text):
        numbers = [float(number) for number in match.groups() if number]
        found.append((min(numbers), max(numbers)))
    return found


def keys(text: str) -> list[tuple[int, str]]:
    """Return the keys that a text (normalised) names: tonic (C = 0) and "major" or "minor". Chords do not count."""
    return [
        ((NOTES[letter] + SIGNS[sign.lower()]) % 12, "major" if mode.lower().startswith("maj") else "minor")
        for letter, sign, mode in (match.groups("") for match in _KEY.finditer(text))
    ]


def find(text: str, measured: Mapping) -> list[str]:
    """Return where a text contradicts what was measured.

    Parameters
    ----------
    measured : ``bpm`` (1/min), ``tonic`` (C = 0), ``tonic_scale``, ``tonic_strength``, each None where undefined

    Returns
    -------
    a sentence for each contradiction, tempo first; empty without any
    """
    found = []
    bpm, named = measured.get("bpm"), tempos(text)
    if bpm is not None and named and not any(_same_tempo(bpm, *span) for span in named):
        said = " and ".join(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in named)
        found.append(f"tempo: the text says {said} bpm, measured {bpm:.1f}")
    tonic, scale, strength = (measured.get(key) for key in ("tonic", "tonic_scale", "tonic_strength"))
    stated = keys(text)
    if tonic is not None and strength >= CLEAR_KEY and stated:
        relative = ((tonic + 9) % 12, "minor") if scale == "major" else ((tonic + 3) % 12, "major")
        if not {(tonic, scale), relative} & set(stated):
            said = " and ".join(f"{NAMES[note]} {mode}" for note, mode in stated)
            found.append(f"key: the text says {said}, measured {NAMES[tonic]} {scale}")
    return found


def comparable(measured: Mapping) -> bool:
    """Return whether anything was measured that a text could contradict."""
    return measured.get("bpm") is not None or (measured.get("tonic_strength") or 0) >= CLEAR_KEY


def _same_tempo(bpm: float, low: float, high: float) -> bool:
    return any(low * (1 - TEMPO_TOLERANCE) <= bpm * level <= high * (1 + TEMPO_TOLERANCE) for level in TEMPO_LEVELS)
