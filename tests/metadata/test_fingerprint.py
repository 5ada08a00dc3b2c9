"""Fingerprints: the words of Chromaprint, which stay alike where only the encoding differs."""

import base64

import numpy as np
import pytest

from conftest import RATE, loop
from mirflow.core.audio import Audio, resample
from mirflow.core.errors import MirflowError
from mirflow.metadata import fingerprint


@pytest.mark.parametrize("content, words", [
    ([1], [1]), ([73, 0], [7]), ([7, 0], [1 << 6]), ([7, 2], [1 << 8]), ([65, 0], [1, 0]), ([1, 0], [1, 1]), ([], []),
])  # fmt: skip
def test_words_are_those_of_chromaprints_own_examples(content, words):
    text = base64.urlsafe_b64encode(bytes([0, 0, 0, len(words), *content])).decode().rstrip("=")
    assert fingerprint.words(text).tolist() == words


def one_by_one(text: str) -> list[int]:
    """Decode bit by bit, as the format is described."""
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    bits = [byte >> place & 1 for byte in content[4:] for place in range(8)]
    count, at, distances = int.from_bytes(content[1:4]), 0, []
    while distances.count(0) < count:
        distances.append(sum(bit << place for place, bit in enumerate(bits[at : at + 3])))
        at += 3
    at, words, word, position = -(-at // 8) * 8, [], 0, -1
    for distance in distances:
        if distance == 7:
            distance += sum(bit << place for place, bit in enumerate(bits[at : at + 5]))
            at += 5
        if distance:
            position += distance
            word |= 1 << position
        else:
            words.append(word ^ (words[-1] if words else 0))
            word, position = 0, -1
    return words


def tune(seconds: float, rate: int = RATE) -> np.ndarray:
    """Return drums, bass and a melody that does not repeat: float32 [2, n]."""
    time = np.arange(int(seconds * rate)) / rate
    steps = np.random.default_rng(2).integers(0, 24, int(seconds * 4) + 1)[(time * 4).astype(int)]
    melody = 0.2 * np.sin(2 * np.pi * 220 * 2 ** (steps / 12) * time) * np.exp(-(time % 0.25) / 0.2)
    return (loop(seconds, rate).T * 0.5 + melody).astype(np.float32)


def test_decoding_and_what_does_not_change_the_words():
    sound = Audio(tune(12), RATE)
    text = fingerprint.compute(sound)
    words = fingerprint.words(text)
    assert words.tolist() == one_by_one(text)
    assert len(words) == pytest.approx(12 / fingerprint.WORD_SECONDS, abs=25)

    def differing(samples, rate=RATE):
        other = fingerprint.words(fingerprint.compute(Audio(np.ascontiguousarray(samples), rate)))
        n = min(len(words), len(other))
        return np.unpackbits((words[:n] ^ other[:n]).view(np.uint8)).mean()

    assert differing(sound.samples[:1]) < 0.1, "one channel"
    assert differing(sound.samples / 8) < 0.03, "18 dB softer"
    assert differing(resample(sound.samples, RATE, 96000), 96000) < 0.03
    assert differing(resample(sound.samples, RATE, 22050), 22050) < 0.05
    assert differing(np.repeat(sound.samples, 3, axis=0)) < 0.03, "six channels"
    assert differing(sound.samples[:, ::-1]) > 0.3, "other music"


@pytest.mark.parametrize("samples", [np.zeros(20 * RATE), tune(2.9)[0], np.zeros(0), np.ones(1)])
def test_silence_and_fragments_have_none(samples):
    assert fingerprint.fragment(Audio(samples[None].astype(np.float32), RATE))["_fingerprint"] is None


@pytest.mark.parametrize("text", ["", "A", "AQAA", "AQAAs1EU", "!", "AQAAAf____8", "AQAAAf7_"])
def test_what_is_no_fingerprint_is_refused(text):
    with pytest.raises(MirflowError, match="not a fingerprint"):
        fingerprint.words(text)
