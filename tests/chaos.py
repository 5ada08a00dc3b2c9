"""Break things while a run is at work, run again, and see that nothing is lost: ``make chaos ROUNDS=50``.

First rounds: in each one a run over a small library is disturbed at a random moment. Snakemake, the warm worker, one of
its children or all of them are killed with SIGKILL, or the run is told to end as by Ctrl-C, by a cluster, or by a
terminal that closes. Then every case of faults.py. After each the same run is started again: it must complete, one
more must find nothing to do, no process and no unfinished file may be left, the keys of other people in ``.INFO`` must
be there, and every artifact must have the bytes of an undisturbed run.
"""

import argparse
import contextlib
import ctypes
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import project
from conftest import RATE, write
from mirflow import features
from mirflow.core import artifacts

SIGNALS = {"interrupt": signal.SIGINT, "terminate": signal.SIGTERM, "hang up": signal.SIGHUP}
VICTIMS = ("snakemake", "worker", "child", "everything", *SIGNALS)
THEIRS = {"theirs": [1.5, None, "ü"]}
TRACKS = ("one", "sub/two", "sub/it's {3}")
FEATURES = ("loudness", "tempo")  # these are enough: what is broken here does not look at numbers
PATIENCE = 30.0  # s for what is over within two on a machine that has nothing else to do
NOTHING = "Nothing to be done"


class Wrong(Exception):
    """Something was lost, left over, or not said."""


def check(condition: object, what: str) -> None:
    """Raise `Wrong` unless `condition` holds."""
    if not condition:
        raise Wrong(what)


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Wait until `condition` holds; return whether it came to that."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.03)
    return True


def piece(number: int, seconds: float) -> np.ndarray:
    """Synthesise music that is another one for each number: clicks and random chords at 120 bpm, float64 [n, 2].

    Tracks that are the same recording would be a group, whose name depends on which of them were complete first.
    """
    chance = np.random.default_rng(number)
    t = np.arange(int(seconds * RATE)) / RATE
    pitches = 220 * 2 ** (chance.integers(0, 24, (int(2 * seconds) + 1, 3)) / 12)  # Hz, [beat, voice]
    phases = 2 * np.pi * np.cumsum(pitches[(2 * t).astype(int)], axis=0) / RATE
    clicks = 0.3 * chance.standard_normal(len(t)) * np.exp(-(t % 0.5) / 0.01)
    return np.stack([0.1 * np.sin(phases).sum(axis=1) + clicks] * 2, axis=1)


class Run(subprocess.Popen):
    """A process whose output goes into a file, because a pipe that nobody reads fills up and stops it."""

    def __init__(self, command: list[str], **options: object) -> None:
        self.said = tempfile.TemporaryFile("a+", errors="replace")
        super().__init__(command, text=True, stdout=self.said, stderr=subprocess.STDOUT, **options)

    def communicate(self, input: None = None, timeout: float | None = None) -> tuple[str, None]:
        """Wait for the end, and return what it said."""
        self.wait(timeout)
        self.said.seek(0)
        return self.said.read(), None


class House:
    """A copy of the project, a small library, and what an undisturbed run makes of it.

    Attributes
    ----------
    settings : of all runs
    options : more arguments of Snakemake, of all runs of a case
    is_mortal : whether runs may not read what its mode forbids, even those of root
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.settings = {"skip": [f.name for f in features.all_features() if f.name not in FEATURES]} | settings
        self.options: list[str] = []
        self.is_mortal = False
        # a copy: nothing is written into the repository, nor into that of another user
        self.project = project.copy(folder / "project")
        self.library, self.pristine = folder / "music", folder / "pristine"
        for index, track in enumerate(TRACKS):
            write(self.pristine / f"{track}.flac", piece(index, 5 + index))
        shutil.copytree(self.pristine, self.library)
        self.length, self.expected = 0.0, {}

    def calm(self) -> None:
        """Make the undisturbed run."""
        results = self.seed("calm")
        began = time.monotonic()
        status, said = self.run(results)
        self.length = time.monotonic() - began
        self.expected = content(results)
        infos = [text for path, text in self.expected.items() if path.endswith(".INFO")]
        check(status == 0 and len(infos) == len(TRACKS), f"the undisturbed run failed:\n{said}")
        check(all(b'"theirs"' in text for text in infos), "keys of other people are lost")
        self.leave_nothing()

    def tracks(self) -> list[str]:
        """Return the ids of the tracks."""
        return [str(info_path(Path(), track).parent) for track in TRACKS]

    def seed(self, name: str) -> Path:
        """Return a results directory with .INFO files that hold keys of other people."""
        results = self.folder / name
        for track in TRACKS:
            info = info_path(results, track)
            info.parent.mkdir(parents=True)
            info.write_text(json.dumps(THEIRS))
        return results

    def start(self, results: Path, *options: str, **config: str) -> Run:
        """Start the workflow in a session of its own; `config` are further settings of this run alone."""
        settings = self.folder / "settings.json"
        if not settings.exists():
            settings.write_text(json.dumps(self.settings))
        command = [sys.executable, "-m", "snakemake", "-j", "2", *self.options, *options]
        command += ["--configfile", str(settings), "--config", f"library={self.library}", f"results={results}"]
        command += [f"{name}={value}" for name, value in config.items()]
        environment = os.environ | {"MIRFLOW_CHAOS": str(self.folder), "TMPDIR": "/tmp"}
        mortal = become_mortal if self.is_mortal else None
        return Run(command, cwd=self.project, env=environment, start_new_session=True, preexec_fn=mortal)

    def run(self, results: Path, *options: str, **config: str) -> tuple[int, str]:
        """Run the workflow; return its exit status and what it said."""
        process = self.start(results, *options, **config)
        said = process.communicate()[0]
        return process.returncode, said

    def processes(self) -> dict[int, str]:
        """Return all processes that belong to runs in this house: process id → command line."""
        found, mark = {}, os.fsencode(self.folder)
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                line = (entry / "cmdline").read_bytes()
                if line and (b"MIRFLOW_CHAOS=" + mark in (entry / "environ").read_bytes() or mark in line):
                    found[int(entry.name)] = line.replace(b"\0", b" ").decode(errors="replace")
        return {pid: line for pid, line in found.items() if pid not in (os.getpid(), os.getppid())}

    def leave_nothing(self) -> None:
        """Check that the processes of ended runs end too: a worker looks once a second whether its run is there."""
        check(until(lambda: not self.processes()), f"left: {self.processes()}")

    def settle(self, results: Path) -> None:
        """Run again, and check that everything is as if nothing had happened."""
        status, said = self.run(results)
        check(status == 0, f"the next run ended with {status}:\n{said[-3000:]}")
        got = content(results)
        wrong = [f"{path} differs" for path in sorted(self.expected) if got.get(path) != self.expected[path]]
        wrong += [f"{path} left behind" for path in sorted(set(got) - set(self.expected))]
        wrong += [f"{path} is unfinished" for path in results.rglob(f"{artifacts.TEMPORARY}*")]
        check(not wrong, ", ".join(wrong))
        status, said = self.run(results, "-n")
        check(status == 0 and NOTHING in said, f"another run finds work:\n{said[-3000:]}")
        self.leave_nothing()


def become_mortal() -> None:
    """Give up, from the next program on, root's right to read and write anything."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def info_path(results: Path, track: str) -> Path:
    """Return the .INFO of a track."""
    encoded = track.replace("{", "%7B").replace("}", "%7D")
    return results / encoded / f"{encoded.rpartition('/')[2]}.INFO"


def content(results: Path) -> dict[str, bytes]:
    """Return the bytes of all artifacts, without logs, benchmarks and locks."""
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in sorted(results.rglob("*"))
        if path.suffix != ".lock" and ".mirflow" not in path.relative_to(results).parts and path.is_file()
    }


def disturb(victim: str, run: subprocess.Popen, house: House, chance: random.Random) -> bool:
    """Do to a run what `victim` says; return whether there was what was to be killed."""
    if victim in SIGNALS and run.poll() is None:
        os.killpg(run.pid, SIGNALS[victim])
        return True
    while run.poll() is None:  # children live for a moment only: the first that is seen
        found = house.processes()
        workers = sorted(pid for pid, line in found.items() if "mirflow.warm.server" in line)
        pids = {
            "snakemake": [run.pid],
            "worker": workers[:1],
            "child": workers[1:],
            "everything": list(found),
        }[victim]
        for pid in pids if victim == "everything" else chance.sample(pids, min(1, len(pids))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if pids:
            return True
    return False


def one_round(house: House, victim: str, index: int, chance: random.Random) -> str:
    """Disturb one run; return what happened."""
    from faults import whole

    results = house.seed(f"round {index}")
    made = chance.randrange(len(TRACKS), len(house.expected))  # artifacts: it takes as long as it takes
    run = house.start(results)
    until(lambda: run.poll() is not None or sum((results / path).exists() for path in house.expected) >= made, 600)
    time.sleep(chance.uniform(0, 2))
    hit = disturb(victim, run, house, chance)
    run.communicate()
    house.leave_nothing()
    before = [path for path in house.expected if (results / path).exists()]
    whole(house, results)
    unfinished = len(list(results.rglob(f"{artifacts.TEMPORARY}*")))
    house.settle(results)
    shutil.rmtree(results)
    missed = "" if hit else "the run was faster; "
    return f"{missed}{len(before)} of {len(house.expected)} artifacts were there, {unfinished} unfinished files"


class Table:
    """Prints one line a case, and counts."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()

    def add(self, name: str, case: Callable[[], str]) -> None:
        """Do a case; say what became of it."""
        from faults import Impossible

        began, verdict = time.monotonic(), "right"
        try:
            said = case()
        except Impossible as error:
            verdict, said = "skipped", str(error)
        except Wrong as error:
            verdict, said = "WRONG", str(error)
        self.verdicts[verdict] += 1
        print(f"{name:34} {verdict:8} {time.monotonic() - began:5.0f} s  {said}", flush=True)


def rounds(house: House, number: int, chance: random.Random, table: Table) -> None:
    """Do so many rounds, each kind of disturbance in turn."""
    for index in range(number):
        victim = VICTIMS[index % len(VICTIMS)]
        table.add(f"round {index + 1}: {victim}", lambda v=victim, i=index: one_round(house, v, i, chance))


def main() -> int:
    """Return 0 when nothing went wrong."""
    import faults

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", default="", help="only cases whose name this regular expression matches")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    for number in SIGNALS.values():  # a shell that starts this in the background has told it to ignore some of them
        signal.signal(number, signal.SIG_DFL)
    table = Table()
    with tempfile.TemporaryDirectory(prefix="mirflow-chaos-") as folder:
        house = House(Path(folder))
        house.calm()
        print(f"undisturbed: {house.length:.0f} s, {len(house.expected)} artifacts", flush=True)
        rounds(house, arguments.rounds, random.Random(arguments.seed), table)
        for name, case in faults.CASES.items():
            if re.search(arguments.only, name):
                table.add(name.replace("_", " "), lambda n=name, c=case: faults.do(n, c, house))
    print(", ".join(f"{number} {verdict}" for verdict, number in table.verdicts.items()))
    return int(table.verdicts["WRONG"] > 0)


if __name__ == "__main__":
    from chaos import main  # the module that the cases know, with the same `Wrong`

    sys.exit(main())
