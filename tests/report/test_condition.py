"""Conditions on tracks: the cases that every implementation must answer alike, and what no condition can do."""

import json
from pathlib import Path

import pytest

from mirflow.core.errors import MirflowError
from mirflow.report import condition

CASES = json.loads(Path(__file__).with_name("filter_cases.json").read_text())


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["expression"])
def test_each_case_has_its_answer(case):
    try:
        answer = condition.parse(case["expression"], CASES["row"]).holds(CASES["row"])
    except MirflowError:
        answer = "error"
    assert answer is case["answer"] or answer == case["answer"] == "error"


def test_errors_name_what_is_wrong():
    with pytest.raises(MirflowError, match=r"bmp: no track has such a key.*did you mean bpm"):
        condition.parse("bmp > 3", ["bpm"])
    with pytest.raises(MirflowError, match=r"open\('x'\): not a part of a condition"):
        condition.parse("open('x')", ["bpm"])


@pytest.mark.parametrize("text", ["(" * 5000 + "bpm" + ")" * 5000, "not " * 2400 + "bpm", "bpm\0", "bpm " * 9999])
def test_what_is_too_long_or_too_deep_is_an_error_and_no_crash(text):
    with pytest.raises(MirflowError):
        condition.parse(text, ["bpm"]).holds({"bpm": 1})


def test_a_condition_says_which_keys_it_names():
    assert condition.parse('bpm > 3 and key("my key") in (1, 2)', ["bpm", "my key"]).keys == {"bpm", "my key"}
