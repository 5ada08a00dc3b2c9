"""The downmix for analysis: the mean of the channels, unless they cancel each other there."""

import numpy as np
import pytest

from conftest import RATE, loop
from mirflow import features
from mirflow.core.audio import Audio
from mirflow.dsp import onsets
from mirflow.dsp.separation.channels import in_phase
from mirflow.dsp.separation.split import separate

SECONDS = 20


@pytest.fixture(scope="module")
def sounds() -> np.ndarray:
    """Two different sounds of equal level, float32 [2, n]."""
    first = loop(SECONDS)[:, 0]
    second = np.random.default_rng(0).standard_normal(len(first)) * np.abs(first).max() / 4
    second *= np.sqrt(np.mean(first**2) / np.mean(second**2))
    return np.stack([first, second]).astype(np.float32)


def weights(*channels: np.ndarray) -> list[float] | None:
    found = Audio(np.stack(channels).astype(np.float32), RATE).downmix
    return None if found is None else found.tolist()


def db(level: float) -> float:
    return 10 ** (level / 20)


def test_channels_that_do_not_cancel_have_their_mean(sounds):
    a, b = sounds
    for pair in ((a, a), (a, b), (a, 0 * a), (a, 0.3 * b), (a, -0.1 * a)):
        assert weights(*pair) is None and weights(*pair[::-1]) is None
    wide = a + b, a - b  # the side is as loud as the middle
    assert weights(*wide) is None
    assert weights(a, a, b, b, a, 0 * a) is None and weights(a) is None and weights(0 * a, 0 * a) is None
    audio = Audio(np.stack([a, b]), RATE)
    np.testing.assert_array_equal(audio.mono(), audio.samples.mean(axis=0, dtype=np.float32))


@pytest.mark.parametrize("level", [1, 0.9, 0.5])
def test_an_inverted_channel_is_turned_round(sounds, level):
    a, _ = sounds
    assert weights(a, -level * a) == pytest.approx([0.5, -0.5])
    np.testing.assert_allclose(Audio(np.stack([a, -level * a]), RATE).mono(), (1 + level) / 2 * a, atol=1e-6)


def test_a_stereo_mix_with_one_channel_inverted_gives_the_mono_of_the_mix(sounds):
    a, b = sounds
    left, right = a + db(-6) * b, a - db(-6) * b
    expected = Audio(np.stack([left, right]), RATE).mono()
    np.testing.assert_allclose(Audio(np.stack([left, -right]), RATE).mono(), expected, atol=1e-6)


def test_channels_that_cancel_in_a_part_only_give_one_channel(sounds):
    a, _ = sounds
    flipped = a.copy()
    flipped[: len(a) // 3] *= -1
    assert weights(a, flipped) == pytest.approx([1, 0])
    flipped = a.copy()
    flipped[: len(a) // 30] *= -1
    assert weights(a, flipped) is None, "in a second of thirty"


def test_surround_with_one_channel_inverted(sounds):
    a, b = sounds
    six = np.stack([a, -a, 0.5 * b, 0 * a, 0.3 * b, 0.3 * b])
    assert weights(*six) == pytest.approx([1 / 6, -1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6])
    assert weights(*six[[1, 0, 2, 3, 4, 5]]) == pytest.approx([1 / 6, -1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6])


def test_near_the_limit_a_small_difference_makes_a_small_difference(sounds):
    """A copy with the errors of a codec must not get another downmix."""
    a, b = sounds[:, : 3 * RATE]
    found = []
    for level in np.arange(-8, -4, 0.01):  # dB: from a middle that is lost beside the side to one that is not
        given = weights(db(level) * b + a, db(level) * b - a)
        found.append([0.5, 0.5] if given is None else given)
    found = np.array(found)
    assert found[0] == pytest.approx([0.5, -0.5]) and found[-1] == pytest.approx([0.5, 0.5])
    assert np.abs(np.diff(found, axis=0)).max() < 0.025


def test_features_say_so_and_are_those_of_the_channels_in_phase(sounds):
    a, _ = sounds
    inverted, in_phase_ = Audio(np.stack([a, -a]), RATE), Audio(np.stack([a, a]), RATE)
    times = onsets.detect(in_phase_.mono(), RATE).times
    np.testing.assert_array_equal(onsets.detect(inverted.mono(), RATE).times, times)
    for name, inputs in (("spectral", {}), ("timbral", {}), ("onsets", {"onsets": times})):
        found = features.fragment(name, {"full_mix": inverted} | inputs)
        assert found["_provenance"].pop("downmix") == {"full_mix": [0.5, -0.5]}
        expected = features.fragment(name, {"full_mix": in_phase_} | inputs)
        for key, value in expected.items():
            assert found[key] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value)
    inverted = Audio(inverted.samples, RATE)
    assert "downmix" not in features.fragment("multiband_rms", {"full_mix": inverted})["_provenance"]


def test_stems_are_separated_as_if_no_channel_were_inverted(sounds):
    a, b = sounds[:, : 5 * RATE]
    mix = np.stack([a + 0.2 * b, a - 0.2 * b])
    expected = separate(mix, RATE)
    inverted = Audio(mix * np.float32([[1], [-1]]), RATE)
    found = in_phase(lambda sound: separate(sound.samples, sound.rate), inverted)
    for name, stem in found.items():
        np.testing.assert_array_equal(stem, expected[name] * [[1], [-1]])
    np.testing.assert_allclose(sum(found.values()), inverted.samples, atol=1e-5)
