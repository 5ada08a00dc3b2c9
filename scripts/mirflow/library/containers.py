"""Reading the container of an audio file: its kind, where its audio lies, and whether all of it is there.

Decoders are lenient: libmpg123 finds "frames" in prose, libsndfile accepts a WAV file that is cut short, libogg skips
damaged pages, and FFmpeg stops without an error where the bytes end. So a file is checked before it is decoded: every
container states its sizes, and a size that points past the end of the file means that a part is missing.
"""

import io
import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

JUNK = 64 * 1024  # bytes in which the first frame is searched for
FRAMED = 0.9  # share of the bytes (without tags) that must belong to valid frames; otherwise the file is something else
STREAMED = (0, 0xFFFFFFFF)  # sizes in files of writers that cannot go back to the header, such as streams
Bytes = bytes | mmap.mmap  # a file's content: a memory map does not load it whole
CONSECUTIVE = 3  # so many frames in a row are not a coincidence


class Damaged(Exception):
    """Something is wrong with the file: the message is one phrase, to which the caller adds the file's name."""


@dataclass(frozen=True)
class Container:
    """How a file is laid out.

    Attributes
    ----------
    kind : "FLAC", "WAV", "RF64", "W64", "AIFF", "OGG", "MPEG", "ADTS", "MP4" or "ASF"
    spans : byte ranges that are decoded separately and then joined: more than one where files were concatenated
    patch : (offset, bytes) to read instead of those in the file, where decoders cannot handle what a writer left there
    streaminfo : of a FLAC file
    """

    kind: str
    spans: tuple[tuple[int, int], ...]
    patch: tuple[int, bytes] | None = None
    streaminfo: "StreamInfo | None" = None


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
    patch: tuple[int, bytes] | None = None
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
        if self.patch:
            for offset, byte in enumerate(self.patch[1], start=self.patch[0]):
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
    start = _after_id3v2(data, 0)
    stop = _before_tags(data, start)
    head = data[start : min(start + 40, stop)]
    if head[:4] == b"fLaC":
        return _flac(data, start, stop)
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _wave(data, start, stop)
    if head[:16] == _W64_RIFF and head[24:40] == _W64_WAVE:
        return _w64(data, start, stop)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(data, start, stop)
    if head[:4] == b"OggS":
        return _ogg(data, start, stop)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"skip", b"free"):
        return _mp4(data, start, stop)
    if head[:16] == _ASF_HEADER:
        return _asf(data, start, stop)
    return _frames(data, start, stop)


def _at(data: Bytes, position: int, layout: str, stop: int) -> tuple:
    """Unpack a struct at `position`."""
    if position + struct.calcsize(layout) > stop:
        raise Damaged("truncated: the file ends inside its header")
    return struct.unpack_from(layout, data, position)


def _missing(what: str, needed: int, there: int) -> Damaged:
    """Return the error for a part of a file that is cut short."""
    return Damaged(f"truncated: {what} has {needed} bytes by its header, but only {there} are there")


# Tags around the audio, which may occur in any file


def _after_id3v2(data: Bytes, start: int) -> int:
    """Return where the bytes after any ID3v2 tags begin."""
    while data[start : start + 3] == b"ID3" and len(data) >= start + 10:
        flags, *size = data[start + 5 : start + 10]
        if any(byte > 127 for byte in size):
            break
        length = 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]) + (10 if flags & 0x10 else 0)
        if start + length > len(data):
            raise _missing("the ID3v2 tag", length, len(data) - start)
        start += length
    return start


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
    position, last, info = start + 4, False, None
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
        position += length
    if info is None:
        raise Damaged("damaged: a FLAC file without STREAMINFO")
    return Container("FLAC", ((start, stop),), streaminfo=info)


def _chunks(data: Bytes, position: int, stop: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte of the content and size of each chunk of a RIFF or IFF file."""
    while position + 8 <= stop:
        (size,) = struct.unpack_from(order + "I", data, position + 4)
        yield data[position : position + 4], position + 8, size
        position += 8 + size + (size & 1)


def _wave(data: Bytes, start: int, stop: int) -> Container:
    kind = "RF64" if data[start : start + 4] == b"RF64" else "WAV"
    long_size = None
    for name, position, size in _chunks(data, start + 12, stop, "<"):
        there = stop - position
        if name == b"ds64" and size >= 24:
            (long_size,) = _at(data, position + 8, "<Q", stop)
        elif name == b"data":
            if long_size is not None and size == 0xFFFFFFFF:
                size = long_size
            elif size in STREAMED and not (size == 0 and _ends_with_chunks(data, position, stop)):
                # libsndfile reads nothing from a data chunk of size 0.
                patch = (position - 4, struct.pack("<I", min(there, 0xFFFFFFFE))) if size == 0 else None
                return Container(kind, ((start, stop),), patch=patch)
            if size > there:
                raise _missing("the data chunk", size, there)
            return Container(kind, ((start, stop),))
    raise Damaged("truncated: a WAV file without a data chunk")


def _ends_with_chunks(data: Bytes, position: int, stop: int) -> bool:
    """Return whether chunks follow that end exactly where the file ends: then a size of 0 is really meant."""
    for name, content, size in _chunks(data, position, stop, "<"):
        if not re.fullmatch(rb"[ -~]{4}", name):
            return False
        position = content + size + (size & 1)
    return position >= stop and position - stop <= 1


_W64_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_W64_WAVE = b"wave" + bytes.fromhex("f3acd3118cd100c04f8edb8a")


def _w64(data: Bytes, start: int, stop: int) -> Container:
    position = start + 40
    while position + 24 <= stop:
        (size,) = struct.unpack_from("<Q", data, position + 16)
        if data[position : position + 4] == b"data":
            if size > stop - position:
                raise _missing("the data chunk", size, stop - position)
            return Container("W64", ((start, stop),))
        position += max(24, size + 7 & ~7)
    raise Damaged("truncated: a W64 file without a data chunk")


def _aiff(data: Bytes, start: int, stop: int) -> Container:
    for name, position, size in _chunks(data, start + 12, stop, ">"):
        if name == b"SSND":
            if size not in STREAMED and size > stop - position:
                raise _missing("the SSND chunk", size, stop - position)
            return Container("AIFF", ((start, stop),))
    raise Damaged("truncated: an AIFF file without an SSND chunk")


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> int:
    """Return the CRC of an Ogg page (RFC 3533, 6): zlib's polynomial, with the bits reversed and no inversions."""
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _ogg(data: Bytes, start: int, stop: int) -> Container:
    position, links, opening = start, [], False
    sequence: dict[int, int] = {}
    while position < stop:
        if data[position : position + 4] != b"OggS"[: stop - position]:
            if any(data[p : p + 4] == b"OggS" for p in _finds(data, b"O", position, stop)):
                raise Damaged(f"damaged: no Ogg page where one is expected, at byte {position}")
            if stop - position > JUNK:
                raise Damaged(f"damaged: no Ogg page in the last {stop - position} bytes")
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
    return Container("OGG", tuple(zip(links, [*links[1:], position], strict=True)))


def _finds(data: Bytes, byte: bytes, start: int, stop: int) -> Iterator[int]:
    """Yield the positions of a byte; the search goes block by block, so that a memory map is not copied whole."""
    for block in range(start, stop, JUNK):
        content = data[block : min(block + JUNK, stop)]
        found = content.find(byte)
        while found >= 0:
            yield block + found
            found = content.find(byte, found + 1)


def _mp4(data: Bytes, start: int, stop: int) -> Container:
    position, names = start, set()
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
        names.add(name)
        position += size
    if b"moov" not in names:
        raise Damaged("truncated: an MP4 file without its index (no 'moov' box)")
    return Container("MP4", ((start, stop),))


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


# MPEG audio and ADTS, which have no container: one frame follows another

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


def _frames(data: Bytes, start: int, stop: int) -> Container:
    """Examine an MPEG or ADTS stream: most of the file must be valid frames, and the last one complete."""
    for first in _finds(data, b"\xff", start, min(start + JUNK, stop)):
        for kind, frame in (("MPEG", _mpeg_frame), ("ADTS", _adts_frame)):
            if _in_a_row(data, first, stop, frame) >= CONSECUTIVE:
                return _walk(data, first, start, stop, kind, frame)
    raise Damaged("not an audio file of a known kind")


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


def _walk(data: Bytes, first: int, start: int, stop: int, kind: str, frame) -> Container:
    """Find the runs of frames; each is a span of its own, since each of several joined files has its Xing header."""
    shared = frame(data, first, stop)[1]
    spans, at, tags = [], first, 0
    while at < stop:
        begin = at
        at = _run(data, at, stop, frame, shared)
        if at > begin:
            spans.append((begin, at))
            if kind == "MPEG":
                _check_xing(data, begin, at, frame)
        inner = _after_id3v2(data, at)
        if inner != at:
            at, tags = inner, tags + inner - at
            continue
        resumed = (p for p in _finds(data, b"\xff", at + 1, stop) if (f := frame(data, p, stop)) and f[1] == shared)
        at = next((p for p in resumed if _in_a_row(data, p, stop, frame) >= CONSECUTIVE), stop)
    share = sum(end - begin for begin, end in spans) / (stop - start - tags)
    if share < FRAMED:
        raise Damaged(f"not an audio file, or badly damaged: {share:.0%} of it are frames of {kind} audio")
    return Container(kind, tuple(spans))


def _run(data: Bytes, at: int, stop: int, frame, shared: tuple) -> int:
    """Return where the run of frames that starts at `at` ends."""
    while (found := frame(data, at, stop)) and found[1] == shared:
        at += found[0]
        if at > stop:
            raise Damaged(f"truncated: the file ends inside a frame, {at - stop} bytes short")
    return at


def _check_xing(data: Bytes, begin: int, end: int, frame) -> None:
    """Compare the number of frames with that in the Xing header of the first one, if it has one."""
    length = frame(data, begin, end)[0]
    claimed, there, at = _xing_frames(data, begin, length), 0, begin + length
    while claimed and at < end:
        there, at = there + 1, at + frame(data, at, end)[0]
    if claimed > there + 1:  # some writers also count the frame of the header
        raise Damaged(f"truncated: its Xing header claims {claimed} frames, but only {there} are there")


def _xing_frames(data: Bytes, first: int, length: int) -> int:
    """Return the number of frames that a Xing, Info or VBRI header in the first frame states; 0 without a header."""
    content = data[first : first + length]
    for name, layout in ((b"Xing", ">4xII"), (b"Info", ">4xII"), (b"VBRI", ">14xI")):
        at = content.find(name, 4, 64)
        if at >= 0 and at + struct.calcsize(layout) <= len(content):
            *flags, frames = struct.unpack_from(layout, content, at)
            return 0 if flags and not flags[0] & 1 else frames
    return 0
