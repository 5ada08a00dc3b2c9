"""Where the exports lie that the trainers load (made by trees.py), and copies of them that may be changed.

`make test-exports` loads this as a plugin of pytest: a second conftest.py would hide the one of all tests.
"""

import os
import shutil
from pathlib import Path

import pytest

TREES = Path(os.environ.get("EXPORTS", "/nowhere"))


KINDS = sorted(folder.name for folder in TREES.glob("*") if (folder / "stable_audio_tools").is_dir())


@pytest.fixture(params=KINDS)
def trees(request) -> Path:
    """The exports of all targets: of tracks, of crops, of a stem of crops."""
    return (TREES / request.param).resolve()


@pytest.fixture
def some_trees() -> Path:
    """The exports of tracks, for what does not depend on the kind."""
    return (TREES / KINDS[-1]).resolve()


@pytest.fixture
def broken(tmp_path):
    """Return a copy of an export at another place, with its paths set."""

    def copy(tree: Path) -> Path:
        import runpy

        to = tmp_path / "copy"
        shutil.copytree(tree, to)
        if (to / "set_paths.py").exists():
            runpy.run_path(str(to / "set_paths.py"), run_name="__main__")
        return to

    return copy
