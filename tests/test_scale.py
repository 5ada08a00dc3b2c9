"""The programs of `make scale` and `make bench` measure what they say: finished clones, the same work done plain."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import snakemake

from mirflow import plain, price, registry, scale

STEPS = 7  # jobs of a track beside its features: full_mix, stems, activations, two grids, onsets, info


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    """A copy of the project, and one track that it has made."""
    folder = tmp_path_factory.mktemp("scale")
    scale.copy_project(folder / "project")
    return folder / "project", scale.make_seed(folder / "project", folder / "seed")


def test_clones_are_finished_and_what_comes_new_is_planned_for_them(made):
    project, seed = made
    library, results = scale.clone(project, seed, seed.parent / "3", 3)
    planned = {case: cost.jobs for case, cost in scale.cases(project, library, results, make=False, batch=2)}
    features = len(registry.features())
    assert planned == {
        "nothing made yet, dry run": 3 * (STEPS + features),
        "nothing made yet, table alone": 3 * (STEPS + features),
        "all made, dry run": 0,
        "all made, run": 0,
        "all made, run in batches": 0,
        "one more track, dry run": STEPS + features,
        "one more feature, dry run": 3 + 3,
    }


def test_planning_faster_plans_the_same(made):
    project, seed = made
    library, results = scale.clone(project, seed, seed.parent / "4", 4)
    first, second, third, _ = sorted(results.glob("*/Track*"))
    (first / "full_mix.flac").unlink()  # nothing misses it: all that is made of it is there
    (second / "stems.json").write_text("{}")
    shutil.rmtree(third)
    (library / "new.wav").hardlink_to(next(library.glob("*/*.wav")))
    snakefile = project / "Snakefile"
    text = snakefile.read_text()
    plans = []
    this = f'"{snakemake.__version__}"'
    for content in (text, text.replace(this, '"another version"')):
        snakefile.write_text(content)
        scale.snakemake(project, library, results, "-n")
        plans.append(said_of_jobs((project / "output.txt").read_text()))
    snakefile.write_text(text)
    assert text != content and plans[0] == plans[1]
    begins = [job.partition(":")[0] for job in plans[0]]
    assert [begins.count(f"rule {name}") for name in ("full_mix", "feature_loudness", "info")] == [2, 2, 3]


LOOKS_AGAIN = """
import os, sys, threading, time
import snakemake.cli
os.environ["MIRFLOW_WARM"], CONDA = "1", False
exec(open(sys.argv[1]).read())

class Scheduler:
    _open_jobs = threading.Semaphore(0)

due, looks_again = Scheduler._open_jobs, JobScheduler._schedule_reevalutation
one = Scheduler()
for _ in range(100):
    looks_again(one, 0.2)
assert threading.active_count() == 2, "one timer for all"
assert due.acquire(timeout=5) and not due.acquire(timeout=0.5), "and it comes once"
looks_again(one, 0.2)
assert due.acquire(timeout=5), "and again when it is asked for again"

record = snakemake.benchmark.BenchmarkRecord()
with snakemake.benchmark.benchmarked(os.getpid(), record):
    time.sleep(0.1)
assert 0.1 <= record.running_time < 5 and not record.data_collected
assert record.to_tsv(False).count("NA") == 8, record.to_tsv(False)
"""


def test_the_scheduler_starts_one_timer_and_a_warm_jobs_time_is_told():
    rules = scale.PROJECT / "rules/snakemake.smk"
    subprocess.run([sys.executable, "-c", LOOKS_AGAIN, rules], check=True, timeout=60)


def said_of_jobs(output: str) -> list[str]:
    """Return what a dry run says of each job: without its number and the time, lists in the order of the alphabet."""
    jobs = [job.partition("\n\n")[0] for job in re.split(r"(?m)^\[.*\]\n", output)[1:]]
    lines = [[line for line in job.splitlines() if "jobid:" not in line] for job in jobs]
    return sorted("\n".join(", ".join(sorted(re.split("[,;:] ", line))) for line in job) for job in lines)


def test_the_plain_program_makes_the_same_files(made, tmp_path):
    _, seed = made
    plain.make(scale.SEED, seed / "library" / f"{scale.SEED}.wav", tmp_path / "plain")
    price.compare(tmp_path / "plain", seed / "results")
    fragment = tmp_path / "plain" / scale.SEED / "features/tempo.json"
    fragment.write_text(fragment.read_text() + " ")
    with pytest.raises(price.MirflowError, match=r"features/tempo\.json"):
        price.compare(tmp_path / "plain", seed / "results")
