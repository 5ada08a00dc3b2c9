"""Profiles: what they say of rules fits the rules."""

import yaml

from conftest import REPOSITORY, run_snakemake
from mirflow import registry


def profile(name: str) -> dict:
    return yaml.safe_load((REPOSITORY / "profiles" / name / "config.yaml").read_text())


def test_the_profile_for_slurm_names_rules_that_exist_and_all_features():
    listed = run_snakemake("--list-rules", "--configfile", "config/full.yaml")
    assert listed.returncode == 0, listed.stdout
    rules = set(listed.stdout.split())
    slurm = profile("slurm")
    grouped = dict(entry.split("=") for entry in slurm["groups"])
    named = {*grouped, *(entry.partition(":")[0] for entry in slurm["set-resources"])}
    assert named <= rules
    assert {f"feature_{name}" for name in registry.feature_names()} <= set(grouped)
    assert set(grouped.values()) == {entry.partition("=")[0] for entry in slurm["group-components"]}


def test_the_profile_for_slurm_keeps_what_the_default_one_says():
    default, slurm = profile("default"), profile("slurm")
    assert set(default.pop("resources")) <= set(slurm["resources"])
    assert default.items() <= slurm.items()
