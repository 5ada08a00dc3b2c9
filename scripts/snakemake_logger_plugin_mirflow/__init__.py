"""What a person sees while a run is at work: ``snakemake --logger mirflow``. With -n: pending work.

On a terminal the last lines show how far the run is, and each failure stays above them; elsewhere plain lines say the
same. Snakemake's own output is some ten lines a job: with hundreds of tracks nobody can follow it. All of it is in
``.snakemake/log``.
"""

import logging
import os
import re
import sys
import threading
import time

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

QUIET_INTERVAL = 15  # seconds between lines where the output is no terminal
TERMINAL_INTERVAL = 0.25  # seconds between looks whether a terminal must be drawn again
PAUSE = 3  # seconds without a look: the process was stopped (Ctrl-Z), and the shell has written on the terminal
DOWNLOAD = "model_file_"  # how the rules of downloads begin
SHOWN = 20  # tracks with pending work in a dry run
COMPLETE = ("crop_info", "info", "overview")  # the first of these that a run has completes a track
MISSING = re.compile(r"Job (\d+) +completed successfully, but some output files are missing")
STOPPING = {  # what Snakemake says when it is told to stop: how it is said here
    "Terminating processes on user request": "mirflow: stopping now; the next run goes on from here",
    "Will exit after finishing currently running jobs": "mirflow: stopping when the jobs at work are done",
}


class LogHandler(LogHandlerBase):
    """Show progress on stderr.

    Events come from one thread of Snakemake's, and a second thread draws on the terminal. What both use is guarded by
    the lock that every handler of `logging` has: it is held while an event is handled.
    """

    def __post_init__(self) -> None:
        # Not at the top: Snakemake imports every installed plugin, used or not, but the package should be the one that
        # lies beside the Snakefile in use, which may be another checkout.
        from mirflow.workflow import batches, progress, wording

        self.progress, self.wording, self.note = progress, wording, batches.note
        self.display = None
        if progress.on_terminal() and not self.common_settings.dryrun:
            from mirflow.workflow.display import Display

            self.display = Display(sys.stderr, colour=not self.common_settings.nocolor)
        self.stderr = None
        self.over = threading.Event()  # nothing is drawn any more
        self.shown = 0.0
        self.events = 0
        self.jobs: dict[int, tuple[float, str, str]] = {}  # at work: id → when it began, rule, track
        self.downloads: dict[int, tuple[str, str]] = {}  # at work: id → file, log
        self.done = self.total = self.tracks = self.all_tracks = self.failed = 0
        self.last = ""  # the rule that completes a track
        self.stages: dict[str, list[int]] = {}  # stage → jobs done, failed, all
        self.pending: dict[str, int] = {}  # in a dry run: track → jobs
        self.stopping = self.closed = False
        # Of several batches: what those before have done counts, and a share of all.
        self.batch = batches.batch()
        self.began = self.batch.began if self.batch else time.time()

    def emit(self, record: logging.LogRecord) -> None:
        """Take one event of Snakemake."""
        self.events += 1
        event = getattr(record, "event", None)
        if self.common_settings.dryrun:
            if event == LogEvent.JOB_INFO and (track := self._track(record)):
                self.pending[track] = self.pending.get(track, 0) + 1
            elif event in (LogEvent.RUN_INFO, None) or record.levelno >= logging.WARNING:
                self._say(record.getMessage())
        elif event == LogEvent.WORKFLOW_STARTED:
            self._begin()
        elif event == LogEvent.RUN_INFO:
            self._plan(record.stats)
        elif event == LogEvent.JOB_INFO:
            self.jobs[record.jobid] = time.monotonic(), record.rule_name, self._track(record)
            if record.rule_name.startswith(DOWNLOAD) and record.log:
                self.downloads[record.jobid] = os.path.basename(record.log[0]).removesuffix(".log"), record.log[0]
            self._show()
        elif event == LogEvent.JOB_FINISHED:
            _, rule, _ = self.jobs.pop(record.job_id, (0.0, "", ""))
            self.downloads.pop(record.job_id, None)
            self.tracks += rule == self.last
            self._count(rule, 0)
        elif event == LogEvent.PROGRESS:
            self.done, self.total = record.done, record.total
            self._show(last=self.done == self.total)
        elif event == LogEvent.JOB_ERROR:
            self._fail(record)
        elif event in (None, LogEvent.ERROR):
            self._tell(record)

    def _plan(self, stats: dict[str, int]) -> None:
        """Take what is to be done: rule → jobs, and how many there are in total."""
        self.last = next((rule for rule in COMPLETE if rule in stats), COMPLETE[-1])
        self.total, self.all_tracks = stats.get("total", 0), stats.get(self.last, 0)
        for rule, stage in self.progress.stages().items():
            if rule in stats:
                self.stages.setdefault(stage, [0, 0, 0])[2] += stats[rule]
        part = ""
        if self.batch and self.batch.of_library:
            part = "all tracks together: "
        elif self.batch:
            first = self.batch.before + 1
            part = f"tracks {first} to {self.batch.before + self.batch.size} of {self.batch.tracks}: "
        count = self.wording.count
        made = f" for {count(self.all_tracks, 'track')}" if self.all_tracks else ""  # an export completes no track
        self._say(f"mirflow: {part}{count(self.total, 'job')}{made}")

    def _fail(self, record: logging.LogRecord) -> None:
        logs = list(record.log or [])
        reason = next((said for log in logs if (said := self.progress.last_error(log))), "")
        if self.stopping and not reason:
            self.jobs.pop(record.jobid, None)  # it was ended
            return
        reason = reason or "; see ".join(["no message", *([", ".join(logs)] if logs else [])])
        self._has_failed(record.jobid, record.rule_name, reason)

    def _has_failed(self, job: int, rule: str, reason: str) -> None:
        _, rule, track = self.jobs.pop(job, (0.0, rule, ""))
        self.downloads.pop(job, None)
        self.failed += 1
        self._count(rule, 1)
        self._say(": ".join(["failed", *([track] if track else []), rule, reason]))

    def _count(self, rule: str, what: int) -> None:
        if counts := self.stages.get(self.progress.stages().get(rule, "")):
            counts[what] += 1

    def _tell(self, record: logging.LogRecord) -> None:
        """Print what is for the person."""
        message = record.getMessage()
        stopping = next((said for begin, said in STOPPING.items() if message.startswith(begin)), "")
        if stopping and not self.stopping:
            self.stopping = True
            self._say(stopping)
        elif missing := MISSING.search(message):  # Snakemake tells no failure of such a job
            self._has_failed(int(missing[1]), "", "some of its files are missing")
        elif self._matters(record):
            if message.startswith("mirflow:") and self.total:  # the summary
                self._end()
            self._say(message)

    @staticmethod
    def _track(record: logging.LogRecord) -> str:
        """Return the track that a job belongs to, "" for one of no track."""
        wildcards = record.wildcards or {}
        return wildcards.get("parent", "") + wildcards.get("name", "")

    def _matters(self, record: logging.LogRecord) -> bool:
        """Whether a message is for the person: warnings, errors, what the workflow says itself, and that all is done.

        What Snakemake says of a failed job has been said, shorter, when it failed; what one batch of several has to do
        is of no interest.
        """
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            said = "CalledProcessError" in message or message.startswith("Exiting because a job")
            return not said and not message.startswith("WorkflowError:\nAt least one job")
        return message.startswith("mirflow:") or (message.startswith("Nothing to be done") and not self.batch)

    def _share(self) -> tuple[float, float]:
        """Return the share of the work that is done, and the seconds that are left, 0 while nobody can tell."""
        elapsed = time.time() - self.began
        share = self.done / self.total if self.total else 0.0
        if self.batch:
            # Tracks of earlier batches with nothing to do took no time: they say nothing of what is to come.
            worked = self.batch.before - self.batch.idle + share * self.batch.size
            share = (self.batch.before + share * self.batch.size) / self.batch.tracks
            left = elapsed * (1 - share) * self.batch.tracks / worked if worked else 0.0
        else:
            left = elapsed * (1 - share) / share if share else 0.0
        return share, left if 0.02 < share < 1 else 0.0

    def _counts(self) -> list[str]:
        """Return how many jobs and tracks are done, how many have failed, and how long it has taken and will take."""
        if self.batch:
            # Behind us: the tracks of earlier batches, those with nothing to do, and those made.
            complete = self.batch.before + self.batch.size - self.all_tracks + self.tracks
            counts = [f"{self.batch.jobs + self.done} jobs", f"{complete}/{self.batch.tracks} tracks"]
        else:
            counts = [f"{self.done}/{self.total} jobs"]
            counts += [f"{self.tracks}/{self.all_tracks} tracks"] if self.all_tracks else []
        if failed := self.failed + (self.batch.failed if self.batch else 0):
            counts.append(f"{failed} failed")
        clock, (_, left) = self.wording.clock, self._share()
        return [*counts, clock(time.time() - self.began) + (f", about {clock(left)} left" if left else "")]

    def _line(self) -> str:
        """Return progress as one plain line."""
        return "  ".join([f"{self._share()[0]:4.0%}", *self._counts()])

    def picture(self) -> object:
        """Return progress as it is drawn on a terminal."""
        from mirflow.workflow.display import Job, Picture, Stage

        if not self.total:
            since = self.wording.clock(time.time() - self.began)
            return Picture(["planning: what is missing or out of date", since])
        now, clean = time.monotonic(), self.wording.printable
        jobs = {
            id: (began, *(("download", self._download(id)) if id in self.downloads else (rule, clean(track))))
            for id, (began, rule, track) in self.jobs.items()
        }
        return Picture(
            share=self._share()[0],
            counts=[*self._counts(), *(["stopping"] if self.stopping else [])],
            stages=[Stage(name, done, total, failed) for name, (done, failed, total) in self.stages.items()],
            jobs=[Job(now - began, rule, about) for began, rule, about in jobs.values()],
        )

    def _download(self, job: int) -> str:
        """Return what a download has said last: how far it is, or why it tries again."""
        file, log = self.downloads[job]
        return self.wording.printable(self.progress.last_line(log) or file)

    def _begin(self) -> None:
        if self.display:
            from mirflow.workflow.display import Lines

            self.stderr = sys.stderr = Lines(sys.stderr, self._print)
            threading.Thread(target=self._keep_drawing, name="mirflow-display", daemon=True).start()
        else:
            threading.Thread(target=self._keep_telling, name="mirflow-downloads", daemon=True).start()

    def _print(self, text: str) -> None:
        """Print what was written to stderr by others: warnings and tracebacks of Python."""
        with self.lock:
            self._say(text)

    def _keep_drawing(self) -> None:
        """Draw again when something has happened, when a second has passed, and when the terminal was resized."""
        drawn, looked = None, time.monotonic()
        while not self.over.wait(TERMINAL_INTERVAL):
            with self.lock:
                now = time.monotonic()
                if now - looked > PAUSE:
                    self.display.forget()
                state = self.events, int(now), self.display.size()
                if state != drawn and not self.over.is_set():
                    self.display.draw(self.picture())
                drawn, looked = state, now

    def _keep_telling(self) -> None:
        """Print how far downloads are, where nothing is drawn: one of gigabytes ends no job for minutes."""
        said: dict[int, str] = {}
        while not self.over.wait(QUIET_INTERVAL):
            with self.lock:
                for job in self.downloads:
                    line = self._download(job)
                    if said.get(job, self.downloads[job][0]) != line:
                        self._say(f"download  {line}")
                    said[job] = line

    def _end(self) -> None:
        """Take away what was drawn."""
        if self.over.is_set():
            return
        self.over.set()
        if self.display:
            self.display.draw()
            if self.stderr:
                sys.stderr = self.display.stream
                self.stderr.finish()

    def close(self) -> None:
        """Say which tracks a dry run found work for; leave to the next batch what is done in this one."""
        with self.lock:
            self._end()
        if self.batch and self.common_settings.dryrun and not self.closed:
            self.note(pending=tuple(sorted(self.pending)))
        self.closed = True  # Snakemake closes twice
        if self.pending:
            count = self.wording.count
            tracks = [f"  {track}: {count(jobs, 'job')}" for track, jobs in sorted(self.pending.items())]
            more = [f"  and {len(tracks) - SHOWN} more"] if len(tracks) > SHOWN else []
            title = f"mirflow: {count(len(tracks), 'track')} with pending work"
            self._say("\n".join([title, *tracks[:SHOWN], *more]))
            self.pending.clear()
        if self.batch and self.total:
            self.note(jobs=self.batch.jobs + self.done, failed=self.batch.failed + self.failed)
        super().close()

    def _show(self, last: bool = False) -> None:
        """Print progress now and then, where it is not drawn."""
        now = time.monotonic()
        if self.display is None and (last or now - self.shown >= QUIET_INTERVAL):
            self.shown = now
            self._say(self._line())

    def _say(self, message: str) -> None:
        if self.display is None:
            print(self.wording.printable(message), file=sys.stderr, flush=True)
        else:
            self.display.draw(None if self.over.is_set() else self.picture(), message)

    @property
    def writes_to_stream(self) -> bool:
        """Replace Snakemake's own output."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Leave the log file to Snakemake."""
        return False

    @property
    def has_filter(self) -> bool:
        """Take every event, whatever is quiet."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Format by itself."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False
