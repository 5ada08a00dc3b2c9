"""The programs that measure the workflow: they run the commands of its plan, make its files, and count all of it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import baseline, bench, measure, overhead, plan, planning, project
from conftest import loop, write
from mirflow import features
from mirflow.core.errors import MirflowError
from mirflow.warm import preload

# Jobs of a track beside its features: full_mix, stems, beat_activations, beats_grid, downbeats, onsets,
# drum_activations, drum_notes, drums_mid, tags, fingerprint, info.
STEPS = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    """A copy of the project, and one track that it has made."""
    folder = tmp_path_factory.mktemp("costs")
    copy = project.copy(folder / "project")
    return copy, planning.make_seed(copy, folder / "seed")


def rules_that_ran(results: Path) -> set[str]:
    """Return the rules of the seed of which it was noted how long they took."""
    noted = (results / ".mirflow/benchmarks" / planning.SEED / "all.jsonl").read_text()
    return {json.loads(line)["step"] for line in noted.splitlines()}


# The commands of the plan

DRY_RUN = """
Job stats:
job              count
-------------  -------
full_mix             1
stems                1
all                  1
total                3

rule full_mix:
    output: /r/a/b c/full_mix.flac
Shell command: mirflow full_mix '/l/a/b c.wav' -o '/r/a/b c/full_mix.flac' 2> '/r/.mirflow/logs/a/b c/full_mix.log'

rule stems:
Shell command: mirflow --model stems '/r/a/b c/full_mix.flac'  --model /m/net.pt 2> '/r/.mirflow/logs/a/b c/stems.log'
rule all:
Shell command: None
"""


def test_commands_are_those_that_the_dry_run_prints():
    full_mix = plan.Command("a/b c", "full_mix", ("full_mix", "/l/a/b c.wav", "-o", "/r/a/b c/full_mix.flac"))
    stems = plan.Command("a/b c", "stems", ("stems", "/r/a/b c/full_mix.flac", "--model", "/m/net.pt"))
    assert plan.parse(DRY_RUN) == {"a/b c": [full_mix, stems]}


def test_a_plan_with_a_job_whose_command_was_not_found_is_refused():
    with pytest.raises(MirflowError, match="plans 2 jobs, but prints the commands of 1"):
        plan.parse(DRY_RUN.replace("Shell command: mirflow full_mix", "Shell: mirflow full_mix"))


def test_baseline_makes_the_files_of_the_workflow(made, tmp_path):
    copy, seed = made
    commands = plan.read(seed / "library", tmp_path / "results", copy)
    assert {command.rule for command in commands[planning.SEED]} == rules_that_ran(seed / "results")
    baseline.save(commands, tmp_path / "plan.json")
    assert baseline.load(tmp_path / "plan.json") == commands
    measure.run([sys.executable, "-m", "benchmarks.baseline", str(tmp_path / "plan.json"), "-j", "1"], copy)
    overhead.compare(tmp_path / "results", seed / "results")


def test_baseline_stops_at_a_command_that_fails(tmp_path):
    command = plan.Command("a", "onsets", ("onsets", str(tmp_path / "no.flac"), "-o", str(tmp_path / "a.ONSETS")))
    with pytest.raises(MirflowError, match=r"^a: mirflow onsets .*no\.flac"):
        baseline.make([command])


# What rules cost


def test_bench_has_a_row_for_each_rule_and_their_sum(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(preload, "run", lambda: None)  # takes long, and matters to nothing but the numbers
    monkeypatch.setattr(bench, "CROPS", ("crops={mode: exact, length: 65536}",))
    bench.main([str(write(tmp_path / "three seconds.flac", loop(3.0)))])
    header, *rows, total, files, crops, measured, merged, all_crops, _, tracks = capsys.readouterr().out.splitlines()
    assert header.split() == ["rule", "CPU", "s", "/", "min", "share"]
    assert files == "1 files, 0.1 minutes of audio"
    costs = {name: float(cost) for name, cost, _ in map(str.split, (row.replace(bench.READ, "read") for row in rows))}
    assert set(costs) == rules_that_ran(made[1] / "results") | {"read"}
    assert list(costs.values()) == sorted(costs.values(), reverse=True) and min(costs.values()) >= 0
    assert float(total.split()[1]) == pytest.approx(sum(costs.values()), abs=0.005 * (len(costs) + 1))
    assert tracks.removeprefix("tracks in all").split()[0] == total.split()[1]
    parts = [float(line.split()[1]) for line in (crops, measured, merged)]
    assert float(all_crops.removeprefix("crops in all").split()[0]) == pytest.approx(sum(parts), abs=0.02)


def test_bench_counts_the_reading_of_a_file_once_and_apart(tmp_path, monkeypatch):
    sound, spent = write(tmp_path / "sound.flac", loop(1.0)), iter([0, 1, 3, 6, 6, 16])  # s of CPU, at each look
    monkeypatch.setattr(bench.time, "process_time", lambda: next(spent))
    monkeypatch.setattr(baseline, "perform", lambda command: bench.audio.read(sound))
    commands = [plan.Command("a", rule, ()) for rule in ("one", "two")]
    assert bench.measure(commands) == {bench.READ: 2, "one": 4, "two": 10}


BURN = """
import subprocess, sys, time
if "child" not in sys.argv:
    subprocess.Popen([sys.executable, __file__, "child"])
while time.process_time() < 0.4:
    pass
"""
MEASURE = """
import sys
from pathlib import Path
from benchmarks import measure
for workers in (False, True):
    print(measure.run([sys.executable, "burn.py"], Path(sys.argv[1]), workers).cpu)
"""


def test_cost_counts_workers_that_outlive_a_command_where_they_are_asked_for(tmp_path):
    (tmp_path / "burn.py").write_text(BURN)
    ended = subprocess.run([sys.executable, "-c", MEASURE, tmp_path], text=True, stdout=subprocess.PIPE, check=True)
    alone, together = map(float, ended.stdout.split())
    assert 0.4 <= alone < 0.8 <= together < 1.6


# Comparison of results


def test_compare_finds_a_byte_that_differs_and_a_file_that_is_missing(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for results in (one, other):
        (results / "track/features").mkdir(parents=True)
        (results / ".mirflow").mkdir()
        (results / "track/features/tempo.json").write_text("{}\n")
        (results / "track/source.json").write_text(str(results))
        (results / "track/track.INFO.lock").write_text(str(results))
        (results / ".mirflow/log").write_text(str(results))
    with pytest.raises(MirflowError, match=r"differ: track/source\.json$"):
        overhead.compare(one, other)
    overhead.compare(one, other, ignored=overhead.WITH_SOURCE_PATH)
    (one / "track/features/tempo.json").write_text("{ \n")
    (other / "track/new.txt").touch()
    with pytest.raises(MirflowError, match=r"differ: track/features/tempo\.json, track/new\.txt$"):
        overhead.compare(one, other, ignored=overhead.WITH_SOURCE_PATH)
    with pytest.raises(MirflowError, match="nothing was made"):
        overhead.compare(tmp_path / "one/.mirflow", other)


def test_library_of_overhead_has_tracks_of_the_asked_length_that_all_differ(tmp_path):
    source = write(tmp_path / "source.flac", loop(1.0))
    assert overhead.make_library([source], tmp_path / "library", minutes=5 / 60, length=2.0) == [2.0, 2.0, 2.0]
    assert len({path.read_bytes() for path in (tmp_path / "library").iterdir()}) == 3


# Planning


def test_clones_are_finished_and_what_comes_new_is_planned_for_them(made):
    copy, seed = made
    library, results = planning.clone(seed, seed.parent / "2", 2)
    costs = dict(planning.cases(copy, library, results, make=False, batch=1))
    of_track = STEPS + len(features.built_in())
    assert {case: plan.planned_jobs(cost.output) for case, cost in costs.items()} == {
        "nothing made yet, dry run": 2 * of_track,
        "nothing made yet, table alone": 2 * of_track,
        "all made, dry run": 0,
        "all made, run": 0,
        "all made, run in batches": 0,
        "one more track, dry run": of_track,
        "one more feature, dry run": 2 + 2,
    }
    assert all(0 < cost.cpu and 0 < cost.memory < 4 for cost in costs.values())


def test_planning_faster_plans_the_same(made):
    copy, seed = made
    library, results = planning.clone(seed, seed.parent / "4", 4)
    first, second, third, _ = sorted(results.glob("*/Track*"))
    (first / "full_mix.flac").unlink()  # no job needs it: everything that is made of it exists
    (second / "stems.json").unlink()  # it is a link, which the clones share
    (second / "stems.json").write_text("{}")
    shutil.rmtree(third)
    (library / "new.wav").hardlink_to(next(library.glob("*/*.wav")))
    internals = copy / "scripts/mirflow/workflow/snakemake_internals.py"
    text = internals.read_text()
    plain = re.sub(r'(?m)^KNOWN_VERSION = ".*"$', 'KNOWN_VERSION = "another"', text)
    assert plain != text
    plans = []
    for content in (plain, text):
        internals.write_text(content)
        output = planning.snakemake(copy, library, results, "-n").output
        assert ("planning and scheduling are slower" in output) == (content == plain)
        plans.append(described_jobs(output))
    assert plans[0] == plans[1]
    begins = [job.partition(":")[0] for job in plans[0]]
    assert [begins.count(f"rule {name}") for name in ("full_mix", "feature_loudness", "info")] == [2, 2, 3]


def described_jobs(output: str) -> list[str]:
    """Return what a dry run prints of each job, without its number and the time, lists in alphabetical order."""
    jobs = [job.partition("\n\n")[0] for job in re.split(r"(?m)^\[.*\]\n", output)[1:]]
    lines = [[line for line in job.splitlines() if "jobid:" not in line] for job in jobs]
    return sorted("\n".join(", ".join(sorted(re.split("[,;:] ", line))) for line in job) for job in lines)
