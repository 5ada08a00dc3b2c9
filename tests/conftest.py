"""What several test files use: where the repository is, how to run the workflow, sounds with known content."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("MIRFLOW_SHARED", REPOSITORY.parent / "shared"))  # real music, if it is here
RATE = 44100


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real music and trained graphs beside the repository; not part of the project, so tests that want it may skip."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared here")
    return SHARED


def run_snakemake(*arguments: str, cwd: Path = REPOSITORY, **config: object) -> subprocess.CompletedProcess:
    """Run the workflow as a user would; returns the finished process with its output as text."""
    command = [sys.executable, "-m", "snakemake", "-j", "2", *arguments]
    if config:
        command += ["--config", *(f"{key}={value}" for key, value in config.items())]
    return subprocess.run(
        command, cwd=cwd, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900
    )


def copy_project(to: Path) -> Path:
    """Copy the workflow, so that a test may change it, and nothing is written into the repository."""
    to.mkdir(parents=True, exist_ok=True)
    for name in ("Snakefile", "rules", "scripts", "config", "profiles", "envs"):
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, to)
    return to


def jobs(output: str) -> dict[str, int]:
    """Read Snakemake's table of jobs: rule → number of jobs, without rule all.

    Also without `duplicates` where that only follows others: it is a part of every run that merges anything.
    """
    lines = output.partition("Job stats:")[2].splitlines()[3:]
    table = {}
    for line in lines:
        rule, _, number = line.strip().rpartition(" ")
        if not number.isdigit() or rule.strip() == "total":
            break
        table[rule.strip()] = int(number)
    table.pop("all", None)
    if "info" in table or "crop_info" in table:
        table.pop("duplicates", None)
    return table


def loop(seconds: float, rate: int = RATE, channels: int = 2) -> np.ndarray:
    """Synthesise a bar of drums, bass and a chord at 120 bpm over and over: float64 [n, channel], peak below 0.7."""
    n = int(seconds * rate)
    t = np.arange(n) / rate
    beat = t % 0.5
    kick = np.sin(2 * np.pi * 55 * beat) * np.exp(-beat / 0.05)
    noise = np.random.default_rng(1).standard_normal(n)
    hat = noise * np.exp(-(t % 0.25) / 0.01) * 0.2
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220.0, 261.63, 329.63)) * 0.08
    bass = np.sin(2 * np.pi * 110 * t) * 0.15
    mix = 0.4 * kick + hat + chord + bass
    return np.stack([mix * (1 - 0.1 * c) for c in range(channels)], axis=1)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: object) -> Path:
    """Write a sound file, making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path
