"""The warm worker: the same results as cold, private, and gone when its run is."""

import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from conftest import REPOSITORY
from mirflow import __version__
from mirflow.warm import server, session

SCRIPTS = REPOSITORY / "scripts"


class Run:
    """A process that stands for a run of Snakemake, and clients that belong to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner = subprocess.Popen(["sleep", "600"])
        self.environment = os.environ | {
            "XDG_RUNTIME_DIR": str(folder),
            "MIRFLOW_RUN": f"{self.owner.pid}:{session.start_time(self.owner.pid)}",
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

    def processes(self) -> list[int]:
        """Return the process ids of the workers of this run and of their children."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments = entry.read_bytes()
                if re.search(rb"mirflow\.warm\.(model_)?server", arguments) and str(self.folder).encode() in arguments:
                    found.append(int(entry.parent.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def children(self) -> list[int]:
        """Return the process ids of the children of this run's workers."""
        found = self.processes()
        return [pid for pid in found if parent(pid) in found]

    def workers(self) -> list[int]:
        """Return the process ids of this run's workers."""
        return sorted({*self.processes()} - {*self.children()})

    def end(self) -> None:
        self.owner.kill()
        self.owner.wait()


def parent(pid: int) -> int:
    """Return the process id of a process's parent, 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


@pytest.fixture
def run(tmp_path):
    started = Run(tmp_path)
    yield started
    started.end()
    assert until(lambda: not started.processes()), "the worker outlives its run"


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
    assert len(run.workers()) == len(run.children()) == 1
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
    assert {client.stdout.read() for client in clients} == {f"{__version__}\n"}
    assert len(run.workers()) == 1


@pytest.fixture
def busy(run, tmp_path):
    """A command that waits for a lock in a child of the worker: the client and the child."""
    run.call("--version")
    with FileLock(str(tmp_path / "T.INFO.lock")):
        client = run.client("info", "-o", str(tmp_path / "T.INFO"), cwd=tmp_path)
        (child,) = run.children()
        assert until(lambda: os.readlink(f"/proc/{child}/cwd") == str(tmp_path)), "it does not run the command"
        yield client, child
    client.communicate(timeout=30)


def test_a_killed_child_is_an_error_and_the_worker_lives(run, busy):
    client, child = busy
    os.kill(child, signal.SIGSEGV)
    assert client.wait(30) == 128 + signal.SIGSEGV
    assert client.stderr.read().splitlines()[-1] == "mirflow: error: info: the process was killed by SIGSEGV"
    assert run.call("--version")[0] == 0 and len(run.workers()) == 1


def test_a_killed_client_takes_its_child_with_it_and_a_socket_that_is_gone_does_not(run, busy):
    client, child = busy
    for path in run.sockets():
        path.unlink()
    time.sleep(2.5)  # the worker looks once a second
    assert child in run.children() and client.poll() is None
    client.kill()
    assert until(lambda: not run.processes()), "nobody can reach this worker any more"


def test_when_the_worker_is_killed_its_client_runs_the_command_and_the_next_starts_another(run, busy, tmp_path):
    client, _ = busy
    (warm,) = run.workers()
    os.kill(warm, signal.SIGKILL)
    assert until(lambda: not run.processes()), "the child must die with its worker"
    assert client.poll() is None, "the client waits for the lock itself now"
    assert run.call("--version")[:2] == (0, f"{__version__}\n")
    assert len(run.workers()) == 1


def test_two_runs_do_not_meet(run, tmp_path):
    other = Run(tmp_path)
    try:
        assert run.call("--version")[0] == 0 and other.call("--version")[0] == 0
        assert len(run.workers()) == 2 and len(run.sockets()) == 2
    finally:
        other.end()


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder for the session, and one for temporary files."""
    for name, variable in (("session", "XDG_RUNTIME_DIR"), ("temporary", "TMPDIR")):
        (tmp_path / name).mkdir(mode=0o700)
        monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / "session", tmp_path / "temporary"


def hostile(kind: str, folder: Path) -> None:
    """Prepare the folder of sockets as somebody might who wants to serve or to watch this user."""
    mine = folder / f"mirflow-{os.getuid()}"
    if kind == "link":
        mine.symlink_to(folder.parent)
    elif kind == "file":
        mine.touch()
    elif kind == "open":
        mine.mkdir()
        mine.chmod(0o755)
    elif kind == "somebody else's":
        if os.geteuid() != 0:
            pytest.skip("only root can give folders away")
        mine.mkdir(mode=0o700)
        os.chown(mine, 1, 1)
    elif kind == "in a folder of all, which is not sticky":
        folder.chmod(0o777)
    elif kind == "missing":
        folder.rmdir()


@pytest.mark.parametrize(
    "kind", ["link", "file", "open", "somebody else's", "in a folder of all, which is not sticky", "missing"]
)
def test_a_folder_that_is_not_private_is_not_used(places, kind):
    login, temporary = places
    assert session.socket_path("1:1").startswith(str(login))
    (login / f"mirflow-{os.getuid()}").rmdir()
    hostile(kind, login)
    assert session.socket_path("1:1").startswith(str(temporary))


def test_a_path_too_long_for_a_socket_is_not_used(places, monkeypatch):
    login, temporary = places
    deep = login / ("long" * 25)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    assert session.socket_path("1:1").startswith(str(temporary))


def test_a_worker_that_does_not_start_is_not_tried_again_at_once(places, monkeypatch):
    path, tried = session.socket_path(server.identity()), []

    def start(*_):
        tried.append(time.monotonic())
        time.sleep(0.05)
        raise OSError

    monkeypatch.setattr(session, "start", start)
    for _ in range(2):
        with pytest.raises(OSError):
            session.connect(path, server.identity())
    assert len(tried) == 1
    time.sleep(0.3)
    with pytest.raises(OSError):
        session.connect(path, server.identity())
    assert len(tried) == 2


def test_a_run_is_over_when_only_its_exit_status_is_left(tmp_path):
    dead = subprocess.Popen(["sleep", "600"])
    run = f"{dead.pid}:{session.start_time(dead.pid)}"
    assert not session.is_over(run)
    dead.kill()
    assert until(lambda: session.is_over(run)), "a zombie counts as alive"
    dead.wait()


def test_after_its_run_a_command_is_not_done(run):
    run.end()
    status, out, err = run.call("--version")
    assert (status, out) == (1, "") and "is over" in err and not run.processes()


def test_the_worker_of_a_clusters_job_serves_all_that_snakemake_starts_in_it(monkeypatch):
    for variable in ("MIRFLOW_RUN", "MIRFLOW_WARM", "SLURM_JOB_ID"):
        monkeypatch.setenv(variable, "17")
    server.announce(True, inner=True)
    assert os.environ["MIRFLOW_RUN"] == "SLURM_JOB_ID=17"
    server.announce(True)  # the whole run inside of one job: two of them do not meet
    assert os.environ["MIRFLOW_RUN"] == server.identity()


@pytest.fixture
def served(run):
    """Start a worker of which something is different: a function of the statements that make it so."""

    def start(*differences: str) -> subprocess.Popen:
        path = session.socket_path(run.environment["MIRFLOW_RUN"])
        listening, says = os.pipe()
        code = ["import os, sys", "from mirflow.warm import executor, server", "server.prepare = lambda: None"]
        code = "\n".join([*code, *differences, "server.main(sys.argv[1:])"])
        command = [sys.executable, "-c", code, path, run.environment["MIRFLOW_RUN"], str(says)]
        started = subprocess.Popen(
            command, pass_fds=[says], env=run.environment | {"PYTHONPATH": str(SCRIPTS)}, stderr=subprocess.PIPE
        )
        os.close(says)
        assert os.read(listening, 5) == b"ready"
        os.close(listening)
        run.environment["MIRFLOW_SOCKET"] = path
        return started

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(run.folder))
        yield start


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_child_serves_command_after_command_until_it_had_enough(run, served):
    started = served("server.COMMANDS = 3")
    seen = []
    for _ in range(6):
        assert run.call("--version") == (0, f"{__version__}\n", "")
        seen += children_of(started.pid)
    assert seen[0] == seen[1] != seen[-1] and len(set(seen)) == 2


def test_a_child_that_holds_too_much_memory_is_exchanged(run, served):
    started = served(
        "kept, perform = [], executor.perform",
        "executor.perform = lambda *given: kept.append(b'1' * 10**8) or perform(*given)",
    )
    seen = set()
    for _ in range(3):
        assert run.call("--version")[0] == 0
        seen |= set(children_of(started.pid))
    assert len(seen) == 1 and until(lambda: not children_of(started.pid)), "200 MB are kept, 300 MB are not"


def test_a_command_that_needs_a_process_of_its_own_leaves_the_child_and_its_status_comes_through(run, served):
    started = served("import threading", "threading.Thread(target=threading.Event().wait, daemon=True).start()")
    for arguments, expected in ((["-h"], 0), ([], 2)):  # the library of a head must not start in a fork of threads
        status, out, err = run.call("feature_danceability", *arguments)
        assert status == expected and "usage: mirflow feature_danceability" in out + err
        assert until(lambda: not children_of(started.pid)), "the child became the command"
    assert run.call("--version") == (0, f"{__version__}\n", "")


def test_a_child_that_dies_before_it_begins_a_command_takes_nothing_with_it(run, served):
    started = served()
    assert run.call("--version")[0] == 0
    (idle,) = children_of(started.pid)
    os.kill(idle, signal.SIGSTOP)
    client = run.client("--version")  # it is handed to the child that stands still
    time.sleep(0.3)
    os.kill(idle, signal.SIGKILL)
    assert client.communicate(timeout=30) == (f"{__version__}\n", "") and client.returncode == 0
    assert idle not in children_of(started.pid)


def test_when_no_process_can_be_had_the_client_runs_the_command(run, served):
    started = served("def fork(): raise OSError", "os.fork = fork")
    assert run.call("--version") == (0, f"{__version__}\n", "")
    assert started.poll() is None and not children_of(started.pid)


def test_a_worker_that_nobody_asks_ends(run, served):
    started = served("server.IDLE = 2")
    assert run.call("--version")[0] == 0 and children_of(started.pid)
    assert started.wait(10) == 0 and not run.sockets()


def test_what_one_child_decoded_the_next_one_reads(run, tmp_path, served):
    import soundfile

    started = served()
    noise = np.random.default_rng(0).standard_normal((44100, 2)) * 0.1
    soundfile.write(tmp_path / "full_mix.flac", noise, 44100)

    def shared() -> int:
        links = (os.readlink(path) for path in Path(f"/proc/{started.pid}/fd").iterdir())
        return sum("mirflow audio" in link for link in links)

    def fragment(name: str) -> bytes:
        status, _, said = run.call("spectral", "full_mix.flac", "-o", name, cwd=tmp_path)
        assert status == 0, said
        return (tmp_path / name).read_bytes()

    first = fragment("1.json")
    assert shared() == 1
    os.kill(children_of(started.pid)[0], signal.SIGKILL)
    assert fragment("2.json") == first and shared() == 1
    soundfile.write(tmp_path / "full_mix.flac", noise / 2, 44100)
    halved = fragment("3.json")
    assert halved != first and shared() == 1
    run.environment["MIRFLOW_WARM"] = "0"
    assert fragment("4.json") == halved


# The model worker is up faster, and shares all of this with the other one.


def test_more_clients_than_the_worker_may_open_files_for(run):
    few = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))}
    clients = [run.client("--model", "--version", **few) for _ in range(30)]
    assert [client.wait(120) for client in clients] == [0] * 30
    assert len(run.workers()) == len(run.children()) == 1


def test_what_a_killed_worker_left_is_cleared_away_by_the_next(run, tmp_path):
    other = Run(tmp_path)
    assert run.call("--model", "--version")[0] == 0
    for pid in run.processes():
        os.kill(pid, signal.SIGKILL)
    (left,) = run.sockets()
    try:
        assert other.call("--model", "--version")[0] == 0
        assert until(lambda: not left.exists()) and len(run.sockets()) == 1
    finally:
        other.end()


def test_umask_and_a_folder_that_is_gone_are_as_cold(run, tmp_path):
    fragment = tmp_path / "tempo.json"
    fragment.write_text(json.dumps({"bpm": 120.0, "_provenance": {"feature": "tempo", "version": 1}}))
    assert run.call("--model", "info", str(fragment), "-o", str(tmp_path / "x.INFO"), umask=0o077)[0] == 0
    assert stat.S_IMODE((tmp_path / "x.INFO").stat().st_mode) == 0o600
    gone = tmp_path / "gone"
    client = f"'{sys.executable}' -I -S '{SCRIPTS}/warm.py' --model --version"
    command = f"mkdir '{gone}'; cd '{gone}'; rmdir '{gone}'; {client}"
    done = subprocess.run(["sh", "-c", command], env=run.environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n"), done.stderr
