"""A file is the old one or the new one, whatever happens to the rename."""

import errno
import os

import pytest

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.ENOENT])
@pytest.mark.parametrize("is_done", [False, True])
def test_a_rename_on_a_network_disk_that_fails_leaves_the_old_or_the_new_file(tmp_path, monkeypatch, code, is_done):
    path, rename = tmp_path / "x.json", os.replace
    path.write_text("old")

    def fails(source, target):
        if is_done:  # the answer of the server was lost: the second try finds nothing to rename
            rename(source, target)
        raise OSError(code, os.strerror(code), source, None, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(MirflowError, match=rf"x\.json: cannot be written \({os.strerror(code)}\)"):
        artifacts.write_bytes(path, b"new")
    assert path.read_text() == ("new" if is_done else "old")
    assert os.listdir(tmp_path) == ["x.json"]


def test_what_failed_is_told_where_the_unfinished_file_cannot_be_removed_either(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "unlink", fails)
    with pytest.raises(ValueError, match="no such value"), artifacts.atomic_write(tmp_path / "x.json"):
        raise ValueError("no such value")
