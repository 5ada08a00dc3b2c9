"""Any audio file becomes FLAC, bit for bit where there are bits to keep; a damaged one becomes one clear line."""

import argparse
import json
import os
import re
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_files import RATE, apev2, encoded, id3v1, id3v2, integers, music, verbatim_flac, written
from mirflow.commands import full_mix as command
from mirflow.core.errors import MirflowError
from mirflow.library import containers, full_mix


def convert(folder: Path, content: bytes, name: str = "source.bin") -> tuple[dict, np.ndarray]:
    """Return the record, and the samples written: int32 [n, channel] with the sample in the upper bits."""
    source = folder / name
    source.write_bytes(content)
    record = full_mix.make(source, folder / "full_mix.flac")
    samples, rate = soundfile.read(folder / "full_mix.flac", dtype="int32", always_2d=True)
    info = soundfile.info(folder / "full_mix.flac")
    assert (record["rate"], record["frames"], record["channels"]) == (rate, *samples.shape)
    assert info.format == "FLAC" and info.subtype.lstrip("PCM_S") == str(record["bit_depth"])
    assert record["duration"] == pytest.approx(len(samples) / rate)
    return record, samples


def refusal(folder: Path, content: bytes) -> str:
    """Return the message with which `content` is refused; nothing may be left behind."""
    source = folder / "source.bin"
    source.write_bytes(content)
    with pytest.raises(MirflowError) as caught:
        full_mix.make(source, folder / "out" / "full_mix.flac")
    assert not list((folder / "out").iterdir() if (folder / "out").exists() else [])
    message = str(caught.value)
    assert message.startswith(f"{source}: ") and "\n" not in message
    return message


def correlation_lag(reference: np.ndarray, samples: np.ndarray) -> tuple[int, float]:
    """Return by how many samples the second lags behind the first, and how well they agree there (1: equal)."""
    n = len(reference) + len(samples)
    spectrum = np.fft.rfft(reference, n).conj() * np.fft.rfft(samples, n)
    cross = np.fft.irfft(spectrum, n)
    lag = int(cross.argmax())
    agreement = cross[lag] / (np.linalg.norm(reference) * np.linalg.norm(samples))
    return lag if lag < len(samples) else lag - n, agreement


# Integers keep their bits


@pytest.mark.parametrize(
    ("kind", "subtype", "bits", "written_bits"),
    [
        ("WAV", "PCM_U8", 8, 16),
        ("WAV", "PCM_16", 16, 16),
        ("WAV", "PCM_24", 24, 24),
        ("WAVEX", "PCM_24", 24, 24),
        ("RF64", "PCM_16", 16, 16),
        ("W64", "PCM_24", 24, 24),
        ("AIFF", "PCM_S8", 8, 16),
        ("AIFF", "PCM_24", 24, 24),
        ("FLAC", "PCM_S8", 8, 8),
        ("FLAC", "PCM_24", 24, 24),
    ],
)
def test_integer_samples_are_kept_exactly(tmp_path, kind, subtype, bits, written_bits):
    samples = integers(5000, bits)
    record, result = convert(tmp_path, written(samples, kind, subtype, rate=96000))
    assert np.array_equal(result, samples)
    assert record["bit_depth"] == written_bits and record["rate"] == 96000 and record["gain_db"] == 0


@pytest.mark.parametrize("bits", [12, 16, 20, 24])
@pytest.mark.parametrize("total", [True, False])
def test_flac_of_any_depth_and_of_unknown_length(tmp_path, bits, total):
    samples = integers(300, bits)
    _, result = convert(tmp_path, verbatim_flac(samples >> (32 - bits), bits, total))
    assert np.array_equal(result, samples)


def test_alac_is_integer_pcm(tmp_path):
    samples = integers(9000, 24)
    record, result = convert(tmp_path, encoded(samples, "alac", "ipod"))
    assert np.array_equal(result, samples)
    assert (record["format"], record["codec"], record["bit_depth"]) == ("MP4", "alac", 24)


def test_32_bits_are_rounded_to_24(tmp_path):
    samples = integers(1000, 32)
    _, result = convert(tmp_path, written(samples, "WAV", "PCM_32"))
    error = result.astype(np.int64) - samples
    assert (np.abs(error[samples < 2**31 - 128]) <= 128).all()  # half a step of 24 bit
    assert (result[samples >= 2**31 - 128] == (2**23 - 1) << 8).all()


def test_a_flac_file_is_copied_as_it_is_without_the_tags_around_it(tmp_path):
    content = written(music(), "FLAC", "PCM_16")
    convert(tmp_path, content)
    assert (tmp_path / "full_mix.flac").read_bytes() == content
    convert(tmp_path, id3v2(5000) + content + id3v1())
    assert (tmp_path / "full_mix.flac").read_bytes() == content


# Floats and lossy formats


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_within_full_scale_are_rounded_to_24_bit(tmp_path, subtype):
    samples = np.concatenate([music(0.1), [[1.0, -1.0]]]).astype(np.float32)
    record, result = convert(tmp_path, written(samples, "WAV", subtype))
    assert np.abs(result / 2**31 - samples)[:-1].max() <= 2**-24
    assert result[-1].tolist() == [(2**23 - 1) << 8, -(2**31)]
    assert record["gain_db"] == 0 and record["bit_depth"] == 24


def test_a_source_beyond_full_scale_is_turned_down_as_a_whole(tmp_path):
    samples = music(3.0, peak=4.0)  # more than one block, and the peak is not in the first sample
    record, result = convert(tmp_path, written(samples, "WAV", "DOUBLE"))
    assert record["gain_db"] == pytest.approx(-20 * np.log10(4), abs=1e-5)
    assert np.abs(result / 2**31 * 4 - samples).max() < 4 * 2**-22
    assert np.abs(result.astype(np.int64)).max() == (2**23 - 1) << 8


@pytest.mark.parametrize("layer", [pytest.param({}, id="libsndfile"), pytest.param({"tags": True}, id="tags and junk")])
def test_mp3_equals_another_decoder(tmp_path, layer):
    content = written(music(2.0), "MP3")
    (tmp_path / "plain.mp3").write_bytes(content)
    expected, _ = soundfile.read(tmp_path / "plain.mp3", always_2d=True)  # libmpg123
    if layer:
        content = id3v2(1 << 20) + b"junk" * 100 + content + bytes(500) + apev2(200_000) + id3v1()
    record, result = convert(tmp_path, content)
    assert len(result) == 2 * RATE == len(expected)
    assert np.abs(result / 2**31 - expected).max() < 1e-5
    assert (record["format"], record["codec"], record["bit_depth"]) == ("MPEG", "mp3", 24)


def test_mp3_without_a_header_is_not_cut_at_a_guessed_length(tmp_path):
    parts = [
        encoded(music(seconds), "libmp3lame", "mp3", bits=bits, write_xing="0", id3v2_version="0")
        for seconds, bits in ((1, 320000), (4, 64000))
    ]
    record, _ = convert(tmp_path, b"".join(parts))
    assert record["duration"] == pytest.approx(5, abs=0.15)


@pytest.mark.parametrize(("subtype", "rate"), [("VORBIS", 44100), ("VORBIS", 8000), ("VORBIS", 96000), ("OPUS", 48000)])
def test_ogg_equals_the_decoder_at_its_own_rate(tmp_path, subtype, rate):
    content = written(music(rate=rate), "OGG", subtype, rate)
    (tmp_path / "a.ogg").write_bytes(content)
    expected, _ = soundfile.read(tmp_path / "a.ogg", always_2d=True)
    record, result = convert(tmp_path, content)
    assert record["rate"] == rate and len(result) == rate
    assert np.abs(result / 2**31 - expected).max() <= 2**-23


def test_joined_ogg_and_mp3_files_are_decoded_to_their_end(tmp_path):
    for first, second in (
        (written(music(1.0), "OGG"), written(music(2.0), "OGG")),
        (encoded(music(1.0), "libmp3lame", "mp3"), encoded(music(2.0), "libmp3lame", "mp3")),
    ):
        assert convert(tmp_path, first + second)[0]["frames"] == 3 * RATE


@pytest.mark.parametrize(
    ("container", "channels", "rate", "cover"),
    [("ipod", 2, 44100, False), ("ipod", 1, 8000, False), ("ipod", 6, 48000, False), ("mp4", 2, 96000, True)],
)
def test_m4a_has_the_real_length_and_no_delay(tmp_path, container, channels, rate, cover):
    samples = music(1.0, rate, channels)
    record, result = convert(tmp_path, encoded(samples, "aac", container, rate, 256000, cover))
    assert result.shape == samples.shape
    lag, agreement = correlation_lag(samples[:, 0], result[:, 0] / 2**31)
    assert lag == 0 and agreement > 0.97
    assert (record["format"], record["codec"]) == ("MP4", "aac")


def test_m4a_of_itunes_ends_where_it_says(tmp_path):
    mp4 = pytest.importorskip("mutagen.mp4")
    samples = music(1.0)
    (tmp_path / "a.m4a").write_bytes(encoded(samples, "aac", "ipod", bits=256000))
    file = mp4.MP4(tmp_path / "a.m4a")
    told = f" 00000000 00000400 00000000 {len(samples) - 100:016X} 00000000"  # flags, delay, padding, samples
    file["----:com.apple.iTunes:iTunSMPB"] = [mp4.MP4FreeForm(told.encode())]
    file.save()
    assert convert(tmp_path, (tmp_path / "a.m4a").read_bytes())[0]["frames"] == len(samples) - 100


@pytest.mark.parametrize(("codec", "container"), [("aac", "adts"), ("wmav2", "asf"), ("libmp3lame", "mp3")])
def test_streams_whose_container_tells_no_length(tmp_path, codec, container):
    samples = music(2.0)
    _, result = convert(tmp_path, encoded(samples, codec, container, cover=container == "mp3"))
    assert len(result) == pytest.approx(len(samples), abs=4096)
    lag, agreement = correlation_lag(samples[:, 0], result[:, 0] / 2**31)
    assert abs(lag) <= 2048 and agreement > 0.9


@pytest.mark.parametrize("seconds", [1 / RATE, 0.3])
@pytest.mark.parametrize("kind", ["WAV", "AIFF", "FLAC", "OGG", "mp3"])
def test_short_and_silent_files(tmp_path, kind, seconds):
    silence = np.zeros((round(seconds * RATE), 1))
    content = encoded(silence, "libmp3lame", "mp3") if kind == "mp3" else written(silence, kind)
    _, result = convert(tmp_path, content)
    # LAME's header cannot say that more than 4095 samples of its last frames are padding
    assert len(result) == len(silence) or (kind == "mp3" and len(result) == 47)
    assert np.abs(result).max() <= 1 << 8


# Wrong sizes and other faults with which no sound is missing


SAMPLES = integers(1000, 16)  # 4000 bytes


def wave(
    size: int, magic: bytes = b"RIFF", ds64: tuple[int, int] | None = None, junk: int = 0, after: bytes = b""
) -> bytes:
    """Return a WAV file whose data chunk claims `size` bytes.

    Parameters
    ----------
    ds64 : the sizes of the file and of the data that its chunk of 64-bit sizes states; None: no such chunk
    junk : bytes in a chunk before the data
    """
    content = written(SAMPLES, "WAV", "PCM_16")
    at = content.index(b"data")
    sizes = b"" if ds64 is None else b"ds64" + struct.pack("<IQQQI", 28, *ds64, 0, 0)
    before = sizes + content[12:at] + (b"junk" + struct.pack("<I", junk) + bytes(junk) if junk else b"")
    return (
        magic
        + struct.pack("<I", 0xFFFFFFFF)
        + b"WAVE"
        + before
        + b"data"
        + struct.pack("<I", size)
        + content[at + 8 :]
        + after
    )


def aiff(size: int, frames: int) -> bytes:
    content = written(SAMPLES, "AIFF", "PCM_16")
    content = swapped(content, content.index(b"COMM") + 10, struct.pack(">I", frames))
    return swapped(content, content.index(b"SSND") + 4, struct.pack(">I", size))


STREAMED_SIZES = [0, 0x7FFFF000, 0x7FFFEFFA, 0x7FFFFFFF, 0x7FFFFFFF - 44, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF - 44]


@pytest.mark.parametrize("size", STREAMED_SIZES)
def test_the_placeholders_of_writers_into_a_pipe_are_no_sizes(tmp_path, size):
    for content in (wave(size), id3v2(100) + wave(size), wave(size, junk=1000)):
        record, result = convert(tmp_path, content)
        assert np.array_equal(result, SAMPLES)
        assert record["ignored"] == f"the size of the data chunk in the header, {size} bytes, which is a placeholder"


@pytest.mark.parametrize(
    ("size", "frames"), [(0, 0), (0x7F000008, 0x1FC00000), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFFFFF, 0)]
)
def test_placeholders_in_aiff(tmp_path, size, frames):
    record, result = convert(tmp_path, aiff(size, frames))
    assert np.array_equal(result, SAMPLES)
    assert "the size of the SSND chunk" in record["ignored"]


@pytest.mark.parametrize("size", [0, 24, (1 << 63) - 1, (1 << 64) - 1])
def test_placeholders_in_w64(tmp_path, size):
    content = written(SAMPLES, "W64", "PCM_16")
    at = content.index(b"data") + 16
    record, result = convert(tmp_path, swapped(content, at, struct.pack("<Q", size)))
    assert np.array_equal(result, SAMPLES)
    assert record["ignored"] == f"the size of the data chunk in the header, {size} bytes, which is a placeholder"
    assert "truncated: the data chunk" in refusal(tmp_path, swapped(content, at, struct.pack("<Q", len(content) + 1)))


@pytest.mark.parametrize("excess", [1, 4, 8, 16, 36, 44])
def test_a_size_that_counts_the_header_too_takes_no_sound_away(tmp_path, excess):
    tag = b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf59.27.100\0"
    name = b"NAME\0\0\0\x04song"
    for content in (
        wave(4000 + excess),
        wave(4000 + 44, after=tag),
        aiff(4008 + excess, 1000),
        aiff(4008 + 44, 1000) + name,
    ):
        record, result = convert(tmp_path, content)
        assert np.array_equal(result, SAMPLES)
        assert re.search(r"the size of the (data|SSND) chunk.* \d+ bytes too large", record["ignored"])
    header = wave(0, junk=1000).index(b"data") + 8
    for counted in (header, header - 8):  # as in the RIFF header, which leaves out the first 8 bytes
        assert np.array_equal(convert(tmp_path, wave(4000 + counted, junk=1000))[1], SAMPLES)
    for missing in (45, 60, 1000):
        assert "truncated: the data chunk" in refusal(tmp_path, wave(4000 + missing))
        assert "truncated: the data chunk" in refusal(tmp_path, wave(0xFFFFFFFF, b"BW64", (0, 4000 + missing)))
        assert "truncated: the SSND chunk" in refusal(tmp_path, aiff(4008 + missing, 1000))


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
@pytest.mark.parametrize(
    ("size", "ds64", "good"),
    [
        (0xFFFFFFFF, (4100, 4000), True),
        (0xFFFFFFFF, (0, 4000), True),
        (4000, (4100, 4000), True),
        (4000, (0, 0), True),
        (4000, None, True),
        (0xFFFFFFFF, (0, 0), False),
        (0xFFFFFFFF, ((1 << 64) - 1,) * 2, False),
        (0xFFFFFFFF, None, False),
        (0, None, False),
        (0xFFFFFFFF, (4100, 4016), False),
    ],
)
def test_headers_with_sizes_of_64_bits(tmp_path, magic, size, ds64, good):
    for before in (b"", id3v2(100)):
        record, result = convert(tmp_path, before + wave(size, magic, ds64))
        assert np.array_equal(result, SAMPLES)
        assert record["format"] == magic.decode() and ("ignored" not in record) == good


def test_more_than_4_gib_keep_the_header_of_64_bits():
    from mirflow.library.containers import _wave_patches

    size = 5 << 30
    assert _wave_patches(10, 90, b"BW64", 30, size) == (
        (10, b"RF64"), (86, b"\xff\xff\xff\xff"), (38, struct.pack("<Q", size))
    )  # fmt: skip


def whole_mp3() -> bytes:
    return encoded(music(), "libmp3lame", "mp3", id3v2_version="0")  # with an Info tag, which counts the frames


def decoded(folder: Path, content: bytes) -> np.ndarray:
    return convert(folder, content)[1]


@pytest.mark.parametrize("make", [whole_mp3, lambda: unframed_mp3()], ids=["Info", "bare"])
@pytest.mark.parametrize("share", [0.01, 0.15, 0.8])
def test_zeros_after_an_mp3_are_ignored(tmp_path, make, share):
    content = make()
    zeros = int(len(content) * share)
    for before, after in ((b"", b""), (b"", id3v1()), (apev2(1000) + id3v1(), b"")):
        record, result = convert(tmp_path, content + before + bytes(zeros) + after)
        assert np.array_equal(result, decoded(tmp_path, content))
        assert record["ignored"] == f"{zeros} zeros after the last frame of MPEG audio"


@pytest.mark.parametrize("padding", [b"\xff", b"U", b"text "])
def test_other_bytes_after_an_mp3_are_ignored_where_its_header_says_that_it_is_complete(tmp_path, padding):
    record, result = convert(tmp_path, whole_mp3() + padding * 20_000)
    assert np.array_equal(result, decoded(tmp_path, whole_mp3()))
    assert record["ignored"] == f"{len(padding) * 20_000} bytes after the last frame of MPEG audio"
    assert "not an audio file, or badly damaged" in refusal(tmp_path, unframed_mp3() + padding * 20_000)


def test_zeros_do_not_hide_that_frames_are_missing(tmp_path):
    content = some_frames_of(whole_mp3())
    assert re.search(r"claims \d+ frames, but only 19", refusal(tmp_path, content + bytes(len(content))))
    assert "claims" in refusal(tmp_path, content[:-200] + bytes(200))
    assert "bytes are zeros" in refusal(tmp_path, unframed_mp3() + bytes(len(unframed_mp3()) + 1000))


@pytest.mark.parametrize("missing", [1, 3, 100, 400])
@pytest.mark.parametrize("end", [b"", id3v1()], ids=["", "ID3v1"])
def test_the_last_frame_may_be_incomplete(tmp_path, missing, end):
    for make in (whole_mp3, unframed_mp3):
        content, whole = make(), decoded(tmp_path, make())
        record, result = convert(tmp_path, content[:-missing] + end)
        lost = len(whole) - len(result)
        assert 0 <= lost <= 1152 and np.array_equal(result, whole[: len(result)])
        assert record["ignored"] == f"the last frame, of which {missing} bytes are missing"
    assert re.search(r"claims \d+ frames", refusal(tmp_path, whole_mp3()[: -2 * 418 - missing] + end))


def test_the_last_frame_of_aac_may_be_incomplete(tmp_path):
    content = encoded(music(), "aac", "adts")
    record, result = convert(tmp_path, content[:-5])
    assert len(result) == len(decoded(tmp_path, content)) - 1024
    assert record["ignored"] == "the last frame, of which 5 bytes are missing"


def id3v2_plain(size: int, version: int = 3, tag: bool = True, frames: bool = True, padding: int = 0) -> bytes:
    """Return an ID3v2 tag with a picture of noise, whose sizes (of the tag, of its frames) may be plain integers."""

    def digits(number: int, plain: bool) -> bytes:
        return number.to_bytes(4) if plain else bytes(number >> shift & 127 for shift in (21, 14, 7, 0))

    picture = b"\0image/png\0\3\0" + np.random.default_rng(size).bytes(size)
    content = b"TIT2" + digits(2, frames) + b"\0\0\0x" + b"APIC" + digits(len(picture), frames) + b"\0\0" + picture
    return b"ID3" + bytes([version, 0, 0]) + digits(len(content) + padding, tag) + content + bytes(padding)


@pytest.mark.parametrize("size", [100, 200, 1000, 40_000, 60_000, 66_000, 200_000, 3_000_000])
@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("padding", [0, 2000, 100_000])
def test_sizes_in_id3v2_tags_may_be_plain_integers(tmp_path, size, version, padding):
    content = whole_mp3()
    for frames in (True, False):
        record, result = convert(tmp_path, id3v2_plain(size, version, True, frames, padding) + content)
        assert np.array_equal(result, decoded(tmp_path, content))
        assert size + padding < 128 or record["ignored"] == "the size in the header of the ID3v2 tag, which is wrong"
        record, result = convert(tmp_path, id3v2_plain(size, version, False, frames, padding) + content)
        assert np.array_equal(result, decoded(tmp_path, content)) and "ignored" not in record


def test_a_tag_with_plain_sizes_may_precede_any_format_and_joined_files(tmp_path):
    tag, content = id3v2_plain(50_000), written(music(), "FLAC", "PCM_16")
    assert np.array_equal(decoded(tmp_path, tag + content), decoded(tmp_path, content))
    assert len(decoded(tmp_path, whole_mp3() + tag + whole_mp3())) == 2 * RATE


def test_aac_in_loas(tmp_path):
    samples = music(2.0)
    content = encoded(samples, "aac", "latm")
    record, result = convert(tmp_path, content)
    lag, agreement = correlation_lag(samples[:, 0], result[:, 0] / 2**31)
    assert len(result) == pytest.approx(len(samples), abs=4096) and abs(lag) <= 2048 and agreement > 0.9
    assert (record["format"], "ignored" in record) == ("LOAS", False)
    for changed in (content[:-5], id3v2(5000) + content, content + bytes(len(content) // 7)):
        assert len(decoded(tmp_path, changed)) == pytest.approx(len(result), abs=1024)


@pytest.mark.parametrize("channels", [2, 6])
def test_opus_of_high_bit_rates_which_libsndfile_calls_malformed(tmp_path, channels):
    hertz = (300, 600, 900, 60, 1500, 1800)[:channels]
    time = np.arange(3 * 48000) / 48000
    tones = np.stack([0.3 * np.sin(2 * np.pi * f * time) for f in hertz], 1)
    for seed in range(1, 4):  # most of them are
        samples = tones + 0.01 * np.random.default_rng(seed).standard_normal(tones.shape)
        record, result = convert(tmp_path, encoded(samples, "libopus", "ogg", 48000, 510_000))
        assert result.shape == samples.shape and "ignored" not in record
        peaks = np.abs(np.fft.rfft(result[48000:96000], axis=0)).argmax(axis=0)  # bins of 1 Hz
        assert peaks.tolist() == list(hertz)
        lag, agreement = correlation_lag(samples[:, 0], result[:, 0] / 2**31)
        assert lag == 0 and agreement > 0.99


def test_bytes_after_the_end_of_an_ogg_stream_are_ignored(tmp_path):
    content = written(music(), "OGG", "OPUS", 48000)
    record, result = convert(tmp_path, content + bytes(200_000))
    assert np.array_equal(result, decoded(tmp_path, content))
    assert record["ignored"] == "200000 bytes after the last Ogg page"


def test_ogg_that_was_broken_off_between_two_pages_is_taken_and_told(tmp_path):
    content = written(music(3.0), "OGG", "VORBIS")
    record, whole = convert(tmp_path, content)
    assert "ignored" not in record
    record, samples = convert(tmp_path, content[: content.rindex(b"OggS")])
    assert 0 < len(samples) < len(whole) and "not marked as the end" in record["ignored"]


def test_a_wrong_seek_table_takes_nothing_from_a_flac_file(tmp_path):
    content = written(music(8.0), "FLAC", "PCM_16")
    points = b"".join(
        struct.pack(">QQH", *point) for point in ((0, 0, 4096), (100_000, 999, 4096), (200_000, 50, 4096))
    )
    wrong = content[:42] + b"\3" + len(points).to_bytes(3) + points + content[42:]
    record, result = convert(tmp_path, wrong)
    assert np.array_equal(result, decoded(tmp_path, content)) and "seek table" in record["ignored"]
    assert "damaged" in refusal(tmp_path, swapped(wrong, len(wrong) - 20_000, b"\0\1\2\3"))
    assert re.search("MD5|truncated|damaged", refusal(tmp_path, wrong[:-20_000]))


# Channels come in the order of WAV files

LOW = (40, 50, 60, 70, 80, 90, 100, 110)  # Hz: encoders take everything else from LFE channels
# The order of Vorbis (Vorbis I, 4.3.9), which Opus has too (RFC 7845, 5.1.1.2).
XIPH = {
    3: "FL FC FR", 4: "FL FR BL BR", 5: "FL FC FR BL BR", 6: "FL FC FR BL BR LFE", 7: "FL FC FR SL SR BC LFE",
    8: "FL FC FR SL SR BL BR LFE",
}  # fmt: skip
IN_ORDER = "FL FR FC LFE BL BR FLC FRC BC SL SR"


def tones(count: int, rate: int = 48000) -> np.ndarray:
    """Return two seconds with a tone of its own in each channel, [n, channel]."""
    return 0.3 * np.sin(2 * np.pi * np.array(LOW[:count]) * np.arange(2 * rate)[:, None] / rate)


def heard(samples: np.ndarray, rate: int) -> list[int]:
    """Return the frequency of the tone in each channel [n, channel], in Hz."""
    return np.abs(np.fft.rfft(samples[rate // 2 : rate // 2 + rate], axis=0)).argmax(axis=0).tolist()


def assert_order(folder: Path, content: bytes, file_order: str) -> None:
    """Assert that channels, in the file in this order, arrive in that of WAV files, and that the record names them."""
    names = file_order.split()
    record, samples = convert(folder, content)
    arrived = [names[LOW.index(tone)] for tone in heard(samples, record["rate"])]
    assert arrived == sorted(names, key=IN_ORDER.split().index)
    assert record["layout"] == " ".join(arrived)


@pytest.mark.parametrize("count", XIPH)
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_surround_in_ogg_has_another_order(tmp_path, subtype, count):
    """Eight channels in planes of their own, as they come from these decoders, crashed PyAV."""
    assert_order(tmp_path, written(tones(count), "OGG", subtype, 48000), XIPH[count])


@pytest.mark.parametrize("codec", ["aac", "alac"])
@pytest.mark.parametrize("count", [3, 6])
def test_surround_in_mp4(tmp_path, codec, count):
    samples = tones(count)
    samples = (samples * 2**31).astype(np.int32) if codec == "alac" else samples
    layout = {3: "FL FR FC", 6: "FL FR FC LFE BL BR"}[count]
    assert_order(tmp_path, encoded(samples, codec, "mp4", 48000, 384_000), layout)


@pytest.mark.parametrize("container", ["adts", "mp4"])
@pytest.mark.parametrize(
    ("layout", "names"), [("3.1", "FL FR FC LFE"), ("5.0(side)", "FL FR FC SL SR"), ("hexagonal", "FL FR FC BL BR BC")]
)
def test_aac_states_unusual_layouts_itself(tmp_path, container, layout, names):
    """FFmpeg reads no positions from a program config element, so the LFE of 3.1 was a back channel."""
    samples = tones(len(names.split()))
    assert_order(tmp_path, encoded(samples, "aac", container, 48000, 384_000, layout=layout), names)


@pytest.mark.parametrize("count", [3, 6])
def test_flac_in_ogg_is_in_the_order_of_wav(tmp_path, count):
    content = encoded((tones(count) * 2**31).astype(np.int32), "flac", "ogg", 48000)
    assert heard(convert(tmp_path, content)[1], 48000) == list(LOW[:count])


@pytest.mark.parametrize(
    ("mask", "count", "layout"),
    [
        (0x60F, 6, "FL FR FC LFE SL SR"),
        (0xB, 3, "FL FR LFE"),
        (0x10F, 5, "FL FR FC LFE BC"),
        (0xFF, 8, "FL FR FC LFE BL BR FLC FRC"),
        (0xFFF, 6, "FL FR FC LFE BL BR"),  # bits beyond the channels do not count
    ],
)
@pytest.mark.parametrize("kind", ["WAVEX", "W64"])
def test_a_mask_names_the_channels(tmp_path, kind, mask, count, layout):
    content = bytearray(written(tones(count), "WAVEX", "PCM_16", 48000))
    at = content.index(b"fmt ") + 28
    content[at : at + 4] = struct.pack("<I", mask)
    if kind == "W64":
        samples = content[content.index(b"data") + 8 :]
        bodies = ((b"fmt ", content[20:60]), (b"data", samples))
        names_end = containers._W64_WAVE[4:]
        chunks = b"".join(name + names_end + struct.pack("<Q", 24 + len(body)) + body for name, body in bodies)
        content = containers._W64_RIFF + struct.pack("<Q", 40 + len(chunks)) + containers._W64_WAVE + chunks
    assert_order(tmp_path, bytes(content), layout)


def test_the_mask_of_a_flac_file_is_in_a_comment(tmp_path):
    content = written(tones(5), "FLAC", "PCM_16", 48000)
    comment = b"waveformatextensible_channel_mask=0x10F"
    block = struct.pack("<II", 0, 1) + struct.pack("<I", len(comment)) + comment
    content = content[:42] + b"\4" + len(block).to_bytes(3) + block + content[42:]
    assert_order(tmp_path, content, "FL FR FC LFE BC")
    assert (tmp_path / "full_mix.flac").read_bytes() == content


DESCRIBED = struct.pack(">III", 0, 0, 3) + b"".join(struct.pack(">II12x", label, 0) for label in (4, 1, 2))


@pytest.mark.parametrize(
    ("chunk", "layout"),
    [
        (struct.pack(">III", 124 << 16 | 6, 0, 0), "FC FL FR SL SR LFE"),
        (struct.pack(">III", 122 << 16 | 6, 0, 0), "FL FR SL SR FC LFE"),
        (struct.pack(">III", 133 << 16 | 3, 0, 0), "FL FR LFE"),
        (struct.pack(">III", 1 << 16, 0x10F, 0), "FL FR FC LFE BC"),
        (DESCRIBED, "LFE FL FR"),
    ],
)
def test_a_layout_in_aiff_may_be_in_any_order(tmp_path, chunk, layout):
    content = written(tones(len(layout.split())), "AIFF", "PCM_16", 48000)
    at = content.index(b"SSND")
    with_layout = content[:at] + b"CHAN" + struct.pack(">I", len(chunk)) + chunk + content[at:]
    assert_order(tmp_path, with_layout, layout)
    # FFmpeg writes the layout first, and means the order of WAV.
    with_layout = content[:12] + b"CHAN" + struct.pack(">I", len(chunk)) + chunk + content[12:]
    assert_order(tmp_path, with_layout, " ".join(sorted(layout.split(), key=IN_ORDER.split().index)))


@pytest.mark.parametrize(
    ("kind", "name", "said", "layout"),
    [
        ("mov", b"chan", struct.pack(">III", 124 << 16 | 6, 0, 0), "FC FL FR SL SR LFE"),
        ("mp4", b"chnl", bytes((1, 0, 2, 0, 1, 4, 5, 3)), "FC FL FR SL SR LFE"),
    ],
)
def test_pcm_in_mp4_may_be_in_any_order(tmp_path, kind, name, said, layout):
    """Channels in an unusual order crashed PyAV."""
    samples = (tones(6) * 2**31).astype(np.int32)
    content = bytearray(encoded(samples, "pcm_s32le", kind, 48000))
    at = content.index(name) + 8
    content[at : at + len(said)] = said
    assert_order(tmp_path, bytes(content), layout)


@pytest.mark.parametrize("rate", [0, 8000, 16000, 24000, 44100, 96000])
def test_opus_has_48_khz_whatever_rate_its_header_states(tmp_path, rate):
    content = bytearray(written(music(rate=48000), "OGG", "OPUS", 48000))
    expected = decoded(tmp_path, bytes(content))
    at, end = content.index(b"OpusHead") + 12, content.index(b"OggS", 4)
    content[at : at + 4] = struct.pack("<I", rate)
    content[22:26] = struct.pack("<I", containers._ogg_checksum(bytes(content[:22] + bytes(4) + content[26:end])))
    record, result = convert(tmp_path, bytes(content))
    assert record["rate"] == 48000 and result.shape == expected.shape
    assert np.abs(result - expected.astype(float)).max() < 2**31 * 1e-3  # two decoders


# Damage


def swapped(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def unframed_mp3() -> bytes:
    return encoded(music(), "libmp3lame", "mp3", write_xing="0", id3v2_version="0")


FOREIGN = r"psf_|flac decoder|malformed|Invalid data|Operation not|not found|patches welcome"  # words of libraries
DAMAGED = {
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"It was a dark and stormy night. \xff\xfb\x90\x64\n" * 2000, "not an audio file"),
    "html": (lambda: b"<html>" + bytes(range(32, 127)) * 100, "not an audio file"),
    "noise": (lambda: np.random.default_rng(3).bytes(200_000), "not an audio file"),
    "only a tag": (lambda: id3v2(5000), "not an audio file"),
    "little audio": (lambda: unframed_mp3() + b"prose " * 30_000, r"not an audio file.*\d% of it"),
    "wav": (lambda: halved(written(music(), "WAV")), r"truncated: the data chunk has 176400 bytes.*only \d+"),
    "rf64": (lambda: halved(written(music(), "RF64")), "truncated: the data chunk"),
    "w64": (lambda: halved(written(music(), "W64")), "truncated: the data chunk"),
    "aiff": (lambda: halved(written(music(), "AIFF")), "truncated: the SSND chunk"),
    "wav header": (lambda: written(music(), "WAV")[:30], "truncated"),
    "flac": (lambda: halved(written(music(), "FLAC")), "damaged|truncated"),
    "flac bit": (
        lambda: swapped(c := written(music(), "FLAC"), len(c) // 2, bytes([c[len(c) // 2] ^ 4])),
        "damaged",
    ),
    "flac md5": (lambda: swapped(written(music(), "FLAC"), 26, bytes([1, 2, 3])), "MD5"),
    "ogg": (lambda: halved(written(music(), "OGG")), "ends inside the Ogg page"),
    "ogg bit": (lambda: swapped(c := written(music(), "OGG"), len(c) - 99, bytes([c[-99] ^ 16])), "fails its checksum"),
    "opus": (lambda: written(music(), "OGG", "OPUS", 48000)[:-1], "ends inside the Ogg page"),
    "mp3 xing": (lambda: some_frames_of(written(music(), "MP3")), r"claims \d+ frames"),
    "m4a": (lambda: halved(encoded(music(), "aac", "ipod")), "truncated: the box 'mdat'"),
    "m4a index first": (lambda: halved(encoded(music(), "aac", "ipod", movflags="faststart")), "box 'mdat'"),
    "m4a box edge": (lambda: (c := encoded(music(), "aac", "ipod"))[: c.index(b"moov") - 4], "no 'moov' box"),
    "mp3 cut": (lambda: halved(written(music(), "MP3")), r"claims \d+ frames"),
    "wma": (lambda: encoded(music(), "wmav2", "asf")[:-2000], "truncated: the ASF file"),
    "no samples": (lambda: written(np.zeros((0, 2)), "WAV"), "has no samples"),
    "nine channels": (lambda: written(np.zeros((9, 9)), "WAV"), "has 9 channels"),
    "odd rate": (lambda: written(np.zeros((9, 1)), "WAV", rate=96_001), "rate of 96001 Hz"),
    "rate": (lambda: written(np.zeros((9, 1)), "WAV", rate=700_000), "rate of 700000 Hz"),
}


def some_frames_of(content: bytes) -> bytes:
    """Return the first 20 frames, whole: the header goes on to claim all of them."""
    from mirflow.library.containers import _mpeg_frame

    at = 0
    for _ in range(20):
        at += _mpeg_frame(content, at, len(content))[0]
    return content[:at]


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_named(tmp_path, case):
    make, pattern = DAMAGED[case]
    message = refusal(tmp_path, make())
    assert re.search(pattern, message) and not re.search(FOREIGN, message)


def in_pcm(content: bytes, kind: str, order: str = "<") -> bytes:
    """Return a file whose 16-bit PCM samples are the words of another codec."""
    words = np.frombuffer(content[: len(content) // 4 * 4], f"{order}i2").astype(np.int16)
    return written(np.concatenate([np.zeros(2000, np.int16), words]).reshape(-1, 2), kind, "PCM_16")


def dts(*sync: int) -> bytes:
    """Return noise in which the words that begin a frame come back, as in DTS: FFmpeg may lack its encoder."""
    words = np.random.default_rng(1).integers(0, 1 << 16, 44100, dtype="<u2")
    for number, word in enumerate(sync):
        words[number::1024] = word
    return words.tobytes()


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: encoded(music(2, 48000), "ac3", "spdif", 48000), "AC-3 or another codec in IEC 61937"),
        (lambda: dts(0x7FFE, 0x8001, 0xFC3C), "DTS"),
        (lambda: dts(0x1FFF, 0xE800, 0x07F7), "DTS"),
    ],
    ids=["ac3", "dts", "dts of 14 bits"],
)
def test_coded_sound_in_the_words_of_pcm_is_refused(tmp_path, make, name, order, kind):
    assert f"holds {name} as if it were PCM" in refusal(tmp_path, in_pcm(make(), kind, order))


@pytest.mark.parametrize(("period", "third"), [(1024, 0), (1000, 0x3CFC)])
def test_a_loop_that_holds_the_same_words_is_no_coded_sound(tmp_path, period, third):
    words = np.random.default_rng(1).integers(-2000, 2000, period).astype(np.int16)
    words[:3] = np.array([0xFE7F, 0x0180, third], np.uint16).view(np.int16)  # those of DTS, in the other order of bytes
    convert(tmp_path, written(np.tile(words, 100).reshape(-1, 2), kind="WAV", subtype="PCM_16"))


def test_a_square_wave_is_no_coded_sound(tmp_path):
    wave = np.where(np.arange(44100) // 512 % 2, 0x7FFE, -0x7FFF).astype(np.int16)
    convert(tmp_path, written(np.stack([wave, ~wave], axis=1), kind="WAV", subtype="PCM_16"))


def test_nan_and_infinity_are_counted_and_placed(tmp_path):
    samples = music(3.0)
    samples[[100_000, 120_000], 1] = np.nan, np.inf
    message = refusal(tmp_path, written(samples, "WAV", "FLOAT"))
    assert "2 samples that are NaN or infinite" in message and f"{100_000 / RATE:.3f} s" in message


def test_a_peak_beyond_all_reason_is_damage_not_a_reason_for_silence(tmp_path):
    samples = music(0.5) * 32768  # floats on the scale of 16 bit happen
    assert convert(tmp_path, written(samples, "WAV", "FLOAT"))[0]["gain_db"] == pytest.approx(-84.2884, abs=1e-3)
    samples[100, 0] = 1e20
    assert "1e+20 times full scale" in refusal(tmp_path, written(samples, "WAV", "FLOAT"))


def test_what_cannot_be_read_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "locked").write_bytes(written(music(0.1), "WAV"))
    (tmp_path / "locked").chmod(0)
    for name in ("", "missing", "pipe", *([] if os.geteuid() == 0 else ["locked"])):
        with pytest.raises(MirflowError, match=re.escape(str(tmp_path / name))):
            full_mix.make(tmp_path / name, tmp_path / "full_mix.flac")


@pytest.mark.parametrize("name", [b'it\'s "{x}"\n.wav', b"\xff\xfe \xe9.wav", "Été 音楽.mp3".encode(), b"-o.m4a"])
def test_any_file_name_and_any_extension(tmp_path, name):
    source = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    source.write_bytes(written(music(0.1), "AIFF", "PCM_16"))  # what it is decides, not what it is called
    parser = argparse.ArgumentParser()
    command.configure(parser)
    flac, record = tmp_path / "full_mix.flac", tmp_path / "source.json"
    command.run(parser.parse_args([str(source), "-o", str(flac), "--record", str(record)]))
    loaded = json.loads(record.read_bytes())
    assert loaded["source"] == os.fsencode(source).decode("utf-8", "replace")
    assert (loaded["format"], loaded["frames"]) == ("AIFF", 4410)
    source.write_bytes(b"")
    with pytest.raises(MirflowError) as caught:
        full_mix.make(source, flac)
    assert "\n" not in str(caught.value) and str(caught.value).encode()


def test_memory_does_not_grow_with_the_length(tmp_path):
    import tracemalloc

    peaks = []
    for seconds in (20, 80):
        tone = np.zeros((seconds * RATE, 2), np.float32)
        tone[-1] = 2.0  # the whole file is decoded twice
        (tmp_path / "long.wav").write_bytes(written(tone, "WAV", "FLOAT"))
        tracemalloc.start()
        full_mix.make(tmp_path / "long.wav", tmp_path / "full_mix.flac")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 20e6


def test_a_file_that_is_written_to_while_it_is_read_is_refused(tmp_path, monkeypatch):
    source = tmp_path / "a.wav"
    source.write_bytes(written(music(), "WAV", "PCM_16"))
    examine = full_mix.containers.examine

    def meanwhile(data):
        os.utime(source, (1, 1))
        return examine(data)

    monkeypatch.setattr(full_mix.containers, "examine", meanwhile)
    with pytest.raises(MirflowError, match="changed while it was read"):
        full_mix.make(source, tmp_path / "full_mix.flac")


def test_long_files_are_refused_and_more_so_with_more_samples_a_second(tmp_path):
    source = tmp_path / "a.wav"
    for rate, channels, seconds in ((44100, 2, 6), (8000, 1, 6), (96000, 2, 3), (48000, 8, 1.5)):
        for over in (0, 1):
            source.write_bytes(written(np.zeros((round(seconds * rate) + over, channels)), "WAV", rate=rate))
            if over:
                with pytest.raises(MirflowError, match=r"longer than .* minutes.*max_minutes"):
                    full_mix.make(source, tmp_path / "full_mix.flac", max_minutes=0.1)
            else:
                full_mix.make(source, tmp_path / "full_mix.flac", max_minutes=0.1)


def test_a_flac_file_with_metadata_that_libsndfile_does_not_take_is_written_anew(tmp_path):
    content = written(music(), "FLAC", "PCM_16")
    lie = b"\x04\x00\x00\x08" + struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFFF)  # a comment longer than its block
    _, result = convert(tmp_path, content[:42] + lie + content[42:])
    (tmp_path / "plain.flac").write_bytes(content)
    assert np.array_equal(result, soundfile.read(tmp_path / "plain.flac", dtype="int32")[0])


def test_no_room_for_the_last_bytes_is_an_error_and_no_shorter_file(tmp_path):
    source, flac = tmp_path / "a.wav", tmp_path / "full_mix.flac"
    source.write_bytes(written(music(), "WAV", "FLOAT"))
    full_mix.make(source, flac)
    size = flac.stat().st_size
    flac.unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, hard))  # libsndfile writes these bytes when it closes the file
    try:
        with pytest.raises(MirflowError, match=re.escape(f"{flac}: cannot be written (File too large)")):
            full_mix.make(source, flac)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == [source]
