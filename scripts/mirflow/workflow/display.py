"""The last lines of a terminal while a run is at work: drawn again as it goes on, with messages above them.

rich knows how many columns a character takes and which colours a terminal has. Its own live display is not used: a
terminal that is made narrower wraps the lines that it shows already, and pieces of them would stay behind.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.cells import cell_len, set_cell_size, split_text
from rich.console import Console
from rich.text import Text

from mirflow.workflow.wording import clock, printable

WIDEST = 100  # columns; a longer bar tells no more
GAP = 3  # columns between two things in one line
UNKNOWN_SIZE = (80, 24)  # columns and lines of a terminal that does not say
# A terminal may take a character for wider than rich does. It then cuts the line off instead of wrapping it.
WRAP_OFF, WRAP_ON = "\x1b[?7l", "\x1b[?7h"


@dataclass(frozen=True)
class Stage:
    """The jobs of one stage."""

    name: str
    done: int
    total: int
    failed: int = 0


@dataclass(frozen=True)
class Job:
    """A job at work."""

    seconds: float  # since it began
    rule: str
    track: str  # "" for a job of no track


@dataclass(frozen=True)
class Picture:
    """What is shown of a run.

    Attributes
    ----------
    counts : short texts: jobs, tracks, failures, time
    share : of all work that is done, in [0, 1]; None while that is not known
    jobs : those at work, the oldest first
    """

    counts: list[str]
    share: float | None = None
    stages: list[Stage] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)


class Lines:
    """A stream in place of `sys.stderr`: hands each line over, so that nothing is written into what is drawn."""

    def __init__(self, stream: TextIO, take: Callable[[str], None]) -> None:
        self.stream = stream
        self.take = take
        self.begun = ""

    def write(self, text: str) -> int:
        """Take a part of a line, or several."""
        *lines, self.begun = (self.begun + text).split("\n")
        if lines:
            self.take("\n".join(lines))
        return len(text)

    def finish(self) -> None:
        """Hand over a line that was not ended."""
        if self.begun:
            self.write("\n")

    def __getattr__(self, name: str) -> Any:
        """Be the stream in all else."""
        return getattr(self.stream, name)


class Display:
    """Draw on a terminal. Calls from several threads need a lock around them.

    Parameters
    ----------
    size : columns and lines of the terminal, asked for each time: people resize it
    """

    def __init__(self, stream: TextIO, size: Callable[[], tuple[int, int]] | None = None, colour: bool = True) -> None:
        self.stream = stream
        self.size = size or self._size
        self.console = Console(
            file=stream, force_terminal=True, no_color=None if colour else True, legacy_windows=False, highlight=False
        )
        self.shown: list[int] = []  # columns of each line that was drawn last

    def _size(self) -> tuple[int, int]:
        """Return the size of the terminal itself. (rich would believe $COLUMNS, which does not change with it.)"""
        try:
            columns, lines = os.get_terminal_size(self.stream.fileno())
        except OSError:
            return UNKNOWN_SIZE
        return columns or UNKNOWN_SIZE[0], lines or UNKNOWN_SIZE[1]

    def draw(self, picture: Picture | None = None, message: str | None = None) -> None:
        """Print a message, and below it a picture in place of the one before."""
        self.console.size = columns, height = self.size()
        erased = self._to_the_top(columns)
        lines = rows(picture, min(columns - 1, WIDEST), height - 1) if picture and self._in_foreground() else []
        self.shown = [line.cell_len for line in lines]
        with self.console.capture() as said:
            for line in folded(message, columns) if message is not None else ():
                self.console.print(line, soft_wrap=True)
        with self.console.capture() as drawn:
            for line in lines:
                self.console.print(line, soft_wrap=True)
        frame = f"{WRAP_OFF}{drawn.get()}{WRAP_ON}" if lines else ""
        with contextlib.suppress(OSError):  # a terminal that was closed: the run goes on
            self.stream.write(erased + said.get() + frame)
            self.stream.flush()

    def forget(self) -> None:
        """Leave what was drawn where it is: something else has been written below it."""
        self.shown = []

    def _to_the_top(self, columns: int) -> str:
        """Return what erases the last picture. Its lines are wrapped when the terminal has become narrower."""
        taken = sum(max(1, -(-width // columns)) for width in self.shown)
        # Line by line: tmux keeps what is erased all at once, from the top of a terminal, among the lines above.
        return "\r\x1b[2K" + "\x1b[A\x1b[2K" * taken if taken else ""

    def _in_foreground(self) -> bool:
        """Whether the terminal is ours: one that was sent to the background (Ctrl-Z, bg) shares it with the shell."""
        try:
            return os.tcgetpgrp(self.stream.fileno()) == os.getpgrp()
        except OSError:
            return True


def rows(picture: Picture, width: int, height: int) -> list[Text]:
    """Return a picture as at most `height` lines of at most `width` columns."""
    lines = [] if picture.share is None else [_bar(picture.share, width)]
    lines += _flow([Text(count, "red" if count.endswith("failed") else "") for count in picture.counts], width)
    lines += _flow([_stage(stage) for stage in picture.stages], width)
    lines = lines[:height]
    free = height - len(lines)
    shown = picture.jobs if len(picture.jobs) <= free else picture.jobs[: max(free - 1, 0)]
    lines += _jobs(shown, width)
    if 0 < free < len(picture.jobs):
        lines.append(Text(f"and {len(picture.jobs) - len(shown)} more at work", "dim"))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _bar(share: float, width: int) -> Text:
    """Return a bar that tells done from left without colour as well."""
    columns = max(width - 6, 1)
    done = int(share * columns)
    return Text.assemble(("━" * done, "green"), ("─" * (columns - done), "dim"), f" {int(share * 100):4}%")


def _stage(stage: Stage) -> Text:
    style = "red" if stage.failed else "green" if stage.done == stage.total else "" if stage.done else "dim"
    return Text(f"{stage.name} {stage.done}/{stage.total}", style)


def _flow(items: list[Text], width: int, gap: int = GAP) -> list[Text]:
    """Put items into as few lines as hold them, none divided."""
    lines: list[Text] = []
    for item in items:
        if lines and lines[-1].cell_len + gap + item.cell_len <= width:
            lines[-1].append(" " * gap).append_text(item)
        else:
            lines.append(item.copy())
    return lines


def _jobs(jobs: list[Job], width: int) -> list[Text]:
    """Return a line for each job: how long it has been at work, its rule, its track."""
    times = [clock(job.seconds) for job in jobs]
    first = max(map(len, times), default=0)
    second = min(max((len(job.rule) for job in jobs), default=0), max((width - first - 2 * GAP) // 2, 1))
    last = max(width - first - second - 2 * GAP, 1)
    gap = " " * GAP
    return [
        Text.assemble(
            (time.rjust(first), "cyan"), gap, set_cell_size(shortened(job.rule, second), second), gap,
            shortened(job.track, last),
        )
        for time, job in zip(times, jobs, strict=True)
    ]  # fmt: skip


def shortened(text: str, width: int) -> str:
    """Return a text in at most `width` columns, without its middle: tracks of one album begin alike.

    >>> shortened("Bach/The Well-Tempered Clavier/01", 20)
    'Bach/The W…lavier/01'
    """
    length = cell_len(text)
    if length <= width:
        return text
    tail = (width - 1) // 2
    return f"{set_cell_size(text, width - 1 - tail)}…{split_text(text, length - tail)[1] if tail else ''}"


def folded(message: str, width: int) -> list[Text]:
    """Break lines between words where they are too long; paths stay whole, so that they can be copied."""
    lines = []
    for line in printable(message).splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        words = [Text(word) for word in line.strip().split(" ")]
        parts = _flow(words, width - len(indent) - 2, gap=1)
        lines += [Text(indent + ("  " if number else "")).append_text(part) for number, part in enumerate(parts)]
        lines[-len(parts)].highlight_regex("^ *failed(?=:? )", "red")
    return lines


@contextlib.contextmanager
def downloads() -> Iterator[Callable[[Any], Callable[[int, int | None], None]]]:
    """Show downloads on a terminal, as a context manager: share, speed, time left; gives what makes a `report`."""
    from rich import progress as shows

    columns = (shows.TextColumn("{task.description}"), shows.BarColumn(), shows.DownloadColumn())
    columns += (shows.TransferSpeedColumn(), shows.TimeRemainingColumn())
    with shows.Progress(*columns, console=Console(stderr=True), transient=True) as shown:

        def report_of(file: Any) -> Callable[[int, int | None], None]:
            task = shown.add_task(shortened(file.name, 40), total=file.size)

            def report(done: int, total: int | None) -> None:
                shown.update(task, completed=done, total=total, visible=done != total)

            return report

        yield report_of
