"""The Audio Commons timbral models, compared with the original package, and their parts, compared with theory."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from mirflow import features
from mirflow.core.audio import Audio, resample
from mirflow.dsp.timbral import attacks, attributes, kernels, zwicker

RATE = 44100
KEYS = [field.key for field in features.declared("timbral").fields]
DATA = Path(__file__).parent.parent / "data"
TABLE = json.loads((DATA / "timbral_oracle.json").read_text())["sounds"]


def measure(samples, rate=RATE):
    return features.measure("timbral", {"full_mix": Audio(np.atleast_2d(samples).astype(np.float32), rate)})


@pytest.fixture(scope="module")
def sounds():
    spec = importlib.util.spec_from_file_location("timbral_oracle", DATA / "timbral_oracle.py")
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    return {name: (samples, rate) for name, samples, rate in oracle.sounds()}


def tone(hertz, seconds, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)


@pytest.mark.parametrize("name", TABLE)
def test_the_scores_are_within_one_point_of_the_original(sounds, name):
    assert set(TABLE[name]) == set(KEYS)
    assert measure(*sounds[name]) == pytest.approx(TABLE[name], abs=1)


def test_level_and_a_duplicated_channel_do_not_matter(sounds):
    samples, rate = sounds["plucks"][0][:, : 2 * RATE], RATE
    reference = measure(samples, rate)
    assert measure(0.05 * samples, rate) == pytest.approx(reference, abs=0.01)
    assert measure(np.concatenate([samples, samples]), rate) == pytest.approx(reference, abs=1e-9)


def test_a_silent_channel_does_not_change_the_reverberation(sounds):
    samples = sounds["clicks_room_0.9"][0][:, : 3 * RATE]
    one_side = np.concatenate([samples, 0 * samples])
    assert measure(one_side)["reverberation"] == measure(samples)["reverberation"] > 35


@pytest.mark.parametrize("offset", [0.05, -0.01])
def test_an_offset_does_not_change_the_reverberation(sounds, offset):
    """Its variance and maximum never decay: 5 % of full scale made clicks in a dry room the most reverberant sound."""
    for name in ("clicks_dry", "clicks_room_0.9"):
        samples = sounds[name][0][:, : 3 * RATE]
        assert measure(samples + offset)["reverberation"] == pytest.approx(measure(samples)["reverberation"], abs=1.5)


@pytest.mark.parametrize("rate", [48000, 96000])
def test_a_higher_sampling_rate_changes_little(sounds, rate):
    for name in ("plucks", "bass"):
        samples = sounds[name][0][:, : 3 * RATE]
        assert measure(resample(samples, RATE, rate), rate) == pytest.approx(measure(samples), abs=0.3)


def test_undefined_scores_are_none():
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    nothing = dict.fromkeys(KEYS)
    assert measure(np.zeros((2, RATE))) == nothing
    assert measure(np.ones(1)) == nothing
    assert {key for key, value in measure(noise[:9000]).items() if value is None} == {"reverberation"}
    assert {key for key, value in measure(noise[:4095]).items() if value is not None} == {"brightness", "roughness"}
    assert {key for key, value in measure(noise[:2048]).items() if value is not None} == {"brightness"}
    assert {key for key, value in measure(1e-5 * noise).items() if value is not None} == {"reverberation"}
    assert measure(tone(18000, 2))["booming"] is None


def test_reverberation_of_the_shortest_and_the_longest_decay():
    assert attributes.reverberation([0.2]) == pytest.approx(29.805, abs=0.001)
    assert attributes.reverberation([1.1]) == pytest.approx(86.028, abs=0.001)
    assert attributes.reverberation_time(tone(100, 2)) == 0.2  # no decay


@pytest.mark.parametrize("seconds", [0.4, 0.7, 1.0])
def test_the_reverberation_time_is_the_decay_time_of_noise_bursts(seconds):
    rng = np.random.default_rng(1)
    decay = 10 ** (-3 * np.arange(RATE) / RATE / seconds)
    bursts = np.concatenate([rng.laplace(size=RATE) * decay for _ in range(60)])
    assert attributes.reverberation_time(bursts) == pytest.approx(seconds, abs=0.1)


@pytest.mark.parametrize(("level", "sone"), [(40, 1), (50, 2), (60, 4), (70, 8)])
def test_the_loudness_of_a_1_khz_tone_doubles_every_10_db(level, sone):
    amplitude = np.sqrt(2) * 10 ** ((level - zwicker.FULL_SCALE_DB) / 20)
    steady = tone(1000, 4096 / RATE * 8, amplitude).reshape(1, -1)
    _, total = zwicker.specific_loudness(zwicker.third_octave_levels(steady))
    assert total[0] == pytest.approx(sone, rel=0.1)


def test_the_specific_loudness_is_largest_at_the_critical_band_rate_of_a_tone():
    for hertz, bark in ((250, 2.5), (1000, 8.5), (4000, 17.3)):  # Zwicker's scale
        steady = tone(hertz, 1, 0.01).reshape(1, -1)
        specific, _ = zwicker.specific_loudness(zwicker.third_octave_levels(steady))
        assert (specific[0].argmax() + 1) / 10 == pytest.approx(bark, abs=1)


def test_the_median_equals_that_of_scipy():
    rng = np.random.default_rng(2)
    values = np.abs(rng.standard_normal((3, 400))).astype(np.float32)
    values[1, 100:180] = 0
    values[2] = values[2].round(1)  # many ties
    expected = scipy.ndimage.median_filter(values, size=(1, 31))[:, 15:-15]
    assert np.array_equal(kernels.median_of_31(values), expected)


def test_a_click_is_percussive_and_a_tone_is_harmonic():
    click = np.zeros(RATE)
    click[RATE // 2] = 1
    assert attributes.percussive_share(click) > 0.95
    assert attributes.percussive_share(tone(1000, 1)) < 0.05


def test_the_envelope_has_no_attack_time_a_hold_of_10_ms_and_a_linear_decay():
    impulse = np.zeros(10000)
    impulse[1000] = -0.5
    envelope = attacks.envelope(impulse, decay_seconds=0.1)
    assert envelope[999] == 0 and np.all(envelope[1000:1442] == 0.5)
    assert envelope[1441 + 2205] == pytest.approx(0.25) and envelope[1441 + 4411] == 0


def test_onsets_are_at_the_starts_of_noise_bursts():
    starts = [0, 0.5, 1.1, 1.9]
    samples = np.zeros(3 * RATE)
    for start in starts:
        burst = np.random.default_rng(4).standard_normal(len(samples)) * np.exp(-np.arange(len(samples)) / (0.3 * RATE))
        samples[int(start * RATE) :] += burst[: len(samples) - int(start * RATE)]
    envelope = attacks.envelope(samples, 0.1)
    onsets = attacks.onsets(envelope, attacks.strength(samples), earliest=512)
    assert np.array(onsets) / RATE == pytest.approx(starts[1:], abs=0.06)  # the onset of the first one is not detected


def test_roughness_is_largest_at_a_fraction_of_a_critical_band():
    roughness_at = {gap: measure(tone(500, 1) + tone(500 + gap, 1))["roughness"] for gap in (0, 40, 250)}
    assert roughness_at[0] == 0 and roughness_at[40] > roughness_at[250] + 5
