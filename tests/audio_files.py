"""Audio files of every kind, made on the spot, for tests of what reads them."""

import io
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

RATE = 44100


def music(seconds: float = 1.0, rate: int = RATE, channels: int = 2, peak: float = 0.5, seed: int = 0) -> np.ndarray:
    """Return a decaying chord in a little noise, float64 [n, channel]: something that codecs have to work for."""
    n = round(seconds * rate)
    time = np.arange(n) / rate
    noise = np.random.default_rng(seed).standard_normal((n, channels))
    partials = ((1, 220.0), (2, 277.2), (3, 329.6), (4, 880.0))
    tones = [np.sin(2 * np.pi * f * time) * np.exp(-2 * k * time) for k, f in partials]
    samples = np.sum(tones, axis=0)[:, None] * np.linspace(1, 0.6, channels) + 0.05 * noise
    return peak * samples / np.abs(samples).max()


def integers(n: int, bits: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Return random samples of `bits` bits in the upper bits of int32 [n, channel], both extremes among them."""
    top = 1 << (bits - 1)
    samples = np.random.default_rng(seed).integers(-top, top, (n, channels))
    samples.flat[:2] = -top, top - 1
    return (samples << (32 - bits)).astype(np.int32)


def written(samples: np.ndarray, kind: str, subtype: str | None = None, rate: int = RATE) -> bytes:
    """Return the file that libsndfile makes of [n, channel] samples."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, samples.shape[1], subtype, format=kind) as writer:
        for at in range(0, len(samples), 65536):  # libsndfile crashes on minutes of Vorbis in one call
            writer.write(samples[at : at + 65536])
    return file.getvalue()


def encoded(samples: np.ndarray, codec: str, kind: str, rate: int = RATE, bits: int = 128000, cover: bool = False,
            layout: str = "", **options: str) -> bytes:  # fmt: skip
    """Return the file that FFmpeg makes of [n, channel] samples in container `kind`; int32 for lossless codecs."""
    import av

    layout = layout or {1: "mono", 2: "stereo", 3: "3.0", 6: "5.1", 7: "6.1", 8: "7.1"}[samples.shape[1]]
    with TemporaryDirectory() as folder:  # some writers open their file a second time
        file = Path(folder, "file")
        with av.open(str(file), "w", format=kind, options=options) as container:
            picture = container.add_stream("mjpeg", rate=1) if cover else None
            stream = container.add_stream(codec, rate=rate)
            context = stream.codec_context
            context.layout, context.bit_rate = layout, bits
            sample_format = "s32" if samples.dtype == np.int32 else "flt"
            sample_format += "" if codec in ("libopus", "flac") or codec.startswith("pcm") else "p"
            context.format = sample_format
            if picture:
                picture.width = picture.height = 64
                picture.pix_fmt = "yuvj420p"
            context.open()
            if picture:
                image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                container.mux([*picture.encode(image), *picture.encode(None)])
            size = context.frame_size or 4096
            planes = np.ascontiguousarray(samples.T, dtype=samples.dtype if "s32" in sample_format else np.float32)
            for at in range(0, planes.shape[1], size):
                part = planes[:, at : at + size]
                part = np.ascontiguousarray(part if sample_format.endswith("p") else part.T.reshape(1, -1))
                frame = av.AudioFrame.from_ndarray(part, format=sample_format, layout=layout)
                frame.rate, frame.pts = rate, at
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return file.read_bytes()


def id3v2(size: int) -> bytes:
    """Return an ID3v2 tag with a private frame of `size` bytes that are full of false sync words."""
    content = b"PRIV" + _syncsafe(size) + b"\0\0" + (b"\xff\xfb\x90\x64" * (size // 4 + 1))[:size]
    return b"ID3\x04\x00\x00" + _syncsafe(len(content)) + content


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))


def id3v1() -> bytes:
    """Return an ID3v1 tag."""
    return b"TAG" + b"title".ljust(124, b"\0") + b"\x0c"


def apev2(size: int) -> bytes:
    """Return an APEv2 tag with header and footer around `size` bytes."""
    item = struct.pack("<II", size, 2) + b"Cover\0" + b"\xff" * size

    def block(is_header: bool) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII8x", 2000, len(item) + 32, 1, 1 << 31 | is_header << 29)

    return block(True) + item + block(False)


def verbatim_flac(samples: np.ndarray, bits: int, total: bool = True, rate: int = RATE) -> bytes:
    """Return a FLAC file of verbatim subframes (RFC 9639), for the bit depths that libsndfile does not write.

    Parameters
    ----------
    samples : integers [n, channel] of `bits` bits, n at most 4096
    total : whether STREAMINFO says how many there are; the MD5 stays unset
    """
    n, channels = samples.shape
    info = struct.pack(">HH", max(n, 16), max(n, 16)) + bytes(6)
    info += (rate << 44 | channels - 1 << 41 | bits - 1 << 36 | (n if total else 0)).to_bytes(8) + bytes(16)
    codes = {8: 1, 12: 2, 16: 4, 20: 5, 24: 6, 32: 7}
    header = bytes([0xFF, 0xF8, 7 << 4, channels - 1 << 4 | codes[bits] << 1, 0]) + struct.pack(">H", n - 1)
    frame = header + bytes([_crc(header, 8, 0x07)])
    body = ""
    for channel in samples.T:
        body += "00000010" + "".join(f"{int(value) & (1 << bits) - 1:0{bits}b}" for value in channel)
    body += "0" * (-len(body) % 8)
    frame += int(body, 2).to_bytes(len(body) // 8)
    return b"fLaC\x80\x00\x00\x22" + info + frame + _crc(frame, 16, 0x8005).to_bytes(2)


def _crc(content: bytes, width: int, polynomial: int) -> int:
    register = 0
    for byte in content:
        register ^= byte << (width - 8)
        for _ in range(8):
            register = (register << 1 ^ (polynomial if register >> (width - 1) else 0)) & (1 << width) - 1
    return register
