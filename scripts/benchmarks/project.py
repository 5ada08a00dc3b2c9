"""The project that is measured: a copy of it, its demo files, and how Snakemake is called in it."""

import json
import shutil
import sys
from pathlib import Path

from mirflow.core.layout import PROJECT

# What concerns all tracks at once is no step of a track, and its values are not those of the track alone.
SETTINGS = ("skip=[duplicates]",)
COPIED = ("Snakefile", "rules", "scripts", "config", "profiles", "envs")  # what a run needs


def demo_files() -> list[Path]:
    """Return the audio files of the demo."""
    return sorted(path for path in (PROJECT / "demo").rglob("*") if path.suffix in (".flac", ".ogg"))


def copy(to: Path) -> Path:
    """Copy what a run needs into the folder `to`, so that a run there writes nothing into the project itself."""
    to.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(source, to)
    return to


def snakemake(library: Path, results: Path, *options: str, config: tuple[str, ...] = ()) -> list[str]:
    """Return the command that makes a library, to be started in the folder of a project.

    Parameters
    ----------
    options : further options of Snakemake
    config : further settings, as ``name=value``
    """
    places = [f"{name}={json.dumps(str(path))}" for name, path in (("library", library), ("results", results))]
    return [sys.executable, "-m", "snakemake", *options, "--config", *places, *SETTINGS, *config]
