"""MP3 files by LAME (package lameenc), with the level and the exact length of the input.

- Encoder and decoder put silence before the audio, and padding into the last frame. The Info tag, a first frame without
  audio, says how much, so that libsndfile, FFmpeg and others cut it off. lameenc does not write that tag.
- LAME lowers the level, the more the lower the bitrate is, against clipping in players that decode to 16 bits. The
  levels of stems belong together, so this is undone.
- lameenc takes 16-bit samples. To use their full range, the audio is scaled by a power of two that brings its peak
  close to full scale, and the global gain of each granule is changed by the inverse.
"""

import math
from dataclasses import dataclass

import numpy as np

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz, all of MPEG-1, 2 and 2.5 layer III
QUALITY = 7  # LAME's -q, from 0 (slowest) to 9: on music at least the SNR of the default, in half the time
BLOCK = 2**20  # samples a channel

BITRATES = {  # kbit/s of the indices 1 to 14, for MPEG-1 (True) and for MPEG-2 and 2.5 (False)
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
MOST_BELOW_16_KHZ = 64  # kbit/s, LAME's limit; MPEG-2.5 itself allows more
DELAY = 576  # samples that LAME puts before the audio
# (up to so many kbit/s, scale): the level of LAME's presets for constant bitrates.
LAME_SCALE = ((160, 0.95), (192, 0.97), (224, 0.98), (320, 1.0))
LOUDEST = 8  # quiet audio is scaled by at most two to the power of this
GAIN_STEPS = 4  # so many steps of the global gain are a factor of two
CONSTANT_BITRATE = 1


def encode(samples: np.ndarray, rate: int, bitrate: int) -> bytes:
    """Encode audio as an MP3 file of constant bitrate.

    Parameters
    ----------
    samples : float32 [channel, n], one or two channels; samples above full scale are kept
    rate : Hz, one of `RATES`
    bitrate : kbit/s; the nearest one that exists at this rate is taken
    """
    import lameenc

    known = BITRATES[rate >= 32000]
    most = known[-1] if rate >= 16000 else MOST_BELOW_16_KHZ
    bitrate = min((one for one in known if one <= most), key=lambda one: abs(one - bitrate))
    scale = next(scale for limit, scale in LAME_SCALE if bitrate <= limit)
    peak = float(max(samples.max(), -samples.min())) / scale
    exponent = max(math.ceil(math.log2(peak)), -LOUDEST) if peak else 0
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(len(samples))
    encoder.set_in_sample_rate(rate)
    encoder.set_out_sample_rate(rate)  # otherwise LAME lowers the rate at low bitrates
    encoder.set_bit_rate(bitrate)
    encoder.set_quality(QUALITY)
    stream = bytearray()
    for start in range(0, samples.shape[1], BLOCK):
        block = np.rint(samples[:, start : start + BLOCK].T * np.float32(2.0 ** (15 - exponent) / scale))
        stream += encoder.encode(np.clip(block, -(2**15), 2**15 - 1).astype("<i2").tobytes())
    stream += encoder.flush()
    starts = frame_starts(stream)
    first = Header(int.from_bytes(stream[:4], "big"))
    shift_gain(np.frombuffer(stream, np.uint8), starts, first, exponent)
    return info_frame(first, len(starts), len(stream), samples.shape[1]) + bytes(stream)


def frame_starts(stream: bytes) -> np.ndarray:
    """Return where the frames of a stream begin, in bytes."""
    starts, at = [], 0
    while at + 4 <= len(stream):
        starts.append(at)
        at += Header(int.from_bytes(stream[at : at + 4], "big")).size
    return np.array(starts)


def shift_gain(stream: np.ndarray, starts: np.ndarray, header: "Header", exponent: int) -> None:
    """Amplify a stream by two to the power of `exponent`, in place."""
    for bit in header.gain_bits:
        byte, shift = starts + 4 + bit // 8, 8 - bit % 8  # eight bits, in two bytes
        pair = stream[byte].astype(int) << 8 | stream[byte + 1]
        gain = np.clip((pair >> shift & 0xFF) + GAIN_STEPS * exponent, 0, 0xFF)  # clips the gain of empty granules only
        pair = pair & ~(0xFF << shift) | gain << shift
        stream[byte], stream[byte + 1] = pair >> 8, pair & 0xFF


def info_frame(first: "Header", frames: int, size: int, length: int) -> bytes:
    """Return the Info tag: a frame that belongs before a stream that LAME has encoded.

    Its layout is Xing's with LAME's extension (gabriel.mp3-tech.org/mp3infotag.html). The checksum of the music, which
    no decoder reads, stays 0.

    Parameters
    ----------
    first : header of the stream's first frame
    frames, size : how many frames and bytes the stream has
    length : how many samples it encodes
    """
    header = first.without_padding()
    needed = 4 + header.side_information + 16 + 36
    while header.size < needed:
        header = header.next_bitrate()
    whole = header.size + size
    frame = bytearray(header.bits.to_bytes(4, "big") + bytes(header.side_information))
    frame += b"Info" + bytes([0, 0, 0, 3])  # 3: the numbers of frames and bytes follow
    frame += frames.to_bytes(4, "big") + whole.to_bytes(4, "big")
    frame += b"LAME3.100" + bytes([CONSTANT_BITRATE, *bytes(10), min(first.bitrate, 255)])
    padding = frames * header.samples - DELAY - length
    frame += (DELAY << 12 | padding).to_bytes(3, "big") + bytes(4)
    frame += whole.to_bytes(4, "big") + bytes(2)
    frame += checksum(frame).to_bytes(2, "big")
    return bytes(frame.ljust(header.size, b"\0"))


@dataclass(frozen=True)
class Header:
    """The first four bytes of a frame (ISO 11172-3, section 2.4.1.3)."""

    bits: int

    @property
    def mpeg1(self) -> bool:
        """Whether it is MPEG-1; otherwise MPEG-2 or 2.5, with half the samples."""
        return self.bits >> 19 & 3 == 3

    @property
    def rate(self) -> int:
        """The sample rate in Hz."""
        return RATES[{3: 6, 2: 3, 0: 0}[self.bits >> 19 & 3] + (1, 2, 0)[self.bits >> 10 & 3]]

    @property
    def bitrate(self) -> int:
        """The bitrate in kbit/s."""
        return BITRATES[self.mpeg1][(self.bits >> 12 & 15) - 1]

    @property
    def samples(self) -> int:
        """How many samples a frame has."""
        return 1152 if self.mpeg1 else 576

    @property
    def size(self) -> int:
        """How many bytes the frame has."""
        return self.samples * 125 * self.bitrate // self.rate + (self.bits >> 9 & 1)

    @property
    def side_information(self) -> int:
        """How many bytes follow the header before anything else."""
        mono = self.bits >> 6 & 3 == 3
        return (17 if mono else 32) if self.mpeg1 else (9 if mono else 17)

    @property
    def gain_bits(self) -> list[int]:
        """Where the 8-bit fields with the global gain begin, in bits from the end of the header."""
        mono = self.bits >> 6 & 3 == 3
        if self.mpeg1:  # two granules
            return [(18 if mono else 20) + 59 * part + 21 for part in range(2 if mono else 4)]
        return [(9 if mono else 10) + 63 * part + 21 for part in range(1 if mono else 2)]

    def without_padding(self) -> "Header":
        """Return the header of a frame without its byte of padding."""
        return Header(self.bits & ~(1 << 9))

    def next_bitrate(self) -> "Header":
        """Return the header of a frame with the next higher bitrate."""
        return Header(self.bits + (1 << 12))


def checksum(content: bytes) -> int:
    """Return the CRC-16 of the tag (polynomial 0x8005, bits reflected, from 0)."""
    value = 0
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value
