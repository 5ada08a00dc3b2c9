"""``make run``: one Snakemake for a library, or one after the other for the parts of a large one.

What Snakemake plans costs memory and, above all, time before the first job runs, both in proportion to the tracks (see
``make scale``). A process for each batch of tracks keeps both small, however large the library.
"""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from mirflow.core import layout
from mirflow.core.errors import MirflowError
from mirflow.core.layout import own
from mirflow.library.scan import Library, scan
from mirflow.workflow import batches, completeness, exports, glance, progress, selection, settings, shares
from mirflow.workflow.batches import BATCH, Batch
from mirflow.workflow.completeness import Ledger
from mirflow.workflow.shares import WHOLE, Share

SNAKEMAKE = "mirflow.workflow.interruptible"  # Snakemake's command line, as it is called here
BATCH_TRACKS = 1000
AT_ONCE = 100  # of so few tracks Snakemake soon knows what to do
NOTHING = "Nothing to be done (all requested files are present and up to date)."
# What can be made of all tracks, beside exports → the rules that make it.
OF_ALL = {"tables": ("tables",), "report": ("report", "statistics", "tables")}
FIRST = {"report": ("overviews", "overview")}  # and what these need of single tracks: the rule of all, that of one
JOBS_OF_TRACK = 25  # in a batch; where a track has one job, a batch may have so many times more tracks
CLOCK = 2  # seconds by which the times of files and of this process may differ


def command(
    library: str, results: str, jobs: str, further: list[str], share: Share = WHOLE, out: str = "", only: str = ""
) -> list[str]:
    """Return the call of Snakemake that makes everything of a share.

    Parameters
    ----------
    further : options of Snakemake; settings among them (``--config skip=[chroma]``) are kept
    out, only : where an export goes, which file lists the tracks; "" means what the settings say
    """
    settings = {"library": library, "results": results} | ({} if share.is_whole else {"share": str(share)})
    settings |= {"only": only} if only else {}
    config = [f"{name}={_text(value)}" for name, value in settings.items()]
    config += [f"export={json.dumps({'out': out})}"] if out else []
    place = next((i for i, option in enumerate(further) if option in ("--config", "-C")), None)
    if place is None:
        further = [*further, "--config", *config]
    else:  # of two such options Snakemake takes the last one
        further = [*further[: place + 1], *config, *further[place + 1 :]]
    return [sys.executable, "-m", SNAKEMAKE, "-j", jobs, "--logger", "mirflow", *further]


def _text(value: str) -> str:
    """Quote a value for ``--config`` such that Snakemake takes any file name for what it is: text."""
    return f" {json.dumps(value)} "


def export(
    library: str, results: str, jobs: str, size: int, further: list[str], what: str, out: str = "", only: str = ""
) -> int:
    """Make a library, and then something of all tracks that are complete; return the exit status.

    That is not 0 if a track has failed, though the export is whole without it.

    Parameters
    ----------
    size : tracks in a batch
    further : options of Snakemake
    what : a target of `mirflow.export.targets`, or one of `OF_ALL`
    out, only : where the export goes, which file lists the tracks; "" means what the settings say
    """
    check_working_directory()
    began, noted = time.time(), Path(own(settings.directory(results), "library.tsv"))
    stopped = _stops()
    making = [f"--library={library}", f"--results={results}", f"--jobs={jobs}", f"--batch={size}", f"--only={only}"]
    making += ["--", *further]
    status = _wait(subprocess.Popen([sys.executable, "-m", "mirflow", "run", *making]), stopped)
    if stopped or (status and not (noted.exists() and noted.stat().st_mtime >= began - CLOCK)):
        return 128 + stopped[0] if stopped else status  # nothing was begun: the settings are wrong, say
    snakemake = command(library, results, jobs, further, out=out, only=only)
    alone = os.environ | {exports.ALONE: "1"}
    if what in FIRST:
        chosen = only or str(settings.given(further)["only"] or "")
        tracks = list(selection.of(scan(settings.path(library), exclude=settings.directory(results)).tracks, chosen))
        first = _only(snakemake, FIRST[what][:1], FIRST[what])
        status = _of_tracks(first, tracks, size * JOBS_OF_TRACK, alone, stopped) or status
    exported = 0
    if not stopped:
        rules = OF_ALL.get(what, (f"export_{what}",))
        exported = _wait(subprocess.Popen(_only(snakemake, rules, rules), env=alone), stopped)
    return 128 + stopped[0] if stopped else exported or status


def _only(snakemake: list[str], targets: Sequence[str], rules: Sequence[str]) -> list[str]:
    """Return the call of Snakemake that makes targets by these rules, and takes all other files as they are."""
    return [*snakemake[:3], *targets, "--allowed-rules", *rules, *snakemake[3:]]


def _of_tracks(snakemake: list[str], tracks: list[str], size: int, environment: dict, stopped: list[int]) -> int:
    """Let Snakemake make something of single tracks in batches; return the exit status: not 0 if a job failed."""
    failed = False
    with tempfile.TemporaryDirectory(prefix="mirflow-") as folder:
        file = Path(folder, "batch.json")
        state = Batch((), 0, 0, len(tracks), began=time.time())
        for begin in range(0, len(tracks), size):
            chosen = tuple(tracks[begin : begin + size])
            replace(state, chosen=chosen, before=begin, size=len(chosen), started=False).save(file)
            failed |= _wait(subprocess.Popen(snakemake, env=environment | {BATCH: str(file)}), stopped) != 0
            state = batches.read_batch(file)
            state.idle += 0 if state.started else len(chosen)
            if stopped:
                break
    return int(failed)


def run(
    snakemake: list[str],
    library: str,
    results: str,
    size: int,
    share: Share = WHOLE,
    options: list[str] | None = None,
    only: str = "",
    relating: bool = True,
) -> int:
    """Make a library, or a share of it, in batches of at most `size` tracks; return the exit status.

    A batch in which a track fails does not keep the others from being made. The status is then not 0, nor is it after
    an interrupt, which ends the run.

    Parameters
    ----------
    snakemake : the call of Snakemake
    options : those of them that are the user's; with these, Snakemake is not asked about tracks that are provably
        complete (see `mirflow.workflow.completeness`). None: it is asked about all
    only : the file that lists the tracks to make, "" for all
    relating : whether there is something to make that concerns all tracks

    Raises
    ------
    MirflowError : there is no library
    """
    if size < 1:
        raise MirflowError(f"--batch: at least one track is needed, got {size}")
    check_working_directory()
    results = settings.directory(results)
    found = scan(settings.path(library), exclude=results)
    asked = selection.of(found.tracks, only)
    tracks = share.of(asked)
    if share.is_whole and len(tracks) <= min(size, AT_ONCE):
        os.execv(snakemake[0], snakemake)
    ledger = None
    if options is not None and completeness.can_be_told(options):
        ledger = Ledger(results, found, share, completeness.state_of_all(options))
        tracks = ledger.pending(tracks)
    count = max(1, -(-len(tracks) // size))
    edges = [len(tracks) * index // count for index in range(count + 1)]  # batches of one size, but for one track
    stopped = _stops()
    few = len(tracks) < len(share.of(asked))
    state, failed = Batch((), 0, 0, len(tracks), began=time.time(), few=few), False
    refused = worked = False
    with tempfile.TemporaryDirectory(prefix="mirflow-") as folder:
        file = Path(folder, "batch.json")
        for begin, end in pairwise(edges) if tracks else ():
            chosen = tuple(tracks[begin:end])
            before = ledger.states(chosen) if ledger else {}
            replace(state, chosen=chosen, before=begin, size=end - begin, started=False, pending=None).save(file)
            status = _wait(subprocess.Popen(snakemake, env=os.environ | {BATCH: str(file)}), stopped)
            state = batches.read_batch(file)
            failed, worked = failed or status != 0, worked or state.started
            refused = bool(status) and not state.started  # what ended this batch before its start ends all
            if stopped or refused:
                break
            state.idle += 0 if state.started else end - begin
            if ledger and not state.started and not status:  # it has said that nothing is to be done, or what
                ledger.note({track: before[track] for track in before if track not in (state.pending or ())})
        of_all = relating and share.is_whole and not (ledger and ledger.knows_library())
        if of_all and not stopped and not refused:
            status, state = _of_library(snakemake, file, state, stopped)
            failed, worked = failed or status != 0, worked or state.started
        if ledger and worked and not stopped:
            # Of the other tracks a run writes only the .INFO, with what concerns all tracks.
            handed, since = set(tracks), state.began - CLOCK
            written = [t for t in share.of(asked) if t in handed or _modified(results, t) >= since]
            _judge(snakemake, file, ledger, written, size)
        if ledger and share.is_whole and not failed and not stopped:
            ledger.note_library()
    over = state.started or state.idle == len(tracks)
    if over and not stopped and not share.is_whole:
        shares.note(results, share, state.began, time.time(), state.skip, state.crops, only)
    _report(results, found, state, broken=failed, share=share, chosen=asked, made=tracks if few else None)
    return 128 + stopped[0] if stopped else int(failed)


def finish(snakemake: list[str], library: str, results: str, only: str = "") -> int:
    """Make only what concerns all tracks at once, of those that are complete; return the exit status.

    Parameters
    ----------
    snakemake : the call of Snakemake
    only : the file that lists the tracks that were made, "" for all

    Raises
    ------
    MirflowError : there is no library
    """
    check_working_directory()
    results = settings.directory(results)
    found = scan(settings.path(library), exclude=results)
    asked = selection.of(found.tracks, only)
    stopped = _stops()
    with tempfile.TemporaryDirectory(prefix="mirflow-") as folder:
        begin = Batch((), 0, 0, len(found.tracks), began=time.time())
        status, state = _of_library(snakemake, Path(folder, "batch.json"), begin, stopped)
    _report(results, found, state, broken=status != 0, share=WHOLE, chosen=asked)
    return 128 + stopped[0] if stopped else int(status != 0)


def _of_library(snakemake: list[str], file: Path, state: Batch, stopped: list[int]) -> tuple[int, Batch]:
    """Make what concerns all tracks, after the last batch; return the exit status, and what is known then."""
    nothing = {"chosen": (), "before": state.tracks, "size": 0, "started": False, "pending": None}
    replace(state, **nothing, of_library=True).save(file)
    status = _wait(subprocess.Popen(snakemake, env=os.environ | {BATCH: str(file)}), stopped)
    after = batches.read_batch(file)
    return status, replace(after, started=after.started or state.started)


def _judge(snakemake: list[str], file: Path, ledger: Ledger, tracks: list[str], size: int) -> None:
    """Ask Snakemake about the tracks that are not known to be complete, when all is made, and write down its answer."""
    left = ledger.pending(tracks)
    for begin in range(0, len(left), size):
        before = ledger.states(left[begin : begin + size])
        pending = _pending(snakemake, file, tuple(before))
        if pending is not None:
            ledger.note({track: state for track, state in before.items() if track not in pending})


def _modified(results: str, track: str) -> float:
    """Return when the .INFO of a track was written, in s since the epoch; infinite where it is not there."""
    try:
        return os.stat(layout.track_files(results, track).info).st_mtime
    except OSError:
        return math.inf


def _pending(snakemake: list[str], file: Path, chosen: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return for which of these tracks Snakemake would still do something, None if it does not say."""
    asked = file.with_name("asked.json")
    about = {"chosen": chosen, "size": len(chosen), "started": False, "pending": None, "of_library": False}
    replace(batches.read_batch(file), **about).save(asked)
    command = [*snakemake, "-n"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    done = subprocess.run(command, env=os.environ | {BATCH: str(asked)}, **quiet)
    return batches.read_batch(asked).pending if done.returncode == 0 else None


def _stops() -> list[int]:
    """Return a list that gets the numbers of the signals that ask for the end, from now on."""
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: stopped.append(number))
    return stopped


def check_working_directory() -> None:
    """Check that Snakemake can write its working files in the current directory, and see to a folder for its caches.

    Raises
    ------
    MirflowError : it cannot
    """
    _see_to_caches()
    folder = Path.cwd() / ".snakemake"
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MirflowError(
            f"{folder}: cannot be written ({error.strerror}), but Snakemake needs it: run from a directory of your own,"
            " `snakemake --directory <one> --snakefile <this Snakefile>`, or copy the project"
        ) from error


def _see_to_caches() -> None:
    """Name a temporary folder for the caches of programs where the user's own cannot be written.

    So it is for users without a home: of containers, of services, of jobs on machines that do not mount it. Snakemake
    cannot start without.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if _is_writable(home / "snakemake"):
        return
    folder = Path(tempfile.gettempdir(), f"mirflow-cache-{os.getuid()}")
    if not _is_writable(folder) or folder.lstat().st_uid != os.getuid():  # others may have put something there
        said = "cannot be written, but Snakemake needs it: set XDG_CACHE_HOME to a folder of your own"
        raise MirflowError(f"{home}: {said}")
    os.environ["XDG_CACHE_HOME"] = str(folder)


def _is_writable(folder: Path) -> bool:
    """Tell whether files can be made in a folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _wait(process: subprocess.Popen, stopped: list[int]) -> int:
    """Wait for Snakemake. Ctrl-C reaches it by itself, like all programs of a terminal; other signals are sent on."""
    sent = False
    while process.poll() is None:
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            if stopped and not sent:
                sent = True
                if stopped[0] != signal.SIGINT:
                    process.send_signal(signal.SIGTERM)
    return process.returncode


def _report(
    results: str,
    library: Library,
    state: Batch,
    broken: bool,
    share: Share,
    chosen: dict[str, Path],
    made: list[str] | None = None,
) -> None:
    """Print the summary of all batches."""
    if state.idle == state.tracks and not state.started:
        print(NOTHING, file=sys.stderr)
    elif state.idle or state.started or not broken:
        run = progress.Run(state.skip, state.crops, share, state.began, None, state.waiting, broken, chosen, made)
        progress.tell(progress.end(results, library, run))
        if share.is_whole and (said := glance.line(results, chosen, state.skip, state.crops)):
            progress.tell(said)
