"""MP3 as other programs read it: libsndfile (mpg123), FFmpeg, and mutagen for the tag."""

import io

import av
import mutagen.mp3
import numpy as np
import pytest
import soundfile

from conftest import loop
from mirflow.stems import mp3

RATE = 44100
MUSIC = np.ascontiguousarray(loop(3).T, np.float32)


def decode(content: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)[0].T


def level(samples: np.ndarray, content: bytes) -> float:
    """Return by which factor the level of the decoded audio differs."""
    return float(np.vdot(samples, decode(content)) / np.vdot(samples, samples))


def snr(samples: np.ndarray, content: bytes) -> float:
    return float(10 * np.log10((samples**2).sum() / ((samples - decode(content)) ** 2).sum()))


@pytest.mark.parametrize(("rate", "bitrate"), [*((RATE, one) for one in mp3.BITRATES[True]), (22050, 64), (8000, 16)])
def test_a_tone_comes_back_as_loud_as_it_was(rate, bitrate):
    tone = 0.25 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
    assert level(tone, mp3.encode(tone[None].astype(np.float32), rate, bitrate)) == pytest.approx(1, abs=5e-4)


@pytest.mark.parametrize("gain", [4, 1e-2, 1e-4])
def test_quiet_and_overloud_sound_is_as_exact_as_any(gain):
    content, usual = mp3.encode(MUSIC * np.float32(gain), RATE, 192), mp3.encode(MUSIC, RATE, 192)
    assert level(MUSIC * gain, content) == pytest.approx(level(MUSIC, usual), abs=1e-3)
    assert snr(MUSIC * gain, content) == pytest.approx(snr(MUSIC, usual), abs=0.5)
    assert snr(MUSIC, usual) > 20


@pytest.mark.parametrize("rate", mp3.RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_length_comes_back(rate, channels):
    noise = np.random.default_rng(0).standard_normal((channels, 5000)).astype(np.float32) * 0.1
    for length in (1, 575, 576, 1151, 1152, 1153, 1728, 5000):
        for bitrate in (32, 320):
            content = mp3.encode(noise[:, :length], rate, bitrate)
            assert decode(content).shape == (channels, length)
            if length > 2:  # FFmpeg leaves some of the delay where no more than that is there
                with av.open(io.BytesIO(content), format="mp3") as file:
                    assert sum(frame.samples for frame in file.decode(audio=0)) == length


def test_the_tag_tells_the_length_and_a_constant_bitrate():
    info = mutagen.mp3.MP3(io.BytesIO(mp3.encode(MUSIC, RATE, 192))).info
    assert info.bitrate == pytest.approx(192000, rel=1e-4)
    assert info.bitrate_mode == mutagen.mp3.BitrateMode.CBR
    assert info.encoder_info.startswith("LAME 3.100")
    assert info.length == pytest.approx(MUSIC.shape[1] / RATE, abs=1e-6)


def test_silence_is_silence():
    assert not decode(mp3.encode(np.zeros((2, 3000), np.float32), RATE, 192)).any()


def test_the_checksum_is_that_of_lame():
    assert mp3.checksum(b"123456789") == 0xBB3D  # CRC-16/ARC, the check value of the catalogue of CRCs
