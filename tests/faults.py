"""The cases of ``make chaos``: what happens to disks, files, clocks and other runs, one function each.

A case gets a house (see chaos.py) and a stack for what must be undone. It breaks something, checks what the run says
and what it leaves alone, mends it, and lets the house settle: the next run must complete with the bytes of an
undisturbed one.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from chaos import THEIRS, TRACKS, House, check, content, info_path, until
from conftest import loop, write
from mirflow.workflow import shares
from mirflow.workflow.shares import Share

HOUR = 3600.0  # s
KILLED = json.dumps(THEIRS).encode()  # an .INFO that nothing was merged into yet

Case = Callable[[House, contextlib.ExitStack], str]
CASES: dict[str, Case] = {}


class Impossible(Exception):
    """This case cannot be tried here, and why."""


def case(function: Case) -> Case:
    """Note a case under its name."""
    CASES[function.__name__] = function
    return function


def do(name: str, chosen: Case, house: House) -> str:
    """Do a case, and put the house in order again."""
    with contextlib.ExitStack() as stack:
        stack.callback(restore, house)
        said = chosen(house, stack)
    for results in house.folder.glob(f"{name}*"):
        shutil.rmtree(results)
    return said


def restore(house: House) -> None:
    """Put back library and options."""
    house.options, house.is_mortal = [], False
    shutil.rmtree(house.library)
    shutil.copytree(house.pristine, house.library)


def whole(house: House, results: Path) -> None:
    """Check that what is there is complete: artifacts as in an undisturbed run, and .INFO, merged or not yet.

    What concerns all tracks at once follows the merges: the table of duplicates may be of fewer tracks, and its keys
    may be missing in an .INFO.
    """
    for path, text in content(results).items():
        if "/.mirflow-tmp-" in f"/{path}" or path == "duplicates.tsv":
            continue
        expected = house.expected.get(path)
        if path.endswith(".INFO") and text != KILLED and expected is not None:
            text, expected = alone(text), alone(expected)
        check(text in (expected, KILLED), f"{path} is not whole")


def alone(info: bytes) -> dict:
    """Return an .INFO without the keys that concern all tracks."""
    read = json.loads(info)
    read.get("_provenance", {}).get("features", {}).pop("duplicates", None)
    return {key: value for key, value in read.items() if key not in ("duplicate_group", "split")}


def tmpfs(folder: Path, stack: contextlib.ExitStack, size: int) -> Path:
    """Mount a file system of `size` bytes at `folder`."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        folder.rmdir()
        raise Impossible("no right to mount: as root, or below `unshare -rm`")
    stack.callback(folder.rmdir)
    stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
    return folder


def remount(folder: Path, options: str) -> None:
    """Change how a file system is mounted."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def begun(results: Path, run: subprocess.Popen) -> None:
    """Wait until a run has looked at its library, and is about to start its first job."""
    check(
        until(lambda: (results / ".mirflow/library.tsv").exists() or run.poll() is not None, 120), "the run never began"
    )


# Disks


@case
def full_disk(house: House, stack: contextlib.ExitStack) -> str:
    """The disk fills up in the middle of a run; there is more room for the next."""
    needed = sum(map(len, house.expected.values()))
    disk = tmpfs(house.folder / "disk", stack, needed // 2)
    results = house.seed("disk/results")
    status, said = house.run(results)
    named = re.findall(rf"{re.escape(str(results))}/.*: cannot be written \(No space left on device\)", said)
    check(status != 0 and named, f"status {status}, and no word of which file there was no room for:\n{said[-3000:]}")
    whole(house, results)
    for track in TRACKS:
        check(b'"theirs"' in info_path(results, track).read_bytes(), f"{track}: .INFO is lost")
    remount(disk, f"size={needed * 4}")
    house.settle(results)
    return f"no room for {len(named)} files, each named"


@case
def read_only_results(house: House, stack: contextlib.ExitStack) -> str:
    """Nothing can be written to the results."""
    if os.geteuid() == 0:
        disk = tmpfs(house.folder / "disk", stack, 1 << 28)
        results, fresh = house.seed("disk/results"), disk / "fresh"
    else:
        disk = house.folder / "read_only_results"
        results, fresh = house.seed("read_only_results/results"), disk / "fresh"
    fresh.mkdir()

    def writable(yes: bool) -> None:
        if os.geteuid() == 0:
            remount(disk, "rw" if yes else "ro")
        else:
            for path in (disk, *disk.rglob("*")):
                path.chmod((0o755 if path.is_dir() else 0o644) if yes else 0o555)

    stack.callback(writable, True)
    writable(False)
    began = time.monotonic()
    status, said = house.run(fresh)
    seconds = time.monotonic() - began
    check(status != 0 and f"{fresh}: cannot be written" in said, f"status {status}:\n{said[-3000:]}")
    status, more = house.run(results)
    named = any(str(info_path(results, track)) in more for track in TRACKS)
    protected = "Write-protected output files" in more and named
    check(status != 0 and protected, f"status {status}:\n{more[-3000:]}")
    check("Finished jobid" not in said + more, "jobs were started in vain")
    writable(True)
    house.settle(results)
    return f"refused after {seconds:.0f} s, before the first job"


@case
def another_file_system(house: House, stack: contextlib.ExitStack) -> str:
    """The results lie on another file system than library, project and temporary files: no rename crosses it."""
    if os.geteuid() == 0:
        results = tmpfs(house.folder / "disk", stack, 1 << 28) / "results"
        house.seed("disk/results")
    else:
        shm = Path("/dev/shm")
        if not shm.is_dir() or shm.stat().st_dev == house.folder.stat().st_dev:
            raise Impossible("there is no other file system")
        results = shm / house.folder.name
        stack.callback(shutil.rmtree, results, ignore_errors=True)
        shutil.copytree(house.seed("another_file_system"), results)
    house.settle(results)
    return "the same bytes"


# Files


@case
def no_permission(house: House, stack: contextlib.ExitStack) -> str:
    """One file of the library may not be read."""
    house.is_mortal = True
    results = house.seed("no_permission")
    locked = house.library / "sub/two.flac"
    locked.chmod(0)
    status, said = house.run(results)
    check(status != 0 and f"{locked}: cannot be read (Permission denied)" in said, f"{status}:\n{said[-3000:]}")
    others_are_done(house, results, "sub/two")
    locked.chmod(0o644)
    house.settle(results)
    return "its track alone failed, with its name"


def others_are_done(house: House, results: Path, track: str) -> None:
    """Check that the .INFO of every other track is complete, and that of this one as it was."""
    for other in TRACKS:
        path = info_path(results, other)
        expected = KILLED if other == track else house.expected[str(path.relative_to(results))]
        check(path.read_bytes() == expected, f"{other}: .INFO is not as expected")


@case
def input_disappears(house: House, stack: contextlib.ExitStack) -> str:
    """A file of the library is gone when its job begins, and back for the next run."""
    results = house.seed("input_disappears")
    source, aside = house.library / "sub/two.flac", house.folder / "aside.flac"
    run = house.start(results)
    begun(results, run)
    source.rename(aside)
    said = run.communicate()[0]
    named = next((line for line in said.splitlines() if str(source) in line and "No such file" in line), None)
    check(run.returncode != 0 and named, f"status {run.returncode}:\n{said[-3000:]}")
    others_are_done(house, results, "sub/two")
    status, said = house.run(results)  # without it
    check(status == 0, f"the run without it: {status}:\n{said[-3000:]}")
    aside.rename(source)
    house.settle(results)
    return "its track alone failed, with its name"


@case
def input_replaced(house: House, stack: contextlib.ExitStack) -> str:
    """While a run is at work a file is replaced by an older one, with older times: the next run makes it again."""
    results = house.seed("input_replaced")
    source, right = house.library / "one.flac", house.pristine / "one.flac"
    write(source, loop(4.0)[::-1])
    run = house.start(results)
    full_mix = results / "one/full_mix.flac"
    check(until(lambda: full_mix.exists() or run.poll() is not None, 120), "no full mix")
    shutil.copy(right, house.folder / "new.flac")
    os.utime(house.folder / "new.flac", (1e9, 1e9))
    (house.folder / "new.flac").rename(source)
    run.communicate()
    check(full_mix.read_bytes() != right.read_bytes(), "replaced too early")
    house.settle(results)
    return "made again"


@case
def corrupt_info(house: House, stack: contextlib.ExitStack) -> str:
    """Somebody's editor has broken an .INFO."""
    results = house.seed("corrupt_info")
    broken = info_path(results, "one")
    broken.write_text('{"theirs": [1.5, nu')
    status, said = house.run(results)
    check(status != 0 and f"{broken}: not valid JSON" in said, f"status {status}:\n{said[-3000:]}")
    check(broken.read_text() == '{"theirs": [1.5, nu', "it was replaced")
    for track in TRACKS[1:]:
        path = info_path(results, track)
        check(path.read_bytes() == house.expected[str(path.relative_to(results))], f"{track} is not complete")
    broken.write_text(json.dumps(THEIRS))
    house.settle(results)
    return "named and left alone; merged when it was mended"


@case
def power_cut_during_merges(house: House, stack: contextlib.ExitStack) -> str:
    """Everything is gone the moment the first .INFO is merged."""
    results = house.seed("power_cut_during_merges")
    run = house.start(results)
    while run.poll() is None and not any(" info " in line for line in house.processes().values()):
        pass
    check(run.poll() is None, "no merge was seen")
    for pid in house.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    run.communicate()
    for track in TRACKS:
        check(b'"theirs"' in info_path(results, track).read_bytes(), f"{track}: .INFO is lost")
    whole(house, results)
    house.settle(results)
    return "every .INFO was whole"


# Other runs


@case
def two_runs_on_one_results_directory(house: House, stack: contextlib.ExitStack) -> str:
    """A second run is refused at once, and the first does not notice."""
    results = house.seed("two_runs_on_one_results_directory")
    first = house.start(results)
    begun(results, first)
    began = time.monotonic()
    status, said = house.run(results)
    seconds = time.monotonic() - began
    check(first.poll() is None, "the first was over before the second was there")
    check(status != 0 and f"{results}: another run is at work" in said, f"status {status}:\n{said[-3000:]}")
    said = first.communicate()[0]
    check(first.returncode == 0, f"the first ended with {first.returncode}:\n{said[-3000:]}")
    house.settle(results)
    return f"the second was refused after {seconds:.0f} s"


@case
def two_runs_on_two_results_directories(house: House, stack: contextlib.ExitStack) -> str:
    """Two runs at once share nothing but the library: each has a worker of its own."""
    places = [house.seed(f"two_runs_on_two_results_directories {number}") for number in (1, 2)]
    runs = [house.start(results) for results in places]
    sockets: set[str] = set()
    while any(run.poll() is None for run in runs):
        sockets |= {line.split()[-3] for line in house.processes().values() if "-m mirflow.warm.server" in line}
        time.sleep(0.05)
    for run, results in zip(runs, places, strict=True):
        said = run.communicate()[0]
        check(run.returncode == 0, f"{run.returncode}:\n{said[-3000:]}")
        house.settle(results)
    check(len(sockets) == 2, f"{len(sockets)} sockets")
    return "two workers on two sockets"


@case
def shares_at_once_and_one_killed(house: House, stack: contextlib.ExitStack) -> str:
    """Of shares on one results directory, one is killed with all its processes; the other does not notice."""
    results = house.seed("shares_at_once_and_one_killed")
    both = [str(share) for share in (Share(1, 2), Share(2, 2)) if share.of(house.tracks())]
    check(len(both) == 2, "each share must have a track")
    runs = [house.start(results, share=share) for share in both]
    victim = next(path for path in house.tracks() if shares.share(both[1]).has(path))
    check(until(lambda: (results / victim / "full_mix.flac").exists() or runs[1].poll() is not None, 120), "no start")
    os.killpg(runs[1].pid, signal.SIGKILL)
    said = [run.communicate()[0] for run in runs]
    check(runs[0].returncode == 0, f"the other share ended with {runs[0].returncode}:\n{said[0][-3000:]}")
    check(runs[1].returncode == -signal.SIGKILL, "the share was over before it could be killed")
    whole(house, results)
    status, text = house.run(results, share=both[1])
    check(status == 0, f"the killed share, run again, ended with {status}:\n{text[-3000:]}")
    house.settle(results)
    return "the other share was not disturbed, the next run of this one completed it"


@case
def interrupted_twice(house: House, stack: contextlib.ExitStack) -> str:
    """Somebody is impatient: Ctrl-C, and Ctrl-C again."""
    results = house.seed("interrupted_twice")
    run = house.start(results)
    begun(results, run)
    time.sleep(3)
    for _ in range(2):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGINT)
        time.sleep(0.5)
    began = time.monotonic()
    said = run.communicate()[0]
    seconds = time.monotonic() - began
    check("Traceback" not in said, f"a traceback:\n{said[-3000:]}")
    whole(house, results)
    house.settle(results)
    return f"the run had ended {seconds:.0f} s after the second one, with {run.returncode}"


@case
def full_scratch_disk(house: House, stack: contextlib.ExitStack) -> str:
    """The disk for unfinished files is full, the one for results is not."""
    scratch = tmpfs(house.folder / "scratch", stack, 1 << 16)
    results = house.seed("full_scratch_disk")
    status, said = house.run(results, scratch=str(scratch))
    named = re.findall(rf"{re.escape(str(scratch))}: cannot be written \(No space left on device\)", said)
    check(status != 0 and named, f"status {status}, and no word of the scratch disk:\n{said[-3000:]}")
    whole(house, results)
    check(not list(scratch.iterdir()), f"left in the scratch disk: {list(scratch.iterdir())}")
    remount(scratch, f"size={1 << 28}")
    status, said = house.run(results, scratch=str(scratch))
    check(status == 0 and not list(scratch.iterdir()), f"status {status}:\n{said[-3000:]}")
    house.settle(results)
    return f"{len(named)} files found no room, and were made when there was some"


# A disk of a network, as far as it can be had without one: each of these happens once, to the file whose path ends so.
NETWORK = """
import errno, os, signal, time

LOST, LATE, DEAD = "lost", "late", "dead"
WHAT = {what}
MARKS = {marks!r}


def is_first(what):
    try:
        os.close(os.open(os.path.join(MARKS, what.replace("/", "|")), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def unreliable(rename):
    def renamed(source, target, **more):
        for end, what in WHAT.items():
            if str(target).endswith(end) and is_first(end):
                if what == DEAD:  # its machine is gone; a file that was open there has another name
                    open(os.path.join(os.path.dirname(target), ".nfs00000000017"), "w").close()
                    open(os.path.join(MARKS, DEAD), "w").close()
                    time.sleep(600)
                if what == LATE:  # done, but the answer was lost
                    rename(source, target, **more)
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), source, None, target)
        return rename(source, target, **more)

    return renamed


os.replace, os.rename = unreliable(os.replace), unreliable(os.rename)
"""


@case
def network_disk(house: House, stack: contextlib.ExitStack) -> str:
    """Renames on a disk of a network fail, fail though they were done, and are cut short as their machine is gone."""
    results, marks = house.seed("network_disk"), house.folder / "network_disk marks"
    marks.mkdir()
    patch = house.project / "scripts/sitecustomize.py"  # what every process of a run imports first
    stack.callback(patch.unlink)
    stack.callback(os.environ.pop, "PYTHONPATH")
    os.environ["PYTHONPATH"] = str(patch.parent)

    def happens(what: dict[str, str]) -> None:
        patch.write_text(NETWORK.format(what=what, marks=str(marks)))

    lost, late = results / "one/full_mix.flac", info_path(results, "sub/two")
    happens({"/one/full_mix.flac": "lost", "/two.INFO": "late"})
    status, said = house.run(results)
    check(status != 0, f"status {status}:\n{said[-3000:]}")
    for path in (lost, late):
        check(f"{path}: cannot be written (Stale file handle)" in said, f"{path} is not named:\n{said[-3000:]}")
    whole(house, results)
    check(not lost.exists() and late.read_bytes() != KILLED, "what failed is there, or what was done is not")
    happens({"/one/records.json": "lost"})
    status, said = house.run(results)
    check(status != 0 and "records.json: cannot be written" in said, f"status {status}:\n{said[-3000:]}")
    happens({"/one.INFO": "dead"})
    run = house.start(results)
    check(until(lambda: (marks / "dead").exists() or run.poll() is not None, 300), "no rename was seen")
    for pid in house.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    run.communicate()
    check(len(list(results.rglob(".mirflow-tmp-*"))) > 0, "no unfinished file was left")
    left = list(results.rglob(".nfs*"))
    check(len(left) == 1, f"left: {left}")
    left[0].unlink()  # its server does that, some time
    whole(house, results)
    house.settle(results)
    return "each file was the old or the new one, and the next run completed all"


# Clocks


def later(*paths: Path, seconds: float = 2 * HOUR) -> None:
    """Let files look as if they were written while the clock was ahead."""
    for path in paths:
        at = time.time() + seconds
        os.utime(path, (at, at))


@case
def clock_set_back_between_runs(house: House, stack: contextlib.ExitStack) -> str:
    """Sources, artifacts and fragments come from the future: they are made again at most once, and not for ever."""
    house.options = ["--max-checksum-file-size", "0"]  # as if all of them were large: small ones are compared
    results = house.seed("clock_set_back_between_runs")
    later(house.library / "sub/two.flac")
    status, said = house.run(results)
    check(status == 0, f"a source from the future: {status}:\n{said[-3000:]}")
    later(results / "one/full_mix.flac", *(results / "sub/two/features").iterdir())
    house.settle(results)
    return "what was out of date by its times was made again, once"


@case
def clock_set_back_during_a_run(house: House, stack: contextlib.ExitStack) -> str:
    """What is made of a full mix is older than it is: Snakemake gives up, and nothing that was there is lost."""
    house.options = ["--max-checksum-file-size", "0"]
    results = house.seed("clock_set_back_during_a_run")
    info, log = info_path(results, "one"), results / ".mirflow/logs/one/info.log"
    with FileLock(f"{info}.lock"):  # its merge waits for this
        run = house.start(results)
        check(until(lambda: log.exists() or run.poll() is not None, 300), "no merge")
        later(results / "one/features/loudness.json")
    said = run.communicate()[0]
    check(run.returncode != 0 and "clock" in said, f"status {run.returncode}:\n{said[-3000:]}")
    check(info.exists() and b'"theirs"' in info.read_bytes(), "the .INFO is lost")
    house.settle(results)
    return "the run failed with Snakemake's words; the next did not"


# Models


def with_models(house: House, name: str, **settings: object) -> House:
    """Return another house, whose runs use the models in its folder `models`."""
    models = house.folder / name / "models"
    other = House(house.folder / name, models=str(models), **settings)
    models.mkdir()
    return other


def entry(path: Path, purpose: str, **more: object) -> dict:
    """Describe a model of one file, which is there already."""
    file = {"name": path.name, "url": f"http://127.0.0.1:9/{path.name}", "sha256": sha256(path)}
    return {"purpose": purpose, "files": [file], **more}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def needs(*packages: str) -> None:
    """Leave the case when a package is missing."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise Impossible(f"{', '.join(missing)} not installed")


@case
def model_cut_in_half(house: House, stack: contextlib.ExitStack) -> str:
    """Half of a model's file is missing."""
    needs("essentia")
    import tiny_graphs

    if importlib.util.find_spec("essentia._essentia") is None or not hasattr(
        __import__("essentia.standard").standard, "TensorflowPredictMusiCNN"
    ):
        raise Impossible("Essentia without TensorFlow")
    house = with_models(house, "model_cut_in_half", labels={"backend": "essentia"})
    models = house.folder / "models"
    graph = tiny_graphs.network(models / "judge.pb", np.zeros((96, 2)), np.array([0.0, np.log(3.0)]))
    network = {"algorithm": "TensorflowPredictMusiCNN", "output": "model/Sigmoid"}
    head = {"network": "judge", "classes": ["bad", "good"], "keys": {"goodness": "good"}}
    described = {"models": {"judge": entry(graph, "judgement", network=network, head=head)}}
    (models / "models.yaml").write_text(json.dumps(described))
    house.calm()
    intact = graph.read_bytes()
    graph.write_bytes(intact[: len(intact) // 2])
    results = house.seed("cut")
    status, said = house.run(results)
    named = f"{graph} is not the file that belongs there: sha256 {sha256(graph)}"
    expected = hashlib.sha256(intact).hexdigest()
    check(status != 0 and named in said and expected in said, f"status {status}:\n{said[-3000:]}")
    graph.write_bytes(intact)
    house.settle(results)
    return "named, with the hash that it has and the one that it should have"


def model_processes(house: House) -> list[int]:
    """Return the model worker, and behind it the child that holds the model."""
    found = [pid for pid, line in house.processes().items() if "mirflow.warm.model_server" in line]
    parents = {}
    for pid in found:
        with contextlib.suppress(OSError):
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return sorted(found, key=lambda pid: parents.get(pid) in found)


@case
def model_worker_killed(house: House, stack: contextlib.ExitStack) -> str:
    """The process that holds a model is killed at its work, and then the one that watches it."""
    needs("torch", "beat_this")
    import torch
    from beat_this.model.beat_tracker import BeatThis

    beats = {"backend": "beat_this", "model": "beat_this_small0", "device": "cpu"}
    house = with_models(house, "model_worker_killed", beats=beats)
    torch.manual_seed(0)
    size = {"spect_dim": 128, "transformer_dim": 128, "n_layers": 6}
    state = {f"model.{name}": value for name, value in BeatThis(**size).state_dict().items()}
    checkpoint = house.folder / "models/tiny.ckpt"
    torch.save({"hyper_parameters": size, "state_dict": state}, checkpoint)
    described = {"models": {"beat_this_small0": entry(checkpoint, "beats")}}
    (checkpoint.parent / "models.yaml").write_text(json.dumps(described))
    house.calm()
    ends = []
    for victim in ("child", "worker"):
        results = house.seed(victim)
        run = house.start(results)

        check(until(lambda: len(model_processes(house)) == 2, 300), "no model worker was seen")
        time.sleep(0.5)  # it imports torch
        worker, child = model_processes(house)
        os.kill(child if victim == "child" else worker, signal.SIGKILL)
        said = run.communicate()[0]
        ends.append(run.returncode)
        if victim == "child":
            check(run.returncode and "beat_activations: the process was killed by SIGKILL" in said, said[-3000:])
        house.settle(results)
    return f"the run ended with {ends[0]} when the child was killed, with {ends[1]} when the worker was"
