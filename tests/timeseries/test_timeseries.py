"""Time series: exact means at any rate, equal bytes, and values that are known beforehand."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from conftest import RATE, loop
from mirflow import timeseries
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.core.layout import STEMS
from mirflow.rhythm.activations import Activations
from mirflow.timeseries import files, measure, same_chroma
from mirflow.timeseries.files import Series
from mirflow.transcribe.activations import DRUMS, DrumActivations

LATENTS = [44100 / 2048, 44100 / 4096]  # Hz: 21.533 and 10.767


def stored(folder: Path, values: np.ndarray, silence: float = 0.0) -> Path:
    path = folder / "T.TIMESERIES.npz"
    files.write(path, {"x": Series(values, "1", "made", silence)}, values.shape[-1] / 100)
    return path


@pytest.mark.parametrize("rate", [*LATENTS, 100.0, 250.0, 7.3])
@pytest.mark.parametrize("start", [0.0, 1.2345])
def test_means_at_another_rate_are_the_exact_integral(tmp_path, rate, start):
    values = np.random.default_rng(0).standard_normal((2, 1000)).astype(np.float32)
    found = timeseries.read(stored(tmp_path, values), rate=rate, start=start, frames=40)["x"]
    for frame in range(0, 40, 3):  # the integral by hand: each frame is cut at the edges of the stored ones
        begin, end = start + frame / rate, start + (frame + 1) / rate
        edges = np.unique([begin, end, *(t for t in np.arange(1001) / 100 if begin < t < end)])
        middle = ((edges[1:] + edges[:-1]) / 2 * 100).astype(int)
        exact = (values[:, np.minimum(middle, 999)].astype(float) * np.diff(edges)).sum(axis=1) / (end - begin)
        if end <= 10:
            assert found[:, frame] == pytest.approx(exact, abs=1e-5), frame
    assert found.dtype == np.float32 and found.shape == (2, 40)


def test_parts_join_and_outside_of_the_track_is_silence(tmp_path):
    path = stored(tmp_path, np.full(300, -20.0, np.float32), silence=-120.0)
    whole = timeseries.read(path, rate=LATENTS[0])["x"]
    assert len(whole) == int(np.ceil(3 * LATENTS[0]))
    parts = [timeseries.read(path, LATENTS[0], start=k * 16 / LATENTS[0], frames=16)["x"] for k in range(4)]
    assert np.allclose(np.concatenate(parts), whole[:64], atol=1e-4)
    assert timeseries.read(path, 100.0, start=2.995, frames=3)["x"] == pytest.approx([-70, -120, -120])
    assert timeseries.read(path, 10.0, start=-0.2, frames=3)["x"] == pytest.approx([-120, -120, -20])


def test_equal_series_have_equal_bytes_and_other_files_are_refused_by_name(tmp_path):
    values = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    (tmp_path / "a").mkdir()
    assert stored(tmp_path, values).read_bytes() == stored(tmp_path / "a", values).read_bytes()
    wrong = tmp_path / "x.npz"
    for content in (b"", b"PK\3\4", np.random.default_rng(0).bytes(100)):
        wrong.write_bytes(content)
        with pytest.raises(MirflowError, match=r"x\.npz: not time series"):
            timeseries.read(wrong)
    np.savez(wrong, x=np.array([{}], dtype=object))  # a pickle
    with pytest.raises(MirflowError, match=r"x\.npz: not time series"):
        timeseries.read(wrong)
    with pytest.raises(ValueError, match="positive"):
        timeseries.read(stored(tmp_path, values), rate=0)


@pytest.fixture(scope="module")
def made() -> dict[str, np.ndarray]:
    """A click every half second, stems of which the bass is 20 dB softer, and a voice that sings for a second."""
    count = 6 * RATE
    time = np.arange(count) / RATE
    mix = loop(6).T.astype(np.float32)
    hertz = np.where(time < 3, 220.0, 330.0)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    sings = (time >= 2) & (time < 4)
    voice = (sum(np.sin(k * phase) / k for k in (1, 2, 3, 4)) * 0.2 * sings)[None].astype(np.float32)
    stems = {"drums": Audio(mix, RATE), "bass": Audio(0.1 * mix, RATE), "other": Audio(mix, RATE)}
    stems["vocals"] = Audio(voice, RATE)
    frames = np.arange(0, 6, 0.02)
    beat = (np.abs((frames + 0.25) % 0.5 - 0.25) < 0.005).astype(np.float32)
    found = measure.measure(Audio(mix, RATE), stems, Activations(beat, beat / 2, 50.0))
    assert all(series.values.shape[-1] == 600 and np.isfinite(series.values).all() for series in found.values())
    assert all(series.values.dtype == np.float32 for series in found.values())
    return {name: series.values for name, series in found.items()}


def test_frames_stand_for_the_hundredth_that_they_are_named_after(made):
    assert made["beat_activation"][[0, 49, 50, 51, 99, 100]] == pytest.approx([1, 1, 1, 0, 1, 1])
    assert made["beat_activation"].mean() == pytest.approx(0.02 / 0.5, abs=0.002)
    assert np.allclose(made["downbeat_activation"], made["beat_activation"] / 2)
    peaks = 50 + np.array([made["onset_envelope"][50 * k - 25 : 50 * k + 25].argmax() for k in range(1, 11)]) - 75
    assert (np.abs(peaks) <= 2).sum() >= 9, "onsets are where the kicks are"


def test_levels_are_those_of_the_samples(made):
    mix = loop(6).T
    power = np.square(mix[:, : 441 * 600]).mean(axis=0).reshape(600, 441).mean(axis=1)
    assert np.allclose(made["level_drums"], 10 * np.log10(power), atol=0.01)
    assert np.allclose(made["level_drums"] - made["level_bass"], 20, atol=0.01)
    assert made["level_vocals"][100] == -120


def test_a_sine_has_its_level_in_its_band_and_its_loudness():
    time = np.arange(8 * RATE) / RATE
    sine = Audio(np.stack([np.sin(2 * np.pi * 997 * time)] * 2).astype(np.float32) * 0.1, RATE)
    silent = Audio(np.zeros_like(sine.samples), RATE)
    nothing = Activations(np.zeros(400, np.float32), np.zeros(400, np.float32), 50.0)
    found = measure.measure(sine, dict.fromkeys(STEMS, silent), nothing)
    middle = slice(200, 600)
    assert found["rms_energy_mid"].values[middle] == pytest.approx(-23.01, abs=0.02)
    assert found["rms_energy_bass"].values[middle].max() < -100
    assert found["loudness"].values[middle] == pytest.approx(-20, abs=0.1)  # 0 LUFS at full scale: BS.1770-4
    assert found["hpcp"].values[:, middle].argmax(axis=0).tolist() == [11] * 400  # B5
    assert not found["f0_vocals"].values.any() and not found["hpcp"].values.min() < 0


def test_the_voice_is_followed_where_it_sings(made):
    pitch, voiced = made["f0_vocals"], made["voiced_vocals"]
    assert pitch[230:270] == pytest.approx(220, rel=0.012) and pitch[330:370] == pytest.approx(330, rel=0.012)
    assert not pitch[:180].any() and not voiced[:180].any() and not pitch[420:].any()
    assert voiced[220:290].min() == voiced[320:380].min() == 1


def test_long_voices_are_followed_in_parts_that_join(monkeypatch):
    time = np.arange(6 * measure.PITCH_RATE) / measure.PITCH_RATE
    glide = np.sin(2 * np.pi * np.cumsum(200 * 2 ** (time / 6)) / measure.PITCH_RATE).astype(np.float32)
    whole = measure._track(glide)
    monkeypatch.setattr(measure, "PITCH_SECONDS", 2.0)
    parts = measure._track(glide)
    assert len(parts) == len(whole) and np.abs(parts - whole).max() <= 0.012 * 400


def test_activations_of_drums_are_there_where_drums_were_transcribed(made):
    assert "kick_activation" not in made
    silent = Audio(np.zeros((1, RATE), np.float32), RATE)
    hits = np.zeros((100, len(DRUMS)), np.float32)
    hits[50, 1] = 0.75
    nothing = Activations(np.zeros(50, np.float32), np.zeros(50, np.float32), 50.0)
    found = measure.measure(silent, dict.fromkeys(STEMS, silent), nothing, DrumActivations(hits, 1.0))
    snare = found["snare_activation"].values
    assert snare.sum() == pytest.approx(0.75) and snare[49:51].sum() == pytest.approx(0.75)


def test_same_chroma_is_that_of_its_definition():
    """Frame by frame and bin by bin, as the trainer's code defines it."""
    rng = np.random.default_rng(0)
    samples = (0.2 * rng.standard_normal((2, 40000))).astype(np.float32)
    window = np.sin(np.pi * np.arange(8192) / 8192)
    frames = []
    for begin in range(0, 40000 - 8192 + 1, 4096):
        spectra = [np.abs(np.fft.rfft(channel[begin : begin + 8192] * window)) / np.sqrt(8192) for channel in samples]
        magnitude = np.mean(spectra, axis=0)
        magnitude[1:-1] *= np.sqrt(2)
        frames.append(np.log1p(magnitude))
    frequency = np.arange(1, 4097) * 44100 / 8192
    place = 128 * np.log2(frequency / 27.5)
    place = np.concatenate([[place[0] - 192], place])
    width = np.concatenate([np.maximum(np.diff(place), 1), [1]])
    expected = []
    for centre, octaves in ((1, 1), (5, 1.5), (9, 1)):
        bank = np.zeros((128, 4097))
        for row in range(128):
            distance = (place - row + 64) % 128 - 64
            bank[row] = np.exp(-0.5 * (2 * distance / width) ** 2)
        bank /= bank.sum(axis=0)
        bank *= np.exp(-0.5 * ((place / 128 - centre) / octaves) ** 2)
        expected.append(np.roll(bank, -30, axis=0) @ np.array(frames).T)
    found = same_chroma.chroma(samples)
    assert found.shape == (3, 128, 10)
    # From 8 frames to the 10 of the latents: linear, with the ends held.
    place = np.clip((np.arange(10) + 0.5) * 0.8 - 0.5, 0, 7)
    stretched = [[np.interp(place, np.arange(8), row) for row in bank] for bank in np.array(expected)]
    assert np.allclose(found, stretched, atol=2e-4)
    assert same_chroma.chroma(samples[:, :5000]).shape == (3, 128, 2)


def test_c_lies_at_bin_2_of_same_chroma():
    tone = np.sin(2 * np.pi * 1046.5 * np.arange(60000) / RATE).astype(np.float32)
    found = same_chroma.chroma(tone[None])[1].mean(axis=1)
    assert found.argmax() == 2


@pytest.mark.parametrize("count", [1, 100, 5000])
def test_short_tracks(count):
    sound = Audio(np.full((1, count), 0.5, np.float32), RATE)
    nothing = Activations(np.zeros(1, np.float32), np.zeros(1, np.float32), 50.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = measure.measure(sound, dict.fromkeys(STEMS, sound), nothing)
    frames = int(np.ceil(count / 441))
    assert all(series.values.shape[-1] == frames and np.isfinite(series.values).all() for series in found.values())
