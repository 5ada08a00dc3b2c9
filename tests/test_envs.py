"""The sets of packages: exact versions, and the same ones for conda."""

import re
from pathlib import Path

import pytest
import yaml

from conftest import REPOSITORY

ENVS = REPOSITORY / "envs"
SETS = {"base": ("base",), "models": ("base", "models"), "flamingo": ("base", "flamingo")}


def packages(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("name", sorted(path.stem for path in ENVS.glob("*.txt")))
def test_versions_are_exact(name):
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", package) for package in packages(ENVS / f"{name}.txt"))


@pytest.mark.parametrize("name", SETS)
def test_conda_gets_what_pip_gets(name):
    installed = yaml.safe_load((ENVS / f"{name}.yaml").read_text())["dependencies"][-1]["pip"]
    assert installed == [package for part in SETS[name] for package in packages(ENVS / f"{part}.txt")]
