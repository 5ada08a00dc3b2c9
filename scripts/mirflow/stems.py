"""Stems: the public face of source separation, and writing four stems as one job."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path

import numpy as np

from mirflow import artifacts
from mirflow.audio import Audio, resample, writing
from mirflow.dsp import separation
from mirflow.dsp.separation_layout import fold_down
from mirflow.errors import MirflowError
from mirflow.registry import STEMS

FORMATS = ("mp3", "flac", "wav", "ogg")
MPEG_RATES = (
    8000,
    11025,
    12000,
    16000,
    22050,
    24000,
    32000,
    44100,
    48000,
)  # Hz, all that MPEG-1, 2 and 2.5 layer III have
MP3_FRAME = 1152  # samples
MP3_QUALITY = 7  # LAME's -q, of 0 (slowest) to 9: no worse than the default by SNR on music, and a third faster
WRITE_BLOCK = 2**20  # samples a channel


def separate(full_mix: Audio) -> dict[str, np.ndarray]:
    """Split a mix with the embedded backend `dsp` (`mirflow.dsp.separation`).

    Returns
    -------
    drums, bass, other, vocals : each float32 [channel, n] like the mix; they add up to the mix (to rounding)
    """
    return separation.separate(full_mix.samples, full_mix.rate)


def write(
    stems: Mapping[str, np.ndarray],
    rate: int,
    paths: Mapping[str, str | PathLike] | Sequence[str | PathLike],
    format: str | None = None,
    bitrate: int = 192,
) -> dict:
    """Write four stems, all or none, without any change of their levels against one another.

    Parameters
    ----------
    stems : drums, bass, other, vocals, float32 [channel, n]
    rate : Hz
    paths : by stem, or in the order drums, bass, other, vocals
    format : out of `FORMATS`; None takes the suffix of the paths
    bitrate : kbit/s of mp3 (constant) and, nominal at 44.1 kHz stereo, of ogg; the others are lossless

    Returns
    -------
    format, bitrate (None when lossless), rate (Hz), channels : of the files
    gain_db : one gain that all four have, 0 unless a stem exceeds full scale and the format cannot hold that

    Notes
    -----
    wav is 32-bit float, flac 24 bits. MP3 knows two channels and the rates `MPEG_RATES`: more channels are folded down
    (`fold_down`), another rate becomes the next higher of them, or 48 kHz; length in seconds and alignment are kept.
    Equal stems give equal bytes: no time stamps, no random serial numbers.

    Raises
    ------
    MirflowError : for paths, formats, bitrates and layouts that cannot be written
    """
    paths = dict(paths) if isinstance(paths, Mapping) else dict(zip(STEMS, paths, strict=True))
    paths = {name: Path(paths[name]) for name in STEMS}
    suffixes = {path.suffix.lower().removeprefix(".") for path in paths.values()}
    format = format or min(suffixes)
    if format not in FORMATS:
        raise MirflowError(f"{paths['drums']}: stems can be {', '.join(FORMATS)}, not {format!r}")
    if suffixes != {format}:
        raise MirflowError(f"{paths['drums']}: the files of stems in {format} must be called *.{format}")
    if stems["drums"].shape[1] == 0:
        raise MirflowError(f"{paths['drums']}: stems without a single sample cannot be written")

    stems = {name: stems[name] for name in STEMS}
    if format == "mp3":
        target = next((known for known in MPEG_RATES if known >= rate), MPEG_RATES[-1])
        for name in STEMS:  # one after the other, so that only one stem is in memory twice
            stems[name] = _at_rate(fold_down(stems[name]), rate, target)
        rate = target

    peak = max(float(max(samples.max(), -samples.min())) for samples in stems.values())
    gain = 1.0 if format == "wav" or peak <= 1 else 1 / peak
    with ExitStack() as renamed_together:
        temporary = {name: renamed_together.enter_context(artifacts.replacing(path)) for name, path in paths.items()}
        for name, path in temporary.items():
            _encode(path, stems[name], rate, np.float32(gain), format, bitrate, label=paths[name])
    return {
        "format": format,
        "bitrate": bitrate if format in ("mp3", "ogg") else None,
        "rate": rate,
        "channels": len(stems["drums"]),
        "gain_db": 20 * float(np.log10(gain)),
    }


def _at_rate(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Resample to exactly round(n * target / rate) samples, at least one."""
    if rate == target:
        return samples
    length = max(round(samples.shape[1] * target / rate), 1)
    resampled = resample(samples, rate, target)[:, :length]
    return np.pad(resampled, ((0, 0), (0, length - resampled.shape[1])))


def _encode(
    path: Path, samples: np.ndarray, rate: int, gain: np.float32, format: str, bitrate: int, label: Path
) -> None:
    """Write one file of float32 [channel, n] times `gain`."""
    import soundfile

    if format == "wav":
        # not soundfile: its float files carry a PEAK chunk with the time of day
        from scipy.io import wavfile

        wavfile.write(path, rate, np.ascontiguousarray(samples.T, dtype=np.float32))
        return
    if format == "mp3" and samples.shape[1] >= MP3_FRAME:
        _encode_mp3(path, samples, rate, gain, bitrate)
        return
    options = {
        "flac": {"format": "FLAC", "subtype": "PCM_24"},
        "mp3": {
            "format": "MP3",
            "subtype": "MPEG_LAYER_III",
            "bitrate_mode": "CONSTANT",
            "compression_level": _mp3_compression(bitrate, rate),
        },
        "ogg": {"format": "OGG", "subtype": "VORBIS", "compression_level": _vorbis_compression(bitrate)},
    }[format]
    try:
        with writing(path, rate, len(samples), **options) as file:
            for start in range(0, samples.shape[1], WRITE_BLOCK):
                file.write(np.ascontiguousarray((samples[:, start : start + WRITE_BLOCK] * gain).T))
    except soundfile.LibsndfileError as error:
        raise MirflowError(
            f"{label}: {len(samples)} channels at {rate} Hz cannot be written as {format} ({error})"
        ) from error
    if format == "ogg":
        path.write_bytes(with_serial_number(path.read_bytes(), 1))


def _encode_mp3(path: Path, samples: np.ndarray, rate: int, gain: np.float32, bitrate: int) -> None:
    """Write an MP3 file with LAME at `MP3_QUALITY`, which libsndfile does not let choose: a third less time.

    The file's LAME tag says how much of it is the encoder's delay, so that decoders return exactly these samples. What
    is shorter than a frame would come out longer: that is left to libsndfile.
    """
    import av

    layout = "stereo" if len(samples) == 2 else "mono"
    with av.open(str(path), "w", format="mp3") as file:
        quality = {"compression_level": str(MP3_QUALITY)}
        stream = file.add_stream("libmp3lame", rate=rate, layout=layout, options=quality)
        stream.bit_rate = 1000 * min(max(bitrate, 8), 320 if rate >= 32000 else 160 if rate >= 16000 else 64)
        for start in range(0, samples.shape[1], WRITE_BLOCK):
            block = np.ascontiguousarray(samples[:, start : start + WRITE_BLOCK] * gain)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def _mp3_compression(bitrate: int, rate: int) -> float:
    """Return libsndfile's 0..1 for a constant bitrate: linear between the ends that MPEG has at this rate."""
    low, high = (32, 320) if rate >= 32000 else (8, 160) if rate >= 16000 else (8, 64)  # kbit/s
    return (high - min(max(bitrate, low), high)) / (high - low)


def _vorbis_compression(bitrate: int) -> float:
    """Return libsndfile's 0..1 (1 - quality / 10) for a nominal stereo bitrate, from the encoder's own table."""
    nominal = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500)  # kbit/s at quality 0..10, 44.1 kHz, stereo
    return 1 - float(np.interp(bitrate, nominal, np.arange(11))) / 10


_BIT_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def with_serial_number(ogg: bytes, serial: int) -> bytes:
    """Return a one-stream Ogg file with its stream's serial number replaced and its page checksums redone (RFC 3533).

    Encoders draw that number at random, which would make two equal runs differ. The checksum is the CRC-32 of zlib
    without its reflections and inversions, hence the reversed bits.
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
