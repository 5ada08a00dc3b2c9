"""Commands for which Snakemake's own process asks the worker: nobody sees a difference."""

import json
import os
import shlex
import signal
import stat
import sys
import threading
from types import SimpleNamespace

import pytest
from filelock import FileLock
from test_server import SCRIPTS, Run, until

from mirflow.warm import direct

ODD = ["a b", "it's", "", "$(x) `y` {z} *", 'say "hi"', "Ä\nö", "-rf", "~", "#"]


@pytest.mark.parametrize("word", ODD)
def test_what_is_quoted_is_understood_as_a_shell_does(word):
    quoted = shlex.quote(word)
    assert direct.understood(f" mirflow info {quoted}  -o {quoted} 2> {quoted}") == (["info", word, "-o", word], word)


@pytest.mark.parametrize(
    "text",
    [
        "mirflow info x",
        "mirflow info x > out 2> log",
        "mirflow info $HOME 2> log",
        "mirflow info *.json 2> log",
        "mirflow info ~ 2> log",
        "mirflow info x 2> log; rm y",
        "mirflow info x 2> log\nrm y",
        "mirflow info x && mirflow info y 2> log",
        "mirflow info 'x 2> log",
        "python x 2> log",
        "mirflow --model describe x 2> log",
    ],
)
def test_all_else_is_for_a_shell(text):
    assert direct.understood(text) is None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    one = Run(tmp_path_factory.mktemp("run"))
    assert one.call("--version")[0] == 0
    one.environment["MIRFLOW_SOCKET"] = str(one.sockets()[0])
    yield one
    one.end()
    assert until(lambda: not one.processes())


@pytest.fixture
def start(run, tmp_path, monkeypatch):
    """Start commands as Snakemake does."""
    prefix = f"set -euo pipefail; mirflow() {{ exec '{sys.executable}' -I -S '{SCRIPTS}/warm.py' \"$@\"; }}; "
    monkeypatch.chdir(tmp_path)
    starter = direct.starter(prefix)
    return lambda text: starter(prefix + text, shell=True, executable="/bin/bash", env=run.environment)


def test_status_outputs_and_folder_are_those_of_a_shell(start, tmp_path):
    (tmp_path / "log").write_text("of an earlier run")
    one = start("mirflow info no.json -o x.INFO 2> log")
    assert isinstance(one, direct.Command) and one.wait() == 1
    said = (tmp_path / "log").read_text()
    assert "no.json" in said and "earlier" not in said
    shell = start("mirflow info no.json -o x.INFO 2> 'log2' ; exit 1")
    assert not isinstance(shell, direct.Command) and shell.wait() == 1
    assert (tmp_path / "log2").read_text() == said
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o666 & ~umask
    assert start("mirflow info no.json -o x.INFO 2> no/log").wait() == 1, "a log that cannot be written"


@pytest.fixture
def busy(run, start, tmp_path):
    """A command that waits for a lock until `free`, its process, the thread that waits for it, and what that finds."""
    fragment = {"bpm": 120.0, "_provenance": {"feature": "tempo", "version": 1}}
    (tmp_path / "tempo.json").write_text(json.dumps(fragment))
    lock = FileLock(str(tmp_path / "T.INFO.lock"))
    lock.acquire()
    command, status = start("mirflow info tempo.json -o T.INFO 2> log"), []
    thread = threading.Thread(target=lambda: status.append(command.wait()))
    thread.start()

    def runs_it() -> list[int]:
        return [pid for pid in run.children() if os.readlink(f"/proc/{pid}/fd/2") == str(tmp_path / "log")]

    assert until(runs_it)
    yield SimpleNamespace(child=runs_it()[0], thread=thread, status=status, free=lock.release)
    lock.release()
    thread.join(30)


def test_all_commands_end_with_the_run(busy, run, start):
    direct.end_all()
    busy.thread.join(30)
    assert busy.status == [direct.STOPPED] and until(lambda: busy.child not in run.children())
    assert start("mirflow --version 2> log").wait() == 0


def test_a_killed_command_is_told_in_its_log(busy, tmp_path):
    os.kill(busy.child, signal.SIGSEGV)
    busy.thread.join(30)
    assert busy.status == [128 + signal.SIGSEGV]
    assert (tmp_path / "log").read_text().splitlines()[-1] == "mirflow: error: info: the process was killed by SIGSEGV"


def test_when_the_worker_dies_a_shell_runs_the_command(busy, run, tmp_path):
    (worker,) = run.workers()
    os.kill(worker, signal.SIGKILL)
    assert until(lambda: busy.child not in run.processes(), 30) and busy.thread.is_alive()
    busy.free()
    busy.thread.join(60)
    assert busy.status == [0] and json.loads((tmp_path / "T.INFO").read_text())["bpm"] == 120
