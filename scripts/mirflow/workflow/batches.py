"""Parts of a large library: which tracks one process of Snakemake makes, and what those before it have done."""

import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace

from mirflow.core import artifacts

BATCH = "MIRFLOW_BATCH"  # the variable that names the file of a `Batch`


@dataclass
class Batch:
    """The tracks of a large library that one process of Snakemake makes, and what those before it have done.

    It travels in a file: written by `mirflow run`, read by the Snakefile and by the display of progress, which add to
    it.

    Attributes
    ----------
    chosen : ids of its tracks
    before, size, tracks : number of tracks in the batches before, in this one, in all
    began : s since the epoch
    of_library : whether it has no tracks, and makes what concerns all of them
    started : whether this batch had something to do, and began with it
    skip : features that are not made
    crops : whether crops are made
    idle : tracks in batches that had nothing to do
    jobs, failed : jobs done and failed, in the batches before
    waiting : tracks of this batch and those before that were to be merged, and are not
    pending : in a dry run, tracks with pending work; None before that is known
    few : whether only some tracks are made, since all others are known to be complete
    """

    chosen: tuple[str, ...]
    before: int
    size: int
    tracks: int
    began: float
    started: bool = False
    of_library: bool = False
    skip: tuple[str, ...] = ()
    crops: bool = False
    idle: int = 0
    jobs: int = 0
    failed: int = 0
    waiting: tuple[str, ...] = ()
    pending: tuple[str, ...] | None = None
    few: bool = False

    def of(self, tracks: Collection[str]) -> list[str]:
        """Return those of `tracks` that belong to this batch."""
        chosen = set(self.chosen)
        return [track for track in tracks if track in chosen]

    def save(self, path: str | os.PathLike) -> None:
        """Write it to a file."""
        artifacts.write_bytes(path, json.dumps(asdict(self)).encode())


def note(**changed: object) -> None:
    """Change attributes of this process's batch, in its file."""
    replace(batch(), **changed).save(os.environ[BATCH])


def batch() -> Batch | None:
    """Return which batch this process is to make, None when it is to make everything."""
    path = os.environ.get(BATCH)
    return read_batch(path) if path else None


def read_batch(path: str | os.PathLike) -> Batch:
    """Read what `Batch.save` wrote."""
    content = artifacts.read_json(path)
    return Batch(**{name: tuple(value) if isinstance(value, list) else value for name, value in content.items()})
