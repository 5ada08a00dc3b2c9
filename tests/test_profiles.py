"""Profiles: Snakemake combines them as their comments say, and what they say of rules fits the rules."""

import pytest
import yaml
from snakemake import cli

from conftest import REPOSITORY


def profile(name: str) -> dict:
    return yaml.safe_load((REPOSITORY / "profiles" / name / "config.yaml").read_text())


@pytest.mark.parametrize(("name", "retries"), [("gpu", 0), ("rocm", 1)])
def test_the_profile_of_a_gpu_adds_to_the_default_one(name, retries, monkeypatch):
    assert not set(profile(name)) & set(profile("default")), "Snakemake would take these from profiles/default"
    monkeypatch.chdir(REPOSITORY)
    _, options = cli.parse_args(["--profile", f"profiles/{name}"])
    assert options.cores == cli.parse_cores("all") and options.retries == retries
    assert {key: limit.value for key, limit in options.resources.items()} == {"gpu": 1, "downloads": 2, "lookups": 1}
    assert options.scheduler == "greedy" and options.keep_going and options.rerun_incomplete and options.nolock
