"""Divide a library among the jobs of a real SLURM on this machine, and see that nothing is lost: ``make test-slurm``.

It needs root, Debian's packages slurm-wlm and munge, and a machine without a SLURM of its own: the daemons are started
on the loopback interface alone with a configuration in /etc/slurm, and ended and removed afterwards.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import project
from chaos import THEIRS, Wrong, check, content, until
from conftest import loop, write
from mirflow.workflow.shares import Share

CONFIGURATION = Path("/etc/slurm")
SHARES = 3
TRACKS = 10
SKIP = "skip=[timbral, per_stem_harmonic, per_stem_rhythm, stem_quality]"
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
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
KillWait=30
MinJobAge=600
SchedulerParameters=bf_interval=5,sched_min_interval=100000
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
CGROUP_CONF = """
CgroupPlugin=cgroup/v1
CgroupAutomount=no
ConstrainCores=no
ConstrainRAMSpace=no
ConstrainSwapSpace=no
ConstrainDevices=no
"""


@contextlib.contextmanager
def cluster(proctrack: str, cpus: int) -> Iterator[None]:
    """Run SLURM's daemons on this machine.

    Parameters
    ----------
    proctrack : how SLURM finds the processes of a job: linuxproc (by their parents), or cgroup
    """
    if (CONFIGURATION / "slurm.conf").exists():
        raise SystemExit(f"{CONFIGURATION}/slurm.conf exists: this machine has a SLURM of its own")
    folder = Path(tempfile.mkdtemp(prefix="mirflow-slurm-"))
    folder.chmod(0o755)
    host = os.uname().nodename.partition(".")[0]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 - 1000
    for name in ("state", "spool"):
        (folder / name).mkdir()
    shutil.copy("/etc/munge/munge.key", folder / "munge.key")
    (folder / "munge.key").chmod(0o400)
    daemons: list[subprocess.Popen] = []
    try:
        text = SLURM_CONF.format(host=host, folder=folder, proctrack=proctrack, cpus=cpus, memory=memory)
        (CONFIGURATION / "slurm.conf").write_text(text)
        (CONFIGURATION / "cgroup.conf").write_text(CGROUP_CONF)
        munge = [
            "munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed",
        ]  # fmt: skip
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            log = open(folder / f"{command[0]}.out", "wb")
            daemons.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
            time.sleep(1)
        if not until(lambda: "idle" in call("sinfo", "-h", "-o", "%t"), 30):
            raise SystemExit(f"SLURM did not start: see {folder}\n" + call("sinfo"))
        yield
    finally:
        call("scancel", "--full", "--signal=KILL", "--user=root")
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
            daemon.kill()
        for name in ("slurm.conf", "cgroup.conf"):
            (CONFIGURATION / name).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def call(*command: str) -> str:
    """Run a command of SLURM; return what it says."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.strip()


def states(job: str) -> dict[int, str]:
    """Return share → state of its job, in SLURM's words."""
    lines = call("squeue", "-h", "--array", "-t", "all", "-j", job, "-o", "%K %T").splitlines()
    return {int(task): state for task, state in map(str.split, lines)}


def has_ended(job: str) -> bool:
    """Whether all jobs of an array have ended."""
    found = states(job)
    return bool(found) and not {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"} & set(found.values())


class Site:
    """A copy of the project, a library, and what one plain run makes of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = project.copy(folder / "project")
        self.library = folder / "music"
        for index in range(TRACKS):
            write(self.library / f"{'sub/' if index % 2 else ''}track {index}.flac", loop(5 + index / 2))
        self.environment = os.environ | {"PYTHONPATH": str(self.project / "scripts")}
        began = time.monotonic()
        done = self.mirflow("run", "--library", str(self.library), "--results", str(folder / "plain"), "-j", "2",
                            "--", "--config", SKIP)  # fmt: skip
        check(done.returncode == 0, f"the plain run failed: {done.stdout}")
        self.seconds = time.monotonic() - began
        self.expected = content(folder / "plain")

    def mirflow(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "mirflow", *arguments], cwd=self.project, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def submit(self, results: Path, *options: str) -> str:
        """Submit the library; return the array's id."""
        done = self.mirflow(
            "submit", "--library", str(self.library), "--results", str(results), "--shares", str(SHARES),
            "--cpus", "1", "--memory", "3000", "--minutes", "5", *options, "--", "--config", SKIP,
        )  # fmt: skip
        check(done.returncode == 0, f"not submitted: {done.stdout}")
        return done.stdout.partition("submitted as job ")[2].partition(";")[0]

    def settle(self, results: Path) -> None:
        """Submit what is left, and check that all is there, and nothing else."""
        job = self.submit(results)
        check(until(lambda: has_ended(job), 300), f"the array does not end: {states(job)}")
        check(set(states(job).values()) == {"COMPLETED"}, f"the second array: {states(job)}; see {results}")
        self.compare(results)

    def compare(self, results: Path) -> None:
        """Check that the results are complete, those of a plain run, and that no process or file is left.

        What concerns all tracks at once is made by a run without shares, which has nothing else to do.
        """
        rest = self.mirflow("run", "--library", str(self.library), "--results", str(results), "-j", "2",
                            "--", "--config", SKIP)  # fmt: skip
        check(rest.returncode == 0 and "for 0 tracks" in rest.stdout, f"more than that was left: {rest.stdout}")
        said = self.mirflow("summary", "--results", str(results))
        check(said.returncode == 0 and f"{TRACKS} of {TRACKS} tracks complete, 0 failed" in said.stdout, said.stdout)
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


def plain_array(site: Site, results: Path) -> None:
    """An array makes what a plain run makes; a job with the summary follows."""
    began = time.monotonic()
    job = site.submit(results)
    check(until(lambda: has_ended(job), 300), f"the array does not end: {states(job)}")
    check(set(states(job).values()) == {"COMPLETED"}, f"{states(job)}; see {results}")
    print(f"    one plain run, 2 steps at a time: {site.seconds:.0f} s; {SHARES} shares with one CPU each:"
          f" {time.monotonic() - began:.0f} s")  # fmt: skip
    site.compare(results)
    summary = results / f".mirflow/shares/summary-of-{SHARES}.log"
    check(until(lambda: summary.exists() and "0 failed" in summary.read_text(), 60), "no summary follows the array")


def killed(site: Site, results: Path) -> None:
    """A share that is killed with all its processes is made by the next array; keys of others stay."""
    job = site.submit(results)
    check(until(is_at_work(site, results, 1), 120), "share 1 does not begin")
    call("scancel", "--full", "--signal=KILL", f"{job}_1")
    check(until(lambda: has_ended(job), 300), f"the array does not end: {states(job)}")
    said = site.mirflow("summary", "--results", str(results)).stdout
    check(f"share 1/{SHARES} broken off" in said, f"the killed share is not named: {said}")
    for info in results.rglob("*.INFO"):
        info.write_text(json.dumps(json.loads(info.read_text()) | THEIRS))
        break
    kept = json.loads(info.read_text())["theirs"]
    job = site.submit(results)
    check(until(lambda: has_ended(job), 300), f"the array does not end: {states(job)}")
    check(json.loads(info.read_text())["theirs"] == kept, "a key of somebody else is lost")
    info.write_text(json.dumps({k: v for k, v in json.loads(info.read_text()).items() if k != "theirs"}))
    info.unlink()
    site.settle(results)


def stopped(site: Site, results: Path) -> None:
    """A share that is told to stop, as before its time is up, ends by itself, and the next one goes on."""
    job = site.submit(results)
    check(until(is_at_work(site, results, 2), 120), "share 2 does not begin")
    call("scancel", "--batch", "--signal=TERM", f"{job}_2")
    check(until(lambda: has_ended(job), 300), f"the array does not end: {states(job)}")
    log = (results / f".mirflow/shares/2-of-{SHARES}.log").read_text()
    check("Traceback" not in log, f"a traceback: {log}")
    site.settle(results)


def over_time(site: Site, results: Path) -> None:
    """A share whose time is up is told to stop before that, and the next one goes on."""
    job = site.submit(results, "--option=--time=0:40", "--option=--signal=B:TERM@30", "--at-once", "1")
    check(until(lambda: has_ended(job), 400), f"the array does not end: {states(job)}")
    print(f"    with 40 s: {sorted(states(job).values())}")
    site.settle(results)


CASES = (plain_array, killed, stopped, over_time)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="names of cases; default: all")
    chosen = parser.parse_args().cases
    wrong = 0
    folder = Path(tempfile.mkdtemp(prefix="mirflow-test-slurm-"))
    try:
        site = Site(folder)
        for proctrack in ("linuxproc", "cgroup"):
            with cluster(proctrack, cpus=os.cpu_count() or 1):
                for case in CASES:
                    if chosen and case.__name__ not in chosen:
                        continue
                    results = folder / f"{case.__name__} {proctrack}"
                    began = time.monotonic()
                    try:
                        case(site, results)
                        said = "right"
                    except Wrong as error:
                        wrong, said = wrong + 1, f"WRONG: {error}"
                    print(f"{proctrack:10} {case.__name__:12} {time.monotonic() - began:5.0f} s  {said}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
