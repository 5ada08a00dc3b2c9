"""Two rounds of the chaos program: Snakemake killed, then its worker (`make chaos` runs as many as you like)."""

import random

import chaos


def test_killed_runs_are_completed_by_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setenv("MIRFLOW_CHAOS", "")  # the program sets it; restored afterwards
    assert chaos.rounds(2, random.Random(2), tmp_path) == 0
