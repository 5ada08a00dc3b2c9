"""Shares of a library: they divide it, they never meet, and together they make what one run makes."""

import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY, loop, write
from mirflow import features
from mirflow.core.errors import MirflowError
from mirflow.library.scan import Library
from mirflow.workflow import cluster, progress, shares
from mirflow.workflow.shares import WHOLE, Share

TRACKS = [f"album {n % 7}/track {n}" for n in range(500)]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts")}


def test_every_track_is_in_one_share_for_good():
    divided = [Share(index, 8).of(TRACKS) for index in range(1, 9)]
    assert sorted(track for share in divided for track in share) == sorted(TRACKS)
    assert all(35 < len(share) < 90 for share in divided)  # 62.5 and 3.7 standard deviations
    assert WHOLE.of(TRACKS) == TRACKS
    # From the first 8 bytes of the id's SHA-256, as `printf %s a | sha256sum` says: ca978112ca1bbdca.
    assert Share(int("ca978112ca1bbdca", 16) % 5 + 1, 5).has("a")


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/", "a/b", "-1/2", "1/2/3", "", "١/٢", "1/0"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(MirflowError, match="share: i/N is expected"):
        shares.share(text)


def array(task: int, first: int, last: int, tasks: int, step: int = 1) -> dict[str, str]:
    values = {"ID": task, "MIN": first, "MAX": last, "COUNT": tasks, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


OF_SGE = {"SGE_TASK_ID": "4", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "8", "SGE_TASK_STEPSIZE": "1"}
OF_LSF = {"LSB_JOBINDEX": "2", "LSB_JOBINDEX_END": "5", "LSB_JOBINDEX_STEP": "1"}
NO_ARRAY = {"SGE_TASK_ID": "undefined", "SGE_TASK_FIRST": "undefined", "SGE_TASK_LAST": "undefined"}


@pytest.mark.parametrize(
    ("variables", "share"),
    [
        (array(3, 1, 8, 8), Share(3, 8)),
        (array(0, 0, 3, 4), Share(1, 4)),
        (array(7, 1, 10, 4, step=3), Share(3, 4)),
        (OF_SGE, Share(4, 8)),
        (OF_SGE | {"SGE_TASK_ID": "7", "SGE_TASK_STEPSIZE": "3"}, Share(3, 3)),
        (OF_LSF, Share(2, 5)),
        (OF_LSF | NO_ARRAY, Share(2, 5)),
        (OF_SGE | {"LSB_JOBINDEX": "0"}, Share(4, 8)),
    ],
)
def test_auto_is_the_place_in_the_array_of_a_scheduler(variables, share):
    assert shares.share("auto", variables) == share


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (array(7, 3, 7, 2), "from task 7 of an array of SLURM from 3 to 7 with 2 tasks; say i/N"),  # --array=3,7
        (array(5, 5, 5, 1), "from task 5 of an array of SLURM from 5 to 5"),  # share 5, given to SLURM once more
        (array(4, 1, 4, 2), "from task 4 of an array of SLURM from 1 to 4 with 2 tasks"),  # --array=1,4
        (OF_SGE | {"SGE_TASK_FIRST": "4"}, "from task 4 of an array of Grid Engine from 4 to 8"),
        ({"LSB_JOBINDEX": "3"}, "from task 3 of an array of LSF from 1 to None"),
        ({}, "needs a job array"),
        (NO_ARRAY | {"LSB_JOBINDEX": "0"}, "needs a job array"),
        ({"PBS_ARRAY_INDEX": "3"}, r"for PBS: \$PBS_ARRAY_INDEX/N"),  # it does not say how many there are
    ],
)
def test_auto_takes_no_part_of_an_array_for_the_whole(variables, said):
    with pytest.raises(MirflowError, match=said):
        shares.share("auto", variables)


HOLD = """
import sys
from mirflow.core.errors import MirflowError
from mirflow.workflow import shares
try:
    shares.lock(sys.argv[1], shares.share(sys.argv[2]))
except MirflowError as error:
    print(error, flush=True)
else:
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_runs_exclude_others_that_have_the_same_tracks(tmp_path):
    results, holders = str(tmp_path / "out"), []

    def lock(share: str) -> str:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, results, share], env=ENVIRONMENT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        holders.append(process)
        return process.stdout.readline().strip()

    def release() -> None:
        for holder in holders:
            holder.stdin.close()
            holder.wait()

    assert lock("1/2") == lock("2/2") == "locked"
    assert lock("2/2") == f"{results}: share 2/2 is at work already; wait for its end"
    assert lock("1/3") == f"{results}: shares of 2 are at work on these results; wait for their end"
    assert lock("1/1") == f"{results}: another run is at work on these results; wait for its end"
    release()
    assert lock("1/1") == "locked"
    assert "another run is at work" in lock("2/2")
    release()
    assert lock("1/3") == "locked"
    release()


def test_a_share_looks_after_the_folders_of_its_own_tracks_alone(tmp_path):
    tracks = ["a", "a/b", "c"]
    library = Library(tmp_path, dict.fromkeys(tracks, tmp_path))
    mine = next(share for share in (Share(1, 2), Share(2, 2)) if share.has("a"))
    others = [track for track in tracks if not mine.has(track)]
    assert others, "both shares must have a track for this test"
    for folder in ("a", "a/features", "a/b", "a/b/texts", "c", ".mirflow/logs/a/b", ".mirflow/merged/c", ".mirflow"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / ".mirflow-tmp-x").touch()
    progress.start(str(tmp_path), library, mine)
    left = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob(".mirflow-tmp-x")}
    folders = {
        "a": {"a", "a/features"},
        "a/b": {"a/b", "a/b/texts", ".mirflow/logs/a/b"},
        "c": {"c", ".mirflow/merged/c"},
    }
    assert left == {".mirflow"}.union(*(folders[track] for track in others))


def test_the_reason_of_slurm_is_said_of_a_share_that_broke_off(tmp_path, monkeypatch):
    squeue = tmp_path / "bin/squeue"
    squeue.parent.mkdir()
    squeue.write_text("#!/bin/sh\necho 16 OUT_OF_MEMORY\necho 17 TIMEOUT\necho 18 COMPLETED\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(squeue.parent), prepend=os.pathsep)
    results = str(tmp_path / "out")
    for index, ended in ((1, 2.0), (2, None), (3, 2.0)):
        monkeypatch.setenv("SLURM_JOB_ID", str(15 + index))
        shares.note(results, Share(index, 3), began=1.0, ended=ended)
    assert list(shares.states(results)) == ["2/3"]  # share 1 has made all of its tracks, for all we know
    found = shares.states(results, [next(track for track in TRACKS if Share(1, 3).has(track))])
    assert list(found) == ["1/3", "2/3"]
    assert found["1/3"].endswith("but steps lacked memory (OUT_OF_MEMORY); run it again with more")
    assert found["2/3"].endswith("(TIMEOUT); run it again")
    monkeypatch.delenv("SLURM_JOB_ID")
    shares.note(results, Share(2, 3), began=1.0)
    assert "(" not in shares.states(results)["2/3"]


def start(library: Path, results: Path, share: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "mirflow", "run", "--library", str(library), "--results", str(results)]
    command += ["-j", "1", "--share", share, "--", "--until", "full_mix"]
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def summary(results: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mirflow", "summary", "--results", str(results)]
    return subprocess.run(
        command, cwd=REPOSITORY, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_shares_at_once_make_every_track_and_one_summary(tmp_path):
    library, results = tmp_path / "music", tmp_path / "results"
    names = [f"track {n}" for n in range(4)]
    for name in names:
        write(library / f"{name}.wav", loop(0.3))
    (library / "bad.mp3").write_text("no music")
    all_tracks = [*names, "bad"]
    runs = {share: start(library, results, share) for share in ("1/3", "2/3")}
    said = {share: run.communicate(timeout=300)[0] for share, run in runs.items()}
    made = {path.parent.name for path in results.rglob("full_mix.flac")}
    assert made == {name for name in names if not Share(3, 3).has(name)}
    for text, run in runs.items():
        share = shares.share(text)
        count = len(share.of(all_tracks))
        assert run.returncode == int(share.has("bad")), said[text]
        if count:
            assert re.search(rf"^mirflow: share {text}: 0 of {count} tracks? complete", said[text], re.M), said[text]
    together = summary(results)
    assert together.returncode == 1 and "0 of 5 tracks complete" in together.stdout
    assert "  share 3/3 not begun" in together.stdout and "share 1/3" not in together.stdout
    last = start(library, results, "3/3")
    last.communicate(timeout=300)
    assert {path.parent.name for path in results.rglob("full_mix.flac")} == set(names)
    assert "not begun" not in summary(results).stdout and "failed      bad: full_mix" in summary(results).stdout


def test_a_share_without_a_track_ends_well(tmp_path):
    write(tmp_path / "music/one.wav", loop(0.3))
    empty = next(str(share) for share in (Share(1, 2), Share(2, 2)) if not share.has("one"))
    run = start(tmp_path / "music", tmp_path / "out", empty)
    assert "Nothing to be done" in run.communicate(timeout=300)[0] and run.returncode == 0


# --- The script of an array -------------------------------------------------------------------------------------------

ASKED = cluster.Array(shares=3, cpus=2, memory=6500, minutes=90, gpus="h100:1", account="it's", options=("--qos=x y",))


def test_the_script_runs_its_share_with_arguments_that_arrive_whole(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    script = tmp_path / "of-3.sh"
    script.write_text(cluster.script(ASKED, f"{tmp_path}/it's $(x)", f"{tmp_path}/out 5%", ["--config", "skip=[a, b]"]))
    for arguments, variables in ((["2"], {}), ([], {"SLURM_ARRAY_TASK_ID": "2"}), ([], {"PBS_ARRAY_INDEX": "2"})):
        done = subprocess.run(["sh", script, *arguments], env=os.environ | variables, text=True, stdout=subprocess.PIPE)
        assert done.stdout.splitlines() == [
            "-m", "mirflow", "run", "--library", f"{tmp_path}/it's $(x)", "--results", f"{tmp_path}/out 5%",
            "--jobs", "2", "--share", "2/3", "--", "--resources", "mem_mb=5000", "gpu=1", "downloads=2", "lookups=1",
            "--config", "skip=[a, b]",
        ]  # fmt: skip
    assert subprocess.run(["sh", script], stderr=subprocess.PIPE).returncode == 2
    options = [shlex.split(line)[1] for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert {"--array=1-3", "--mem=6500M", "--time=90", "--gpus=h100:1", "--account=it's", "--qos=x y"} <= set(options)
    assert f"--output={tmp_path}/out 5%%/.mirflow/shares/%a-of-3.log" in options


def test_time_and_memory_follow_from_the_music():
    # 600 minutes of audio cost 9000 CPU s, on 2 CPUs 75 minutes; three times that, and 10 to begin.
    audio = dict.fromkeys(TRACKS, 600 / len(TRACKS))
    assert cluster.minutes(audio, shares=1, cpus=2, cost=15) == 235
    longest = max(len(Share(index, 5).of(TRACKS)) for index in range(1, 6))
    assert cluster.minutes(audio, shares=5, cpus=2, cost=15) == math.ceil(10 + 225 * longest / len(TRACKS)) > 55
    assert cluster.minutes({"one": 600.0}, shares=5, cpus=2, cost=15) == 460, "one track does not gain from two CPUs"
    assert cluster.minutes({}, shares=5, cpus=2) == 10
    assert cluster.memory(4) == 11500
    with pytest.raises(MirflowError, match="--shares: a number from 1 on"):
        cluster.Array(shares=0, cpus=1, memory=5000, minutes=1)
    with pytest.raises(MirflowError, match="1500 MB are needed beside the steps"):
        cluster.Array(shares=1, cpus=1, memory=1000, minutes=1)


SINFO = """\
main*|64|256000|2-00:00:00|(null)
gpu|32|128000|1:00:00|gpu:h100:4(S:0-1),gpu:4090:2
old|8|16000|infinite|gpu:1
"""


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ({}, True),
        ({"cpus": 65}, False),
        ({"memory": 256_001}, False),
        ({"minutes": 2881}, False),
        ({"gpus": "1"}, False),  # those of the default partition have none
        ({"partition": "gpu", "gpus": "6", "minutes": 60}, True),
        ({"partition": "gpu", "gpus": "h100:4"}, True),
        ({"partition": "gpu", "gpus": "h100:5"}, False),
        ({"partition": "gpu", "gpus": "4090:2"}, True),
        ({"partition": "gpu", "gpus": "a100"}, False),
        ({"partition": "gpu", "minutes": 61}, False),
        ({"partition": "gpu,main", "minutes": 61}, True),
        ({"partition": "gpu,main", "minutes": 61, "gpus": "1"}, False),
        ({"partition": "old", "minutes": 10**6, "cpus": 8, "gpus": "1"}, True),
        ({"cpus": 65, "options": ("--cpus-per-task=2",)}, True),  # SLURM's own options overrule ours
    ],
)
def test_what_no_machine_of_the_cluster_has_is_refused(asked, fits):
    array = cluster.Array(**{"shares": 2, "cpus": 4, "memory": 4000, "minutes": 30} | asked)
    machines = cluster.nodes(SINFO, array.partition)
    if fits:
        cluster.check_fits(array, machines)
    else:
        with pytest.raises(MirflowError, match="SLURM could never run these jobs: each asks for"):
            cluster.check_fits(array, machines)
    cluster.check_fits(array, [])  # a cluster that does not say what it has


def test_what_concerns_all_tracks_is_made_when_all_shares_have_ended(tmp_path):
    library, results = tmp_path / "music", tmp_path / "results"
    share, other = (Share(1, 2), Share(2, 2)) if Share(1, 2).has("one") else (Share(2, 2), Share(1, 2))
    write(library / "one.wav", loop(1.0))

    def run(*options: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "mirflow", "run", "--library", str(library), "--results", str(results)]
        skip = f"skip=[{', '.join(feature.name for feature in features.built_in())}]"
        command += ["-j", "2", *options, "--", "--config", skip]
        return subprocess.run(
            command, cwd=REPOSITORY, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    assert "follow when all shares have ended: mirflow run --finish" in run("--share", str(share)).stdout
    shares.note(str(results), other, began=1.0, ended=2.0)
    before = summary(results)
    assert before.returncode == 1 and "make them with mirflow run --finish" in before.stdout
    assert not (results / "duplicates.tsv").exists()
    done = run("--finish")
    assert done.returncode == 0 and "1 of 1 track complete" in done.stdout, done.stdout
    assert {"duplicate_group", "split"} < set(json.loads((results / "one/one.INFO").read_text()))
    assert summary(results).returncode == 0
    (results / "one/one.INFO").unlink()
    run("--share", str(share))
    assert "split" not in json.loads((results / "one/one.INFO").read_text()) and summary(results).returncode == 1
    run("--finish")
    assert {"duplicate_group", "split"} < set(json.loads((results / "one/one.INFO").read_text()))
    assert summary(results).returncode == 0
    assert "no part of share 1/2" in run("--finish", "--share", "1/2").stdout
