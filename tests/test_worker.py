"""The warm worker: the same results as cold, private, and gone when its run is."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from conftest import REPOSITORY
from mirflow import worker

SCRIPTS = REPOSITORY / "scripts"


class Run:
    """A process that stands for a run of Snakemake, and clients that belong to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner = subprocess.Popen(["sleep", "600"])
        self.environment = os.environ | {
            "XDG_RUNTIME_DIR": str(folder),
            "MIRFLOW_RUN": f"{self.owner.pid}:{worker.start_time(self.owner.pid)}",
            "MIRFLOW_WARM": "1",
        }

    def client(self, *argv: str, **options: object) -> subprocess.Popen:
        command = [sys.executable, "-I", "-S", str(SCRIPTS / "warm.py"), *argv]
        return subprocess.Popen(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment, **options
        )

    def call(self, *argv: str, **options: object) -> tuple[int, str, str]:
        process = self.client(*argv, **options)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def sockets(self) -> list[Path]:
        return [path for path in self.folder.glob("mirflow-*/*") if stat.S_ISSOCK(path.lstat().st_mode)]

    def workers(self) -> list[int]:
        """Return the process ids of the workers of this run and of their children."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments = entry.read_bytes()
                if b"mirflow.worker" in arguments and str(self.folder).encode() in arguments:
                    found.append(int(entry.parent.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def end(self) -> None:
        self.owner.kill()
        self.owner.wait()


@pytest.fixture
def run(tmp_path):
    started = Run(tmp_path)
    yield started
    started.end()
    assert until(lambda: not started.workers()), "the worker outlives its run"


def until(condition, seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_same_output_status_and_folder_as_cold(run, tmp_path):
    fragment = tmp_path / "tempo.json"
    fragment.write_text(json.dumps({"bpm": 120.0, "_provenance": {"feature": "tempo", "version": 1}}))
    assert run.call("info", "tempo.json", "-o", "warm.INFO", cwd=tmp_path) == (0, "", "")
    assert len(run.workers()) == 1
    (private,) = {path.parent for path in run.sockets()}
    assert stat.S_IMODE(private.stat().st_mode) == 0o700 and stat.S_IMODE(run.sockets()[0].stat().st_mode) == 0o600
    run.environment["MIRFLOW_WARM"] = "0"
    assert run.call("info", "tempo.json", "-o", "cold.INFO", cwd=tmp_path) == (0, "", "")
    assert (tmp_path / "warm.INFO").read_bytes() == (tmp_path / "cold.INFO").read_bytes()


def test_errors_come_through_as_they_are(run, tmp_path):
    missing = ("info", str(tmp_path / "no.json"), "-o", str(tmp_path / "x.INFO"))
    warm = run.call(*missing)
    run.environment["MIRFLOW_WARM"] = "0"
    cold = run.call(*missing)
    assert warm[0] == cold[0] == 1
    assert warm[2].splitlines()[-1] == cold[2].splitlines()[-1]
    assert run.call("nonsense")[0] == 2


def test_many_clients_at_once_share_one_worker(run):
    clients = [run.client("--version") for _ in range(20)]
    assert [client.wait(120) for client in clients] == [0] * 20
    assert {client.stdout.read() for client in clients} == {"0.1.0\n"}
    assert len(run.workers()) == 1


@pytest.fixture
def busy(run, tmp_path):
    """A command that waits for a lock in a child of the worker: the client and the child."""
    run.call("--version")
    (warm,) = run.workers()
    with FileLock(str(tmp_path / "T.INFO.lock")):
        client = run.client("info", "-o", str(tmp_path / "T.INFO"))
        assert until(lambda: len(run.workers()) == 2)
        (child,) = set(run.workers()) - {warm}
        yield client, child
    client.communicate(timeout=30)


def test_a_killed_child_is_an_error_and_the_worker_lives(run, busy):
    client, child = busy
    os.kill(child, signal.SIGSEGV)
    assert client.wait(30) == 128 + signal.SIGSEGV
    assert client.stderr.read().splitlines()[-1] == "mirflow: error: info: the process was killed by SIGSEGV"
    assert run.call("--version")[0] == 0 and len(run.workers()) == 1


def test_a_killed_client_takes_its_child_with_it(run, busy):
    client, child = busy
    client.kill()
    assert until(lambda: child not in run.workers())
    assert len(run.workers()) == 1


def test_when_the_worker_is_killed_its_client_runs_the_command_and_the_next_starts_another(run, busy, tmp_path):
    client, child = busy
    (warm,) = set(run.workers()) - {child}
    os.kill(warm, signal.SIGKILL)
    assert until(lambda: not run.workers()), "the child must die with its worker"
    assert client.poll() is None, "the client waits for the lock itself now"
    assert run.call("--version")[:2] == (0, "0.1.0\n")
    assert len(run.workers()) == 1


def test_two_runs_do_not_meet(run, tmp_path):
    other = Run(tmp_path)
    try:
        assert run.call("--version")[0] == 0 and other.call("--version")[0] == 0
        assert len(run.workers()) == 2 and len(run.sockets()) == 2
    finally:
        other.end()


def test_a_folder_that_others_may_enter_is_not_used(run, tmp_path):
    folder = tmp_path / f"mirflow-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o755)
    assert run.call("--version")[:2] == (0, "0.1.0\n")  # cold
    assert not run.workers()
