"""Progress of a run in one line, and each failure as it happens: ``snakemake --logger mirflow``. With -n: pending work.

Snakemake's own output is some ten lines a job; with hundreds of tracks nobody can follow it. It still goes, whole, to
the log file that Snakemake names at the end.
"""

import logging
import sys
import time

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

QUIET_INTERVAL = 15  # seconds between lines where the output is no terminal
TERMINAL_INTERVAL = 0.2  # seconds between updates of the line on a terminal
SHOWN = 20  # tracks with pending work in a dry run


class LogHandler(LogHandlerBase):
    """Print progress to stderr."""

    def __post_init__(self) -> None:
        # Not at the top: Snakemake imports every installed plugin, used or not, but the package should be the one that
        # lies beside the Snakefile in use, which may be another checkout.
        from mirflow import progress

        self.clock, self.count, self.last_error = progress.clock, progress.count, progress.last_error
        self.note = progress.note
        self.terminal = sys.stderr.isatty()
        self.shown = 0.0
        self.jobs: dict[int, tuple[str, str]] = {}  # running: id → rule, track
        self.done = self.total = self.tracks = self.all_tracks = self.failed = 0
        self.latest = ""
        self.pending: dict[str, int] = {}  # in a dry run: track → jobs
        # Of several batches: what those before have done counts, and a share of all.
        self.batch = progress.batch()
        self.began = self.batch.began if self.batch else time.time()

    def emit(self, record: logging.LogRecord) -> None:
        """Take one event of Snakemake."""
        event = getattr(record, "event", None)
        if self.common_settings.dryrun:
            if event == LogEvent.JOB_INFO and (track := self._track(record)):
                self.pending[track] = self.pending.get(track, 0) + 1
            elif event in (LogEvent.RUN_INFO, None) or record.levelno >= logging.WARNING:
                self._say(record.getMessage())
        elif event == LogEvent.RUN_INFO:
            stats = record.stats
            self.total, self.all_tracks = stats.get("total", 0), stats.get("info", 0)
            part = ""
            if self.batch:
                first = self.batch.before + 1
                part = f"tracks {first} to {self.batch.before + self.batch.size} of {self.batch.tracks}: "
            self._say(f"mirflow: {part}{self.count(self.total, 'job')} for {self.count(self.all_tracks, 'track')}")
        elif event == LogEvent.JOB_INFO:
            self.jobs[record.jobid] = record.rule_name, self._track(record)
            self.latest = ": ".join(part for part in self.jobs[record.jobid] if part)
            self._show()
        elif event == LogEvent.JOB_FINISHED:
            rule, _ = self.jobs.pop(record.job_id, ("", ""))
            self.tracks += rule == "info"
        elif event == LogEvent.PROGRESS:
            self.done, self.total = record.done, record.total
            self._show(last=self.done == self.total)
        elif event == LogEvent.JOB_ERROR:
            rule, track = self.jobs.pop(record.jobid, (record.rule_name, ""))
            self.failed += 1
            logs = list(record.log or [])
            reason = next(
                (said for log in logs if (said := self.last_error(log))), f"no message; see {', '.join(logs)}"
            )
            self._say(": ".join(["failed", *([track] if track else []), rule, reason]))
        elif event in (None, LogEvent.ERROR) and self._matters(record):
            self._say(record.getMessage())

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

    def _line(self) -> str:
        elapsed = time.time() - self.began
        share = self.done / self.total if self.total else 0
        if self.batch:
            # Tracks of earlier batches with nothing to do took no time: they say nothing of what is to come.
            worked = self.batch.before - self.batch.idle + share * self.batch.size
            share = (self.batch.before + share * self.batch.size) / self.batch.tracks
            left = elapsed * (1 - share) * self.batch.tracks / worked if worked else 0
            counts = f"{self.batch.jobs + self.done} jobs  {self._complete()}/{self.batch.tracks} tracks"
        else:
            left = elapsed * (1 - share) / share if share else 0
            counts = f"{self.done}/{self.total} jobs  {self.tracks}/{self.all_tracks} tracks"
        remaining = f", about {self.clock(left)} left" if 0.02 < share < 1 else ""
        failed = self.failed + (self.batch.failed if self.batch else 0)
        return f"{share:4.0%}  {counts}{f'  {failed} failed' if failed else ''}  {self.clock(elapsed)}{remaining}"

    def _complete(self) -> int:
        """Return the tracks behind us: those of earlier batches, those with nothing to do, and those made."""
        return self.batch.before + self.batch.size - self.all_tracks + self.tracks

    def close(self) -> None:
        """Say which tracks a dry run found work for; leave to the next batch what is done in this one."""
        if self.pending:
            tracks = [f"  {track}: {self.count(jobs, 'job')}" for track, jobs in sorted(self.pending.items())]
            more = [f"  and {len(tracks) - SHOWN} more"] if len(tracks) > SHOWN else []
            title = f"mirflow: {self.count(len(tracks), 'track')} with pending work"
            self._say("\n".join([title, *tracks[:SHOWN], *more]))
            self.pending.clear()  # Snakemake closes twice
        if self.batch and self.total:
            self.note(jobs=self.batch.jobs + self.done, failed=self.batch.failed + self.failed)
        super().close()

    def _show(self, last: bool = False) -> None:
        now = time.monotonic()
        if not last and now - self.shown < (TERMINAL_INTERVAL if self.terminal else QUIET_INTERVAL):
            return
        self.shown = now
        if self.terminal:
            sys.stderr.write(f"\r\x1b[K{self._line()}  {self.latest[:60]}" + ("\n" if last else ""))
        else:
            sys.stderr.write(self._line() + "\n")
        sys.stderr.flush()

    def _say(self, message: str) -> None:
        sys.stderr.write(("\r\x1b[K" if self.terminal else "") + message + "\n")
        sys.stderr.flush()

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
