"""The evaluation of separators: scores of known errors, and the table of separators with known answers."""

import numpy as np
import pytest

from benchmarks import eval_stems, hand_made_masks
from benchmarks.separation_scores import level_against, sdr, si_sdr, simple_split
from conftest import RATE, write
from mirflow.core.errors import MirflowError
from mirflow.core.layout import STEMS


def noise(seed: int, n: int = RATE) -> np.ndarray:
    """Return white noise, float32 [2, n]."""
    return (0.05 * np.random.default_rng(seed).standard_normal((2, n))).astype(np.float32)


def test_scores_of_known_errors():
    truth = noise(0)
    assert sdr(truth, 0.9 * truth) == pytest.approx(20, abs=1e-3)
    assert si_sdr(truth, 0.5 * truth) > 100
    error = np.stack([truth[1], -truth[0]])  # orthogonal and equally strong
    assert si_sdr(truth, truth + error) == pytest.approx(0, abs=1e-4)
    assert sdr(0 * truth, truth) is None
    assert level_against(truth, 0.1 * truth) == pytest.approx(-20, abs=1e-3)


@pytest.mark.parametrize("separate", [simple_split, hand_made_masks.separate])
def test_what_is_compared_with_adds_up_to_the_mix(separate):
    mix = noise(1)
    np.testing.assert_allclose(sum(separate(mix, RATE).values()), mix, atol=1e-6)


def test_running_median_is_that_of_each_row():
    from scipy.ndimage import median_filter

    rows = noise(7)[:, :280].reshape(14, 40)
    found = hand_made_masks.running_median(rows, 9)
    np.testing.assert_array_equal(found, median_filter(rows, (1, 9), mode="reflect"))


@pytest.fixture
def pieces(tmp_path):
    """A set of two pieces, of noise, without vocals."""
    folder = tmp_path / "noises"
    for piece in ("a", "b"):
        stems = {stem: noise(seed) for seed, stem in enumerate(STEMS)} | {"vocals": 0 * noise(0)}
        for name, samples in {**stems, "mix": sum(stems.values())}.items():
            write(folder / piece / f"{name}.flac", samples.T, subtype="PCM_24")
    return folder


def test_table_of_a_separator_with_known_errors(pieces):
    """Errors of a tenth and of a hundredth of each stem are 20 and 40 dB; their mean is 30."""
    truth = {stem: noise(seed) for seed, stem in enumerate(STEMS)} | {"vocals": 0 * noise(0)}
    levels = iter([1.0, 0.9, 0.99])  # the first is before the table

    def known(mix):
        level = next(levels)
        return {stem: samples * np.float32(level) for stem, samples in truth.items()} | {"vocals": mix.samples / 10}

    rows = list(eval_stems.report(sorted(pieces.glob("*/mix.flac")), {"known": known}))
    assert [row.split(" / ")[0].split() for row in rows[1:4]] == [
        ["a", "known", "20.00"],
        ["b", "known", "40.00"],
        ["MEAN", "of", pieces.name, "known", "30.00"],
    ]
    assert rows[1].endswith("leak -20.00") and rows[3].endswith("   -  /    - ")


def test_our_separator_stands_beside_the_simple_split(pieces, capsys):
    eval_stems.main([str(pieces.parent)])
    printed = capsys.readouterr().out
    for name in ("embedded     ", "masks by hand", "simple split"):
        assert f"MEAN of noises              {name}" in printed
    assert printed.count("x realtime") == 3 and "GiB at most" in printed
    with pytest.raises(MirflowError, match="there is no <id>"):
        eval_stems.main([str(pieces / "a")])
