"""The same tests for all features. They also apply to new features, because the registry finds the modules."""

import copy
import dataclasses
import math

import numpy as np
import pytest

from mirflow import features
from mirflow.core import layout
from mirflow.core.audio import Audio
from mirflow.transcribe.activations import DRUMS
from mirflow.transcribe.notes import DrumNotes

SECONDS = 3.5  # longer than the longest window of loudness
NAMES = [feature.name for feature in features.of_modules() if not feature.models]  # the others have separate tests


def noise(seconds, rate, channels, seed):
    """Return uniform noise at full scale, in which every 1000th sample is exactly -1 or 1."""
    samples = np.random.default_rng(seed).uniform(-1, 1, (channels, max(1, round(seconds * rate)))).astype(np.float32)
    samples[:, ::1000] = np.sign(samples[:, ::1000])
    return samples


def music(seconds, rate, channels, seed):
    """Return decaying notes on the beats, with a little noise. The notes depend on the seed and on the channel."""
    generator = np.random.default_rng(seed)
    time = np.arange(max(1, round(seconds * rate))) / rate
    samples = 0.01 * generator.standard_normal((channels, len(time)))
    for beat in np.arange(0, seconds, 0.5):
        elapsed = np.clip(time - beat, 0, None)
        note = (time >= beat) * np.exp(-4 * elapsed)
        for channel in samples:
            channel += 0.3 * note * np.sin(2 * np.pi * 110 * 2 ** (generator.integers(0, 36) / 12) * elapsed)
    return np.clip(samples, -1, 1).astype(np.float32)


def silence(seconds, rate, channels, seed):
    return np.zeros((channels, max(1, round(seconds * rate))), dtype=np.float32)


def one_sample(seconds, rate, channels, seed):
    return np.full((channels, 1), 0.5, dtype=np.float32)


SIGNALS = {
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


CASES = [
    pytest.param(name, signal, with_grids, id=f"{name}-{signal}{'' if with_grids else '-empty grids'}")
    for name in NAMES
    for signal in SIGNALS
    for with_grids in ((True, False) if set(features.declared(name).inputs) & set(layout.GRIDS) else (True,))
]


def inputs_of(name, signal, with_grids, longer=0.0):
    """Return the inputs of a feature, name → audio or times; all are longer than usual by `longer` seconds."""
    make, seconds, rate, channels = SIGNALS[signal]
    seconds += longer
    grids = {"beats": np.arange(0, seconds, 0.5), "downbeats": np.arange(0, seconds, 2.0)}
    grids["onsets"] = np.arange(0, seconds, 0.25)
    inputs = {}
    for seed, key in enumerate(layout.INPUTS):
        if key not in features.declared(name).inputs:
            continue
        if key in layout.GRIDS:
            inputs[key] = grids[key][grids[key] < seconds] if with_grids else np.zeros(0)
        elif key == "drum_notes":
            times = grids["onsets"][grids["onsets"] < seconds] if make in (music, noise) else np.zeros(0)
            drums = np.arange(len(times)) % len(DRUMS)
            inputs[key] = DrumNotes(times, drums, 36 + 2 * drums, 1 + 126 * drums // len(DRUMS), seconds)
        else:
            inputs[key] = Audio(make(seconds, rate, channels, seed), rate)
    return inputs


def parts_of(value):
    return dataclasses.astuple(value) if dataclasses.is_dataclass(value) else (value,)


def copy_of(inputs):
    return copy.deepcopy(inputs)


@pytest.mark.parametrize("name", features.names())
def test_the_declaration_is_complete(name):
    declared = features.declared(name)
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


def test_two_features_with_the_same_key_are_an_error():
    first, second = features.built_in()[:2]
    twin = dataclasses.replace(second, fields=(*second.fields, first.fields[0]))
    with pytest.raises(ValueError, match=rf"{first.name} and {second.name} both declare {first.fields[0].key}"):
        features._distinct((first, twin))


@pytest.mark.parametrize(("name", "signal", "with_grids"), CASES)
def test_values_are_valid_repeatable_and_leave_the_inputs_unchanged(name, signal, with_grids):
    inputs = inputs_of(name, signal, with_grids)
    copies = copy_of(inputs)

    values = features.measure(name, inputs)  # checks keys, kinds, bounds, and that None is declared

    assert features.measure(name, copy_of(copies)) == values, "two calls differ"
    for key, value in inputs.items():
        for actual, expected in zip(parts_of(value), parts_of(copies[key]), strict=True):
            assert np.array_equal(actual, expected), f"{key} was modified"
    if signal == "silence":
        for field in features.declared(name).fields:
            if field.undefined and "silen" in field.undefined:
                assert values[field.key] is None, f"{field.key} is declared undefined in silence, and is not"


@pytest.mark.parametrize("name", NAMES)
def test_music_has_values(name):
    """None is for undefined values only. For music, at least one value must be defined."""
    assert set(features.measure(name, inputs_of(name, "stereo", with_grids=True, longer=10.0)).values()) != {None}
