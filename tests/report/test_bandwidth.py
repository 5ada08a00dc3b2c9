"""Where a spectrum ends: filtered noise, a low bit rate, and sounds that do not end."""

import io

import numpy as np
import pytest
import soundfile
from scipy import signal

from conftest import RATE, loop
from mirflow.core import layout
from mirflow.report import bandwidth

NOISE = np.random.default_rng(0).standard_normal((2, 6 * RATE)) * 0.1


@pytest.mark.parametrize("end", [8000, 11000, 16000, 19000])
def test_filtered_noise_ends_where_its_filter_does(end):
    low = signal.sosfilt(signal.ellip(12, 0.1, 80, end, fs=RATE, output="sos"), NOISE)
    assert bandwidth.measure(low, RATE) == pytest.approx(end, abs=500)


def test_noise_and_falling_spectra_reach_half_of_the_sampling_rate_and_silence_does_not_exist():
    assert bandwidth.measure(NOISE, RATE) == RATE / 2
    assert bandwidth.measure(np.cumsum(NOISE, axis=1), RATE) == RATE / 2  # -6 dB an octave
    assert bandwidth.measure(np.zeros((1, RATE)), RATE) is None
    assert bandwidth.measure(NOISE[:, :10], RATE) is None


def test_a_low_bit_rate_is_told_from_a_high_one():
    lameenc = pytest.importorskip("lameenc")
    ends = {}
    for rate in (128, 320):
        encoder = lameenc.Encoder()
        encoder.set_bit_rate(rate)
        encoder.set_in_sample_rate(RATE)
        encoder.set_channels(2)
        encoder.silence()
        data = encoder.encode((NOISE.T * 32767).astype("<i2").tobytes()) + encoder.flush()
        samples, _ = soundfile.read(io.BytesIO(bytes(data)), always_2d=True)
        ends[rate] = bandwidth.measure(samples.T, RATE)
    assert 15_500 <= ends[128] <= 17_500 and ends[320] >= 19_500


def test_a_track_is_heard_once(tmp_path, monkeypatch):
    path = layout.track_files(str(tmp_path), "a/b").full_mix
    (tmp_path / "a/b").mkdir(parents=True)
    soundfile.write(path, loop(1), RATE)
    first = bandwidth.of_tracks(str(tmp_path), ["a/b", "gone"])
    assert set(first) == {"a/b"}
    monkeypatch.setattr(bandwidth, "read", lambda path: pytest.fail("heard again"))
    assert bandwidth.of_tracks(str(tmp_path), ["a/b"]) == first
