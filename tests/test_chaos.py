"""A round of the chaos program and two of its cases (`make chaos` does all of them)."""

import random

import pytest

import chaos
import faults


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    calm = chaos.House(tmp_path_factory.mktemp("chaos") / "house")
    calm.calm()
    return calm


def test_a_run_that_was_killed_is_completed_by_the_next_one(house):
    chaos.one_round(house, "everything", 0, random.Random(2))


@pytest.mark.parametrize("name", ["read_only_results", "clock_set_back_during_a_run"])
def test_nothing_is_lost(house, name):
    try:
        faults.do(name, faults.CASES[name], house)
    except faults.Impossible as error:
        pytest.skip(str(error))
