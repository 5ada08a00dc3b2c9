"""Where the exports lie that the trainers load (made by trees.py), and copies of them that may be changed."""

import os
import shutil
from pathlib import Path

import pytest

TREES = Path(os.environ.get("EXPORTS", "/nowhere"))
collect_ignore_glob = [] if TREES.is_dir() else ["*.py"]  # a part of `make test-exports`, not of `make test`


@pytest.fixture(params=sorted(folder.name for folder in TREES.glob("*") if (folder / "stable_audio_tools").is_dir()))
def trees(request) -> Path:
    """The exports of all targets: of tracks, of crops."""
    return (TREES / request.param).resolve()


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
