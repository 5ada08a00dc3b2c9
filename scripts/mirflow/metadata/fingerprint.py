"""Acoustic fingerprints: what the first two minutes of a track sound like, in a few kilobytes.

Chromaprint (the fingerprint of AcoustID) describes an eighth of a second with a word of 32 bits, from how the energy of
the twelve pitch classes changes around it. Two encodings of one recording have words that differ in few bits, at any
level and sampling rate; those of different music differ in nearly half of them.

Source: L. Lalinský, Chromaprint; D. Ke, D. Hoiem & R. Sukthankar 2005, Computer vision for music identification, CVPR.
"""

import base64
import importlib.metadata
from typing import Any

import numpy as np

from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.core.feature import PROVENANCE
from mirflow.dsp import essentia_algorithms

NAME = "fingerprint"
VERSION = 1  # raise it when values change
BACKEND = "essentia-tensorflow"
FINGERPRINT, DURATION = "_fingerprint", "_duration"  # in the fragment
SECONDS = 120  # of the track, from its beginning, as AcoustID has them
SHORTEST = 3.0  # s; what is shorter has hardly a word
WORD_SECONDS = 1365 / 11025  # from one word to the next
SILENCE = 627964279  # the word of digital silence
_HEADER = 4  # bytes: the algorithm, and the number of words
_NORMAL, _EXCEPTION = 3, 5  # bits of a distance between set bits, and of what it exceeds 7 by


def fragment(full_mix: Audio) -> dict[str, Any]:
    """Return the fragment of a track: its fingerprint as AcoustID takes it, and its duration in seconds."""
    origin = {
        "feature": NAME,
        "version": VERSION,
        "backend": BACKEND,
        "backend_version": importlib.metadata.version(BACKEND),
    }
    return {FINGERPRINT: compute(full_mix), DURATION: full_mix.duration, PROVENANCE: origin}


def compute(full_mix: Audio) -> str | None:
    """Return the fingerprint of a track.

    Parameters
    ----------
    full_mix : samples float32 [channel, n]

    Returns
    -------
    Chromaprint's compressed form in URL-safe base64; None for a track that is silent or shorter than `SHORTEST`
    """
    first = Audio(full_mix.samples[:, : SECONDS * full_mix.rate], full_mix.rate)
    if first.duration < SHORTEST or first.is_silent:
        return None
    es = essentia_algorithms.standard()

    text = es.Chromaprinter(sampleRate=first.rate)(np.ascontiguousarray(first.mono()))
    found = words(text) if text else np.zeros(0, np.uint32)
    return text if np.any(found != SILENCE) else None


def words(fingerprint: str) -> np.ndarray:
    """Return the words of a fingerprint: uint32 [n].

    Each word is stored as its difference (exclusive or) to the word before: the distances between the bits that are
    set, 3 bits each, and a zero at its end; distances of 7 and more continue in 5 bits each, after all of these.

    Raises
    ------
    MirflowError : it is not a fingerprint
    """
    try:
        content = base64.urlsafe_b64decode(fingerprint + "=" * (-len(fingerprint) % 4))
    except ValueError as error:
        raise MirflowError(f"not a fingerprint: {error}") from error
    count = int.from_bytes(content[1:_HEADER])
    bits = np.unpackbits(np.frombuffer(content, np.uint8)[_HEADER:], bitorder="little")
    values = _numbers(bits, _NORMAL)
    ends = np.flatnonzero(values == 0)[:count]
    if len(content) < _HEADER or len(ends) < count:
        raise MirflowError("not a fingerprint: it is cut short")
    if not count:
        return np.zeros(0, np.uint32)
    distances = values[: ends[-1] + 1].astype(np.int64)
    large = np.flatnonzero(distances == 7)
    begin = -(-(len(distances) * _NORMAL) // 8) * 8  # the second part begins with a byte
    more = _numbers(bits[begin:], _EXCEPTION)
    if len(more) < len(large):
        raise MirflowError("not a fingerprint: it is cut short")
    distances[large] += more[: len(large)]
    starts = np.concatenate([[0], ends[:-1] + 1])
    word = np.repeat(np.arange(count), ends - starts + 1)
    total = np.cumsum(distances)
    position = total - np.concatenate([[0], total])[starts][word] - 1  # of the set bit in its word
    is_bit = distances > 0
    if is_bit.any() and position[is_bit].max() > 31:
        raise MirflowError("not a fingerprint: a word has more than 32 bits")
    changes = np.zeros(count, np.uint32)
    np.bitwise_or.at(changes, word[is_bit], np.uint32(1) << position[is_bit].astype(np.uint32))
    return np.bitwise_xor.accumulate(changes)


def _numbers(bits: np.ndarray, width: int) -> np.ndarray:
    """Return numbers of `width` bits each, the lowest bit first."""
    whole = len(bits) // width * width
    return bits[:whole].reshape(-1, width) @ (1 << np.arange(width, dtype=np.uint8))
