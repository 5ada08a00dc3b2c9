"""Separation, and the files that hold stems."""

import argparse
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import separation_scores
from benchmarks.separation_scores import sdr
from mirflow.core import audio
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.core.layout import STEM_FORMATS, STEMS
from mirflow.dsp.separation import split
from mirflow.dsp.separation.channels import fold_down
from mirflow.stems import embedded, files, instrumental, mp3

RATE = 44100


def noise(channels: int, n: int, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(channels * n).standard_normal((channels, n))).astype(np.float32)


@pytest.fixture(scope="module")
def band() -> dict[str, np.ndarray]:
    """Eight seconds of noise bursts and a bass line in the middle, and a melody that goes from side to side."""
    n = 8 * RATE
    time = np.arange(n) / RATE
    envelope = np.exp(-(time % 0.5) / 0.03)
    drums = np.tile(0.3 * np.random.default_rng(0).standard_normal(n) * envelope, (2, 1))
    note = np.take([55.0, 65.4, 73.4, 49.0], (time / 2).astype(int))
    phase = 2 * np.pi * np.cumsum(note) / RATE
    bass = np.tile(sum(0.2 / k * np.sin(k * phase) for k in (1, 2, 3)), (2, 1))
    pitch = np.take([523.0, 659.0, 784.0, 587.0, 698.0, 880.0], (time / 1.5).astype(int))
    tone = 0.2 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE) + 0.1 * np.sin(4 * np.pi * np.cumsum(pitch) / RATE)
    left = ((time / 1.5).astype(int) % 2).astype(bool)
    melody = np.stack([tone * left, tone * ~left])
    parts = {"drums": drums, "bass": bass, "other": melody, "vocals": np.zeros((2, n))}
    return {name: part.astype(np.float32) for name, part in parts.items()}


@pytest.fixture(scope="module")
def parted(band) -> dict[str, np.ndarray]:
    return embedded.separate(Audio(sum(band.values()), RATE))


@pytest.mark.parametrize(("stem", "at_least"), [("drums", 8), ("bass", 10), ("other", 8)])
def test_a_band_of_three_is_told_apart(band, parted, stem, at_least):
    assert sdr(band[stem], parted[stem]) > at_least


@pytest.mark.parametrize("rate", [8000, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("seconds", [0, 0.01, 0.3])
def test_stems_have_the_shape_of_the_mix_and_add_up_to_it(rate, channels, seconds):
    mix = noise(channels, max(int(seconds * rate), 1))
    parts = embedded.separate(Audio(mix, rate))
    assert tuple(parts) == STEMS
    assert {(part.shape, part.dtype) for part in parts.values()} == {(mix.shape, mix.dtype)}
    assert np.abs(sum(parts.values()) - mix).max() < 1e-6


def test_a_vowel_with_vibrato_is_sung_and_an_organ_is_not():
    from scipy.signal import lfilter

    time = np.arange(6 * RATE) / RATE
    note = np.take([220.0, 262.0, 196.0, 247.0], (time / 0.75).astype(int) % 4)
    cents = 40 * np.sin(2 * np.pi * 5.5 * time)
    voice = lfilter([1], [1, -0.97], np.diff(np.floor(np.cumsum(note * 2 ** (cents / 1200)) / RATE), prepend=0))
    for formant, width in ((700, 80), (1220, 90), (2600, 120), (3300, 150)):  # Hz, of an "ah"
        radius = np.exp(-np.pi * width / RATE)
        voice = lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * formant / RATE), radius**2], voice)
    voice *= np.clip((time % 0.75) / 0.05, 0, 1) * np.clip((0.7 - time % 0.75) / 0.05, 0, 1)
    sung = np.tile(0.2 * voice / np.abs(voice).max(), (2, 1)).astype(np.float32)
    assert sdr(sung, embedded.separate(Audio(sung, RATE))["vocals"]) > 6

    organ = sum(0.05 / k * np.sin(2 * np.pi * k * f * time) for f in (220, 277, 330) for k in (1, 2, 3, 4, 6))
    organ = np.tile(organ, (2, 1)).astype(np.float32)
    assert sdr(organ, embedded.separate(Audio(organ, RATE))["other"]) > 15


def test_an_offset_stays_in_other_and_changes_nothing_else(band, parted):
    shifted = embedded.separate(Audio(sum(band.values()) + np.float32(0.05), RATE))
    for name, stem in parted.items():
        offset = 0.05 if name == "other" else 0
        np.testing.assert_allclose(shifted[name], stem + np.float32(offset), atol=1e-4)


def test_silence_stays_silence():
    assert not any(part.any() for part in embedded.separate(Audio(np.zeros((2, RATE), np.float32), RATE)).values())


def test_level_does_not_matter(band, parted):
    quiet = embedded.separate(Audio(sum(band.values()) / 64, RATE))  # a power of two is exact in floats
    for name in STEMS:
        np.testing.assert_allclose(64 * quiet[name], parted[name], atol=1e-5)


def test_chunks_leave_no_seams(band, parted, monkeypatch):
    monkeypatch.setattr(split, "CHUNK_SECONDS", 3.0)
    chunked = embedded.separate(Audio(sum(band.values()), RATE))
    assert not np.array_equal(chunked["drums"], parted["drums"])
    for name in ("drums", "bass", "other"):
        assert sdr(parted[name], chunked[name]) > 15


def test_short_time_spectrum_inverts():
    signal = noise(1, 5001)[0]
    np.testing.assert_allclose(split.istft(split.stft(signal, 1024, 256), 256, len(signal)), signal, atol=1e-6)


def test_rendered_music_beats_the_simple_split(shared):
    folder = shared / "eval/dev30/sim_runaway_44_130"
    if not folder.is_dir():
        pytest.skip("no evaluation set on this machine")
    mix = Audio(audio.read(folder / "mix.flac").samples[:, : 10 * RATE], RATE)
    parts, simple = embedded.separate(mix), separation_scores.simple_split(mix.samples, mix.rate)
    for name in ("drums", "bass", "other"):
        truth = audio.read(folder / f"{name}.flac").samples[:, : 10 * RATE]
        assert sdr(truth, parts[name]) > sdr(truth, simple[name]) + 2


# Files


def paths(folder: Path, format: str) -> dict[str, Path]:
    return {name: folder / f"{name}.{format}" for name in STEMS}


def four(samples: np.ndarray) -> dict[str, np.ndarray]:
    return {name: samples * np.float32(level) for name, level in zip(STEMS, (1, 0.5, 0.25, 0), strict=True)}


@pytest.mark.parametrize("format", STEM_FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_files_are_aligned_to_the_sample_and_true_in_level(tmp_path, format, channels):
    from scipy.signal import correlate

    n = RATE + 17
    tone = 0.5 * np.sin(2 * np.pi * np.geomspace(100, 5000, n).cumsum() / RATE)  # a chirp: one sharp correlation peak
    written = files.write(four(np.tile(tone, (channels, 1)).astype(np.float32)), RATE, paths(tmp_path, format))
    assert written["format"] == format
    assert written["gain_db"] == 0
    for name, level in zip(STEMS, (1, 0.5, 0.25, 0), strict=True):
        samples, rate = soundfile.read(tmp_path / f"{name}.{format}", always_2d=True)
        assert (samples.shape, rate) == ((n, channels), RATE)
        if level:
            assert correlate(samples[:, 0], tone, method="fft").argmax() == n - 1
            found = np.vdot(samples[:, 0], tone) / np.vdot(tone, tone)
            assert found == pytest.approx(level, rel=5e-3)
            assert sdr(level * tone, samples[:, 0]) > 20
        else:
            assert not samples.any()


@pytest.mark.parametrize("rate", mp3.RATES)
def test_mp3_keeps_every_sample_at_every_rate(tmp_path, rate):
    n = rate // 2 + 1
    tone = (0.5 * np.sin(2 * np.pi * 300 * np.arange(n) / rate)).astype(np.float32)[None]
    files.write(four(tone), rate, paths(tmp_path, "mp3"), bitrate=64)
    decoded, found = soundfile.read(tmp_path / "drums.mp3")
    assert (len(decoded), found) == (n, rate)
    assert sdr(tone[0], decoded) > 15


@pytest.mark.parametrize(("rate", "target"), [(96000, 48000), (88200, 48000), (10000, 11025)])
def test_mp3_of_surround_sound_at_another_rate(tmp_path, rate, target):
    n = rate + 1
    tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(n) / rate)
    samples = np.zeros((6, n), np.float32)
    samples[2] = tone  # centre
    written = files.write(four(samples), rate, paths(tmp_path, "mp3"))
    assert (written["rate"], written["channels"]) == (target, 2)
    decoded, found = soundfile.read(tmp_path / "drums.mp3")
    assert (decoded.shape, found) == ((round(n * target / rate), 2), target)
    expected = 0.2 * np.sqrt(0.5) * np.sin(2 * np.pi * 440 * np.arange(len(decoded)) / target)
    assert sdr(np.stack([expected, expected], axis=1), decoded) > 20


def test_fold_down_is_bs775():
    half = 0.5**0.5
    left, right = fold_down(np.eye(6, dtype=np.float32))  # a unit in each channel: L R C LFE Ls Rs
    np.testing.assert_allclose(left, [1, 0, half, 0, half, 0], rtol=1e-6)
    np.testing.assert_allclose(right, [0, 1, half, 0, 0, half], rtol=1e-6)


@pytest.mark.parametrize("format", STEM_FORMATS)
def test_beyond_full_scale_all_stems_share_one_gain(tmp_path, format):
    loud = np.tile(2 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE), (2, 1)).astype(np.float32)
    written = files.write(four(loud), RATE, paths(tmp_path, format))
    gain = 1 if format == "wav" else 0.5
    assert written["gain_db"] == pytest.approx(20 * np.log10(gain), abs=1e-4)
    for name, level in zip(STEMS[:3], (1, 0.5, 0.25), strict=True):
        assert sdr(gain * level * loud, audio.read(tmp_path / f"{name}.{format}").samples) > 25


@pytest.mark.parametrize("format", STEM_FORMATS)
def test_equal_stems_give_equal_bytes(tmp_path, format, monkeypatch):
    for run in ("one", "two"):
        files.write(four(noise(2, RATE)), RATE, paths(tmp_path / run, format))
    one, two = ((tmp_path / run / f"drums.{format}").read_bytes() for run in ("one", "two"))
    assert one == two
    # what differs a second later: the time in a PEAK chunk, the serial number of an Ogg stream
    assert b"PEAK" not in one
    assert format != "ogg" or one[14:18] == bytes([1, 0, 0, 0])


def test_ogg_checksums_are_those_of_the_encoder(tmp_path):
    soundfile.write(tmp_path / "tone.ogg", noise(1, RATE)[0], RATE)
    original = (tmp_path / "tone.ogg").read_bytes()
    serial = int.from_bytes(original[14:18], "little")
    assert files.with_serial_number(original, serial + 1) != original
    assert files.with_serial_number(original, serial) == original


def test_all_files_or_none(tmp_path):
    parts = four(noise(2, 1000))
    parts["vocals"] = noise(300, 10)  # no format holds 300 channels
    with pytest.raises(MirflowError, match=r"vocals\.flac"):
        files.write(parts, RATE, paths(tmp_path, "flac"))
    assert not list(tmp_path.iterdir())


def test_format_and_suffix_must_agree(tmp_path):
    with pytest.raises(MirflowError, match="mp3"):
        files.write(four(noise(1, 10)), RATE, paths(tmp_path, "wav"), format="mp3")
    with pytest.raises(MirflowError, match="aac"):
        files.write(four(noise(1, 10)), RATE, paths(tmp_path, "aac"))


def command(name: str, *words: object) -> None:
    module = importlib.import_module(f"mirflow.commands.{name}")
    parser = argparse.ArgumentParser()
    module.configure(parser)
    module.run(parser.parse_args([str(word) for word in words]))


def test_command_writes_stems_and_their_record(tmp_path):
    soundfile.write(tmp_path / "full_mix.flac", noise(2, RATE).T, RATE)
    outputs = paths(tmp_path, "mp3")
    command("stems", tmp_path / "full_mix.flac", "-o", *outputs.values(), "--record", tmp_path / "stems.json")
    record = json.loads((tmp_path / "stems.json").read_text())
    assert record["backend"] == "embedded"
    assert record["version"] == embedded.VERSION
    assert record["gain_db"] == 0
    mix = audio.read(tmp_path / "full_mix.flac").samples
    assert sdr(mix, sum(audio.read(path).samples for path in outputs.values())) > 5  # noise, twice coded


@pytest.mark.parametrize("format", STEM_FORMATS)
def test_the_instrumental_is_the_mix_without_its_vocals(band, tmp_path, format):
    """Also where the stems were attenuated; and beyond full scale it is attenuated itself, but for wav."""
    mix = sum(band.values()) + 0.1
    voice = noise(2, mix.shape[1], 0.6)
    parts = {**band, "vocals": voice, "other": band["other"] + 0.1}
    assert np.abs(sum(parts.values())).max() > 1
    paths = {stem: tmp_path / f"{stem}.{format}" for stem in STEMS}
    record = files.write({name: 2 * part for name, part in parts.items()}, RATE, paths, format)
    assert (record["gain_db"] < 0) is (format != "wav")
    kept = [audio.read(paths[stem]) for stem in ("drums", "bass", "other")]
    found = instrumental.without_vocals(kept, record["gain_db"])
    least = 15 if format in ("mp3", "ogg") else 90  # dB over what the encoder adds
    assert sdr(2 * mix, found.samples) > least
    instrumental.write(found, tmp_path / f"instrumental.{format}", format, 192)
    written = audio.read(tmp_path / f"instrumental.{format}")
    peak = np.abs(found.samples).max()
    expected = found.samples if format == "wav" or peak <= 1 else found.samples / peak
    assert sdr(expected, written.samples) > least
    with pytest.raises(MirflowError, match="differ"):
        instrumental.without_vocals([kept[0], Audio(kept[1].samples[:, :-1], RATE)])
