"""Turning any audio file into ``full_mix.flac``, or into one line that says what is wrong with the file.

A FLAC file is copied as it is. Everything else is decoded at its own rate and with its own channels, block by block:
integers keep their bits, floats and lossy formats become 24 bit. A source that exceeds full scale is attenuated as a
whole until it fits; nothing is ever clipped. Channels are in the order of WAV files (`mirflow.core.channels`).
"""

import hashlib
import math
import mmap
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from mirflow.core import artifacts, audio, channels
from mirflow.core.errors import MirflowError
from mirflow.library import containers, layouts
from mirflow.library.containers import JUNK, Container, Damaged, StreamInfo, Window

VERSION = 2  # raise it when the samples change; `mirflow.workflow.upgrades` says which files of version 1 stay valid
BLOCK = 65536  # samples per channel that are in memory at a time, about
MAX_CHANNELS = 8  # FLAC's
MIN_RATE = 4000  # Hz; the loudness filter of ITU-R BS.1770 has a corner at 1682 Hz
MAX_RATE = 655350  # Hz; above 65535 a FLAC frame counts in tens
USUAL = 2 * 48000  # samples per second over all channels; files with more may be correspondingly shorter
FULL_SCALE = 1 << 23  # of 24 bit
MAX_PEAK = 1 << 31  # times full scale: floats may be scaled like integers; a flipped bit in an exponent exceeds this
SLACK = 0.5  # s that an MP4 or ASF header may announce too many: some include the delay of the encoder
LACKING = 0.01  # s that FFmpeg may decode less than libsndfile announces
PADDING = 8192  # samples, the most that an AAC encoder adds to fill its last frames
UNKNOWN = "NONE"  # FFmpeg's name of a position that it does not know
OPUS_RATE = 48000  # Hz, of all Opus (RFC 7845, 5.1): the rate in its header only says what was encoded

DEMUXERS = {
    "FLAC": "flac", "WAV": "wav", "RF64": "wav", "W64": "w64", "AIFF": "aiff", "OGG": "ogg",
    "MPEG": "mp3", "ADTS": "aac", "LOAS": "loas", "MP4": "mov", "ASF": "asf", "BW64": "wav",
}  # fmt: skip
# libsndfile can read MPEG audio too, but stops at a guessed length where there is no Xing header.
FFMPEG_ONLY = ("MPEG", "ADTS", "LOAS", "MP4", "ASF")
# How each frame of other codecs begins, which players send to receivers as if it were 16-bit PCM: two words, and a mask
# and value for the third (IEC 61937; ETSI TS 102 114, annex E for DTS in words of 14 and 16 bits).
BITSTREAMS = {
    "DTS": ((0x7FFE, 0x8001, 0xFC00, 0xFC00), (0x1FFF, 0xE800, 0xFFF0, 0x07F0)),
    "AC-3 or another codec in IEC 61937": ((0xF872, 0x4E1F, 0xE000, 0),),
}
BURST = 256  # words, of which their frames take a multiple


class _Undecodable(Damaged):
    """A decoder stops at a place where there is more; another one may go on."""


def make(
    source: str | os.PathLike, flac: str | os.PathLike, name: str | None = None, max_minutes: float = math.inf
) -> dict:
    """Turn an audio file into a FLAC file, atomically.

    Parameters
    ----------
    source : an audio file; its content decides how it is read, not its extension
    flac : where to write
    name : what the record calls the source; its path by default
    max_minutes : of stereo at 48 kHz; longer sources are refused before they cost much time or memory

    Returns
    -------
    source, sha256 and size (bytes) of the file, format and codec as found; rate (Hz), channels, frames, duration (s)
    and bit_depth as written; layout : the positions of more than two channels, where the source states them
    (`mirflow.core.channels.POSITIONS`, separated by spaces); gain_db : by how much a source beyond full scale was
    attenuated, otherwise 0; ignored : what in the file is wrong or is no audio though no sound is missing. Both layout
    and ignored are absent where there is nothing to say

    Raises
    ------
    MirflowError : the source cannot be read, is not audio, is damaged or truncated, has no samples, NaN or infinite
        samples, is too long, changes while it is read, or does not fit into a FLAC file; or the FLAC file cannot be
        written. The message is one line that names the file
    """
    import soundfile

    try:
        with _mapped(source) as data:
            size, digest = len(data), hashlib.sha256(data).hexdigest()
            converted = _convert(data, containers.examine(data), Path(flac), max_minutes)
    except Damaged as error:
        raise MirflowError(f"{_one_line(source)}: {error}") from error
    except (OSError, soundfile.LibsndfileError) as error:  # of writing: errors of reading have become Damaged
        raise MirflowError(f"{_one_line(flac)}: cannot be written ({getattr(error, 'strerror', error)})") from error
    return {"source": _text(source if name is None else name), "sha256": digest, "size": size, **converted}


@contextmanager
def _mapped(source: str | os.PathLike) -> Iterator[containers.Bytes]:
    """Map the content of a regular file into memory; afterwards check that the file has not changed.

    Raises
    ------
    Damaged : it is not a regular file, cannot be read, or has changed
    """
    try:
        if not stat.S_ISREG(os.stat(source).st_mode):  # opening a pipe would wait for a writer
            raise Damaged("is not a file")
        file = open(source, "rb")
    except OSError as error:
        raise Damaged(f"cannot be read ({error.strerror or error})") from error
    with file:
        before = os.fstat(file.fileno())
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if before.st_size else b""
        except OSError as error:
            raise Damaged(f"cannot be read ({error.strerror or error})") from error
        try:
            yield data
        finally:
            if data:
                data.close()
        after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise Damaged("changed while it was read")


def _text(path: str | os.PathLike) -> str:
    """Return a path as text that can be written as UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def _one_line(path: str | os.PathLike) -> str:
    """Return a path for messages, with its control characters escaped."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: ascii(found[0])[1:-1], _text(path))


def _convert(data: containers.Bytes, container: Container, flac: Path, max_minutes: float) -> dict:
    """Write the FLAC file and describe it; with FFmpeg where libsndfile fails on a file that may be good."""
    source = _Source(data, container, max_minutes)
    try:
        return _written(source, flac)
    except _Undecodable:
        if not source.may_be_whole:
            raise
    return _written(_Source(data, container, max_minutes, instead_of=source), flac)


def _written(source: "_Source", flac: Path) -> dict:
    """Write the FLAC file and describe it."""
    data, container = source.data, source.container
    if source.channels > MAX_CHANNELS:
        raise Damaged(f"has {source.channels} channels, FLAC holds {MAX_CHANNELS} at most")
    if source.rate < MIN_RATE:
        raise Damaged(f"has a sampling rate of {source.rate} Hz, music has {MIN_RATE} Hz at least")
    if source.rate > MAX_RATE or (source.rate > 65535 and source.rate % 10):
        raise Damaged(
            f"has a sampling rate of {source.rate} Hz, FLAC holds up to 65535 Hz, and multiples of 10 Hz to {MAX_RATE}"
        )
    gain = 1.0
    with artifacts.atomic_write(flac) as temporary:
        if source.is_flac_for_all:
            frames = sum(len(block) for block in source.blocks())
            _check_any(frames)
            bits = container.streaminfo.bits
            with temporary.open("wb") as file:
                shutil.copyfileobj(Window(data, *container.spans[0]), file, 1 << 20)
        else:
            bits = 16 if source.bits and source.bits <= 16 else 24
            frames, peak = _write(source, temporary, bits, gain)
            if peak > MAX_PEAK:
                raise Damaged(f"damaged: its peak is {peak:.3g} times full scale")
            if peak > 1:
                gain = (FULL_SCALE - 1) / FULL_SCALE / peak
                _write(source, temporary, bits, gain)
    return {
        "format": container.kind,
        "codec": source.codec,
        "rate": source.rate,
        "channels": source.channels,
        **({"layout": " ".join(source.layout)} if source.layout else {}),
        "frames": frames,
        "duration": frames / source.rate,
        "bit_depth": bits,
        "gain_db": 20 * math.log10(gain),
        **({"ignored": source.ignored} if source.ignored else {}),
    }


def _check_any(frames: int) -> None:
    """Raise Damaged where a file has no samples."""
    if not frames:
        raise Damaged("has no samples")


def _write(source: "_Source", path: Path, bits: int, gain: float) -> tuple[int, float]:
    """Encode all blocks, floats times `gain`; return the number of frames and the peak of floats before the gain.

    After the first block of floats beyond full scale nothing more is written: the caller then only needs the peak,
    to encode again with a gain.
    """
    frames, peak, broken, first_broken = 0, 0.0, 0, 0
    subtype = f"PCM_{bits}"
    with audio.open_for_writing(path, source.rate, source.channels, subtype=subtype, format="FLAC") as file:
        for block in source.blocks():
            if block.dtype.kind == "i":
                file.write(_to_24_bit(block) if bits < (source.bits or 0) else block)
            elif (finite := np.isfinite(block)).all():
                peak = max(peak, float(np.abs(block).max()))
                if peak * gain <= 1 and not broken:
                    levels = np.rint(block * np.float64(gain * FULL_SCALE))
                    # +1.0 is full scale, though the largest 24-bit value is one step below it.
                    file.write(np.minimum(levels, FULL_SCALE - 1).astype(np.int32) << 8)
            else:
                if not broken:
                    first_broken = frames + int(np.argmin(finite.all(axis=1)))
                broken += finite.size - int(np.count_nonzero(finite))
            frames += len(block)
    if broken:
        at = first_broken / source.rate
        raise Damaged(f"has {broken} samples that are NaN or infinite, the first at {at:.3f} s")
    _check_any(frames)
    return frames, peak


def _to_24_bit(block: np.ndarray) -> np.ndarray:
    """Round int32 samples to their upper 24 bits."""
    return np.minimum((block >> 8) + (block >> 7 & 1), FULL_SCALE - 1) << 8


class _Source:
    """A file's audio as blocks, checked against what the file says about itself while they pass.

    Attributes
    ----------
    codec : the decoder's name of it
    rate, channels : of the whole file
    layout : the positions of its channels where it has more than two and states them, in WAV's order
    bits : of integer samples; None for floats
    announced : minimum of samples per channel according to the headers; 0 where they do not say
    is_flac_for_all : whether it is a FLAC file that can be copied: libsndfile, which reads it later, accepts it
    ignored : what in the file is wrong though no sound is missing
    """

    def __init__(
        self,
        data: containers.Bytes,
        container: Container,
        max_minutes: float = math.inf,
        instead_of: "_Source | None" = None,
    ) -> None:
        """Open the file; with FFmpeg alone where libsndfile has failed, as the source `instead_of`."""
        self.data, self.container, self.max_minutes = data, container, max_minutes
        self.ignored, self.failed = container.ignored, instead_of
        with closing(self._open(container.spans[0])) as stream:
            self.codec, self.rate, self.channels = stream.codec, stream.rate, stream.channels
            self.layout, self._order = self._arranged(stream)
            self.bits = container.streaminfo.bits if container.streaminfo else stream.bits
            self.announced = container.streaminfo.frames if container.streaminfo else stream.announced
            self.is_flac_for_all = self._is_usual_flac and isinstance(stream, _Sndfile)

        if instead_of and container.kind == "FLAC":
            self.ignored = containers.together(
                self.ignored, "the seek table or other metadata, which libsndfile cannot use"
            )

    @property
    def may_be_whole(self) -> bool:
        """Whether a failure of libsndfile may be its own: checksums of other kinds have shown, or will, what is there.

        It seeks after each block, which fails where the seek table of a FLAC file is wrong, and calls some good Opus
        files of high bit rates malformed.
        """
        info = self.container.streaminfo
        return self.failed is None and (self.container.kind == "OGG" or (info is not None and any(info.md5)))

    @property
    def _is_usual_flac(self) -> bool:
        """Whether it is a FLAC file of a kind that libsndfile can read (some metadata still make it fail)."""
        info = self.container.streaminfo
        return info is not None and info.bits in (8, 16, 24) and info.frames > 0  # what libsndfile supports

    def _arranged(self, stream: "_Sndfile | _Ffmpeg") -> tuple[tuple[str, ...], list[int] | None]:
        """Return the layout in WAV's order, and the order in which channels must be taken where it is another one.

        Decoders of coded sound put the channels into WAV's order. Those of PCM leave them in the order of the file,
        which the container may state.
        """
        stated = stream.layout or (self.container.layout if stream.is_in_file_order else ())
        order = channels.order(stated) if len(stated) == stream.channels > 2 else None
        if order is None:
            return (), None
        return tuple(stated[channel] for channel in order), order if order != sorted(order) else None

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield [n, channel] blocks: int32 with the sample in the upper bits, or float.

        Raises
        ------
        Damaged : fewer samples are decoded than the file announces, or others
        """
        blocks, info = _without_bitstream(self._joined()), self.container.streaminfo
        return self._limited(_verified(blocks, info) if info else blocks)

    def _limited(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass on blocks until there are too many samples."""
        most = self.max_minutes * 60 * min(self.rate, USUAL / self.channels)
        too_long = Damaged(
            f"is longer than {most / self.rate / 60:.4g} minutes, which is as long as the setting max_minutes allows"
            f" with {self.channels} channels at {self.rate} Hz"
        )
        if self.announced > most:
            raise too_long
        passed = 0
        for block in blocks:
            passed += len(block)
            if passed > most:
                raise too_long
            yield block
        if self.failed and passed / self.rate < self.failed.announced / self.failed.rate - LACKING:
            raise Damaged(f"truncated: only {passed / self.rate:.3f} s were decoded")

    def _joined(self) -> Iterator[np.ndarray]:
        for span in self.container.spans:
            with closing(self._open(span)) as stream:
                if (stream.rate, stream.channels) != (self.rate, self.channels):
                    raise Damaged(
                        f"changes from {self.rate} Hz, {self.channels} channels to {stream.rate} Hz, "
                        f"{stream.channels} channels"
                    )
                for block in stream.blocks():
                    yield block if self._order is None else np.ascontiguousarray(block[:, self._order])

    def _open(self, span: tuple[int, int]) -> "_Sndfile | _Ffmpeg":
        window = Window(self.data, *span, patches=self.container.patches)
        kind = self.container.kind
        if self.failed or kind in FFMPEG_ONLY or (kind == "FLAC" and not self._is_usual_flac):
            return _Ffmpeg(window, kind)
        return _Sndfile.opened(window) or _Ffmpeg(Window(self.data, *span, patches=self.container.patches), kind)


def _without_bitstream(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Pass on blocks unless they begin (after silence) with coded sound in the words of PCM, which is noise."""
    is_checked = False
    for block in blocks:
        if not is_checked and block.dtype.kind == "i":
            is_checked = bool(block[:BURST].any())
            if name := _bitstream(block):
                raise Damaged(f"holds {name} as if it were PCM; decode it first")
        yield block


def _bitstream(block: np.ndarray) -> str:
    """Return the codec whose frames begin at regular distances in [n, channel] int32 samples; "" if there is none."""
    words = (block >> 16).astype(np.uint16).reshape(-1)
    for ordered in (words, words.byteswap()):
        for name, beginnings in BITSTREAMS.items():
            for first, second, mask, third in beginnings:
                begins = (ordered[:-2] == first) & (ordered[1:-1] == second) & (ordered[2:] & mask == third)
                distances = np.diff(np.flatnonzero(begins))
                # A loop that repeats exactly may hold the same words at equal distances too, though hardly at these.
                if len(distances) > 1 and (distances == distances[0]).all() and distances[0] % BURST == 0:
                    return name
    return ""


def _verified(blocks: Iterator[np.ndarray], info: StreamInfo) -> Iterator[np.ndarray]:
    """Pass on the blocks of a FLAC file; at the end compare them with its STREAMINFO.

    libsndfile does not check the MD5, which is over the samples as little-endian integers of whole bytes (RFC 9639,
    8.2).
    """
    digest, frames, width = hashlib.md5(usedforsecurity=False), 0, (info.bits + 7) // 8
    for block in blocks:
        words = np.ascontiguousarray(block >> (32 - info.bits), dtype="<i4")
        digest.update(np.ascontiguousarray(words.view(np.uint8).reshape(-1, 4)[:, :width]))
        frames += len(block)
        yield block
    if info.frames and frames != info.frames:
        raise Damaged(f"damaged or truncated: its header says {info.frames} samples, {frames} were decoded")
    if any(info.md5) and digest.digest() != info.md5:
        raise Damaged("damaged: its samples do not have the MD5 that its header says")


class _Sndfile:
    """A stream that libsndfile decodes."""

    def __init__(self, file) -> None:
        self.file = file
        self.codec, self.rate, self.channels = file.subtype, file.samplerate, file.channels
        self.announced = file.frames
        digits = re.fullmatch(r"(?:PCM_[SU]?|ALAC_)(\d+)", file.subtype)
        self.bits = int(digits[1]) if digits else None
        self.layout, self.is_in_file_order = (), True

    @classmethod
    def opened(cls, window: Window) -> "_Sndfile | None":
        """Return the stream, or None where libsndfile cannot read such a file, or reads it in a wrong way.

        It leaves more than two channels in Ogg in the order of Vorbis, and decodes Opus at the rate in its header. It
        can read MPEG audio in WAV, but see FFMPEG_ONLY.
        """
        import soundfile

        try:
            file = soundfile.SoundFile(window)
        except soundfile.LibsndfileError:
            return None
        is_surround = file.format == "OGG" and file.channels > 2
        is_slow = file.subtype == "OPUS" and file.samplerate != OPUS_RATE
        if is_surround or is_slow or file.subtype.startswith("MPEG"):
            file.close()
            return None
        return cls(file)

    def close(self) -> None:
        """Close the decoder."""
        self.file.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield blocks of samples; see `_Source.blocks`."""
        import soundfile

        dtype = "int32" if self.bits else "float64" if self.codec == "DOUBLE" else "float32"
        frames = 0
        while True:
            try:
                block = self.file.read(BLOCK, dtype=dtype, always_2d=True)
            except soundfile.LibsndfileError as error:
                raise _Undecodable(f"damaged: decoding fails after {frames / self.rate:.3f} s") from error
            if not len(block):
                break
            frames += len(block)
            yield block
        if frames < self.file.frames:
            raise _Undecodable(f"truncated: its header says {self.file.frames} samples, {frames} were decoded")


# FFmpeg's sample formats: their type, and how many bits integers have.
_FORMATS = {"u8": ("u1", 8), "s16": ("i2", 16), "s32": ("i4", 32), "flt": ("f4", None), "dbl": ("f8", None)}


class _Ffmpeg:
    """A stream that FFmpeg decodes."""

    def __init__(self, window: Window, kind: str) -> None:
        import av

        self.kind, self.rate, self.announced, self.container = kind, 0, 0, None
        self.beginning = bytes(window.data[window.start : min(window.start + JUNK, window.stop)])
        with self._translated():
            self.container = av.open(window, format=DEMUXERS[kind], metadata_errors="replace")
            self.stream = self.container.streams.best("audio")
            if self.stream is None:
                raise Damaged("has no audio stream")
            self.frames = self.container.decode(self.stream)
            # The first frame is needed: headers do not tell the rate of HE-AAC.
            self.first = next((frame for frame in self.frames if frame.samples), None)
        if self.first is None:
            raise Damaged("has no samples")
        self.rate, self.channels = self.first.sample_rate, self.first.layout.nb_channels
        self.codec = self.stream.codec_context.codec.canonical_name
        self.bits = _FORMATS.get(self.first.format.packed.name, ("", None))[1]
        self.is_in_file_order = self.codec.startswith(("pcm", "adpcm")) or self.codec == "flac"
        self.layout = self._layout()

    def _layout(self) -> tuple[str, ...]:
        """Return the positions of the channels where the coded sound states them; empty for PCM."""
        if self.codec == "flac":  # the decoder does not know the comments around it
            tags = {name.upper(): value for name, value in self.stream.metadata.items()}
            mask = re.fullmatch(r"0x([0-9A-Fa-f]{1,8})", tags.get("WAVEFORMATEXTENSIBLE_CHANNEL_MASK", ""))
            return channels.of_mask(int(mask[1], 16)) if mask else ()
        if self.is_in_file_order:
            return ()
        names = tuple(channel.name for channel in self.first.layout.channels)
        if self.codec == "aac" and set(names) == {UNKNOWN}:
            of_header = layouts.of_aac_header(self.stream.codec_context.extradata or b"")
            return of_header or (layouts.of_adts(self.beginning) if self.kind == "ADTS" else ())
        return names

    @contextmanager
    def _translated(self, decoded: int = 0) -> Iterator[None]:
        """Turn errors of FFmpeg into Damaged."""
        import av

        try:
            yield
        except (av.FFmpegError, ValueError) as error:  # PyAV raises ValueError for impossible values in headers
            if isinstance(error, av.error.DecoderNotFoundError):
                raise Damaged(f"cannot be decoded: the audio in this {self.kind} file is of an unknown kind") from error
            if decoded:
                raise Damaged(f"damaged: decoding fails after {decoded / self.rate:.3f} s") from error
            raise Damaged(f"damaged: nothing in this {self.kind} file can be decoded") from error

    def close(self) -> None:
        """Close the decoder."""
        self.container.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield blocks of samples; see `_Source.blocks`."""
        pending, waiting, decoded = [], 0, 0
        frame = self.first
        while frame is not None:
            if (frame.sample_rate, frame.layout.nb_channels) != (self.rate, self.channels):
                raise Damaged(f"changes its rate or channels after {decoded / self.rate:.3f} s")
            block = _samples(frame)
            pending.append(block)
            waiting, decoded = waiting + len(block), decoded + len(block)
            if waiting >= BLOCK + PADDING:  # keep enough to cut the padding off at the end
                joined = np.concatenate(pending)
                yield joined[:BLOCK]
                pending, waiting = [joined[BLOCK:]], waiting - BLOCK
            with self._translated(decoded):
                frame = next(self.frames, None)
        length = self._length()
        if length is not None and decoded < length - SLACK * self.rate:
            raise Damaged(
                f"truncated: its header says {length / self.rate:.3f} s, {decoded / self.rate:.3f} s were decoded"
            )
        joined = np.concatenate(pending)
        padding = decoded - length if length is not None and self.kind == "MP4" else 0
        yield joined[: len(joined) - padding] if 0 < padding < min(PADDING, len(joined)) else joined

    def _length(self) -> int | None:
        """Return the number of samples that the container states; None where it states none, or only an estimate."""
        if self.kind not in ("MP4", "ASF"):
            return None
        fields = self.container.metadata.get("iTunSMPB", "").split()  # iTunes: flags, delay, padding, samples
        if len(fields) > 3 and re.fullmatch(r"0*[1-9A-Fa-f][0-9A-Fa-f]{0,12}", fields[3]):
            return int(fields[3], 16)
        if self.stream.duration is None or self.stream.time_base is None:
            return None
        return round(self.stream.duration * self.stream.time_base * self.rate)


def _samples(frame) -> np.ndarray:
    """Return the samples of an FFmpeg frame: [n, channel], int32 with the sample in the upper bits, or float."""
    kind, bits = _FORMATS.get(frame.format.packed.name, ("", None))
    if not kind:
        raise Damaged(f"has samples in an unknown format ({frame.format.name})")
    count = frame.layout.nb_channels
    if frame.format.is_planar:  # not frame.to_ndarray(), which reads beyond the last of eight planes
        planes = frame.planes[:count]
        samples = np.stack([np.frombuffer(plane, kind, frame.samples) for plane in planes], axis=1)
    else:
        samples = np.frombuffer(frame.planes[0], kind, frame.samples * count).reshape(-1, count)
    if bits == 8:
        return (samples.astype(np.int32) - 128) << 24
    return samples.astype(np.int32) << 16 if bits == 16 else samples
