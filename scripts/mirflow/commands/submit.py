"""Make a library on a cluster: write the script of a job array, one job a share, and give it to SLURM."""

import argparse
import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.library import duration
from mirflow.library.scan import scan
from mirflow.models import catalogue, download
from mirflow.workflow import cluster, launch, needs, settings
from mirflow.workflow.wording import count


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--library", required=True, help="a directory of music")
    parser.add_argument("--results", required=True, help="where the results go; all machines must see it")
    parser.add_argument("--shares", type=int, required=True, help="jobs that the library is divided into")
    parser.add_argument("--cpus", type=int, default=4, help="of each job (default: %(default)s)")
    parser.add_argument("--memory", type=int, help="MB of each job (default: enough for --cpus steps at a time)")
    parser.add_argument("--minutes", type=int, help="time limit of a job (default: from the length of the music)")
    parser.add_argument("--at-once", type=int, default=0, help="jobs that may run at a time (default: all)")
    parser.add_argument("--gpus", default="", help="of each job, as SLURM names them: 1, or h100:1")
    parser.add_argument("--partition", default="", help="where the jobs go (default: the cluster's)")
    parser.add_argument("--account", default="", help="who is charged (default: the cluster's)")
    parser.add_argument("--option", action="append", default=[], help="a further option of sbatch: --option=--qos=long")
    parser.add_argument("--only-write", action="store_true", help="write the script, and submit nothing")
    parser.add_argument("snakemake", nargs="*", help="after --: further arguments of Snakemake")


def run(arguments: argparse.Namespace) -> None:
    """Write the script; submit it, and a job that follows when all shares have ended.

    That one makes what concerns all tracks at once, and prints the summary.
    """
    launch.check_working_directory()
    results = settings.directory(arguments.results)
    tracks = scan(settings.path(arguments.library), exclude=results).tracks
    limit = arguments.minutes
    if limit is None:
        audio = {track: duration.estimate(path) / 60 for track, path in tracks.items()}
        limit = cluster.minutes(audio, max(arguments.shares, 1), max(arguments.cpus, 1))
    array = cluster.Array(
        shares=arguments.shares,
        cpus=arguments.cpus,
        memory=cluster.memory(arguments.cpus) if arguments.memory is None else arguments.memory,
        minutes=limit,
        at_once=arguments.at_once,
        gpus=arguments.gpus,
        partition=arguments.partition,
        account=arguments.account,
        options=tuple(arguments.option),
    )
    script = cluster.place(results, array.shares)
    artifacts.write_bytes(script, cluster.script(array, arguments.library, results, arguments.snakemake).encode())
    print(f"{script}: {count(array.shares, 'share')} of {count(len(tracks), 'track')}, each with {array.cpus} CPUs,")
    print(f"  {array.memory} MB and {array.minutes} minutes")
    _fetch_models(arguments.snakemake)
    if arguments.only_write:
        print(f"submit it with `sbatch {script}`, or run each share by hand: `sh {script} 1`")
        return
    if not shutil.which("sbatch"):
        raise MirflowError(f"no sbatch here: submit {script} on a machine of the cluster, or use --only-write")
    machines = cluster.nodes(_slurm(*cluster.ASK_NODES), array.partition)
    cluster.check_fits(array, machines)
    job = _slurm("sbatch", "--parsable", str(script)).split(";")[0]
    same = [f"--{name}={value}" for name in ("partition", "account") if (value := getattr(array, name))]
    log = f"{script.parent}/summary-of-{array.shares}.log"
    limit = min([cluster.LAST, *(one.minutes for one in machines)])
    last = _slurm(
        "sbatch", "--parsable", f"--dependency=afterany:{job}", "--job-name=mirflow-summary", f"--time={limit:.0f}",
        f"--mem={min(array.memory, cluster.memory(1))}M", f"--output={log.replace('%', '%%')}", *same,
        "--wrap", cluster.ending(arguments.library, results, arguments.snakemake),
    ).split(";")[0]  # fmt: skip
    print(f"submitted as job {job}; job {last} follows with what concerns all tracks, and the summary, in {log}")


def _fetch_models(options: list[str]) -> None:
    """Fetch the files of the models that the settings ask for: machines of clusters often have no connection.

    Raises
    ------
    MirflowError : a file cannot be fetched
    """
    places = [place for place, option in enumerate(options) if option in ("--configfile", "--configfiles")]
    named = [takewhile(lambda option: not option.startswith("-"), options[place + 1 :]) for place in places]
    config = settings.merged([Path(file) for files in named for file in files])
    catalogue.use(str(settings.path(str(config["models"]))))
    settings.read(config)
    settings.check(config)
    for file in needs.files(needs.needs(config)):
        download.fetch(file)


def _slurm(*command: str) -> str:
    """Run a command of SLURM; return what it says.

    Raises
    ------
    MirflowError : it failed: what a job asks for cannot be had, say, or an option is unknown
    """
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise MirflowError(f"{command[0]}: {reason}")
    sys.stderr.write(done.stderr)
    return done.stdout.strip()
