"""Shares of a library: its tracks divided among runs that work on the same results at once, on any machines.

A share needs nothing of the other ones but a disk that all of them see. So any scheduler that starts a command several
times will do, and so will hands.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mirflow.core import artifacts, layout
from mirflow.core.errors import MirflowError

FOLDER = "shares"  # in the folder of what belongs to no track
NO_MEMORY = "OUT_OF_MEMORY"  # in the words of SLURM
# The variables by which schedulers tell a job its place in an array: number, first, last, step, and how many there are.
# "": it does not say that; its arrays begin at 1. Outside of arrays the variables are not there, 0 or no numbers.
ARRAYS = {
    "SLURM": tuple(f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "STEP", "COUNT")),
    "Grid Engine": ("SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE", ""),
    "LSF": ("LSB_JOBINDEX", "", "LSB_JOBINDEX_END", "LSB_JOBINDEX_STEP", ""),
}


def place_of(track: str, count: int) -> int:
    """Return in which of `count` shares a track is, from 0 on."""
    digest = hashlib.sha256(track.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") % count


@dataclass(frozen=True)
class Share:
    """One of `count` shares of a library; `index` counts from 1. There is one share that is the whole library.

    The share of a track follows from its id alone, so a library that grows leaves every track where it was.
    """

    index: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole library."""
        return self.count == 1

    def has(self, track: str) -> bool:
        """Whether the track with this id belongs to it."""
        return place_of(track, self.count) == self.index - 1

    def of(self, tracks: Collection[str]) -> list[str]:
        """Return those of `tracks` that belong to it."""
        return [track for track in tracks if self.has(track)]

    def own(self, results: str, *parts: str) -> str:
        """Return a path in the folder of what belongs to this share and to no track."""
        return layout.own(results, *(() if self.is_whole else (FOLDER, f"{self.index}-of-{self.count}")), *parts)


WHOLE = Share()


def share(text: str, environment: Mapping[str, str] = os.environ) -> Share:
    """Read the setting `share`: ``i/N``, or ``auto``, the place of this job in an array (see `ARRAYS`).

    Raises
    ------
    MirflowError : it is neither; or ``auto`` where no array is, or only a part of one, which cannot say what N is
    """
    if text == "auto":
        return _of_array(environment)
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    found = Share(*map(int, match.groups())) if match else None
    if found is None or not 1 <= found.index <= found.count:
        raise MirflowError(f"share: i/N is expected, with i from 1 to N, or auto; got {text!r}")
    return found


def _of_array(environment: Mapping[str, str]) -> Share:
    for scheduler, names in ARRAYS.items():
        task, first, last, step, tasks = (_number(environment.get(name, "")) for name in names)
        if not (task or last or tasks):
            continue  # not a job of this scheduler, or in no array
        first, step = 1 if first is None else first, step or 1
        whole = ((last or 0) - first) // step + 1
        # An array that begins elsewhere, or leaves numbers out, is a part of one that was given to the scheduler again.
        if task is None or first > 1 or not first <= task <= (last or 0) or whole != (tasks or whole):
            raise MirflowError(
                f"share: auto cannot tell how many shares there are from task {task} of an array of {scheduler} from"
                f" {first} to {last}{f' with {tasks} tasks' if tasks else ''}; say i/N"
            )
        return Share((task - first) // step + 1, whole)
    raise MirflowError(
        "share: auto needs a job array of SLURM, Grid Engine or LSF; elsewhere say i/N (for PBS: $PBS_ARRAY_INDEX/N)"
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def lock(results: str, mine: Share) -> None:
    """Lock the tracks of a share until this process ends. The kernel releases the locks, even after a kill -9.

    A run of everything excludes all others; shares exclude runs of everything, other divisions of the library, which
    would have some of their tracks, and themselves.

    Raises
    ------
    MirflowError : somebody else is at work on these tracks
    OSError : there is no permission or space to lock them
    """
    kind = fcntl.LOCK_EX if mine.is_whole else fcntl.LOCK_SH
    if not _hold(Path(layout.own(results, "lock")), kind):
        raise MirflowError(f"{results}: another run is at work on these results; wait for its end")
    if mine.is_whole:
        return
    folder = Path(layout.own(results, FOLDER))
    _hold(folder / f"of-{mine.count}.lock", fcntl.LOCK_SH, wait=True)  # others may be looking at it
    for other in sorted(folder.glob("of-*.lock")):
        if other.name != f"of-{mine.count}.lock" and not _is_free(other):
            count = other.stem.removeprefix("of-")
            raise MirflowError(f"{results}: shares of {count} are at work on these results; wait for their end")
    if not _hold(Path(mine.own(results, "lock")), fcntl.LOCK_EX):
        raise MirflowError(f"{results}: share {mine} is at work already; wait for its end")


def _hold(path: Path, kind: int, wait: bool = False) -> bool:
    """Take a lock until this process ends; return whether it could be had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(held, kind | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(held)
        return False
    return True


def _is_free(path: Path) -> bool:
    """Whether nobody holds a lock."""
    try:
        with open(path, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True)
class Record:
    """What is written down of the last run of a share.

    Attributes
    ----------
    began, ended : s since the epoch; a run that was killed has no end
    machine : where it ran
    skip : steps that were not asked for, whose failures in earlier runs do not count
    crops : whether crops were asked for
    job : of SLURM, "" outside of it
    only : the file that lists the tracks that were asked for, "" for all
    """

    began: float
    ended: float | None
    machine: str
    skip: tuple[str, ...] = ()
    crops: bool = False
    job: str = ""
    only: str = ""


def note(
    results: str,
    mine: Share,
    began: float,
    ended: float | None = None,
    skip: Collection[str] = (),
    crops: bool = False,
    only: str = "",
) -> None:
    """Write down that a share begins, or ends."""
    only = os.path.abspath(os.path.expanduser(only)) if only else ""
    record = Record(began, ended, socket.gethostname(), tuple(skip), crops, os.environ.get("SLURM_JOB_ID", ""), only)
    artifacts.write_bytes(mine.own(results, "share.json"), artifacts.json_bytes(asdict(record) | {"skip": list(skip)}))


def last_division(results: str) -> tuple[int, dict[int, Record]]:
    """Return into how many shares the library was divided last, and the records of those that have begun."""
    newest, found = 0.0, {}
    for path in Path(layout.own(results, FOLDER)).glob("*-of-*/share.json"):
        index, _, count = path.parent.name.partition("-of-")
        content = artifacts.read_json(path)
        record = Record(**content | {"skip": tuple(content["skip"])})
        found.setdefault(int(count), {})[int(index)] = record
        newest = max(newest, record.began)
    count = next((n for n, records in found.items() if newest in {r.began for r in records.values()}), 1)
    return count, found.get(count, {})


def states(results: str, unfinished: Collection[str] = ()) -> dict[str, str]:
    """Return share → what became of it, for all shares of the last division that have not ended as they should.

    Parameters
    ----------
    unfinished : ids of tracks that are not complete
    """
    count, records = last_division(results)
    said = slurm_says({record.job for record in records.values() if record.job})
    found = {}
    for index in range(1, count + 1) if count > 1 else ():
        mine, record = Share(index, count), records.get(index)
        if record is None:
            found[str(mine)] = "not begun"
            continue
        reason = said.get(record.job, "")
        if not _is_free(Path(mine.own(results, "lock"))):
            since = time.strftime("%F %T", time.localtime(record.began))
            found[str(mine)] = f"at work on {record.machine} since {since}"
        elif not record.ended:
            found[str(mine)] = f"broken off on {record.machine}{f' ({reason})' if reason else ''}; run it again"
        elif reason == NO_MEMORY and mine.of(unfinished):  # the kernel ended steps, and the share went on
            found[str(mine)] = f"ended on {record.machine}, but steps lacked memory ({reason}); run it again with more"
    return found


def slurm_says(jobs: Collection[str]) -> dict[str, str]:
    """Return job → what became of it in SLURM's words (TIMEOUT, OUT_OF_MEMORY ...), as far as it says so.

    It is asked for its accounts, and where it keeps none for what it remembers, which is the last minutes.
    """
    asked = f"--jobs={','.join(sorted(jobs))}"
    for command in (
        ["sacct", "--noheader", "--allocations", "--parsable2", "--delimiter= ", "--format=JobIDRaw,State", asked],
        ["squeue", "--noheader", "--states=all", "--format=%A %T", asked],
    ):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60) if jobs else None
            if done and (found := dict(re.findall(r"^(\d+) ([A-Z_]+)", done.stdout, re.M))):
                return found
    return {}
