"""What a person sees of a run: what was found, what is done, what failed and why."""

import contextlib
import csv
import fcntl
import io
import os
import sys
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirflow.core import artifacts
from mirflow.core.errors import ERROR, MirflowError
from mirflow.core.layout import OWN_FOLDER, crops_stamp, log_folder, merge_stamp, own, track_files
from mirflow.library.scan import Library
from mirflow.models import catalogue
from mirflow.workflow import batches
from mirflow.workflow.wording import clock, count, printable

SHOWN = 20  # failures in the summary; all of them stand in failed.tsv
_started: dict[str, float] = {}
_merging: dict[str, dict[str, int]] = {}  # results → track that is to be merged → when it was merged before (ns)
_stages: dict[str, str] = {}  # rule → stage


@dataclass(frozen=True)
class Failure:
    """A step of a track that failed, and its one-line reason."""

    track: str
    step: str
    reason: str


def start(results: str, library: Library, merging: Iterable[str] = ()) -> None:
    """Begin a run: lock the results, remove what a killed run left, write down which files are tracks.

    `merging` are the tracks of which this run is to merge the ``.INFO``.

    Of several batches the first that has something to do clears away: it looks at every file of all tracks.

    Raises
    ------
    MirflowError : when another run is at work on the same results, or they cannot be written
    """
    _started[results] = time.time()
    try:
        lock_results(results)
        here = batches.batch()
        if here is None or here.idle == here.before:
            artifacts.remove_unfinished(results)
            artifacts.clamp_future_times(results)
        _write_library(results, library)
        _merging[results] = {track: _merged_at(results, track) for track in merging}
    except OSError as error:
        raise MirflowError(f"{results}: cannot be written ({error.strerror or error})") from error


def lock_results(results: str) -> None:
    """Lock the results until this process ends. The kernel releases the lock, even after a kill -9."""
    lock = Path(results, OWN_FOLDER, "lock")
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
    write_table(Path(results, OWN_FOLDER, "library.tsv"), ("track", "source", "status", "reason"), rows)


def write_table(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    """Write a tab-separated table, UTF-8; bytes of file names that are no UTF-8 are written as they are."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([header, *rows])
    artifacts.write_bytes(path, text.getvalue().encode(errors="surrogateescape"))


def last_line(log: str | os.PathLike) -> str:
    """Return the last line of a log, "" where there is none yet."""
    try:
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4000))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


def last_error(log: str | os.PathLike) -> str | None:
    """Return the reason that a command gave in the last line of its log, or None when it gave none."""
    line = last_line(log)
    return line.removeprefix(ERROR) if line.startswith(ERROR) else None


def failures(results: str, tracks: Collection[str], skip: Collection[str] = ()) -> list[Failure]:
    """Return the steps whose last attempt failed, from the logs; steps of features in `skip` do not count."""
    found = []
    for track in tracks:
        try:
            entries = sorted(os.scandir(Path(log_folder(results, track))), key=lambda entry: entry.name)
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
    logs = sorted(Path(results, OWN_FOLDER, "models").glob("*.log"))
    missing = [log for log in logs if not (catalogue.folder() / log.stem).exists()]
    return [Failure("", f"model {log.stem}", reason) for log in missing if (reason := last_error(log))]


def is_merged(results: str, track: str, crops: bool = False) -> bool:
    """Whether the last merge of a track succeeded. (Its ``.INFO`` may be older than that, or other people's.)

    With `crops`, whether that of its crops did as well.
    """
    return Path(merge_stamp(results, track)).exists() and (not crops or Path(crops_stamp(results, track)).exists())


def _merged_at(results: str, track: str) -> int:
    """Return when the last merge of a track succeeded, in ns; 0 where none did."""
    try:
        return os.stat(merge_stamp(results, track)).st_mtime_ns
    except OSError:
        return 0


def unmade(results: str) -> list[str]:
    """Return the tracks that were to be merged since `start`, and are not: their ``.INFO`` may be of other settings.

    Where a model cannot be fetched, no job of such a track fails: none that needs the model begins.
    """
    return [track for track, before in _merging.get(results, {}).items() if _merged_at(results, track) == before]


def summary(
    results: str,
    library: Library,
    skip: Collection[str] = (),
    broken: bool = False,
    began: float | None = None,
    crops: bool = False,
    waiting: Collection[str] = (),
) -> str:
    """Say what is done, what failed and why, how long it took and where the results are.

    Tracks of `waiting` (see `unmade`) are not complete, whatever an earlier run has made of them. `broken` runs also
    say which tracks are unfinished without a reason; after others these were not asked for. A run `began` (s since the
    epoch) when `start` was called, if nobody says otherwise. With `crops` a track is complete when its crops are. What
    commands that were killed have left on the way is cleared away.
    """
    with contextlib.suppress(OSError):
        artifacts.remove_unfinished(results)
    failed = failures(results, library.tracks, skip)
    bad = {failure.track for failure in failed}
    waiting = set(waiting)
    missing = [t for t in library.tracks if t not in bad and (t in waiting or not is_merged(results, t, crops))]
    no_model = model_failures(results)
    unfinished = {*bad, *missing}
    complete = [track for track in library.tracks if track not in unfinished]
    began = began or _started.get(results, time.time())
    elapsed = time.time() - began
    records = [Path(track_files(results, track).source_record) for track in complete]
    whole = [record for record in records if record.stat().st_mtime >= began]  # of tracks made from scratch in this run
    seconds = sum(artifacts.read_json(record)["duration"] for record in whole)

    lines = [
        f"{len(complete)} of {count(len(library.tracks), 'track')} complete, {len(bad)} failed"
        + (f", {len(missing)} unfinished" if missing else "")
        + (f", {count(len(no_model), 'model file')} missing" if no_model else "")
        + f"; this run took {clock(elapsed)}"
        + (f" ({seconds / elapsed:.1f} x realtime)" if seconds and elapsed > 1 else "")
    ]
    if crops:
        lines.append(f"  crops       {_crops(results, complete)}")
    lines += [f"  failed      {failure.step}: {failure.reason}" for failure in no_model]
    lines += [f"  failed      {failure.track}: {failure.step}: {failure.reason}" for failure in failed[:SHOWN]]
    begun = [track for track in missing if broken and Path(log_folder(results, track)).is_dir()]
    if no_model and begun:
        lines.append(f"  unfinished  {count(len(begun), 'track')}; what needs these files is made by the next run")
        begun = []
    lines += [f"  unfinished  {track}: no message; see {log_folder(results, track)}/" for track in begun[:SHOWN]]
    table = Path(results, OWN_FOLDER, "failed.tsv")
    if failed:
        write_table(table, ("track", "step", "reason"), [(f.track, f.step, f.reason) for f in failed])
        lines.append(f"  {'all ' if len(failed) > SHOWN else ''}failures in {table}; the next run tries them again")
    else:
        table.unlink(missing_ok=True)
    if failed or begun or no_model:
        lines.append(f"  Snakemake's own log in {Path('.snakemake', 'log').absolute()}")
    if library.skipped:
        others = len(library.skipped)
        verb = "is not a track" if others == 1 else "are not tracks"
        lines.append(f"  {count(others, 'file')} {verb}; which and why in {own(results, 'library.tsv')}")
    lines.append(f"  results in {results}")
    if complete:
        lines.append(f"  look first at {track_files(results, complete[0]).info}")
    return "mirflow: " + "\n".join(lines)


def _crops(results: str, tracks: list[str]) -> str:
    """Say how many crops tracks have, how long they are together, and how many tracks have none."""
    number, seconds, without = 0, 0.0, 0
    for track in tracks:
        path = Path(track_files(results, track).crops)
        if not path.exists():  # somebody has removed it since
            continue
        listed = artifacts.read_json(path)
        number += len(listed["crops"])
        seconds += sum(one["valid_samples"] for one in listed["crops"]) / listed["sample_rate"]
        without += not listed["crops"]
    said = f"{count(number, 'crop')} of {count(len(tracks) - without, 'track')}, {clock(seconds)} of music"
    return said + (
        f"; {count(without, 'track')} without a crop (why: `left_out` in crops/crops.json)" if without else ""
    )


def on_terminal() -> bool:
    """Whether stderr is a terminal that can show more than one plain line after the other."""
    utf8 = (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"
    return sys.stderr.isatty() and utf8 and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def tell(message: str) -> None:
    """Print something for a person to stderr."""
    if on_terminal():
        from mirflow.workflow.display import Display  # with rich, which nothing else needs

        Display(sys.stderr).draw(message=message)
    else:
        print(printable(message), file=sys.stderr, flush=True)


def name_stages(rules: Iterable[Any]) -> None:
    """Note which stage each of Snakemake's rules belongs to: it has the name of its file in ``rules/``."""
    files = {rule.name: Path(str(rule.snakefile)) for rule in rules}
    _stages.update({name: file.stem for name, file in files.items() if file.suffix == ".smk"})


def stages() -> dict[str, str]:
    """Return rule → stage, in the order of the rules."""
    return _stages
