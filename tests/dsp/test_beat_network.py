"""The beat network: its weights in 8 bits, and its attention against the plain formula."""

import numpy as np

from mirflow.dsp import layers
from mirflow.dsp.beats import log_mel, network


def test_weights_in_8_bits_are_multiples_of_the_step_of_their_column(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, **{"a.weight": np.array([[1, -2], [3, 127]], np.int8), "a.weight.step": np.float16([0.5, 0.25])})
    found = layers.load(path)
    assert list(found) == ["a.weight"]
    np.testing.assert_array_equal(found["a.weight"], [[0.5, -0.5], [1.5, 31.75]])


def test_attention_is_a_mean_over_the_steps_within_reach(monkeypatch):
    """In chunks, it is what the whole table of scores gives."""
    monkeypatch.setattr(network, "CHUNK", 7)
    monkeypatch.setattr(network, "REACH", 5)
    query, key, value = np.random.default_rng(0).standard_normal((3, 40, network.HEADS * 4)).astype(np.float32)
    found = network._attended(query, key, value)
    steps = np.arange(40)
    rate = np.pi * np.array([1, 1 / (network.LONGEST_PERIOD / 2)])
    turn = np.exp(1j * steps[:, None] * rate)  # rotations are products of complex numbers
    for head in range(network.HEADS):
        own = slice(4 * head, 4 * head + 4)
        turned = [(part[:, own][:, :2] + 1j * part[:, own][:, 2:]) * turn for part in (query, key)]
        scores = (turned[0] @ turned[1].conj().T).real / 2
        scores[np.abs(steps[:, None] - steps) > 5] = -np.inf
        share = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found[:, own], share @ value[:, own], atol=1e-5)


def test_it_answers_for_every_frame_whatever_the_length():
    weights = network.weights()
    for frames in (1, 3, 4, 17, 64):
        odds, tempo = network.run(np.ones((frames, log_mel.BANDS), np.float32), weights)
        assert odds.shape == (frames, 2) and np.isfinite(odds).all()
        np.testing.assert_allclose(np.exp(tempo).sum(axis=1), 1, atol=1e-5)
