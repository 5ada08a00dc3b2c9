"""CachedAudio that is shared between processes: the same samples, the file's own, and never too much of it."""

import os

import numpy as np
import pytest
import soundfile

from mirflow.core import audio
from mirflow.warm import audio_cache

RATE = 8000


@pytest.fixture
def counted(tmp_path):
    """A sound file, and a function that decodes and counts how often it did."""
    path = tmp_path / "full_mix.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, (RATE, 2)), RATE)

    def decode(path):
        decode.count += 1
        return audio.decode(path)

    decode.count = 0
    return path, decode


def handed_on(reader: audio_cache.Reader) -> list[tuple[audio_cache.CachedAudio, int]]:
    return [(sound, os.dup(descriptor)) for sound, descriptor in reader.new]


def test_samples_are_those_of_the_file_and_belong_to_who_reads_them(counted):
    path, decode = counted
    first = audio_cache.Reader([], decode)
    truth = first.read(path)
    for _ in range(2):
        reader = audio_cache.Reader(handed_on(first), decode)
        read = reader.read(path)
        reader.close()
        assert read.rate == RATE and np.array_equal(read.samples, truth.samples)
        assert read.samples.flags.writeable and read.samples.flags.c_contiguous
        read.samples[:] = 0
    first.close()
    assert decode.count == 1 and truth.samples.any()


def test_another_file_at_the_same_place_is_decoded(counted):
    path, decode = counted
    first = audio_cache.Reader([], decode)
    first.read(path)
    before = os.stat(path)
    soundfile.write(path, np.full((RATE, 1), 0.25), RATE)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = audio_cache.Reader(handed_on(first), decode)
    assert np.all(second.read(path).samples == 0.25) and decode.count == 2
    first.close()
    second.close()


def test_a_file_that_changes_while_it_is_decoded_is_not_shared(counted):
    path, decode = counted

    def changing(path):
        read = decode(path)
        soundfile.write(path, np.zeros((RATE, 1)), RATE)
        return read

    reader = audio_cache.Reader([], changing)
    assert reader.read(path).samples.any() and not reader.new


def test_a_file_that_cannot_be_read_is_named_as_ever(tmp_path):
    reader = audio_cache.Reader([], audio.decode)
    with pytest.raises(audio.MirflowError, match=r"gone\.flac: cannot be read as audio"):
        reader.read(tmp_path / "gone.flac")
    (tmp_path / "text.flac").write_text("no sound")
    with pytest.raises(audio.MirflowError, match=r"text\.flac: cannot be read as audio"):
        reader.read(tmp_path / "text.flac")
    assert not reader.new


def test_the_worker_keeps_what_was_used_last(monkeypatch):
    monkeypatch.setattr(audio_cache, "PER_CHILD", 100)
    store = audio_cache.Store()

    def add(name: str, samples: int, children: int = 1) -> int:
        descriptor = os.memfd_create(name)
        store.add(audio_cache.CachedAudio(f"/out/{name}", [1], 1, samples, RATE), descriptor, children)
        return descriptor

    def named() -> list[str]:
        return [sound.path for sound, _ in store.named("/out", ["a", "/out/b", "c", "-o", "d"])]

    a, b = add("a", 10), add("b", 10)
    assert named() == ["/out/a", "/out/b"]
    store.named("/out", ["a"])
    c = add("c", 10)  # 120 bytes, one too many: b
    assert named() == ["/out/a", "/out/c"]
    with pytest.raises(OSError):
        os.fstat(b)
    again = add("a", 10)
    with pytest.raises(OSError):
        os.fstat(a)
    add("d", 10, children=2)
    assert named() == ["/out/a", "/out/c", "/out/d"] and not store.named("/", ["a"])
    for number in range(40):
        add(f"empty {number}", 0)
    assert len(store.sounds) == audio_cache.AT_ONCE, "of very short sounds no more than there may be files open"
    store.close()
    for descriptor in (c, again):
        with pytest.raises(OSError):
            os.fstat(descriptor)
