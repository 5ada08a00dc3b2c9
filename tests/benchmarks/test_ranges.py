"""The table of a library's values beside the declared ranges."""

import json

import pytest

from benchmarks import ranges
from mirflow.core.errors import MirflowError


def test_percentiles_nulls_and_shares_at_the_ends(tmp_path, capsys):
    for track, syncopation in (("one", 0.0), ("sub/two", 1.0)):  # possible: 0 to 1; the declared range: 0 to 0.6
        folder = tmp_path / track / "features"
        folder.mkdir(parents=True)
        (folder / "syncopation.json").write_text(json.dumps({"syncopation": syncopation, "on_beat_ratio": None}))
    ranges.main([str(tmp_path)])
    header, *rows, note = capsys.readouterr().out.splitlines()
    assert header.split() == ["key", "n", "null", "p1", "p50", "p99", "range", "<=", "low", ">=", "top"]
    assert [row.split() for row in rows] == [
        ["syncopation", "2", "0", "0.01", "0.5", "0.99", "0..0.6", "50.0%b", "50.0%"],
        ["on_beat_ratio", "0", "2"],
    ]
    assert note.startswith("b: ")


def test_results_without_fragments_are_an_error(tmp_path):
    with pytest.raises(MirflowError, match="no fragments below"):
        ranges.main([str(tmp_path)])
