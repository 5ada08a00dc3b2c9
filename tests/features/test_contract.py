"""Every feature is asked the same questions. Features are found, not listed: a new one is asked too."""

import math

import numpy as np
import pytest

from mirflow import registry
from mirflow.audio import Audio

SECONDS = 3.5  # longer than the longest window of loudness
NAMES = registry.feature_names()


def noise(seconds, rate, channels, seed):
    """Uniform noise of full scale, of which some samples reach it exactly."""
    samples = np.random.default_rng(seed).uniform(-1, 1, (channels, max(1, round(seconds * rate)))).astype(np.float32)
    samples[:, ::1000] = np.sign(samples[:, ::1000])
    return samples


def music(seconds, rate, channels, seed):
    """Decaying notes on the beat with a little noise, another sequence for each seed and channel."""
    random = np.random.default_rng(seed)
    time = np.arange(max(1, round(seconds * rate))) / rate
    samples = 0.01 * random.standard_normal((channels, len(time)))
    for beat in np.arange(0, seconds, 0.5):
        since = np.clip(time - beat, 0, None)
        note = (time >= beat) * np.exp(-4 * since)
        for channel in samples:
            channel += 0.3 * note * np.sin(2 * np.pi * 110 * 2 ** (random.integers(0, 36) / 12) * since)
    return np.clip(samples, -1, 1).astype(np.float32)


def silence(seconds, rate, channels, seed):
    return np.zeros((channels, max(1, round(seconds * rate))), dtype=np.float32)


def one_sample(seconds, rate, channels, seed):
    return np.full((channels, 1), 0.5, dtype=np.float32)


SOUNDS = {
    "silence": (silence, SECONDS, 44100, 2),
    "one sample": (one_sample, 0, 44100, 2),
    "0.3 s": (music, 0.3, 44100, 2),
    "mono": (music, SECONDS, 44100, 1),
    "stereo": (music, SECONDS, 44100, 2),
    "8 kHz": (music, SECONDS, 8000, 2),
    "96 kHz": (music, SECONDS, 96000, 2),
    "six channels": (music, SECONDS, 48000, 6),
    "full-scale noise": (noise, SECONDS, 44100, 2),
}


QUESTIONS = [
    pytest.param(name, sound, with_grids, id=f"{name}-{sound}{'' if with_grids else '-empty grids'}")
    for name in NAMES
    for sound in SOUNDS
    for with_grids in ((True, False) if set(registry.feature(name).inputs) & set(registry.GRIDS) else (True,))
]


def inputs_of(name, sound, with_grids, longer=0.0):
    """Make what a feature asks for, by the names of `registry.INPUTS`; the sound and its grids `longer` seconds more."""
    make, seconds, rate, channels = SOUNDS[sound]
    seconds += longer
    grids = {"beats": np.arange(0, seconds, 0.5), "downbeats": np.arange(0, seconds, 2.0)}
    grids["onsets"] = np.arange(0, seconds, 0.25)
    inputs = {}
    for seed, key in enumerate(registry.INPUTS):
        if key not in registry.feature(name).inputs:
            continue
        if key in registry.GRIDS:
            inputs[key] = grids[key][grids[key] < seconds] if with_grids else np.zeros(0)
        else:
            inputs[key] = Audio(make(seconds, rate, channels, seed), rate)
    return inputs


def copy_of(inputs):
    return {k: Audio(v.samples.copy(), v.rate) if isinstance(v, Audio) else v.copy() for k, v in inputs.items()}


@pytest.mark.parametrize("name", NAMES)
def test_declaration_is_complete(name):
    declared = registry.feature(name)
    assert declared.version >= 1 and declared.cite
    for field in declared.fields:
        assert field.unit and field.meaning, field.key
        assert field.undefined is None or field.undefined, field.key
        if field.kind in (float, int):
            assert field.bounds and field.range, field.key
            assert field.bounds[0] <= field.range[0] < field.range[1] <= field.bounds[1], field.key
            assert all(math.isfinite(end) for end in field.range), field.key
    for setting in declared.settings:
        assert setting.meaning and setting.default is not None, setting.name


def test_no_key_belongs_to_two_features():
    assert len(registry.features()) == len(NAMES) > 0


@pytest.mark.parametrize(("name", "sound", "with_grids"), QUESTIONS)
def test_every_feature_stands_every_sound(name, sound, with_grids):
    inputs = inputs_of(name, sound, with_grids)
    before = copy_of(inputs)

    values = registry.measure(name, inputs)  # checks keys, kinds, bounds, and that None is declared

    assert registry.measure(name, copy_of(before)) == values, "two calls differ"
    for key, value in inputs.items():
        given, was = (value.samples, before[key].samples) if isinstance(value, Audio) else (value, before[key])
        assert np.array_equal(given, was), f"{key} was modified"
    if sound == "silence":
        for field in registry.feature(name).fields:
            if field.undefined and "silen" in field.undefined:
                assert values[field.key] is None, f"{field.key} is declared undefined in silence, and is not"


@pytest.mark.parametrize("name", NAMES)
def test_music_is_measured(name):
    """None is for what does not exist: a feature may not answer everything with it."""
    assert set(registry.measure(name, inputs_of(name, "stereo", with_grids=True, longer=10.0)).values()) != {None}
