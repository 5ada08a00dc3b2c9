"""What a person sees of a run: what was found, what is done, what failed and why."""

import contextlib
import csv
import fcntl
import io
import json
import os
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mirflow import artifacts, models
from mirflow.errors import MirflowError
from mirflow.library import MARKER, Library

ERROR = "mirflow: error: "  # how a command's last line begins when it failed
SHOWN = 20  # failures in the summary; all of them stand in failed.tsv

BATCH = "MIRFLOW_BATCH"  # the variable that names the file of a `Batch`

_started: dict[str, float] = {}


@dataclass(frozen=True)
class Failure:
    """A step of a track that failed, and its one-line reason."""

    track: str
    step: str
    reason: str


@dataclass
class Batch:
    """The tracks of a large library that one process of Snakemake makes, and what those before it have done.

    It travels in a file: written by `mirflow run`, read by the Snakefile and by the line of progress, which add to it.

    Attributes
    ----------
    first, last : track ids, inclusive. Not numbers: they would shift when the library grows while batches are made
    before, size, tracks : number of tracks in the batches before, in this one, in all
    began : s since the epoch
    started : whether this batch had something to do, and began with it
    skip : features that are not made
    idle : tracks in batches that had nothing to do
    jobs, failed : jobs done and failed, in the batches before
    """

    first: str
    last: str
    before: int
    size: int
    tracks: int
    began: float
    started: bool = False
    skip: tuple[str, ...] = ()
    idle: int = 0
    jobs: int = 0
    failed: int = 0

    def of(self, tracks: Collection[str]) -> list[str]:
        """Return those of `tracks` that belong to this batch."""
        return [track for track in tracks if self.first <= track <= self.last]

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
    return Batch(**artifacts.read_json(path))


def start(results: str, library: Library) -> None:
    """Begin a run: claim the results, clear away what a killed run left, write down which files are tracks.

    Of several batches the first that has something to do clears away: it looks at every file of all tracks.

    Raises
    ------
    MirflowError : when another run is at work on the same results, or they cannot be written
    """
    _started[results] = time.time()
    try:
        claim(results)
        here = batch()
        if here is None or here.idle == here.before:
            artifacts.remove_unfinished(results)
            artifacts.out_of_the_future(results)
        _write_library(results, library)
    except OSError as error:
        raise MirflowError(f"{results}: cannot be written ({error.strerror or error})") from error


def claim(results: str) -> None:
    """Hold the lock of the results for as long as this process lives; the kernel lets go of it even after a kill -9."""
    lock = Path(results, MARKER, "lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(held)
        raise MirflowError(f"{results}: another run is at work on these results; wait for its end") from error


def _write_library(results: str, library: Library) -> None:
    rows = [(track, str(path), "track", "") for track, path in library.tracks.items()]
    rows += [("", str(skipped.path), "skipped", skipped.reason) for skipped in library.skipped]
    write_table(Path(results, MARKER, "library.tsv"), ("track", "source", "status", "reason"), rows)


def write_table(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    """Write a tab-separated table, UTF-8; bytes of file names that are no UTF-8 are written as they are."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([header, *rows])
    artifacts.write_bytes(path, text.getvalue().encode(errors="surrogateescape"))


def last_error(log: str | os.PathLike) -> str | None:
    """Return the reason that a command gave in the last line of its log, or None when it gave none."""
    try:
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4000))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return None
    return lines[-1].removeprefix(ERROR) if lines and lines[-1].startswith(ERROR) else None


def failures(results: str, tracks: Collection[str], skip: Collection[str] = ()) -> list[Failure]:
    """Return the steps whose last attempt failed, from the logs; steps of features in `skip` do not count."""
    found = []
    for track in tracks:
        try:
            entries = sorted(os.scandir(Path(results, MARKER, "logs", track)), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        for entry in entries:
            step, is_log, _ = entry.name.rpartition(".log")
            if is_log and entry.is_file() and step.removeprefix("feature_") not in skip and entry.stat().st_size:
                reason = last_error(entry.path)
                if reason:
                    found.append(Failure(track, step, reason))
    return found


def model_failures(results: str) -> list[Failure]:
    """Return the files of models that could not be fetched and are still not there; without a track."""
    logs = sorted(Path(results, MARKER, "models").glob("*.log"))
    missing = [log for log in logs if not (models.folder() / log.stem).exists()]
    return [Failure("", f"model {log.stem}", reason) for log in missing if (reason := last_error(log))]


def is_merged(results: str, track: str) -> bool:
    """Whether the last merge of a track succeeded. (Its ``.INFO`` may be older than that, or other people's.)"""
    return Path(results, MARKER, "merged", track, "done").exists()


def summary(
    results: str, library: Library, skip: Collection[str] = (), broken: bool = False, began: float | None = None
) -> str:
    """Say what is done, what failed and why, how long it took and where the results are.

    `broken` runs also say which tracks are unfinished without a reason; after others these were not asked for. A run
    `began` (s since the epoch) when `start` was called, if nobody says otherwise. What commands that were killed have
    left on the way is cleared away.
    """
    with contextlib.suppress(OSError):
        artifacts.remove_unfinished(results)
    failed = failures(results, library.tracks, skip)
    bad = {failure.track for failure in failed}
    missing = [t for t in library.tracks if t not in bad and not is_merged(results, t)]
    complete = [track for track in library.tracks if track not in bad and track not in missing]
    began = began or _started.get(results, time.time())
    elapsed = time.time() - began
    records = [Path(results, track, "source.json") for track in complete]
    whole = [record for record in records if record.stat().st_mtime >= began]  # of tracks made from scratch in this run
    seconds = sum(artifacts.read_json(record)["duration"] for record in whole)

    lines = [
        f"{len(complete)} of {count(len(library.tracks), 'track')} complete, {len(bad)} failed"
        + (f", {len(missing)} unfinished" if missing else "")
        + f"; this run took {clock(elapsed)}"
        + (f" ({seconds / elapsed:.1f} x realtime)" if seconds and elapsed > 1 else "")
    ]
    lines += [f"  failed      {failure.step}: {failure.reason}" for failure in model_failures(results)]
    lines += [f"  failed      {failure.track}: {failure.step}: {failure.reason}" for failure in failed[:SHOWN]]
    if broken:
        begun = [track for track in missing if Path(results, MARKER, "logs", track).is_dir()]
        lines += [f"  unfinished  {track}: no message; see {results}/{MARKER}/logs/{track}/" for track in begun[:SHOWN]]
    table = Path(results, MARKER, "failed.tsv")
    if failed:
        write_table(table, ("track", "step", "reason"), [(f.track, f.step, f.reason) for f in failed])
        lines.append(f"  {'all ' if len(failed) > SHOWN else ''}failures in {table}; the next run tries them again")
    else:
        table.unlink(missing_ok=True)
    if library.skipped:
        lines.append(
            f"  {count(len(library.skipped), 'file')} of the library are no tracks: {results}/{MARKER}/library.tsv"
        )
    lines.append(f"  results in {results}")
    return "mirflow: " + "\n".join(lines)


def count(number: int, noun: str) -> str:
    """Return "1 track", "2 tracks"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def clock(seconds: float) -> str:
    """Return a duration as a person says it.

    >>> clock(4.2), clock(65), clock(3700)
    ('4 s', '1 min 05 s', '1 h 01 min')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
