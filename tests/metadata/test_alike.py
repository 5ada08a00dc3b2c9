"""Tracks that sound alike to a network: exact distances, the same pairs however a library grows."""

import os
from pathlib import Path

import numpy as np
import pytest

from mirflow.labels.embedding import Patches
from mirflow.metadata import alike
from mirflow.metadata.alike import Known


def save(folder: Path, name: str, output: np.ndarray) -> Path:
    Patches(np.asarray(output, np.float32), {"graph.pb": "0" * 64}).save(folder / f"{name}.npz")
    return folder / f"{name}.npz"


def track(mean: float, spread: float = 1.0) -> np.ndarray:
    """Return eight patches with a known mean and spread: float32 [8, 2]."""
    around = np.array([1, -1] * 4) * spread * np.sqrt(7 / 8)
    return np.stack([mean + around, np.full(8, 3.0)], axis=1)


def test_tracks_are_as_far_apart_as_their_means_in_units_of_their_spread(tmp_path):
    files = {name: save(tmp_path, name, track(*about)) for name, about in
             {"a": (100.0,), "b": (100.2,), "far": (101.0,), "wide": (101.0, 7.0)}.items()}  # fmt: skip
    found = alike.relate(files, Known())
    root = np.sqrt((1 + 49) / 2)
    wide = {("a", "wide"): 1 / root, ("b", "wide"): 0.8 / root, ("far", "wide"): 0}
    assert found.pairs == pytest.approx({("a", "b"): 0.2} | wide, abs=1e-5)
    assert alike.rows(found, but=wide)[0] == ("alike", "", "0.800", "", "", "a", "b")
    assert alike.relate({}, Known()).pairs == {}


def test_what_says_too_little_is_not_compared(tmp_path):
    outputs = {"good": track(1), "silent": np.zeros((0, 0)), "short": track(1)[:7], "still": np.ones((9, 2)),
               "broken": np.full((9, 2), np.nan), "other network": track(1)[:, [0, 0, 0]]}  # fmt: skip
    files = {name: save(tmp_path, name, output) for name, output in outputs.items()}
    found = alike.relate(files | {"missing": tmp_path / "missing.npz"}, Known())
    assert found.pairs == {} and "missing" not in found.stamps and set(found.ids) <= {"good", "other network"}


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> dict[str, Path]:
    """Embeddings of 1300 tracks, of which each hundredth is nearly the one before."""
    folder, rng = tmp_path_factory.mktemp("many"), np.random.default_rng(0)
    files = {}
    for number in range(1300):
        centre = centre if number and number % 100 == 0 else rng.standard_normal(64)  # noqa: F821
        files[f"{number:04d}"] = save(folder, f"{number:04d}", centre + 0.5 * rng.standard_normal((40, 64)))
    return files


def test_a_library_that_grows_has_the_pairs_of_one_that_was_made_at_once(many, tmp_path):
    whole = alike.relate(many, Known())
    assert list(whole.pairs) == [(f"{n - 1:04d}", f"{n:04d}") for n in range(100, 1300, 100)]
    some = {name: path for name, path in many.items() if int(name) % 50 != 49}  # without the first of each pair
    known = alike.relate(some, Known())
    known.save(tmp_path / "known.npz")
    assert known.pairs == {} and alike.relate(many, Known.load(tmp_path / "known.npz")).pairs == whole.pairs
    assert alike.relate(some, whole).pairs == {}
    (tmp_path / "known.npz").write_bytes(b"PK\x03\x04")
    assert Known.load(tmp_path / "known.npz").pairs == {}


def test_only_what_changed_is_read_again(many, monkeypatch):
    some = dict(list(many.items())[:300])
    known, read, describe = alike.relate(some, Known()), [], alike.describe
    monkeypatch.setattr(alike, "describe", lambda path: read.append(path.stem) or describe(path))
    assert alike.relate(some, known).pairs == known.pairs and not read
    os.utime(some["0099"], (1, 1))
    assert alike.relate(some, known).pairs == known.pairs and read == ["0099"]


def test_a_library_of_equal_sounds_does_not_drown_in_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr(alike, "BLOCK", 16)
    rng = np.random.default_rng(1)
    means = np.sort(rng.standard_normal(100)) * 0.01
    files = {f"{n:03d}": save(tmp_path, f"{n:03d}", track(mean)) for n, mean in enumerate(means)}
    found = alike.relate(files, Known())
    assert len(found.pairs) == 5 * 100
    apart = np.sort(np.abs(means[:, None] - means)[np.triu_indices(100, 1)])
    assert max(found.pairs.values()) == pytest.approx(apart[499], abs=1e-6)  # the closest of all 4950
