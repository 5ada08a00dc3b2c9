"""What a person sees of a run: lines that fit any terminal, whatever tracks are called, and plain ones elsewhere."""

import io
import logging
import os
import pty
import re
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
from rich.cells import cell_len

import snakemake_logger_plugin_mirflow as plugin
from conftest import REPOSITORY
from mirflow.core import artifacts
from mirflow.library.scan import Library, Skipped
from mirflow.workflow import progress
from mirflow.workflow.display import Display, Job, Picture, Stage, folded, rows, shortened

E = plugin.LogEvent
NAMES = (
    "[red]bold[/red] [/] :smile:",
    "音楽の名前/とても長い名前の曲" * 3,
    "emoji 🎵🎶 ❤️ 👩‍🎤",
    "clear\x1b[2J\x07\rscreen",
    "right \u202eto left",
    "an album/" + "a very long name " * 15 + "at last",
    "half \udcff",
)
RULES = ("full_mix", "stems", "feature_per_stem_harmonic", "info")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


class Screen:
    """A terminal as small as it can be: what is drawn on it can be read, and it wraps its lines again when resized."""

    def __init__(self, width: int) -> None:
        self.width, self.wrap = width, True
        self.lines: list[list[str]] = [[]]  # as they were written; each takes one row or several
        self.line = self.column = 0

    def feed(self, text: str) -> None:
        for code, char in re.findall(r"\x1b\[([?\d;]*[A-Za-z])|(.)", text, re.S):
            self.obey(code) if code else self.put(char)

    def obey(self, code: str) -> None:
        if code.endswith("w"):
            self.width = int(code[:-1])
        elif code in ("?7l", "?7h"):
            self.wrap = code == "?7h"
        elif code == "2K":
            self.lines[self.line] = self.lines[self.line][: self.column // self.width * self.width]
        elif code == "A" and self.column < self.width:
            self.line -= 1
            self.column = max(len(self.lines[self.line]) - 1, 0) // self.width * self.width + self.column
        elif code == "A":
            self.column -= self.width
        else:
            assert code.endswith("m"), f"unknown code {code}"

    def put(self, char: str) -> None:
        if char == "\r":
            self.column -= self.column % self.width
        elif char == "\n":
            self.line, self.column = self.line + 1, 0
            self.lines += [[]] * (self.line == len(self.lines))
        else:
            assert self.wrap or self.column < self.width, f"wider than {self.width}: {self.shown()[self.line]}"
            self.lines[self.line] = self.lines[self.line][: self.column] + [char] + [""] * (cell_len(char) - 1)
            self.column = len(self.lines[self.line])

    def shown(self) -> list[str]:
        return ["".join(line).rstrip() for line in self.lines]


@pytest.fixture
def stages(monkeypatch):
    """Rules in the files of their stages, as Snakemake knows them."""
    monkeypatch.setattr(progress, "_stages", {})
    files = zip(RULES, ("library", "stems", "features", "info"), strict=True)
    known = [types.SimpleNamespace(name=rule, snakefile=f"/x/rules/{stage}.smk") for rule, stage in files]
    progress.name_stages([*known, types.SimpleNamespace(name="all", snakefile="/x/Snakefile")])


def handler() -> plugin.LogHandler:
    return plugin.LogHandler(types.SimpleNamespace(dryrun=False, nocolor=False), None)


def tell(handler: plugin.LogHandler, event: E | None, message: str = "", **more: object) -> None:
    handler.handle(logging.makeLogRecord({"event": event, "msg": message, "levelno": logging.INFO, **more}))


def begin(handler: plugin.LogHandler) -> None:
    """Tell of a run: all tracks are decoded but one that failed, their stems are being separated."""
    tell(handler, E.RUN_INFO, stats={**{rule: len(NAMES) for rule in RULES}, "all": 1, "total": 29})
    for number, name in enumerate(NAMES):
        tell(handler, E.JOB_INFO, jobid=number, rule_name="full_mix", wildcards={"parent": "", "name": name})
    tell(handler, E.JOB_ERROR, jobid=0, rule_name="full_mix", log=[])
    for number, name in enumerate(NAMES[1:], 1):
        tell(handler, E.JOB_FINISHED, job_id=number)
        tell(handler, E.PROGRESS, done=number, total=29)
        tell(handler, E.JOB_INFO, jobid=10 + number, rule_name="stems", wildcards={"parent": "", "name": name})


def test_a_job_without_its_files_has_failed_and_is_not_at_work(stages, capsys):
    run = handler()
    begin(run)
    missing = "Missing in rule stems:\nJob 12  completed successfully, but some output files are missing."
    tell(run, E.ERROR, missing, levelno=logging.ERROR)
    assert 12 not in run.jobs and 11 in run.jobs and run.failed == 2
    assert "stems: some of its files are missing\n" in capsys.readouterr().err


def test_overviews_are_counted_by_tracks(stages, capsys):
    run = handler()
    tell(run, E.RUN_INFO, stats={"overview": 2, "overviews": 1, "total": 3})
    tell(run, E.JOB_INFO, jobid=1, rule_name="overview", wildcards={"parent": "", "name": "one"})
    tell(run, E.JOB_FINISHED, job_id=1)
    tell(run, E.PROGRESS, done=1, total=3)
    assert "1/2 tracks" in run._line() and "for 2 tracks" in capsys.readouterr().err


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal_whatever_tracks_are_called(stages, width):
    shown = handler()
    shown.display = Display(io.StringIO(), size=lambda: (width, 30))
    screen = Screen(width)
    begin(shown)
    shown.display.draw(shown.picture())
    screen.feed(shown.display.stream.getvalue())  # it refuses lines that are too wide
    lines = screen.shown()
    assert lines[0] == "mirflow: 29 jobs for 7 tracks"
    text = "\n".join(lines)
    assert not CONTROL.search(text)
    assert "failed: [red]bold[/red] [/] :smile::" in text
    for name in ("emoji 🎵🎶 ❤️", "right \\u202eto left") if width >= 60 else ():
        assert f"stems   {name}" in text
    assert "6/29 jobs   0/7 tracks   1 failed" in text and " 20%" in text
    assert re.search(r"library 6/7\s+stems 0/7\s+features 0/7\s+info 0/7", text) and "Snakefile" not in text
    tell(shown, None, "mirflow: 0 of 7 tracks complete\n  results in /out")
    screen = Screen(width)
    screen.feed(shown.display.stream.getvalue())
    assert [line for line in screen.shown() if line][-2:] == ["mirflow: 0 of 7 tracks complete", "  results in /out"]
    assert "library" not in "\n".join(screen.shown())  # nothing that was drawn stays
    shown.close()


PICTURE = Picture(
    ["12/40 jobs", "1/5 tracks", "1 min 05 s, about 2 min 20 s left"], 0.3,
    [Stage("library", 5, 5), Stage("stems", 1, 5)],
    [Job(65, "stems", "音楽 " * 20), Job(3, "feature_timbral", "album/a track of a rather long name, the first one")],
)  # fmt: skip


@pytest.mark.parametrize("widths", [(120, 37), (37, 120), (100, 41, 23, 80)])
def test_a_resized_terminal_shows_one_picture_and_keeps_what_was_above(widths):
    screen = Screen(widths[0])
    stream = io.StringIO()
    display = Display(stream, size=lambda: (screen.width, 24))
    display.draw(message="above")
    for width in widths:
        screen.width = width
        display.draw(PICTURE)
        screen.feed(stream.getvalue())
        stream.seek(0), stream.truncate()
    expected = [line.plain.rstrip() for line in rows(PICTURE, min(widths[-1] - 1, 100), 23)]
    assert [line for line in screen.shown() if line] == ["above", *expected]


def test_a_low_terminal_shows_what_fits():
    jobs = [Job(100 - number, "stems", f"track {number}") for number in range(30)]
    lines = [line.plain for line in rows(Picture(["1/2 jobs"], 0.5, [Stage("stems", 1, 2)], jobs), 79, 7)]
    assert lines[1:] == [
        "1/2 jobs", "stems 1/2", "1 min 40 s   stems   track 0", "1 min 39 s   stems   track 1",
        "1 min 38 s   stems   track 2", "and 27 more at work",
    ]  # fmt: skip


def test_a_bar_is_as_long_as_its_share_without_colour_as_well():
    for share, done in ((0, 0), (0.25, 25), (1, 100)):
        bar = rows(Picture([], share), 106, 1)[0].plain
        assert bar == "━" * done + "─" * (100 - done) + f" {done:4}%"


def test_long_names_lose_their_middle():
    assert shortened("Bach/The Well-Tempered Clavier/01", 20) == "Bach/The W…lavier/01"
    assert [cell_len(shortened("音楽の名前", width)) for width in range(1, 11)] == list(range(1, 11))


def test_messages_are_broken_between_words_and_paths_stay_whole():
    path = "/a/path/that/is/longer/than/the/terminal.mp3"
    lines = [line.plain for line in folded(f"  failed      x: full_mix: {path} is not an audio file", 30)]
    assert lines == ["  failed      x: full_mix:", f"    {path}", "    is not an audio file"]


def colours(text: str) -> list[str]:
    return re.findall(r"\x1b\[[\d;]*3\d[\d;]*m", text)


def test_no_color_means_no_colour(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    for variable, colourful in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", variable)
        display = Display(io.StringIO(), size=lambda: (80, 24))
        display.draw(PICTURE, "failed: x")
        assert bool(colours(display.stream.getvalue())) == colourful
    display = Display(io.StringIO(), size=lambda: (80, 24), colour=False)  # --nocolor
    display.draw(PICTURE, "failed: x")
    assert not colours(display.stream.getvalue())


def test_elsewhere_lines_are_plain(stages, capsys, monkeypatch):
    def said() -> list[str]:
        shown = handler()
        begin(shown)
        tell(shown, E.PROGRESS, done=29, total=29)
        tell(shown, None, "mirflow: 0 of 7 tracks complete")
        shown.close()
        return capsys.readouterr().err.split("\n")

    lines = said()
    assert lines[0] == "mirflow: 29 jobs for 7 tracks"
    assert "failed: [red]bold[/red] [/] :smile:: full_mix: no message" in lines
    assert lines[-2] == "mirflow: 0 of 7 tracks complete"
    assert len(lines) == 6, "one line of progress at once, none for 15 s, the last one"
    assert not CONTROL.search("".join(lines))

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert [re.sub(r"\d+ s.*", "", line) for line in said()] == [re.sub(r"\d+ s.*", "", line) for line in lines]


def test_what_completes_no_track_says_nothing_of_tracks(stages, capsys):
    shown = handler()
    tell(shown, E.RUN_INFO, stats={"export_huggingface": 1, "total": 1})
    tell(shown, E.PROGRESS, done=1, total=1)
    shown.close()
    assert re.sub(r"\d+ s\n", "", capsys.readouterr().err) == "mirflow: 1 job\n100%  1/1 jobs  "


def test_the_end_says_where_to_look(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "model_failures", lambda _: [])
    results = str(tmp_path / "out")
    library = Library(tmp_path, {track: tmp_path / f"{track}.mp3" for track in ("bad", "good", "new")})
    artifacts.write_bytes(Path(results, ".mirflow/merged/good/done"), b"")
    artifacts.write_bytes(Path(results, "good/source.json"), b'{"duration": 10.0}')
    said = progress.summary(results, library).splitlines()
    assert said[1:] == [f"  results in {results}", f"  look first at {results}/good/good.INFO"]

    artifacts.write_bytes(Path(results, ".mirflow/logs/bad/full_mix.log"), b"mirflow: error: bad.mp3: no audio in it\n")
    library.skipped.append(Skipped(tmp_path / "cover.jpg", "not an audio extension: .jpg"))
    said = progress.summary(results, library).splitlines()
    assert said[0].startswith("mirflow: 1 of 3 tracks complete, 1 failed, 1 unfinished")
    assert said[1:] == [
        "  failed      bad: full_mix: bad.mp3: no audio in it",
        f"  failures in {results}/.mirflow/failed.tsv; the next run tries them again",
        f"  Snakemake's own log in {tmp_path}/.snakemake/log",
        f"  1 file is not a track; which and why in {results}/.mirflow/library.tsv",
        f"  results in {results}",
        f"  look first at {results}/good/good.INFO",
    ]


def test_tracks_that_wait_for_a_model_are_not_complete_whatever_was_made_before(tmp_path, monkeypatch):
    """They were merged with other settings; now no job of them fails, since none that needs the model begins."""
    results, library = str(tmp_path / "out"), Library(tmp_path, {track: tmp_path / f"{track}.mp3" for track in "abc"})
    for track in "abc":
        artifacts.write_bytes(Path(results, f".mirflow/merged/{track}/done"), b"")
        artifacts.write_bytes(Path(results, f".mirflow/logs/{track}/info.log"), b"")
        artifacts.write_bytes(Path(results, f"{track}/source.json"), b'{"duration": 10.0}')
    failure = progress.Failure("", "model net.pb", "HTTP 404")
    monkeypatch.setattr(progress, "model_failures", lambda _: [failure])
    progress.start(results, library, merging=["a", "b"])
    os.utime(Path(results, ".mirflow/merged/b/done"))  # b did not need it
    assert progress.unmade(results) == ["a"]
    said = progress.summary(results, library, progress.Run(broken=True, waiting=progress.unmade(results))).splitlines()
    assert said[0].startswith("mirflow: 2 of 3 tracks complete, 0 failed, 1 unfinished, 1 model file missing;")
    assert said[1:3] == [
        "  failed      model net.pb: HTTP 404",
        "  unfinished  1 track; what needs these files is made by the next run",
    ]


def test_a_download_is_shown_with_how_far_it_is(stages, tmp_path, capsys, monkeypatch):
    log = tmp_path / "net.gguf.log"
    log.write_text("net.gguf: 0.10 of 5.90 GB, 1 %, 20.0 MB/s, 4 min 50 s left\n")
    shown = handler()
    shown.display = Display(io.StringIO(), size=lambda: (100, 30))
    tell(shown, E.RUN_INFO, stats={"total": 2, "info": 1})
    tell(shown, E.JOB_INFO, jobid=1, rule_name="model_file_net_gguf", wildcards={}, log=[str(log)])
    (job,) = shown.picture().jobs
    assert (job.rule, job.track) == ("download", log.read_text().strip())
    shown.display = None
    monkeypatch.setattr(plugin, "QUIET_INTERVAL", 0.01)
    teller = threading.Thread(target=shown._keep_telling)
    teller.start()
    time.sleep(0.1)
    shown.over.set()
    teller.join()
    assert capsys.readouterr().err.count("download  net.gguf: 0.10 of 5.90 GB, 1 %") == 1  # the same line once
    tell(shown, E.JOB_FINISHED, job_id=1)
    assert not shown.downloads


RUN = """
import fcntl, logging, signal, struct, sys, termios, time, types
import snakemake_logger_plugin_mirflow as plugin
E = plugin.LogEvent

def resize(width):
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 20, width, 0, 0))
    print(f"\\x1b[{width}w", end="", file=sys.__stderr__, flush=True)  # known to the test's screen alone

def tell(event, message="", **more):
    handler.handle(logging.makeLogRecord({"event": event, "msg": message, "levelno": logging.INFO, **more}))

resize(100)
handler = plugin.LogHandler(types.SimpleNamespace(dryrun=False, nocolor=False), None)
tell(E.WORKFLOW_STARTED)
tell(E.RUN_INFO, stats={"total": 2, "info": 1, "stems": 1})
tell(E.JOB_INFO, jobid=1, rule_name="stems", wildcards={"parent": "album/", "name": "a rather long name, " * 5})
for width in 100, 33, 71:
    with handler.lock:
        resize(width)
    time.sleep(0.6)
    print("written to stderr by others", width, file=sys.stderr)
if "interrupted" in sys.argv:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets background processes ignore it
    signal.raise_signal(signal.SIGINT)
tell(None, "mirflow: all is done")
handler.close()
"""


@pytest.mark.parametrize("end", ["done", "interrupted"])
def test_a_real_terminal_is_right_when_resized_and_left_clean(end):
    ours, theirs = pty.openpty()
    env = os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts"), "TERM": "xterm", "PYTHONUTF8": "1", "COLUMNS": "300"}
    said = b""
    with subprocess.Popen([sys.executable, "-c", RUN, end], stderr=theirs, env=env):
        os.close(theirs)
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    screen = Screen(0)
    screen.feed(said.decode())
    lines = [line for line in screen.shown() if line]
    others = [f"written to stderr by others {width}" for width in (100, 33, 71)]
    assert lines[:4] == ["mirflow: 2 jobs for 1 track", *others]
    assert lines[4:] == ["mirflow: all is done"] if end == "done" else lines[-1] == "KeyboardInterrupt"
    assert "stems" not in "".join(lines[4:]).replace('"stems"', "") and screen.wrap
    assert said.count(b"0/2 jobs") > 6  # it was drawn
