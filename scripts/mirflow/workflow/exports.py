"""Exports in the workflow: which tracks can be exported, where an export goes, what is said when it was made."""

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from mirflow.core import artifacts
from mirflow.core.layout import log_folder
from mirflow.export import build, tree
from mirflow.workflow import progress, settings

# The variable that says that a process of Snakemake makes only what is made of a whole library: all tracks are as they
# are. Otherwise it would plan all jobs of all tracks again.
ALONE = "MIRFLOW_EXPORT"


def is_alone() -> bool:
    """Whether this process makes an export only, and no track."""
    return ALONE in os.environ


def place(results: str, target: str, config: Mapping) -> str:
    """Return the directory of an export.

    Raises
    ------
    MirflowError : the setting export.out is no path that Snakemake could use
    """
    return settings.directory(config["export"]["out"] or f"{results}/.export/{target}", name="export.out")


def report(place: str) -> str:
    """Return the file of an export that is written last."""
    return f"{place}/{tree.REPORT}"


def ready(results: str, sources: Mapping[str, Path], skip: Collection[str], crops: bool) -> list[str]:
    """Return the tracks that an export waits for: all but those that failed, since they would keep it from being made.

    A track whose source has changed after it failed is tried again. In a process that makes no tracks, those that are
    not complete are left out as well.

    Parameters
    ----------
    sources : track id → source file
    skip : features that are not made
    crops : whether crops belong to a track that is complete
    """
    failed = {
        one.track
        for one in progress.failures(results, sources, skip)
        if is_alone() or not _is_newer(sources[one.track], Path(log_folder(results, one.track), f"{one.step}.log"))
    }
    here = is_alone()
    return [t for t in sources if t not in failed and (not here or progress.is_merged(results, t, crops))]


def _is_newer(path: Path, other: Path) -> bool:
    try:
        return path.stat().st_mtime > other.stat().st_mtime
    except OSError:
        return False


def incomplete(results: str, tracks: Iterable[str], skip: Collection[str], crops: bool) -> dict[str, str]:
    """Return the tracks that are not complete: id → why."""
    tracks = list(tracks)
    found: dict[str, str] = {}
    for failure in progress.failures(results, tracks, skip):
        found.setdefault(failure.track, f"{failure.step}: {failure.reason}")
    return {t: found.get(t, "not complete") for t in tracks if t in found or not progress.is_merged(results, t, crops)}


def said(reports: Iterable[str], since: float) -> list[str]:
    """Return a line for each export that was made since a time (s since the epoch).

    With the setting export.out all exports have one place, and are one report.
    """
    made = [path for path in dict.fromkeys(reports) if os.path.exists(path) and os.stat(path).st_mtime >= since]
    return [build.summary(artifacts.read_json(path)) for path in made]
