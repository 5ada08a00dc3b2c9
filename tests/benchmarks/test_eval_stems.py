"""The evaluation of separators: scores of known errors, and the table of separators with known answers."""

import numpy as np
import pytest

from benchmarks import eval_stems
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


def test_simple_split_adds_up_to_the_mix():
    mix = noise(1)
    np.testing.assert_allclose(sum(simple_split(mix, RATE).values()), mix, atol=1e-6)


@pytest.fixture
def pieces(tmp_path):
    """Two pieces, of noise, without vocals."""
    for piece in ("a", "b"):
        stems = {stem: noise(seed) for seed, stem in enumerate(STEMS)} | {"vocals": 0 * noise(0)}
        for name, samples in {**stems, "mix": sum(stems.values())}.items():
            write(tmp_path / piece / f"{name}.flac", samples.T, subtype="PCM_24")
    return tmp_path


def test_table_of_a_separator_with_known_errors(pieces):
    """Errors of a tenth and of a hundredth of each stem are 20 and 40 dB; their median is 30."""
    truth = {stem: noise(seed) for seed, stem in enumerate(STEMS)} | {"vocals": 0 * noise(0)}
    levels = iter([1.0, 0.9, 0.99])  # the first is before the table

    def known(mix):
        level = next(levels)
        return {stem: samples * np.float32(level) for stem, samples in truth.items()} | {"vocals": mix.samples / 10}

    rows = list(eval_stems.report(sorted(pieces.glob("*/mix.flac")), {"known": known}))
    assert [row.split(" / ")[0].split() for row in rows[1:4]] == [
        ["a", "known", "20.00"],
        ["b", "known", "40.00"],
        ["MEDIAN", "known", "30.00"],
    ]
    assert rows[1].endswith("leak -20.00") and rows[3].endswith("   -  /    - ")


def test_our_separator_stands_beside_the_simple_split(pieces, capsys):
    eval_stems.main([str(pieces)])
    printed = capsys.readouterr().out
    for name in ("dsp         ", "simple split"):
        assert f"MEDIAN                      {name}" in printed
    assert printed.count("x realtime") == 2 and "GiB at most" in printed
    with pytest.raises(MirflowError, match="there is no <id>"):
        eval_stems.main([str(pieces / "a")])
