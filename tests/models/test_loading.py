"""Models are loaded from the right files, and once as long as nothing changes."""

import hashlib
import os

import pytest
import yaml

from mirflow.core.errors import MirflowError
from mirflow.models import cache, catalogue, download, loading

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc": FIPS 180-2, B.1


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A models' folder with an entry `mine`: the hash of one file is known, that of the other is not."""
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))
    (tmp_path / "weights.bin").write_bytes(b"abc")
    (tmp_path / "classes.json").write_text("{}")
    files = [
        {"name": name, "url": f"http://127.0.0.1:9/{name}", "sha256": sha256}
        for name, sha256 in (("weights.bin", ABC), ("classes.json", ""))
    ]
    entry = {"purpose": "test", "files": files}
    (tmp_path / catalogue.OWN_ENTRIES).write_text(yaml.safe_dump({"models": {"mine": entry, "alias": entry}}))
    catalogue._entries.cache_clear()
    cache.drop()
    yield tmp_path
    cache.drop()
    catalogue._entries.cache_clear()


class Loader:
    """Counts what it loads."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def load(self, files, device, **options):
        self.calls.append((files, device, options))
        return object()


def test_sha256_is_that_of_the_standard(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert download.sha256(tmp_path / "abc") == ABC
    long = bytes(range(256)) * 40_000  # 10 MB: more than is read at once
    (tmp_path / "long").write_bytes(long)
    assert download.sha256(tmp_path / "long") == hashlib.sha256(long).hexdigest()


def test_the_loader_gets_the_files_and_the_caller_their_hashes(folder):
    loader = Loader()
    loaded = loading.load(loader.load, catalogue.path("mine"), "cpu", ["mine"], segment=2)
    assert loader.calls == [([folder / "weights.bin", folder / "classes.json"], "cpu", {"segment": 2})]
    assert loaded.files == {"weights.bin": ABC, "classes.json": hashlib.sha256(b"{}").hexdigest()}


def test_another_file_than_the_catalogue_says_is_refused_and_never_loaded(folder):
    loader = Loader()
    (folder / "weights.bin").write_bytes(b"abd")
    with pytest.raises(MirflowError, match=rf"{folder}/weights\.bin is not the file that belongs there: .*says {ABC}"):
        loading.load(loader.load, catalogue.path("mine"), "cpu", ["mine"])
    (folder / "weights.bin").write_bytes(b"abc")
    elsewhere = folder / "elsewhere.bin"  # what is given counts, not what lies in the models' folder
    elsewhere.write_bytes(b"abd")
    with pytest.raises(MirflowError, match=r"elsewhere\.bin is not the file that belongs there"):
        loading.load(loader.load, [elsewhere, folder / "classes.json"], "cpu", ["mine"])
    assert loader.calls == []


def test_a_model_is_loaded_once_until_something_that_decides_it_changes(folder):
    loader, paths = Loader(), catalogue.path("mine")
    first = loading.load(loader.load, paths, "cpu", ["mine"], segment=1)
    assert loading.load(loader.load, paths, "cpu", ["mine"], segment=1) is first
    assert len(loader.calls) == 1
    for count, (device, models, segment) in enumerate(
        [("auto", ["mine"], 1), ("cpu", ["alias"], 1), ("cpu", ["mine"], 2), ("cpu", [], 2)], start=2
    ):
        loading.load(loader.load, paths, device, models, segment=segment)
        assert len(loader.calls) == count
    os.utime(folder / "classes.json", ns=(1, 1))
    loading.load(loader.load, paths, "cpu", [], segment=2)
    assert len(loader.calls) == 6
    assert first.value is None  # only one model is in memory at a time


def test_a_file_that_was_replaced_since_is_compared_again(folder):
    loader = Loader()
    loading.load(loader.load, catalogue.path("mine"), "cpu", ["mine"])
    (folder / "weights.bin").write_bytes(b"abd")
    os.utime(folder / "weights.bin", ns=(1, 1))  # clocks of file systems may be too coarse for a test
    with pytest.raises(MirflowError, match=r"weights\.bin is not the file that belongs there"):
        loading.load(loader.load, catalogue.path("mine"), "cpu", ["mine"])


def test_files_of_no_entry_are_hashed_only(folder):
    (folder / "weights.bin").write_bytes(b"abd")
    loaded = loading.load(Loader().load, [folder / "weights.bin"], "cpu")
    assert loaded.files == {"weights.bin": hashlib.sha256(b"abd").hexdigest()}


def test_a_link_keeps_its_name_whatever_the_file_behind_it_is_called(folder, monkeypatch):
    """Caches of downloads keep files under their hashes, and link to them."""
    (folder / "weights.bin").rename(folder / ABC)
    (folder / "weights.bin").symlink_to(folder / ABC)
    loader = Loader()
    monkeypatch.chdir(folder)
    assert loading.load(loader.load, ["weights.bin"], "cpu").files == {"weights.bin": ABC}
    assert loader.calls[0][0] == [folder / "weights.bin"]
    os.utime(folder / ABC, ns=(1, 1))
    loading.load(loader.load, ["weights.bin"], "cpu")
    assert len(loader.calls) == 2


def test_a_missing_file_is_named(folder):
    (folder / "weights.bin").unlink()
    with pytest.raises(MirflowError, match=rf"{folder}/weights\.bin is missing; without a connection, fetch http"):
        loading.load(Loader().load, catalogue.path("mine"), "cpu", ["mine"])
    with pytest.raises(MirflowError, match=rf"^{folder}/weights\.bin: no such file$"):
        loading.load(Loader().load, catalogue.path("mine"), "cpu")


def test_too_few_files_for_an_entry_are_refused(folder):
    with pytest.raises(MirflowError, match="mine: 2 files are expected, 1 are given"):
        loading.load(Loader().load, catalogue.path("mine")[:1], "cpu", ["mine"])


def test_a_loader_that_fails_leaves_nothing_behind(folder):
    def fails(files, device):
        raise MirflowError(f"{files[0]}: no such model")

    before = loading.load(Loader().load, catalogue.path("mine"), "cpu", ["mine"])
    with pytest.raises(MirflowError, match=r"weights\.bin: no such model"):
        loading.load(fails, catalogue.path("mine"), "cpu", ["mine"])
    assert before.value is None
    loader = Loader()
    loading.load(loader.load, catalogue.path("mine"), "cpu", ["mine"])
    assert len(loader.calls) == 1
