"""Beats and downbeats: known grids, and no grid where there is none."""

import numpy as np
import pytest

from mirflow import beats
from mirflow.audio import Audio
from mirflow.errors import MirflowError

RATE = 44100


def test_activations_survive_a_file_with_equal_bytes(tmp_path):
    found = beats.Activations(np.array([0.1, 0.9], np.float32), np.array([0.0, 0.5], np.float32), 22050 / 256)
    found.save(tmp_path / "a.npz")
    found.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = beats.Activations.load(tmp_path / "a.npz")
    assert again.frame_rate == found.frame_rate and np.array_equal(again.beat, found.beat)


def test_a_file_that_holds_no_activations_is_named(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(MirflowError, match="a.npz"):
        beats.Activations.load(path)


@pytest.mark.parametrize("seconds", [0, 0.3, 20])
def test_silence_has_no_beats(seconds):
    silence = Audio(np.zeros((2, int(seconds * RATE)), np.float32), RATE)
    assert len(beats.decode(beats.activations(silence, {})).beats) == 0
