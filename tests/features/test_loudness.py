"""Loudness of the tone signals of EBU Tech 3341 and 3342, and channel weights of BS.1770-4."""

import numpy as np
import pyloudnorm
import pytest
import soxr

from mirflow import features
from mirflow.core import layout
from mirflow.core.audio import Audio
from mirflow.dsp import loudness

RATE = 48000


def tones(*segments, rate=RATE, channels=2):
    """Return a 1 kHz tone of continuous phase; each segment is (level in dBFS, duration in seconds)."""
    level = np.concatenate([np.full(round(seconds * rate), 10 ** (db / 20)) for db, seconds in segments])
    tone = level * np.sin(2 * np.pi * 1000 * np.arange(len(level)) / rate)
    return Audio(np.tile(tone.astype(np.float32), (channels, 1)), rate)


def measure(mix, **stems):
    silence = Audio(np.zeros((2, mix.rate), dtype=np.float32), mix.rate)
    return features.measure("loudness", {name: silence for name in layout.STEMS} | {"full_mix": mix} | stems)


@pytest.mark.parametrize(
    ("segments", "lufs"),
    [
        ([(-23, 20)], -23),
        ([(-33, 20)], -33),
        ([(-36, 10), (-23, 60), (-36, 10)], -23),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23),
    ],
    ids=["3341-1", "3341-2", "3341-3", "3341-4", "3341-5"],
)
def test_integrated_loudness_of_ebu_3341(segments, lufs):
    assert measure(tones(*segments))["lufs"] == pytest.approx(lufs, abs=0.1)


@pytest.mark.parametrize(
    ("segments", "lra"),
    [
        ([(-20, 20), (-30, 20)], 10),
        ([(-20, 20), (-15, 20)], 5),
        ([(-40, 20), (-20, 20)], 20),
        ([(-50, 20), (-35, 20), (-20, 20), (-35, 20), (-50, 20)], 15),
    ],
    ids=["3342-1", "3342-2", "3342-3", "3342-4"],
)
def test_loudness_range_of_ebu_3342(segments, lra):
    assert measure(tones(*segments))["lra"] == pytest.approx(lra, abs=1)


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
@pytest.mark.parametrize(
    ("divider", "amplitude", "phase", "expected"),
    [(4, 0.5, 0, -6), (4, 0.5, 45, -6), (6, 0.5, 60, -6), (8, 0.5, 67.5, -6), (4, 1.41, 45, 3)],
    ids=["3341-15", "3341-16", "3341-17", "3341-18", "3341-19"],
)
def test_true_peak_of_ebu_3341(divider, amplitude, phase, expected, rate):
    time = np.arange(2 * rate)
    fade = np.minimum(1, np.minimum(time, time[::-1]) / (0.1 * rate))
    tone = amplitude * np.sin(2 * np.pi * time / divider + np.deg2rad(phase)) * fade
    peak = loudness.true_peak(tone[None].astype(np.float32), rate)
    assert expected - 0.4 <= peak <= expected + 0.2


def test_the_true_peak_does_not_depend_on_the_chunk_length(monkeypatch):
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 50_000)).astype(np.float32)
    whole = loudness.true_peak(noise, 44100)
    monkeypatch.setattr(loudness, "CHUNK", 997)
    assert loudness.true_peak(noise, 44100) == pytest.approx(whole, abs=1e-3)


def test_k_weighting_has_the_coefficients_of_the_standard_at_48_khz():
    shelf, high_pass = loudness.k_weighting(48000)
    assert shelf == pytest.approx(
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585], abs=1e-9
    )
    assert high_pass == pytest.approx([1, -2, 1, 1, -1.99004745483398, 0.99007225036621], abs=1e-9)


def test_integrated_loudness_agrees_with_pyloudnorm():
    random = np.random.default_rng(1)
    level = np.repeat(10 ** (random.uniform(-50, 0, 40) / 20), RATE // 2)
    noise = (random.standard_normal((2, len(level))) * level * 0.1).astype(np.float32)
    meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
    assert measure(Audio(noise, RATE))["lufs"] == pytest.approx(meter.integrated_loudness(noise.T), abs=0.01)


def test_two_equal_channels_are_3_db_louder_than_one():
    mono = measure(tones((-23, 5), channels=1))["lufs"]
    assert mono == pytest.approx(-26.01, abs=0.1)  # from BS.1770-4: a 1 kHz tone in one channel is 3.01 dB lower
    assert measure(tones((-23, 5)))["lufs"] - mono == pytest.approx(10 * np.log10(2), abs=1e-6)


@pytest.mark.parametrize(("channel", "gain"), [(0, 0), (2, 0), (3, None), (4, 1.492), (5, 1.492)])
def test_surround_channels_have_more_weight_and_lfe_has_none(channel, gain):
    tone = tones((-23, 5), channels=1)
    surround = np.zeros((6, tone.samples.shape[1]), dtype=np.float32)
    surround[channel] = tone.samples[0]
    lufs = measure(Audio(surround, RATE))["lufs"]
    if gain is None:
        assert lufs is None
    else:
        assert lufs - measure(tone)["lufs"] == pytest.approx(gain, abs=0.001)


def test_the_sampling_rate_does_not_matter():
    random = np.random.default_rng(2)
    level = np.repeat(10 ** (random.uniform(-30, 0, 40) / 20), 400)  # 0.1 s each at 4 kHz
    music = soxr.resample(random.standard_normal(len(level)) * level * 0.1, 4000, 48000, quality="VHQ")
    expected = measure(Audio(music[None].astype(np.float32), 48000))
    for rate in (22050, 44100, 96000):
        values = measure(Audio(soxr.resample(music, 48000, rate, quality="VHQ")[None].astype(np.float32), rate))
        assert values["lufs"] == pytest.approx(expected["lufs"], abs=0.02)
        assert values["lra"] == pytest.approx(expected["lra"], abs=0.05)
        assert values["true_peak"] == pytest.approx(expected["true_peak"], abs=0.1)


def test_values_are_undefined_for_short_audio_and_below_the_gate():
    assert set(measure(tones((-300, 4))).values()) == {None} | {measure(tones((-300, 4)))["true_peak"]}
    assert measure(Audio(np.zeros((2, RATE * 4), np.float32), RATE))["true_peak"] is None
    short = measure(tones((-20, 0.39)))
    assert short["lufs"] is None and short["lra"] is None and short["true_peak"] == pytest.approx(-20, abs=0.1)
    below_three_seconds = measure(tones((-20, 2.9)))
    assert below_three_seconds["lufs"] == pytest.approx(-20, abs=0.1) and below_three_seconds["lra"] is None
    assert measure(tones((-72, 5)))["lufs"] is None


def test_each_stem_has_its_own_values():
    values = measure(tones((-20, 5)), bass=tones((-30, 5)), vocals=tones((-65, 5)))
    assert values["lufs_bass"] == pytest.approx(-30, abs=0.1)
    assert values["lufs_vocals"] == pytest.approx(-65, abs=0.1)
    assert values["lufs_drums"] is None and values["lra_drums"] is None


@pytest.mark.parametrize("gain", [-20, -40])
def test_values_of_stems_do_not_depend_on_the_level_of_the_mix(gain):
    """The gate of -70 LUFS is for a mix at -23 LUFS; what is 47 LU below the mix is silent, whatever the level is."""

    def measured(db):
        bass = tones((-30 + db, 10), (-45 + db, 10), (-66 + db, 10), (-90 + db, 10))
        return measure(tones((-23 + db, 40)), bass=bass, vocals=tones((-66 + db, 5)), drums=tones((-71 + db, 5)))

    loud, quiet = measured(0), measured(gain)
    assert loud["lra_bass"] == pytest.approx(15, abs=2)
    assert loud["lufs_vocals"] == pytest.approx(-66, abs=0.1) and loud["lufs_drums"] is None
    for key, value in loud.items():
        assert quiet[key] == (value and pytest.approx(value + gain * (not key.startswith("lra")), abs=1e-3)), key


def test_without_a_mix_stems_have_the_absolute_gate():
    values = measure(tones((-300, 5)), bass=tones((-69, 5)), vocals=tones((-71, 5)))
    assert values["lufs_bass"] == pytest.approx(-69, abs=0.1) and values["lufs_vocals"] is None


def test_step_powers_do_not_depend_on_the_block_length(monkeypatch):
    noise = np.random.default_rng(3).uniform(-1, 1, (2, 2 * 44100 + 17)).astype(np.float32)
    whole = loudness.step_powers(noise, 44100)
    monkeypatch.setattr(loudness, "FILTER_STEPS", 3)
    assert loudness.step_powers(noise, 44100) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        ("FL FR LFE", (1, 1, 0)),
        ("FL FR FC LFE", (1, 1, 1, 0)),
        ("FL FR FC LFE BC", (1, 1, 1, 0, 1)),
        ("FL FR FC LFE BL BR", (1, 1, 1, 0, 1.41, 1.41)),
        ("FL FR FC LFE SL SR", (1, 1, 1, 0, 1.41, 1.41)),
        ("FL FR LFE BL BR BC", (1, 1, 0, 1.41, 1.41, 1)),
        ("FL FR FC LFE BC SL SR", (1, 1, 1, 0, 1, 1.41, 1.41)),
        ("FL FR FC LFE BL BR SL SR", (1, 1, 1, 0, 1, 1, 1.41, 1.41)),
        ("FL FR FC LFE BL BR FLC FRC", (1, 1, 1, 0, 1.41, 1.41, 1, 1)),
        ("FL FR FC LFE SL SR TFL TFR", (1, 1, 1, 0, 1.41, 1.41, 1, 1)),
    ],
)
def test_channels_count_by_their_position_and_lfe_not_at_all(names, weights):
    """BS.1770-4, annex 3: +1.5 dB at 60 to 120 degrees; the back channels of 7.1 are behind, those of 5.1 not."""
    layout = tuple(names.split())
    tone = tones((-23, 2), channels=1).samples
    for channel, weight in enumerate(weights):
        samples = np.zeros((len(layout), tone.shape[1]), np.float32)
        samples[channel] = tone[0]
        found = measure(Audio(samples, RATE, layout))["lufs"]
        expected = None if weight == 0 else pytest.approx(-26.01 + 10 * np.log10(weight), abs=0.05)
        assert found == expected


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000])
def test_low_sampling_rates_read_the_same(rate):
    for hertz in (100, 1000, 0.4 * rate):
        tone = [0.1 * np.sin(2 * np.pi * hertz * np.arange(5 * r) / r)[None].astype(np.float32) for r in (rate, 192000)]
        low, high = (
            loudness.integrated_loudness(loudness.step_powers(t, r)) for t, r in zip(tone, (rate, 192000), strict=True)
        )
        assert low == pytest.approx(high, abs=0.03)
