"""The stems network: what it sees of known signals, and that its shares are shares."""

import numpy as np
import pytest

from mirflow.dsp.separation import network
from mirflow.dsp.separation.split import stft

SIZE, HOP = 4096, 1024
NOISE_POWER = 0.375 * SIZE  # of white noise with a mean power of one, with a Hann window


def seen(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the features of a stereo signal, [frame, cell, feature]."""
    mid, side = (np.float32(0.5**0.5) * (left + sign * right) for sign in (1, -1))
    return network.features(stft(mid, SIZE, HOP), stft(side, SIZE, HOP), NOISE_POWER)


def noise(seed: int, seconds: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(int(seconds * 44100)).astype(np.float32)


def test_cells_cover_every_bin_once():
    cells = np.arange(network.CELL_COUNT, dtype=np.float32)[None]
    bins = network.spread(cells, 2049)
    np.testing.assert_array_equal(bins[0, network.BINS :], network.CELL_COUNT - 1)
    np.testing.assert_allclose(network.pool(bins[:, : network.BINS]), cells)
    np.testing.assert_array_equal(network.spread(cells, 100), bins[:, :100])
    assert network.CELL_COUNT == network.BANDS * network.GROUP


@pytest.mark.parametrize(("right", "share", "pan"), [(1.0, 0, 0), (-1.0, 1, 0), (0.0, 0.5, 1)])
def test_share_of_the_side_and_pan_of_a_panned_sound(right, share, pan):
    """In the middle there is no side; in one channel alone, mid and side are equal."""
    found = seen(noise(0), np.float32(right) * noise(0))[5:-5]
    assert np.median(found[..., 1]) == pytest.approx(2 * share, abs=1e-5)
    assert np.median(found[..., 2]) == pytest.approx(pan, abs=1e-5)


def test_steady_noise_has_the_level_zero_and_an_onset_rises_from_what_was_before():
    steady = seen(noise(0) / np.float32(2**0.5), noise(1) / np.float32(2**0.5))[10:-10]
    assert 10 ** (2 * steady[..., 0]).mean() == pytest.approx(
        1, rel=0.25
    )  # the mean of logarithms is below that of powers
    assert np.abs(steady[..., 3:].mean(axis=(0, 1))).max() < 0.01
    burst = noise(0)
    burst[: len(burst) // 2] *= 0.001  # -60 dB
    frame = len(burst) // 2 // HOP + 3
    before, after = seen(burst, burst)[frame, :, 3:].mean(axis=0)
    assert before > 2 and abs(after) < 0.1  # in factors of ten of the power


@pytest.mark.parametrize("frames", [1, 2, 50])
def test_shares_add_up_to_one_whatever_it_hears(frames):
    random = np.random.default_rng(0)
    for features in (
        random.standard_normal((frames, network.CELL_COUNT, network.FEATURES)).astype(np.float32),
        np.full((frames, network.CELL_COUNT, network.FEATURES), -3, np.float32),
    ):
        shares = network.run(features, network.weights())
        assert shares.shape == (2, network.SOURCES, frames, network.CELL_COUNT)
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
        assert shares.min() >= 0


def test_it_hears_no_further_than_its_layers_reach():
    """What is more than 3.4 s away changes nothing."""
    reach = sum(frames for frames, _ in network.BLOCKS) + sum(network.CONTEXT)
    features = np.random.default_rng(0).standard_normal((reach + 30, network.CELL_COUNT, network.FEATURES))
    features = features.astype(np.float32)
    changed = features.copy()
    changed[reach + 20 :] = 0
    one, other = (network.run(x, network.weights()) for x in (features, changed))
    np.testing.assert_allclose(one[:, :, :20], other[:, :, :20], atol=1e-6)
    assert not np.allclose(one[:, :, reach + 10 :], other[:, :, reach + 10 :], atol=1e-6)
