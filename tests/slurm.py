"""Divide a library among the jobs of a real SLURM on this machine, and see that nothing is lost: ``make test-slurm``.

It needs root, Debian's packages slurm-wlm and munge, and a machine without a SLURM of its own. The daemons listen on
the loopback interface alone, and all of their files are in one temporary folder. However this program ends, also by
SIGKILL, a process that it has forked ends the daemons and their jobs, and removes the folder.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import project
from chaos import FEATURES, THEIRS, Wrong, check, content, piece, until
from conftest import write
from mirflow import features
from mirflow.workflow.shares import Share

PATIENCE = 900.0  # s for an array that takes a minute where nothing else runs
DAEMONS = ("munged", "slurmctld", "slurmd")
OTHERS = (Path("/etc/slurm/slurm.conf"), Path("/etc/slurm-llnl/slurm.conf"), Path("/run/slurm/conf/slurm.conf"))
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HOST = os.uname().nodename.partition(".")[0]
CGROUPS = Path("/sys/fs/cgroup")
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL"}
SHARES = 3
TRACKS = 8
PIECES = {f"{'sub/' if index % 2 else ''}track {index}": piece(index, 5 + index / 2) for index in range(TRACKS)}
SKIP = f"skip=[{', '.join(feature.name for feature in features.all_features() if feature.name not in FEATURES)}]"
SLURM_CONF = """
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/{proctrack}
TaskPlugin=task/{task}
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=1
KillWait=5
MinJobAge=600
SchedulerParameters=bf_interval=5,sched_min_interval=100000
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=600 State=UP
"""
CGROUP_CONF = """
CgroupPlugin=cgroup/v1
CgroupAutomount=no
ConstrainCores=no
ConstrainRAMSpace={constrain}
ConstrainSwapSpace=no
ConstrainDevices=no
"""


@contextlib.contextmanager
def guarded() -> Iterator[Path]:
    """Give a folder for all files. At the end, whatever it is, no cluster that runs in it is left, nor the folder."""
    folder = Path(tempfile.mkdtemp(prefix="mirflow-test-slurm-"))
    folder.chmod(0o755)
    reading, writing = os.pipe()  # no program that is started inherits it
    guard = os.fork()
    if guard == 0:
        os.setsid()  # beyond Ctrl-C
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)
        os.close(writing)
        os.read(reading, 1)  # nothing ever comes: it returns when the other process is gone
        try:
            for configuration in folder.glob("*/slurm.conf"):
                end(configuration)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(0)
    try:
        yield folder
    finally:
        os.close(writing)
        os.waitpid(guard, 0)


def check_machine() -> None:
    """Check that a SLURM can be started here, and that none is here already."""
    if os.geteuid() != 0:
        raise SystemExit("SLURM's daemons need root")
    if missing := [name for name in (*DAEMONS, "sbatch", "squeue") if not shutil.which(name)]:
        raise SystemExit(f"no {', '.join(missing)} here: install Debian's packages slurm-wlm and munge")
    found = [str(path) for path in OTHERS if path.exists()]
    found += [f"${name}" for name in os.environ if name.startswith("SLURM_")]
    found += [f"process {pid}" for pid in call("pgrep", "-x", "slurm.*").split()]
    if found:
        raise SystemExit(f"this machine has a SLURM of its own, which is left alone: {', '.join(found)}")


@contextlib.contextmanager
def cluster(folder: Path, proctrack: str, cpus: int) -> Iterator[None]:
    """Run SLURM's daemons on this machine.

    Parameters
    ----------
    folder : for all of their files
    proctrack : how SLURM finds the processes of a job: linuxproc (by their parents), or cgroup, which holds them to
        their memory as well
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 - 1000
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "munge.key").touch(0o400)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    task, constrain = ("cgroup", "yes") if proctrack == "cgroup" else ("none", "no")
    text = SLURM_CONF.format(host=HOST, folder=folder, proctrack=proctrack, task=task, cpus=cpus, memory=memory)
    (folder / "slurm.conf").write_text(text)
    (folder / "cgroup.conf").write_text(CGROUP_CONF.format(constrain=constrain))
    munged = [
        "munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
        f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed",
    ]  # fmt: skip
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")  # of the daemons, the commands and the jobs
    daemons = []
    try:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D"]):
            with open(folder / f"{command[0]}.out", "wb") as log:
                daemons.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
            time.sleep(1)
        if not until(lambda: "idle" in call("sinfo", "-h", "-o", "%t"), 30):
            logs = [f"{log.name}: {log.read_text(errors='replace')[-1000:]}" for log in folder.glob("*.out")]
            raise SystemExit("\n".join(["SLURM did not start:", call("sinfo"), *logs]))
        yield
    finally:
        end(folder / "slurm.conf")
        for daemon in daemons:
            daemon.wait()
        del os.environ["SLURM_CONF"]


def end(configuration: Path) -> None:
    """End the jobs and the daemons of a cluster, and every process that was started in it."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        cancel = ["scancel", "--full", "--signal=KILL", "--user=root"]
        subprocess.run(cancel, env=os.environ | {"SLURM_CONF": str(configuration)}, capture_output=True, timeout=10)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in started_in(configuration):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if until(lambda: not started_in(configuration), 10):
            break
    for folder in sorted(CGROUPS.glob(f"*/slurm_{HOST}/**/"), reverse=True):  # what is below comes first
        with contextlib.suppress(OSError):
            folder.rmdir()


def started_in(configuration: Path) -> list[int]:
    """Return the processes that live in a cluster: its configuration is in their environment."""
    mark, found = os.fsencode(f"SLURM_CONF={configuration}"), []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0") and b"Z" not in _state(entry):
                found.append(int(entry.name))
    return found


def _state(process: Path) -> bytes:
    """Return the state of a process in /proc; Z: it has ended, and its parent has not asked for its status yet."""
    return (process / "stat").read_bytes().rpartition(b")")[2].split()[0]


def call(*command: str) -> str:
    """Run a command of SLURM; return what it says."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.strip()


def states(job: str) -> dict[int, str]:
    """Return share → state of its job, in SLURM's words."""
    lines = call("squeue", "-h", "--array", "-t", "all", "-j", job, "-o", "%K %T").splitlines()
    return {int(task): state for task, state in map(str.split, lines) if task.isdigit()}


def has_ended(job: str) -> bool:
    """Whether all jobs of an array have ended."""
    found = states(job)
    return len(found) == SHARES and set(found.values()) <= ENDED


class Site:
    """A copy of the project, a library, and what one plain run makes of it.

    Parameters
    ----------
    pieces : track id → its sound, float64 [n, channel]
    """

    def __init__(self, folder: Path, pieces: dict[str, np.ndarray]) -> None:
        self.folder = folder
        self.project = project.copy(folder / "project")
        self.library = folder / "music"
        self.tracks = list(pieces)
        for track, sound in pieces.items():
            write(self.library / f"{track}.flac", sound)
        began = time.monotonic()
        done = self.mirflow("run", "--library", str(self.library), "--results", str(folder / "plain"), "-j", "2",
                            "--", "--config", SKIP)  # fmt: skip
        check(done.returncode == 0, f"the plain run failed: {done.stdout}")
        self.seconds = time.monotonic() - began
        self.expected = content(folder / "plain")

    def mirflow(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "mirflow", *arguments], cwd=self.project, text=True,
            env=os.environ | {"PYTHONPATH": str(self.project / "scripts")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def is_complete(self, said: str) -> bool:
        """Whether a summary says that all tracks are complete."""
        return f"{len(self.tracks)} of {len(self.tracks)} tracks complete, 0 failed" in said

    def submit(self, results: Path, *options: str) -> str:
        """Submit the library; return the array's id. The job that follows it is noted."""
        done = self.mirflow(
            "submit", "--library", str(self.library), "--results", str(results), "--shares", str(SHARES),
            "--cpus", "1", "--memory", "3000", "--minutes", "60", *options, "--", "--config", SKIP,
        )  # fmt: skip
        check(done.returncode == 0, f"not submitted: {done.stdout}")
        job, self.last = re.findall(r"\bjob (\d+)", done.stdout)
        return job

    def settle(self, results: Path) -> None:
        """Submit what is left, and check that all is there, and nothing else."""
        job = self.submit(results)
        check(until(lambda: has_ended(job), 300), f"the array does not end: {states(job)}")
        check(set(states(job).values()) == {"COMPLETED"}, f"the second array: {states(job)}; see {results}")
        self.compare(results)

    def follow(self) -> None:
        """Wait until the job that follows the array has ended: what concerns all tracks, and the summary."""
        check(until(lambda: call("squeue", "-h", "-t", "all", "-j", self.last, "-o", "%T") in ENDED, 300),
              f"no job follows the array: {call('squeue', '-t', 'all')}")  # fmt: skip

    def compare(self, results: Path) -> None:
        """Check that the results are complete, those of a plain run, and that no process or file is left."""
        self.follow()
        said = self.mirflow("summary", "--results", str(results))
        check(said.returncode == 0 and self.is_complete(said.stdout), said.stdout)
        found = content(results)
        check(found == self.expected, f"other files or bytes: {sorted(set(found) ^ set(self.expected))[:5]}")
        check(not list(results.rglob(".mirflow-tmp-*")), "unfinished files are left")
        check(until(lambda: not at_work(results)), f"processes are left: {at_work(results)}")


def at_work(results: Path) -> list[str]:
    """Return the processes that were started for these results."""
    return call("pgrep", "-af", f"mirflow.*{results}").splitlines()


def is_at_work(site: Site, results: Path, share: int) -> Callable[[], bool]:
    """Return what says whether a share has made something and is not yet done."""
    mine = Share(share, SHARES)
    return lambda: any(mine.has(str(mix.parent.relative_to(results))) for mix in results.rglob("full_mix.flac"))


def plain_array(site: Site, results: Path) -> str:
    """An array makes what a plain run makes; a job with the summary follows."""
    began = time.monotonic()
    job = site.submit(results)
    check(until(lambda: has_ended(job), PATIENCE), f"the array does not end: {states(job)}")
    check(set(states(job).values()) == {"COMPLETED"}, f"{states(job)}; see {results}")
    seconds = time.monotonic() - began
    site.compare(results)
    summary = results / f".mirflow/shares/summary-of-{SHARES}.log"
    check(site.is_complete(summary.read_text()), "no summary follows the array")
    return f"one plain run, 2 steps at a time: {site.seconds:.0f} s; {SHARES} shares with one CPU each: {seconds:.0f} s"


def killed(site: Site, results: Path) -> str:
    """A share that is killed with all its processes is made by the next array; keys of others stay."""
    job = begin(site, results, 1)
    call("scancel", "--full", "--signal=KILL", f"{job}_1")
    check(until(lambda: has_ended(job), PATIENCE), f"the array does not end: {states(job)}")
    said = site.mirflow("summary", "--results", str(results)).stdout
    check(f"share 1/{SHARES} broken off" in said, f"the killed share is not named: {said}")
    site.follow()
    info = next(results.rglob("*.INFO"))
    info.write_text(json.dumps(json.loads(info.read_text()) | THEIRS))
    job = site.submit(results)
    check(until(lambda: has_ended(job), PATIENCE), f"the array does not end: {states(job)}")
    site.follow()
    found = json.loads(info.read_text())
    check({name: found.get(name) for name in THEIRS} == THEIRS, "a key of somebody else is lost")
    info.unlink()
    site.settle(results)
    return broken_off(said)


def stopped(site: Site, results: Path) -> str:
    """A share that is told to stop, as before its time is up, ends by itself, and the next one goes on."""
    job = begin(site, results, 2)
    call("scancel", "--batch", "--signal=TERM", f"{job}_2")
    check(until(lambda: has_ended(job), PATIENCE), f"the array does not end: {states(job)}")
    log = (results / f".mirflow/shares/2-of-{SHARES}.log").read_text()
    check("Traceback" not in log, f"a traceback: {log}")
    said = site.mirflow("summary", "--results", str(results)).stdout
    site.follow()
    site.settle(results)
    return broken_off(said)


def cancelled(site: Site, results: Path) -> str:
    """A share that somebody cancels; SLURM's word for it is in the summary."""
    job = begin(site, results, 3)
    call("scancel", f"{job}_3")
    check(until(lambda: has_ended(job), PATIENCE), f"the array does not end: {states(job)}")
    said = site.mirflow("summary", "--results", str(results)).stdout
    check(re.search(rf"share 3/{SHARES} broken off .*\(CANCELLED\)", said), f"the reason is not said: {said}")
    site.follow()
    site.settle(results)
    return broken_off(said)


def over_time(site: Site, results: Path) -> str:
    """A share hangs until its time is up; SLURM's word for it is in the summary."""
    job = begin(site, results, 1, "--option=--time=3", "--option=--signal=B:TERM@5")
    call("scancel", "--full", "--signal=STOP", f"{job}_1")
    check(until(lambda: has_ended(job), PATIENCE), f"the array does not end: {states(job)}")
    said = site.mirflow("summary", "--results", str(results)).stdout
    check(re.search(rf"share 1/{SHARES} broken off .*\(TIMEOUT\)", said), f"the reason is not said: {said}")
    site.follow()
    site.settle(results)
    return broken_off(said)


def out_of_memory(site: Site, results: Path) -> str:
    """A track needs more memory than its share has: the others are made. With more memory, it is made as well."""
    if "ProctrackType           = proctrack/cgroup" not in call("scontrol", "show", "config"):
        return "not tried: with proctrack/linuxproc SLURM does not hold jobs to their memory"
    surround = np.tile(piece(TRACKS, 120), (1, 4))  # of eight channels: it is soon made, and needs 1.3 GB
    site = Site(results.with_name("large"), PIECES | {"surround": surround})
    mine = next(Share(number + 1, SHARES) for number in range(SHARES) if Share(number + 1, SHARES).has("surround"))
    job = site.submit(results, "--option=--mem=1000M")
    check(until(lambda: has_ended(job), PATIENCE), f"the array does not end: {states(job)}")
    said = site.mirflow("summary", "--results", str(results)).stdout
    check(re.search(rf"share {mine} ended .* lacked memory \(OUT_OF_MEMORY\)", said), f"{states(job)} {said}")
    check(f"{len(site.tracks) - 1} of {len(site.tracks)} tracks complete" in said, f"not the others: {said}")
    site.follow()
    site.settle(results)
    return broken_off(said)


def node_fails(site: Site, results: Path) -> str:
    """The machine of a share fails: SLURM puts it into the queue again, and it goes on when there is a machine."""
    job = begin(site, results, 1)
    call("scontrol", "update", f"nodename={HOST}", "state=down", "reason=test")
    check(until(lambda: not at_work(results)), f"processes are left: {at_work(results)}")
    before = states(job)
    call("scontrol", "update", f"nodename={HOST}", "state=resume")
    check(until(lambda: has_ended(job), PATIENCE), f"the array does not end: {states(job)}")
    check(set(states(job).values()) == {"COMPLETED"}, f"{states(job)}")
    site.compare(results)
    return f"when the machine was down: {', '.join(sorted(before.values()))}; then COMPLETED, without a submission"


def never_fits(site: Site, results: Path) -> str:
    """What no machine of the cluster has is refused at once, and nothing is submitted."""
    for option, value in (("--cpus", "5000"), ("--memory", "9000000"), ("--minutes", "601"), ("--gpus", "1")):
        try:
            site.submit(results, option, value)
        except Wrong as error:
            check("SLURM could never run these jobs" in str(error), f"{option}: {error}")
        else:
            raise Wrong(f"{option} {value} was submitted")
    check(not call("squeue", "-h"), f"something was submitted: {call('squeue')}")
    return "too many CPUs, too much memory, too much time, a GPU: each was refused"


def begin(site: Site, results: Path, share: int, *options: str) -> str:
    """Submit the library, wait until a share is at work, and return the array's id."""
    job = site.submit(results, *options)
    check(until(is_at_work(site, results, share), PATIENCE), f"share {share} does not begin: {states(job)}")
    return job


def broken_off(said: str) -> str:
    """Return what a summary says of shares that have not ended as they should."""
    return "; ".join(line.strip() for line in said.splitlines() if line.startswith("  share "))


CASES = (never_fits, plain_array, killed, stopped, cancelled, over_time, out_of_memory, node_fails)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="names of cases; default: all")
    parser.add_argument("--proctrack", nargs="*", default=["linuxproc", "cgroup"], help="default: %(default)s")
    arguments = parser.parse_args()
    by_name = {case.__name__: case for case in CASES}
    chosen = [by_name[name] for name in arguments.cases] or CASES
    for number in STOPS:  # also where a shell has told this to ignore one
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    check_machine()
    wrong = 0
    with guarded() as folder:
        site = Site(folder / "small", PIECES)
        for proctrack in arguments.proctrack:
            with cluster(folder / f"cluster-{proctrack}", proctrack, cpus=os.cpu_count() or 1):
                for case in chosen:
                    results = folder / f"{case.__name__} {proctrack}"
                    began = time.monotonic()
                    try:
                        said = f"right: {case(site, results)}"
                    except Wrong as error:
                        wrong, said = wrong + 1, f"WRONG: {error}"
                    print(f"{proctrack:10} {case.__name__:13} {time.monotonic() - began:5.0f} s  {said}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
