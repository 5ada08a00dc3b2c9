"""The files of the stems: either all four are written or none, and their levels stay as they are."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path

import numpy as np

from mirflow.core import artifacts
from mirflow.core.audio import open_for_writing, resample
from mirflow.core.errors import MirflowError
from mirflow.core.layout import STEM_FORMATS, STEMS
from mirflow.dsp.separation.channels import fold_down
from mirflow.stems import mp3

VERSION = 1  # raise it when `write` makes other files from the same stems
WRITE_BLOCK = 2**20  # samples a channel


def write(
    stems: Mapping[str, np.ndarray],
    rate: int,
    paths: Mapping[str, str | PathLike] | Sequence[str | PathLike],
    format: str | None = None,
    bitrate: int = 192,
    layout: Sequence[str] = (),
) -> dict:
    """Write the four stems and those beside them, all or none; their levels relative to each other never change.

    Parameters
    ----------
    stems : drums, bass, other, vocals, perhaps others, float32 [channel, n]
    rate : Hz
    paths : by stem, or in the order drums, bass, other, vocals, the others
    format : one of `STEM_FORMATS`; None: that of the paths' suffix
    bitrate : kbit/s of mp3 (constant) and of ogg (nominal, for 44.1 kHz stereo); the other formats are lossless
    layout : the positions of the channels (`mirflow.core.channels`); empty: the default

    Returns
    -------
    format, bitrate (None when lossless), rate (Hz), channels : of the files
    gain_db : the same for all four: 0 unless a stem exceeds full scale and the format cannot hold that

    Notes
    -----
    wav has 32-bit floats, flac 24 bits. MP3 allows two channels and the rates `mp3.RATES`: more channels are mixed down
    to two (`fold_down`), and another rate becomes the next higher one, at most 48 kHz; length in seconds and alignment
    stay. Equal stems give equal bytes: the files hold no time stamps and no random serial numbers.

    Raises
    ------
    MirflowError : the paths do not fit the format, or the format cannot hold such samples
    """
    names = (*STEMS, *(name for name in stems if name not in STEMS))
    paths = dict(paths) if isinstance(paths, Mapping) else dict(zip(names, paths, strict=True))
    paths = {name: Path(paths[name]) for name in names}
    suffixes = {path.suffix.lower().removeprefix(".") for path in paths.values()}
    format = format or min(suffixes)
    if format not in STEM_FORMATS:
        raise MirflowError(f"{paths['drums']}: the format of stems is one of {', '.join(STEM_FORMATS)}, not {format!r}")
    if suffixes != {format}:
        raise MirflowError(f"{paths['drums']}: the names of stems in the format {format} must end in .{format}")
    if stems["drums"].shape[1] == 0:
        raise MirflowError(f"{paths['drums']}: stems without a single sample cannot be written")

    stems = {name: stems[name] for name in names}
    if format == "mp3":
        target = next((known for known in mp3.RATES if known >= rate), mp3.RATES[-1])
        for name in names:  # one after another, so that only one stem is in memory twice
            stems[name] = _at_rate(fold_down(stems[name], layout), rate, target)
        rate = target

    peak = max(float(max(samples.max(), -samples.min())) for samples in stems.values())
    gain = 1.0 if format == "wav" or peak <= 1 else 1 / peak
    with ExitStack() as renamed_together:
        temporary = {name: renamed_together.enter_context(artifacts.atomic_write(path)) for name, path in paths.items()}
        for name, path in temporary.items():
            encode(path, stems[name], rate, np.float32(gain), format, bitrate, label=paths[name])
    return {
        "format": format,
        "bitrate": bitrate if format in ("mp3", "ogg") else None,
        "rate": rate,
        "channels": len(stems["drums"]),
        "gain_db": 20 * float(np.log10(gain)),
    }


def _at_rate(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Resample to exactly round(n * target / rate) samples, but at least one."""
    if rate == target:
        return samples
    length = max(round(samples.shape[1] * target / rate), 1)
    resampled = resample(samples, rate, target)[:, :length]
    return np.pad(resampled, ((0, 0), (0, length - resampled.shape[1])))


def encode(
    path: Path, samples: np.ndarray, rate: int, gain: np.float32, format: str, bitrate: int, label: Path
) -> None:
    """Write one file of float32 [channel, n] times `gain`."""
    import soundfile

    if format == "wav":
        # Not soundfile, whose float files have a PEAK chunk with the time of day.
        from scipy.io import wavfile

        wavfile.write(path, rate, np.ascontiguousarray(samples.T, dtype=np.float32))
        return
    if format == "mp3":
        path.write_bytes(mp3.encode(samples * gain, rate, bitrate))
        return
    options = {
        "flac": {"format": "FLAC", "subtype": "PCM_24"},
        "ogg": {"format": "OGG", "subtype": "VORBIS", "compression_level": _vorbis_compression(bitrate)},
    }[format]
    try:
        with open_for_writing(path, rate, len(samples), **options) as file:
            for start in range(0, samples.shape[1], WRITE_BLOCK):
                file.write(np.ascontiguousarray((samples[:, start : start + WRITE_BLOCK] * gain).T))
    except soundfile.LibsndfileError as error:
        raise MirflowError(
            f"{label}: {len(samples)} channels at {rate} Hz cannot be written as {format} ({error})"
        ) from error
    if format == "ogg":
        path.write_bytes(with_serial_number(path.read_bytes(), 1))


def _vorbis_compression(bitrate: int) -> float:
    """Return libsndfile's 0..1 (1 - quality / 10) for a nominal stereo bitrate, from the encoder's own table."""
    nominal = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500)  # kbit/s at quality 0..10, 44.1 kHz, stereo
    return 1 - float(np.interp(bitrate, nominal, np.arange(11))) / 10


_BIT_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def with_serial_number(ogg: bytes, serial: int) -> bytes:
    """Return an Ogg file of one stream with another serial number, and new page checksums (RFC 3533).

    Encoders draw that number at random, which would make equal runs differ. The checksum is like zlib's CRC-32, but
    without reflected and inverted bits: hence each byte's bits are reversed first.
    """
    import zlib

    content, start = bytearray(ogg), 0
    while start < len(content):
        if content[start : start + 4] != b"OggS":
            raise ValueError(f"no Ogg page at byte {start}")
        segments = content[start + 26]
        end = start + 27 + segments + sum(content[start + 27 : start + 27 + segments])
        content[start + 14 : start + 18] = serial.to_bytes(4, "little")
        content[start + 22 : start + 26] = bytes(4)
        reflected = zlib.crc32(content[start:end].translate(_BIT_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
        content[start + 22 : start + 26] = int(f"{reflected:032b}"[::-1], 2).to_bytes(4, "little")
        start = end
    return bytes(content)
