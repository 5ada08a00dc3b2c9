"""Reading the container of an audio file: its kind, where its audio lies, and whether all of it is there.

Decoders are lenient: libmpg123 finds "frames" in prose, libsndfile accepts a WAV file that is cut short, libogg skips
damaged pages, and FFmpeg stops without an error where the bytes end. So a file is checked before it is decoded: every
container states its sizes, and a size that points past the end of the file means that a part is missing.

Some wrong sizes are no damage: writers that cannot go back to the header leave a placeholder, others count the header.
Such a file is taken when all of its sound is there, and `Container.ignored` says what was not believed.
"""

import io
import mmap
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

from mirflow.core import channels
from mirflow.library import layouts

JUNK = 64 * 1024  # bytes in which the first frame is searched for
FRAMED = 0.9  # share of the bytes (without tags) that must belong to valid frames; otherwise the file is something else
# Sizes that writers into a pipe leave in the header: 0, or the most that a program believes in, less a header or a
# block. SoX uses 0x7F000000 for AIFF and 0x7FFFF000 for WAV, FFmpeg 0xFFFFFFFF, others 0x7FFFFFFF or 0x80000000.
STREAMED = ((0, 0), (0x7EFFF000, 0x7F001000), (0x7FFFE000, 0x80000000), (0xFFFFE000, 0xFFFFFFFF))
# The least such size in W64, where sizes have 64 bits: FFmpeg's is 2 ** 63 - 1. (SoX's is that of an empty chunk.)
W64_STREAMED = 1 << 62
COUNTED_HEADER = 44  # bytes that the size of the samples may exceed them: recorders count the canonical WAV header
Bytes = bytes | mmap.mmap  # a file's content: a memory map does not load it whole
CONSECUTIVE = 3  # so many frames in a row are not a coincidence
MOST_TAG_FRAMES = 10_000  # in an ID3v2 tag whose size is wrong; a bound on the time that a made-up tag costs
# FFmpeg's muxer of MP4 before this version, and that of AIFF until today, state a layout with a tag that means another
# order than that of the samples, which is WAV's.
LAVF_WITH_ORDER = 61
LAST_PAGE = 4  # flag of the page of Ogg that ends a stream
ZEROS = 0.5  # share of an MPEG file that may be zeros at its end, where no header says how many frames there are


class Damaged(Exception):
    """Something is wrong with the file: the message is one phrase, to which the caller adds the file's name."""


@dataclass(frozen=True)
class Container:
    """How a file is laid out.

    Attributes
    ----------
    kind : "FLAC", "WAV", "RF64", "BW64", "W64", "AIFF", "OGG", "MPEG", "ADTS", "LOAS", "MP4" or "ASF"
    spans : byte ranges that are decoded separately and then joined: more than one where files were concatenated
    patches : (offset in the file, bytes) to read instead of those in the file, where decoders cannot handle what a
        writer left there
    streaminfo : of a FLAC file
    layout : the positions of the channels of PCM as the file states them, in the order of the file (see
        `mirflow.core.channels`); empty where it states none
    ignored : what in the file is wrong or is no audio, though no sound is missing; "" where there is nothing
    """

    kind: str
    spans: tuple[tuple[int, int], ...]
    patches: tuple[tuple[int, bytes], ...] = ()
    streaminfo: "StreamInfo | None" = None
    layout: tuple[str, ...] = ()
    ignored: str = ""


@dataclass(frozen=True)
class StreamInfo:
    """The STREAMINFO block of a FLAC file (RFC 9639, 8.2); `frames` is 0 and `md5` all zero where unknown."""

    rate: int
    channels: int
    bits: int
    frames: int
    md5: bytes


@dataclass
class Window(io.RawIOBase):
    """A byte range of a file, as a read-only file for the decoders."""

    data: Bytes
    start: int
    stop: int
    patches: tuple[tuple[int, bytes], ...] = ()
    at: int = field(default=0, init=False)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position within the window."""
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to `offset`, as files do."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.stop - self.start}[whence]
        self.at = max(0, base + offset)
        return self.at

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Copy as many bytes as there are into `buffer`; return their number."""
        first = min(self.start + self.at, self.stop)
        last = min(first + len(buffer), self.stop)
        target = memoryview(buffer).cast("B")
        target[: last - first] = self.data[first:last]
        for at, patch in self.patches:
            for offset, byte in enumerate(patch, start=at):
                if first <= offset < last:
                    target[offset - first] = byte
        self.at += last - first
        return last - first


def examine(data: Bytes) -> Container:
    """Find out the kind of a file from its content, and whether it is complete.

    Parameters
    ----------
    data : the whole file

    Raises
    ------
    Damaged : it is empty or not an audio file of a known kind, or a part is missing
    """
    if not len(data):
        raise Damaged("the file is empty (0 bytes)")
    start, wrong = _after_id3v2(data, 0)
    stop = _before_tags(data, start)
    container = (_of_header(data, start, stop) or _frames)(data, start, stop)
    return replace(container, ignored=together(wrong, container.ignored)) if wrong else container


def _of_header(data: Bytes, start: int, stop: int) -> Callable[[Bytes, int, int], Container] | None:
    """Return what examines the kind of container whose header is at `start`; None where there is none."""
    head = data[start : min(start + 40, stop)]
    if head[:4] == b"fLaC":
        return _flac
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _wave
    if head[:16] == _W64_RIFF and head[24:40] == _W64_WAVE:
        return _w64
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff
    if head[:4] == b"OggS":
        return _ogg
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"skip", b"free"):
        return _mp4
    if head[:16] == _ASF_HEADER:
        return _asf
    return None


def together(*ignored: str) -> str:
    """Join what is ignored into a sentence."""
    return "; ".join(filter(None, ignored))


def _at(data: Bytes, position: int, layout: str, stop: int) -> tuple:
    """Unpack a struct at `position`."""
    if position + struct.calcsize(layout) > stop:
        raise Damaged("truncated: the file ends inside its header")
    return struct.unpack_from(layout, data, position)


def _missing(what: str, needed: int, there: int) -> Damaged:
    """Return the error for a part of a file that is cut short."""
    return Damaged(f"truncated: {what} has {needed} bytes by its header, but only {there} are there")


# Tags around the audio, which may occur in any file


def _after_id3v2(data: Bytes, start: int) -> tuple[int, str]:
    """Return where the bytes after any ID3v2 tags begin, and what is wrong with the tags."""
    wrong = ""
    while data[start : start + 3] == b"ID3" and len(data) >= start + 10:
        tag = data[start : start + 10]
        footer = 10 if tag[5] & 0x10 else 0
        stated = start + 10 + _syncsafe(tag[6:10]) + footer if max(tag[6:10]) < 128 else None
        audio = None if stated is None else _audio_at(data, stated)
        if stated is None or audio != stated:
            other = _audio_after_frames(data, start, stated, audio, int.from_bytes(tag[6:10]) + footer)
            if other is not None:
                start, wrong = other, "the size in the header of the ID3v2 tag, which is wrong"
                continue
            if stated is None:
                break
            if stated > len(data):
                raise _missing("the ID3v2 tag", stated - start, len(data) - start)
        start = stated if audio is None else audio
    return start, wrong


def _syncsafe(digits: bytes) -> int:
    """Return the number that ID3v2 writes with 7 bits a byte."""
    return digits[0] << 21 | digits[1] << 14 | digits[2] << 7 | digits[3]


def _audio_after_frames(data: Bytes, start: int, stated: int | None, audio: int | None, plain: int) -> int | None:
    """Return where audio begins after an ID3v2 tag whose size is wrong; None where nothing else than `stated` fits.

    Some writers state the size of the tag as a plain integer, and those of its frames as the other kind of integer than
    the version demands. Whatever the tag says of itself, its frames lead from one to the next.

    Parameters
    ----------
    start : of the tag
    stated : its end by its header; None where the size is no synchsafe integer
    audio : where the audio begins after `stated` and zeros
    plain : the size as a plain integer
    """
    found = _first_frame(data, start if stated is None else stated, len(data))
    ends = {start + 10 + plain, *(_after_id3v2_frames(data, start + 10, number) for number in (_plain, _syncsafe))}
    for end in sorted(ends):
        there = _audio_at(data, end)
        if there is None or (audio is not None and not end == there <= audio):
            continue
        if found is None or there <= found[0]:  # otherwise frames of audio before it would be lost
            return there
    return None


def _plain(digits: bytes) -> int:
    return int.from_bytes(digits)


def _after_id3v2_frames(data: Bytes, at: int, number: Callable[[bytes], int]) -> int:
    """Return where the frames of an ID3v2.3 or 2.4 tag end, the first of which is at `at`."""
    for _ in range(MOST_TAG_FRAMES):
        is_frame = at + 10 <= len(data) and re.fullmatch(rb"[A-Z][A-Z0-9]{3}", data[at : at + 4])
        if not is_frame or _of_header(data, at, len(data)):  # "RIFF" and "FORM" could be names of frames
            break
        at += 10 + number(data[at + 4 : at + 8])
    return at


def _audio_at(data: Bytes, at: int) -> int | None:
    """Return where audio or another tag begins, at `at` or right after the zeros there; None where neither does."""
    earliest = at
    while at < len(data) and not data[at]:
        block = data[at : at + JUNK]
        at += len(block) - len(block.lstrip(b"\0"))
    for first in range(max(earliest, at - 3), at + 1):  # an MP4 file begins with a size of 4 bytes: some are zero
        if data[first : first + 3] == b"ID3" or _of_header(data, first, len(data)):
            return first
    return at if any(_in_a_row(data, at, len(data), frame) >= CONSECUTIVE for _, _, frame in _FRAMES) else None


def _before_tags(data: Bytes, start: int) -> int:
    """Return where trailing ID3v1, APE and Lyrics3 tags begin: the end of the audio."""
    stop, before = len(data), -1
    while stop != before:
        before = stop
        if stop - start >= 128 and data[stop - 128 : stop - 125] == b"TAG":
            stop -= 128
            if stop - start >= 227 and data[stop - 227 : stop - 223] == b"TAG+":
                stop -= 227
        if stop - start >= 32 and data[stop - 32 : stop - 24] == b"APETAGEX":
            size, flags = struct.unpack_from("<I4xI", data, stop - 20)
            size += 32 if flags >> 31 else 0  # the tag's size does not include its header
            stop -= size if 32 <= size <= stop - start else 32
        if stop - start >= 15 and data[stop - 9 : stop] == b"LYRICS200":
            digits = data[stop - 15 : stop - 9]
            if digits.isdigit() and int(digits) + 15 <= stop - start:
                stop -= int(digits) + 15
    return stop


# Containers


def _flac(data: Bytes, start: int, stop: int) -> Container:
    position, last, info, layout = start + 4, False, None, ()
    while not last:
        (header,) = _at(data, position, ">I", stop)
        last, kind, length = bool(header >> 31), header >> 24 & 0x7F, header & 0xFFFFFF
        position += 4
        if position + length > stop:
            raise _missing("a metadata block", length, stop - position)
        if kind == 0 and length >= 34:
            packed = int.from_bytes(data[position + 10 : position + 18])
            info = StreamInfo(
                rate=packed >> 44,
                channels=(packed >> 41 & 7) + 1,
                bits=(packed >> 36 & 31) + 1,
                frames=packed & (1 << 36) - 1,
                md5=data[position + 18 : position + 34],
            )
        if kind == 4 and (mask := _MASK_COMMENT.search(data[position : position + length])):
            layout = channels.of_mask(int(mask[1], 16))
        position += length
    if info is None:
        raise Damaged("damaged: a FLAC file without STREAMINFO")
    return Container("FLAC", ((start, stop),), streaminfo=info, layout=layout)


_MASK_COMMENT = re.compile(rb"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x([0-9A-F]{1,8})(?![0-9A-F])", re.IGNORECASE)


def _chunks(data: Bytes, position: int, stop: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte of the content and size of each chunk of a RIFF or IFF file."""
    while position + 8 <= stop:
        (size,) = struct.unpack_from(order + "I", data, position + 4)
        yield data[position : position + 4], position + 8, size
        position += 8 + size + (size & 1)


def _wave(data: Bytes, start: int, stop: int) -> Container:
    magic = data[start : start + 4]
    kind = "WAV" if magic == b"RIFF" else magic.decode()
    sizes, layout = None, ()  # where ds64, the chunk with the sizes of 64 bits, is
    for name, position, size in _chunks(data, start + 12, stop, "<"):
        if name == b"ds64" and size >= 24:
            sizes = position
        elif name == b"fmt ":
            layout = _wave_layout(data, position, size, stop)
        elif name == b"data":
            told = size
            if sizes is not None and size == 0xFFFFFFFF:
                (told,) = _at(data, sizes + 8, "<Q", stop)
            actual, ignored = _data_size("the data chunk", data, (start, position, stop), told, "<")
            if magic == b"RIFF" and size == actual:
                return Container(kind, ((start, stop),), layout=layout)
            patches = _wave_patches(start, position, magic, sizes, actual)
            return Container(kind, ((start, stop),), patches, layout=layout, ignored=ignored)
    raise Damaged("truncated: a WAV file without a data chunk")


def _wave_layout(data: Bytes, position: int, size: int, stop: int) -> tuple[str, ...]:
    """Return the layout that the fmt chunk at `position` states: by a mask, if it is WAVEFORMATEXTENSIBLE.

    Bits of the mask beyond the number of channels do not count.
    """
    if size < 40 or position + 24 > stop:
        return ()
    tag, count, mask = struct.unpack_from("<HH16xI", data, position)
    return channels.of_mask(mask)[:count] if tag == 0xFFFE else ()


def _wave_patches(
    start: int, position: int, magic: bytes, sizes: int | None, actual: int
) -> tuple[tuple[int, bytes], ...]:
    """Return what makes the header one that libsndfile reads: it knows no BW64, and believes every size.

    Parameters
    ----------
    start, position : of the file, and of the samples
    magic : the first four bytes
    sizes : where the content of ds64 is
    actual : how many bytes of samples there are
    """
    if actual < 0xFFFFFFFF:  # then nothing needs the sizes of 64 bits: ds64 is skipped like any other chunk
        return (start, b"RIFF"), (position - 4, struct.pack("<I", actual))
    if magic == b"RIFF" or sizes is None:
        raise Damaged(f"has {actual} bytes of samples, but no header for more than 4 GiB (RF64)")
    return (start, b"RF64"), (position - 4, b"\xff" * 4), (sizes + 8, struct.pack("<Q", actual))


def _data_size(what: str, data: Bytes, where: tuple[int, int, int], size: int, order: str) -> tuple[int, str]:
    """Return how many bytes of samples are there, and what is wrong with the size that the header states.

    Parameters
    ----------
    what : the chunk's name in messages
    where : first byte of the file and of the chunk's content, and the end of the file
    size : as stated
    order : of the bytes in numbers, as for struct

    Raises
    ------
    Damaged : bytes are missing
    """
    start, position, stop = where
    there = stop - position
    if _is_placeholder(size) and not _ends_with_chunks(data, position + size + (size & 1), stop, order):
        return there, f"the size of {what} in the header, {size} bytes, which is a placeholder"
    if size <= there:
        return size, ""
    header = position - start
    headers = (header, header - 8)  # the size of the whole file, and that in the RIFF chunk, which leaves out 8 bytes
    if size - there > COUNTED_HEADER and size - there not in headers:
        raise _missing(what, size, there)
    end = stop
    if size - there <= COUNTED_HEADER:  # other chunks may follow, if they are no longer than that
        earliest = max(position, position + size - COUNTED_HEADER)
        end = next((p for p in range(earliest, stop) if _ends_with_chunks(data, p, stop, order)), stop)
    actual = end - position
    return actual, f"the size of {what} in the header, which is {size - actual} bytes too large"


def _is_placeholder(size: int) -> bool:
    """Return whether a size is one that writers into a pipe leave in the header."""
    return size >= 1 << 63 or any(low <= size <= high for low, high in STREAMED)


def _ends_with_chunks(data: Bytes, position: int, stop: int, order: str) -> bool:
    """Return whether chunks follow that end exactly where the file ends: then a size of 0 is really meant."""
    for name, content, size in _chunks(data, position, stop, order):
        if not re.fullmatch(rb"[ -~]{4}", name):
            return False
        position = content + size + (size & 1)
    return position >= stop and position - stop <= 1


_W64_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_W64_WAVE = b"wave" + bytes.fromhex("f3acd3118cd100c04f8edb8a")


def _w64(data: Bytes, start: int, stop: int) -> Container:
    position, layout = start + 40, ()
    while position + 24 <= stop:
        (size,) = struct.unpack_from("<Q", data, position + 16)  # with the name and the size of the chunk
        if data[position : position + 4] == b"fmt ":
            layout = _wave_layout(data, position + 24, size - 24, stop)
        elif data[position : position + 4] == b"data":
            there = stop - position
            is_followed = data[position + 28 : position + 40] == _W64_WAVE[4:]
            if size >= W64_STREAMED or (size <= 24 < there and not is_followed):
                patches = ((position + 16, struct.pack("<Q", there)),)
                ignored = f"the size of the data chunk in the header, {size} bytes, which is a placeholder"
                return Container("W64", ((start, stop),), patches, layout=layout, ignored=ignored)
            if size > there:
                raise _missing("the data chunk", size, there)
            return Container("W64", ((start, stop),), layout=layout)
        position += max(24, size + 7 & ~7)
    raise Damaged("truncated: a W64 file without a data chunk")


def _aiff(data: Bytes, start: int, stop: int) -> Container:
    sizes, ignored, layout, hidden, is_of_ffmpeg = None, "", (), (), True
    for name, position, size in _chunks(data, start + 12, stop, ">"):
        if name == b"COMM":
            is_of_ffmpeg = False  # which writes the layout before all else
        elif name == b"CHAN":
            layout = layouts.of_apple(data[position : min(position + size, stop)])
            layout = channels.ascending(layout) if is_of_ffmpeg else layout
            hidden = _hidden(position - 8, b"JUNK")
        elif name == b"SSND" and sizes is None:
            actual, ignored = _data_size("the SSND chunk", data, (start, position, stop), size, ">")
            sizes = ((position - 4, struct.pack(">I", min(actual, 0xFFFFFFFF))),) if ignored else ()
            if ignored:
                break  # what follows cannot be found
    if sizes is None:
        raise Damaged("truncated: an AIFF file without an SSND chunk")
    return Container("AIFF", ((start, stop),), sizes + hidden, layout=layout, ignored=ignored)


def _hidden(position: int, name: bytes) -> tuple[tuple[int, bytes], ...]:
    """Return the patch that hides a channel layout from FFmpeg: PyAV crashes where channels are in an unusual order."""
    return ((position, name),)


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> int:
    """Return the CRC of an Ogg page (RFC 3533, 6): zlib's polynomial, with the bits reversed and no inversions."""
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _ogg(data: Bytes, start: int, stop: int) -> Container:
    position, links, opening, flags, ignored = start, [], False, 0, ""
    sequence: dict[int, int] = {}
    while position < stop:
        if data[position : position + 4] != b"OggS"[: stop - position]:
            if any(data[p : p + 4] == b"OggS" for p in _finds(data, b"O", position, stop)):
                raise Damaged(f"damaged: no Ogg page where one is expected, at byte {position}")
            if stop - position > JUNK and not flags & LAST_PAGE:
                raise Damaged(f"damaged: no Ogg page in the last {stop - position} bytes")
            ignored = f"{stop - position} bytes after the last Ogg page"
            break
        where = f"truncated: the file ends inside the Ogg page at byte {position}"
        if position + 27 > stop:
            raise Damaged(where)
        flags, serial, number, checksum, segments = struct.unpack_from("<5xB8xIIIB", data, position)
        body = position + 27 + segments
        end = body + sum(data[position + 27 : body])
        if body > stop or end > stop:
            raise Damaged(where)
        page = data[position:end]
        if _ogg_checksum(page[:22] + bytes(4) + page[26:]) != checksum:
            raise Damaged(f"damaged: the Ogg page at byte {position} fails its checksum")
        if flags & 2:  # the first page of a stream; those of all streams of a link come first
            if not opening:
                links.append(position)
                sequence.clear()
            opening = True
        else:
            opening = False
            if sequence.get(serial, number - 1) != number - 1:
                raise Damaged(f"damaged: pages are missing before the Ogg page at byte {position}")
        sequence[serial] = number
        position = end
    if not links:
        raise Damaged("damaged: an Ogg file without the first page of a stream")
    if not flags & LAST_PAGE:
        ignored = together(
            ignored, "that its last Ogg page is not marked as the end, as where a recording was broken off"
        )
    return Container("OGG", tuple(zip(links, [*links[1:], position], strict=True)), ignored=ignored)


def _finds(data: Bytes, byte: bytes, start: int, stop: int) -> Iterator[int]:
    """Yield the positions of a byte; the search goes block by block, so that a memory map is not copied whole."""
    for block in range(start, stop, JUNK):
        content = data[block : min(block + JUNK, stop)]
        found = content.find(byte)
        while found >= 0:
            yield block + found
            found = content.find(byte, found + 1)


def _mp4(data: Bytes, start: int, stop: int) -> Container:
    position, names, layout, hidden = start, set(), (), ()
    while position + 8 <= stop:
        size, name = struct.unpack_from(">I4s", data, position)
        if not re.fullmatch(rb"[ -~\xa9]{4}", name):
            break  # junk after the last box
        if size == 1:
            (size,) = _at(data, position + 8, ">Q", stop)
        elif size == 0:
            size = stop - position
        if size < 8:
            break
        if position + size > stop:
            raise _missing(f"the box {name.decode('latin-1')!r}", size, stop - position)
        if name == b"moov":
            layout, hidden = _mp4_layout(data, position, position + size)
        names.add(name)
        position += size
    if b"moov" not in names:
        raise Damaged("truncated: an MP4 file without its index (no 'moov' box)")
    return Container("MP4", ((start, stop),), hidden, layout=layout)


def _mp4_layout(data: Bytes, start: int, stop: int) -> tuple[tuple[str, ...], tuple[tuple[int, bytes], ...]]:
    """Return the layout that a box chan or chnl between two positions states, and the patches that hide all of them."""
    layout, hidden = (), ()
    for at in _finds(data, b"c", start + 4, stop):
        name = data[at : at + 4]
        if name not in (b"chan", b"chnl"):
            continue
        (size,) = struct.unpack_from(">I", data, at - 4)
        content = data[at + 8 : min(at - 4 + size, stop)]  # after version and flags
        if len(content) != size - 12 or (name == b"chan" and (size < 24 or (size - 24) % 20)):
            continue
        layout = layout or (layouts.of_apple if name == b"chan" else layouts.of_iso)(content)
        hidden += _hidden(at, b"free")
    writer = re.search(rb"Lavf(\d+)\.", data[start:stop])
    if writer and int(writer[1]) < LAVF_WITH_ORDER:
        layout = channels.ascending(layout)
    return layout, hidden


_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def _asf(data: Bytes, start: int, stop: int) -> Container:
    position = start + 30
    (header,) = _at(data, start + 16, "<Q", stop)
    if start + header > stop:
        raise _missing("the ASF header", header, stop - start)
    while position + 24 <= start + header:
        (size,) = _at(data, position + 16, "<Q", stop)
        if data[position : position + 16] == _ASF_PROPERTIES:
            whole, flags = _at(data, position + 40, "<Q40xI", stop)
            if whole > stop - start and not flags & 1:  # bit 0: a broadcast, sizes are not known
                raise _missing("the ASF file", whole, stop - start)
        position += max(24, size)
    return Container("ASF", ((start, stop),))


# MPEG audio, and AAC in ADTS or LOAS, which have no container: one frame follows another

_KBPS = {  # (MPEG-1, layer) → kbit/s by index; ISO 11172-3 table 2.4.2.3, ISO 13818-3
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_KBPS[False, 3] = _KBPS[False, 2]
_MPEG_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version bits


@cache
def _mpeg_header(second: int, third: int) -> tuple[int, tuple] | None:
    """Return the length of a frame in bytes, and what all frames of a stream share, from two bytes of its header."""
    version, layer, index = second >> 3 & 3, 4 - (second >> 1 & 3), third >> 2 & 3
    if second & 0xE0 != 0xE0 or version == 1 or layer == 4 or index == 3 or not 0 < third >> 4 < 15:
        return None
    rate = _MPEG_RATES[version][index]
    bits = 1000 * _KBPS[version == 3, layer][third >> 4]
    padding = third >> 1 & 1
    if layer == 1:
        length = (12 * bits // rate + padding) * 4
    else:
        length = (72 if layer == 3 and version != 3 else 144) * bits // rate + padding
    return length, (version, layer, rate)


def _mpeg_frame(data: Bytes, at: int, stop: int) -> tuple[int, tuple] | None:
    return _mpeg_header(data[at + 1], data[at + 2]) if at + 4 <= stop and data[at] == 0xFF else None


def _adts_frame(data: Bytes, at: int, stop: int) -> tuple[int, tuple] | None:
    if at + 7 > stop or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0 or data[at + 2] >> 2 & 15 > 12:
        return None
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return (length, (data[at + 1], data[at + 2] & 0xFD, data[at + 3] & 0xC0)) if length >= 7 else None


def _loas_frame(data: Bytes, at: int, stop: int) -> tuple[int, tuple] | None:
    """Read the header of a frame of LOAS (AudioSyncStream, ISO 14496-3, 1.7.2), in which LATM travels."""
    if at + 3 > stop or data[at] != 0x56 or data[at + 1] & 0xE0 != 0xE0:
        return None
    return 3 + ((data[at + 1] & 0x1F) << 8 | data[at + 2]), ()


_FRAMES = (("MPEG", b"\xff", _mpeg_frame), ("ADTS", b"\xff", _adts_frame), ("LOAS", b"\x56", _loas_frame))


def _first_frame(data: Bytes, start: int, stop: int) -> tuple[int, str, bytes, Callable] | None:
    """Return where the first of several frames is, their kind, the first byte of each, and what reads their headers."""
    for sync in (b"\xff", b"\x56"):
        for first in _finds(data, sync, start, min(start + JUNK, stop)):
            for kind, begin, frame in _FRAMES:
                if begin == sync and _in_a_row(data, first, stop, frame) >= CONSECUTIVE:
                    return first, kind, sync, frame
    return None


def _frames(data: Bytes, start: int, stop: int) -> Container:
    """Examine an MPEG, ADTS or LOAS stream: most of the file must be valid frames, and only the last one incomplete."""
    found = _first_frame(data, start, stop)
    if found is None:
        raise Damaged("not an audio file of a known kind")
    return _walk(data, start, stop, *found)


def _in_a_row(data: Bytes, at: int, stop: int, frame) -> int:
    """Count the frames in a row from `at`, up to `CONSECUTIVE`; a row that ends with the file counts as that many."""
    count, shared = 0, None
    while count < CONSECUTIVE and at != stop:
        found = frame(data, at, stop)
        if found is None or (shared is not None and found[1] != shared):
            return count
        at, shared, count = at + found[0], found[1], count + 1
        if at > stop:
            return count - 1
    return CONSECUTIVE if count else 0


def _walk(data: Bytes, start: int, stop: int, first: int, kind: str, sync: bytes, frame) -> Container:
    """Find the runs of frames; each is a span of its own, since each of several joined files has its Xing header."""
    shared = frame(data, first, stop)[1]
    spans, at, tags, tail, is_complete, ignored = [], first, 0, 0, False, []
    while at < stop:
        begin = at
        at, short = _run(data, at, stop, frame, shared)
        if at > begin:
            spans.append((begin, at))
            tail = stop - at
            if kind == "MPEG":
                is_complete = _check_xing(data, begin, at, frame)
        if short:  # up to one frame is no damage
            ignored.append(f"the last frame, of which {short} bytes are missing")
            tail, stop = 0, at
            break
        inner, wrong = _after_id3v2(data, _after_tags(data, at, stop))
        if inner != at:
            ignored.append(wrong)
            at, tags, tail = inner, tags + inner - at, tail - (inner - at)
            continue
        resumed = (p for p in _finds(data, sync, at + 1, stop) if (f := frame(data, p, stop)) and f[1] == shared)
        at = next((p for p in resumed if _in_a_row(data, p, stop, frame) >= CONSECUTIVE), stop)
    framed = sum(end - begin for begin, end in spans)
    junk = stop - start - tags - framed - tail
    is_zero = tail > 0 and _are_zeros(data, stop - tail, stop)
    if is_zero and not is_complete and tail > ZEROS * (framed + tail):
        raise Damaged(f"damaged: its last {tail} bytes are zeros, and no header says that the audio ends before them")
    share = framed / (framed + junk + (0 if is_zero or is_complete else tail))
    if share < FRAMED:
        raise Damaged(f"not an audio file, or badly damaged: {share:.0%} of it are frames of {kind} audio")
    if junk:
        ignored.append(f"{junk} bytes before or between the frames of {kind} audio")
    if tail:
        ignored.append(f"{tail} {'zeros' if is_zero else 'bytes'} after the last frame of {kind} audio")
    return Container(kind, tuple(spans), ignored=together(*ignored))


def _are_zeros(data: Bytes, start: int, stop: int) -> bool:
    """Return whether all bytes of a range are zero."""
    return all(not data[at : min(at + JUNK, stop)].strip(b"\0") for at in range(start, stop, JUNK))


def _after_tags(data: Bytes, at: int, stop: int) -> int:
    """Return where ID3v1 and APE tags end that begin at `at`: zeros, or another file, may follow them."""
    end = at
    while end <= stop and end + 32 <= len(data):
        at = end
        if data[at : at + 3] == b"TAG":
            end += 128
        elif data[at : at + 8] == b"APETAGEX":
            end += 32 + int.from_bytes(data[at + 12 : at + 16], "little")  # this size leaves the header out
        else:
            break
    return at if end > stop else end


def _run(data: Bytes, at: int, stop: int, frame, shared: tuple) -> tuple[int, int]:
    """Return where the run of whole frames that starts at `at` ends, and how many bytes its last frame lacks."""
    while (found := frame(data, at, stop)) and found[1] == shared:
        if at + found[0] > stop:
            return at, at + found[0] - stop
        at += found[0]
    return at, 0


def _check_xing(data: Bytes, begin: int, end: int, frame) -> bool:
    """Return whether all frames are there that the Xing header in the first one counts, if it has one.

    Raises
    ------
    Damaged : more than one is missing
    """
    length = frame(data, begin, end)[0]
    claimed, there, at = _xing_frames(data, begin, length), 0, begin + length
    while claimed and at < end:
        there, at = there + 1, at + frame(data, at, end)[0]
    if claimed > there + 1:  # some writers also count the frame of the header
        raise Damaged(f"truncated: its Xing header claims {claimed} frames, but only {there} are there")
    return 0 < claimed <= there


def _xing_frames(data: Bytes, first: int, length: int) -> int:
    """Return the number of frames that a Xing, Info or VBRI header in the first frame states; 0 without a header."""
    content = data[first : first + length]
    for name, layout in ((b"Xing", ">4xII"), (b"Info", ">4xII"), (b"VBRI", ">14xI")):
        at = content.find(name, 4, 64)
        if at >= 0 and at + struct.calcsize(layout) <= len(content):
            *flags, frames = struct.unpack_from(layout, content, at)
            return 0 if flags and not flags[0] & 1 else frames
    return 0
