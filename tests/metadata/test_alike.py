"""Tracks that sound alike to a network: exact similarities, the same pairs however a library grows."""

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


def track(angle: float, length: float = 1.0) -> np.ndarray:
    """Return eight patches whose mean has a known direction, in degrees: float32 [8, 2]."""
    mean = length * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    return mean + np.array([0.3, -0.3] * 4)[:, None]


def test_tracks_are_as_alike_as_the_angle_between_their_means_is_small(tmp_path):
    files = {name: save(tmp_path, name, track(*about)) for name, about in
             {"a": (10,), "b": (20, 5.0), "c": (29,), "far": (50,)}.items()}  # fmt: skip
    found = alike.relate(files, Known())
    cosines = {pair: np.cos(np.radians(angle)) for pair, angle in {("a", "b"): 10, ("b", "c"): 9}.items()}
    assert found.pairs == pytest.approx(cosines, abs=1e-6)  # 0.95 are 18.2 degrees; a and c are 19 apart
    assert alike.rows(found, but={("b", "c"): 0}) == [("alike", "", "0.985", "", "", "a", "b")]
    assert alike.relate({}, Known()).pairs == {}


def test_what_says_too_little_is_not_compared(tmp_path):
    outputs = {"good": track(1), "silent": np.zeros((0, 0)), "short": track(1)[:7], "nothing": np.zeros((9, 2)),
               "broken": np.full((9, 2), np.nan), "other network": track(1)[:, [0, 1, 0]]}  # fmt: skip
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
    angles = np.sort(rng.uniform(0, 10, 100))
    files = {f"{n:03d}": save(tmp_path, f"{n:03d}", track(angle)) for n, angle in enumerate(angles)}
    found = alike.relate(files, Known())
    assert len(found.pairs) == 5 * 100
    apart = np.sort(np.abs(angles[:, None] - angles)[np.triu_indices(100, 1)])
    assert min(found.pairs.values()) == pytest.approx(np.cos(np.radians(apart[499])), abs=1e-6)  # of all 4950
