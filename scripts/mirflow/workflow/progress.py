"""What a person sees of a run: what was found, what is done, what failed and why."""

import contextlib
import csv
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirflow.core import artifacts
from mirflow.core.errors import ERROR, MirflowError
from mirflow.core.layout import (
    OWN_FOLDER,
    benchmark_folder,
    crops_stamp,
    duplicates_table,
    log_folder,
    merge_stamp,
    own,
    track_files,
)
from mirflow.library.scan import Library, Skipped
from mirflow.models import catalogue
from mirflow.workflow import batches, shares
from mirflow.workflow.shares import WHOLE, Share
from mirflow.workflow.wording import clock, count, printable

BENCHMARKS = "all.jsonl"  # what all jobs of a track took
FINISH = "mirflow run --finish"  # makes what concerns all tracks at once
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


@dataclass(frozen=True)
class Run:
    """What a run was asked for, and how it went.

    Attributes
    ----------
    skip : features that it was not asked for: their failures in earlier runs do not count
    crops : whether it was asked for crops: then a track is complete when they are
    share : which tracks it was asked for
    chosen : of these, the ones that it was asked for; None: all
    began, ended : s since the epoch; None: when `start` was called, and now
    waiting : tracks that are not complete, whatever an earlier run has made of them (see `unmade`)
    made : the tracks that were not known to be complete before it, and no others were made; None: nobody knows
    broken : whether it failed. Then unfinished tracks are named; after others these were not asked for
    """

    skip: Collection[str] = ()
    crops: bool = False
    share: Share = WHOLE
    began: float | None = None
    ended: float | None = None
    waiting: Collection[str] = ()
    broken: bool = False
    chosen: Collection[str] | None = None
    made: Collection[str] | None = None

    def of(self, library: Library) -> list[str]:
        """Return the tracks that it was asked for."""
        return self.share.of(library.tracks if self.chosen is None else self.chosen)


PLAIN = Run()


def start(results: str, library: Library, share: Share = WHOLE, merging: Iterable[str] = ()) -> None:
    """Begin a run: lock the results, remove what a killed run left, write down which files are tracks.

    `merging` are the tracks of which this run is to merge the ``.INFO``.

    Of several batches the first that has something to do clears away: it looks at every file of all tracks. Where only
    few tracks are made, each batch looks at those of its own.

    Raises
    ------
    MirflowError : when another run is at work on the same tracks, or the results cannot be written
    """
    here = batches.batch()
    _started[results] = time.time()
    try:
        shares.lock(results, share)
        if not share.is_whole:
            shares.note(results, share, began=here.began if here else time.time())
        if here is None or here.few or here.idle == here.before:
            ours = folders_of(library, share)
            places = list(_places(results, here.chosen)) if here and here.few else None
            artifacts.remove_unfinished(results, ours, places)
            artifacts.clamp_future_times(results, ours, places)
        write_library(results, library)
        _merging[results] = {track: _merged_at(results, track) for track in merging}
    except OSError as error:
        raise MirflowError(f"{results}: cannot be written ({error.strerror or error})") from error


def folders_of(library: Library, share: Share) -> Callable[[str], bool] | None:
    """Return what says whether a folder below the results belongs to a track of a share; of the whole library, None.

    Other shares are at work on the other folders. Tracks may lie in the folders of tracks.
    """
    if share.is_whole:
        return None
    owned = re.compile(rf"{re.escape(OWN_FOLDER)}/(logs|benchmarks|merged|cropped)/")

    def ours(folder: str) -> bool:
        track = owned.sub("", folder, count=1)
        while track and track not in library.tracks:
            track = track.rpartition("/")[0]
        return bool(track) and share.has(track)

    return ours


def _places(results: str, tracks: Iterable[str]) -> Iterator[str]:
    """Yield the folders that hold the files of tracks, and that of what concerns all tracks.

    A file that is left over in the folder of another track makes that incomplete (`mirflow.workflow.completeness`).
    """
    yield own(results, "duplicates")
    for track in tracks:
        yield f"{results}/{track}"
        yield from (log_folder(results, track), benchmark_folder(results, track))
        yield from (os.path.dirname(stamp(results, track)) for stamp in (merge_stamp, crops_stamp))


def began(results: str) -> float:
    """Return when the run of this process began, in seconds since the epoch."""
    return _started.get(results, time.time())


def write_library(results: str, library: Library) -> None:
    """Write down which files are tracks, and which are not."""
    rows = [(track, str(path), "track", "") for track, path in library.tracks.items()]
    rows += [("", str(skipped.path), "skipped", skipped.reason) for skipped in library.skipped]
    write_table(Path(results, OWN_FOLDER, "library.tsv"), ("track", "source", "status", "reason"), rows)


def read_library(results: str) -> Library:
    """Return the tracks and other files that the last run has found.

    Raises
    ------
    MirflowError : there was no run
    """
    table = Path(results, OWN_FOLDER, "library.tsv")
    found = Library(table)
    try:
        with open(table, newline="", encoding="utf-8", errors="surrogateescape") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if row["status"] == "track":
                    found.tracks[row["track"]] = Path(row["source"])
                else:
                    found.skipped.append(Skipped(Path(row["source"]), row["reason"]))
    except OSError as error:
        raise MirflowError(f"{table}: cannot be read ({error.strerror}): no results of a run") from error
    return found


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


def is_over(results: str, tracks: Collection[str], skip: Collection[str] = ()) -> bool:
    """Whether every track is complete, or failed: the run was not interrupted."""
    failed = {failure.track for failure in failures(results, tracks, skip)}
    return bool(failed) and all(track in failed or is_merged(results, track) for track in tracks)


def end(results: str, library: Library, run: Run = PLAIN) -> str:
    """End a run: clear away what commands that were killed have left on the way, and return its summary."""
    places = None if run.made is None else list(_places(results, run.made))
    with contextlib.suppress(OSError):
        artifacts.remove_unfinished(results, folders_of(library, run.share), places)
        tidy(results, run.of(library) if run.made is None else run.made)
    return summary(results, library, run)


def tidy(results: str, tracks: Collection[str]) -> None:
    """Leave few files: of the logs those that say something, and of what the jobs of a track took, one table."""
    for track in tracks:
        for log in _files(log_folder(results, track), ".log"):
            if not log.stat().st_size:
                log.unlink()
        with contextlib.suppress(OSError):
            os.rmdir(log_folder(results, track))  # if nothing is left in it
        folder = benchmark_folder(results, track)
        table = Path(folder, BENCHMARKS)
        if news := [path for path in _files(folder, ".jsonl") if path.name != table.name]:
            rows = {row["step"]: row for row in _rows(table)}
            rows |= {path.stem: {"step": path.stem, **row} for path in news for row in _rows(path)}
            artifacts.write_bytes(table, "".join(f"{json.dumps(row)}\n" for row in rows.values()).encode())
            for path in news:
                path.unlink()


def _rows(table: Path) -> Iterator[dict]:
    """Yield the objects of a file of JSON lines; half a line, which a killed run may have left, says nothing."""
    for line in table.read_text().splitlines() if table.exists() else []:
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def _files(folder: str, suffix: str) -> list[Path]:
    """Return the files of a folder that may not be there, sorted."""
    try:
        return sorted(Path(entry) for entry in os.scandir(folder) if entry.name.endswith(suffix) and entry.is_file())
    except FileNotFoundError:
        return []


def summary(results: str, library: Library, run: Run = PLAIN) -> str:
    """Say what is done, what failed and why, how long it took and where the results are; of a share, of its tracks."""
    tracks = run.of(library)
    failed = failures(results, tracks, run.skip)
    bad, waiting = {failure.track for failure in failed}, set(run.waiting)
    missing = [t for t in tracks if t not in bad and (t in waiting or not is_merged(results, t, run.crops))]
    no_model = model_failures(results)
    unfinished = {*bad, *missing}
    complete = [track for track in tracks if track not in unfinished]
    began = run.began or _started.get(results, time.time())
    elapsed = (run.ended or time.time()) - began
    records = [Path(track_files(results, track).source_record) for track in complete]
    whole = [record for record in records if record.stat().st_mtime >= began]  # of tracks made from scratch in this run
    seconds = sum(artifacts.read_json(record)["duration"] for record in whole)

    lines = [
        ("" if run.share.is_whole else f"share {run.share}: ")
        + f"{len(complete)} of {count(len(tracks), 'track')} complete, {len(bad)} failed"
        + (f", {len(missing)} unfinished" if missing else "")
        + (f", {count(len(no_model), 'model file')} missing" if no_model else "")
        + f"; this run took {clock(elapsed)}"
        + (f" ({seconds / elapsed:.1f} x realtime)" if seconds and elapsed > 1 else "")
    ]
    if run.chosen is not None and len(run.chosen) < len(library.tracks):
        lines.append(
            f"  only        {len(run.chosen)} of the library's {count(len(library.tracks), 'track')} asked for"
        )
    if run.crops:
        lines.append(f"  crops       {_crops(results, complete)}")
    lines += [f"  failed      {failure.step}: {failure.reason}" for failure in no_model]
    lines += [f"  failed      {failure.track}: {failure.step}: {failure.reason}" for failure in failed[:SHOWN]]
    begun = [track for track in missing if run.broken and Path(log_folder(results, track)).is_dir()]
    if no_model and begun:
        lines.append(f"  unfinished  {count(len(begun), 'track')}; what needs these files is made by the next run")
        begun = []
    lines += [f"  unfinished  {track}: no message; see {log_folder(results, track)}/" for track in begun[:SHOWN]]
    table = Path(run.share.own(results, "failed.tsv"))
    if failed:
        write_table(table, ("track", "step", "reason"), [(f.track, f.step, f.reason) for f in failed])
        lines.append(f"  {'all ' if len(failed) > SHOWN else ''}failures in {table}; the next run tries them again")
    else:
        table.unlink(missing_ok=True)
    if failed or begun or no_model:
        lines.append(f"  Snakemake's own log in {Path('.snakemake', 'log').absolute()}")
    if run.share.is_whole and (related := _duplicates(results)):
        lines.append(f"  duplicates  {related}")
    elif not run.share.is_whole and "duplicates" not in run.skip:
        lines.append(f"  duplicates  and the split follow when all shares have ended: {FINISH}")
    if library.skipped:
        others = len(library.skipped)
        verb = "is not a track" if others == 1 else "are not tracks"
        lines.append(f"  {count(others, 'file')} {verb}; which and why in {own(results, 'library.tsv')}")
    lines.append(f"  results in {results}")
    if complete:
        lines.append(f"  look first at {track_files(results, complete[0]).info}")
    return "mirflow: " + "\n".join(lines)


def is_related(results: str, tracks: Iterable[str]) -> bool:
    """Whether tracks were compared with all others since their last merge."""
    with contextlib.suppress(OSError):
        related = os.stat(duplicates_table(results)).st_mtime_ns
        return all(_merged_at(results, track) <= related for track in tracks)
    return False


def _duplicates(results: str) -> str | None:
    """Say how many tracks are the same recording; None where there are none."""
    try:
        with open(duplicates_table(results), encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except OSError:
        return None
    grouped = [row for row in rows if row.get("group")]
    tracks = {row[name] for row in grouped for name in ("track", "other_track")}
    groups, others = len({row["group"] for row in grouped}), len(rows) - len(grouped)
    said = [f"{count(len(tracks), 'track')} in {count(groups, 'group')} of the same recording"] if groups else []
    said += [f"{count(others, 'pair')} that may be related"] if others else []
    return f"{', '.join(said)}; see {duplicates_table(results)}" if said else None


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
