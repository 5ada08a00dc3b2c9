"""Profiles: Snakemake combines them as their comments say, and what they say of rules fits the rules."""

import re

import pytest
import yaml
from snakemake import cli

from conftest import REPOSITORY, jobs, run_snakemake


def profile(name: str) -> dict:
    return yaml.safe_load((REPOSITORY / "profiles" / name / "config.yaml").read_text())


@pytest.mark.parametrize(("name", "retries"), [("gpu", 0), ("rocm", 1)])
def test_the_profile_of_a_gpu_adds_to_the_default_one(name, retries, monkeypatch):
    assert not set(profile(name)) & set(profile("default")), "Snakemake would take these from profiles/default"
    monkeypatch.chdir(REPOSITORY)
    _, options = cli.parse_args(["--profile", f"profiles/{name}"])
    assert options.cores == cli.parse_cores("all") and options.retries == retries
    assert {key: limit.value for key, limit in options.resources.items()} == {"gpu": 1, "downloads": 2}
    assert options.scheduler == "greedy" and options.keep_going and options.rerun_incomplete and options.nolock


def test_the_profile_for_slurm_gives_each_step_of_a_track_a_group(tmp_path):
    slurm = profile("slurm")
    plan = ("-n", "--configfile", "config/full.yaml", "--groups", *slurm["groups"])
    planned = run_snakemake(*plan, results=tmp_path / "results", models=tmp_path / "models")
    assert planned.returncode == 0, planned.stdout
    grouped: dict[str, set[str]] = {}
    for line in planned.stdout.splitlines():
        if header := re.search(r"Group job (\w+) ", line):
            rules = grouped.setdefault(header[1], set())
        elif rule := re.fullmatch(r" +rule (\S+):", line):
            rules.add(rule[1])
    alone = set(jobs(planned.stdout)).difference(*grouped.values())
    assert {rule for rule in alone if not rule.startswith("model_file_")} == {"describe_model"}
    assert set(grouped) == {entry.partition("=")[0] for entry in slurm["group-components"]}
    named = {re.split("[=:]", entry)[0] for entry in (*slurm["groups"], *slurm["set-resources"])} - {"features"}
    assert named <= set().union(*grouped.values()), "the profile names rules that do not exist"


def test_the_profile_for_slurm_keeps_what_the_default_one_says():
    default, slurm = profile("default"), profile("slurm")
    assert set(default.pop("resources")) <= set(slurm["resources"])
    assert default.items() <= slurm.items()
