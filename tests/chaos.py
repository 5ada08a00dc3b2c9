"""Kill things at random moments, run again, and see that nothing is lost: ``make chaos ROUNDS=50``.

In each round a run over a small library is disturbed once: Snakemake, the warm worker, one of its children or a client
is killed with SIGKILL, or everything is interrupted as by Ctrl-C. Then the same run is started again. It must complete,
leave no process and no unfinished file behind, keep the keys of other people in ``.INFO``, and every artifact must have
the bytes of an undisturbed run.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from conftest import REPOSITORY, loop, write

VICTIMS = ("snakemake", "worker", "child", "client", "interrupt")
THEIRS = {"theirs": [1.5, None, "ü"]}
TRACKS = ("one", "sub/two", "sub/it's {3}")


def start(library: Path, results: Path) -> subprocess.Popen:
    """Start the workflow in a session of its own."""
    command = [sys.executable, "-m", "snakemake", "-j", "2", "--config", f"library={library}", f"results={results}"]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def processes(mark: str) -> Iterator[tuple[int, str]]:
    """Yield (process id, command line) of all processes that belong to a run: `mark` is in their environment."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "environ").read_bytes():
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue


def disturb(victim: str, run: subprocess.Popen, mark: str, chance: random.Random) -> bool:
    """Kill one victim; return whether there was one."""
    if run.poll() is not None:
        return False
    if victim == "snakemake":
        run.kill()
        return True
    if victim == "interrupt":
        os.killpg(run.pid, signal.SIGINT)
        return True
    while run.poll() is None:  # clients and children live for a moment only: the first that is seen
        found = [(pid, line) for pid, line in processes(mark) if pid != run.pid]
        workers = sorted(pid for pid, line in found if "mirflow.worker" in line)
        pids = {
            "worker": workers[:1],
            "child": workers[1:],
            "client": [pid for pid, line in found if "warm.py" in line],
        }
        if pids[victim]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(pids[victim]), signal.SIGKILL)
                return True
    return False


def content(results: Path) -> dict[str, bytes]:
    """Return the bytes of all artifacts, without logs, benchmarks and locks."""
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in sorted(results.rglob("*"))
        if path.is_file() and ".mirflow" not in path.relative_to(results).parts and path.suffix != ".lock"
    }


def seed(results: Path) -> Path:
    """Make the results directory with .INFO files that hold keys of other people."""
    for track in TRACKS:
        encoded = track.replace("{", "%7B").replace("}", "%7D")
        path = results / encoded / f"{encoded.rpartition('/')[2]}.INFO"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(THEIRS))
    return results


def rounds(number: int, chance: random.Random, folder: Path) -> int:
    """Run the rounds; return how many went wrong."""
    library = folder / "music"
    for index, track in enumerate(TRACKS):
        write(library / f"{track}.flac", loop(5 + index))
    mark = f"MIRFLOW_CHAOS={folder}"
    os.environ["MIRFLOW_CHAOS"] = str(folder)
    calm = seed(folder / "calm")
    began = time.monotonic()
    output = start(library, calm).communicate()[0]
    length = time.monotonic() - began
    expected = content(calm)
    infos = [path for path in expected if path.endswith(".INFO")]
    if len(infos) != len(TRACKS) or any(b'"theirs"' not in expected[path] for path in infos):
        sys.exit(f"the undisturbed run failed:\n{output}")
    print(f"undisturbed: {length:.0f} s, {len(expected)} artifacts", flush=True)
    wrong = 0
    for index in range(number):
        victim = VICTIMS[index % len(VICTIMS)]
        results = seed(folder / f"round {index}")
        run = start(library, results)
        time.sleep(chance.uniform(0.05, 0.95) * length)
        hit = disturb(victim, run, mark, chance)
        run.communicate()
        again = start(library, results)
        said = again.communicate()[0]
        time.sleep(2.5)  # a worker looks once a second whether its run is still there
        problems = []
        if again.returncode:
            problems.append(f"the second run ended with {again.returncode}:\n{said[-3000:]}")
        got = content(results)
        problems += [f"{path}: differs" for path in sorted(expected) if got.get(path) != expected[path]]
        problems += [f"{path}: left behind" for path in sorted(set(got) - set(expected))]
        mine = {os.getpid(), os.getppid()}
        problems += [f"process {pid} left: {line}" for pid, line in processes(mark) if pid not in mine]
        wrong += bool(problems)
        print(
            f"round {index + 1:3}: {victim:10} {'killed' if hit else 'was not there'}  {problems or 'fine'}", flush=True
        )
        shutil.rmtree(results)
    return wrong


def main() -> int:
    """Return 0 when all rounds went well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory(prefix="mirflow-chaos-") as folder:
        wrong = rounds(arguments.rounds, random.Random(arguments.seed), Path(folder))
    print(f"{arguments.rounds} rounds, {wrong} went wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
