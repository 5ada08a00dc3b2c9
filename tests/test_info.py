"""The .INFO: only merged, never damaged, the same bytes for the same content."""

import json
import threading

import pytest

from mirflow import features, info
from mirflow.core import artifacts
from mirflow.core.errors import MirflowError


def fragment(name, **values):
    return {**values, "_provenance": {"feature": name, "version": 1}}


def test_keys_of_others_are_kept_exactly_and_ours_replaced():
    first = features.built_in()[0]
    key = first.fields[0].key
    existing = {
        "theirs": [1.0, None, "é", 0.1234567890123],
        key: 1.0,
        "_provenance": {"their_tool": 3, "source": "old"},
    }
    merged = info.merge(existing, [fragment(first.name, **{key: 2.0})], {"source": {"sha256": "00"}})
    assert merged["theirs"] == [1.0, None, "é", 0.1234567890123]
    assert merged[key] == 2.0
    assert merged["_provenance"]["their_tool"] == 3
    assert merged["_provenance"]["source"] == {"sha256": "00"}
    assert merged["_provenance"]["features"][first.name] == {"version": 1}


def test_order_depends_on_the_keys_not_on_their_history():
    one, two = features.built_in()[0], features.built_in()[-1]
    fragments = [fragment(f.name, **{f.fields[0].key: 1.0}) for f in (one, two)]
    at_once = info.merge({}, fragments, {})
    in_turn = info.merge(info.merge({}, fragments[1:], {}), fragments[:1], {})
    assert artifacts.json_bytes(at_once) == artifacts.json_bytes(in_turn)


@pytest.mark.parametrize("content", ["{", "[]", '{"a": NaN}', "\xff", "", '{"_provenance": 3}'])
def test_a_corrupt_file_is_an_error_that_names_it_and_stays(tmp_path, content):
    path = tmp_path / "T.INFO"
    path.write_bytes(content.encode("latin-1"))
    piece = tmp_path / "f.json"
    artifacts.write_json(piece, fragment("tempo", bpm=120.0))
    with pytest.raises(MirflowError, match=r"T\.INFO"):
        info.update(path, [piece], {})
    assert path.read_bytes() == content.encode("latin-1")


def test_a_damaged_fragment_is_named_and_the_file_stays(tmp_path):
    path, piece = tmp_path / "T.INFO", tmp_path / "tempo.json"
    path.write_text('{"theirs": 1}')
    piece.write_text("{")
    with pytest.raises(MirflowError, match=r"tempo\.json"):
        info.update(path, [piece], {})
    assert path.read_text() == '{"theirs": 1}'


def test_merges_at_the_same_time_lose_nothing(tmp_path):
    path = tmp_path / "T.INFO"
    pieces = []
    for feature in features.built_in():
        pieces.append(tmp_path / f"{feature.name}.json")
        artifacts.write_json(pieces[-1], fragment(feature.name, **{feature.fields[0].key: 0.5}))
    threads = [threading.Thread(target=info.update, args=(path, [piece], {})) for piece in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    merged = json.loads(path.read_text())
    assert set(merged["_provenance"]["features"]) == {feature.name for feature in features.built_in()}
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".json") == ["T.INFO", "T.INFO.lock"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), artifacts.atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"


def test_json_is_strict_and_numbers_are_short(tmp_path):
    with pytest.raises(ValueError, match="nan"):
        artifacts.write_json(tmp_path / "x.json", {"a": float("nan")})
    artifacts.write_json(tmp_path / "x.json", {"a": 0.1 + 0.2, "b": 3, "c": None, "d": "ü", "e": True})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 0.3, "b": 3, "c": None, "d": "ü", "e": True}
    assert "ü" in (tmp_path / "x.json").read_text(encoding="utf-8")


def test_grid_files_have_six_decimals_and_may_be_empty(tmp_path):
    artifacts.write_times(tmp_path / "g", [0.5, 1.25])
    assert (tmp_path / "g").read_text() == "0.500000\n1.250000\n"
    assert artifacts.read_times(tmp_path / "g").tolist() == [0.5, 1.25]
    artifacts.write_times(tmp_path / "g", [])
    assert (tmp_path / "g").read_bytes() == b""
    assert artifacts.read_times(tmp_path / "g").size == 0
    for wrong in ("2\n1\n", "nan\n", "x\n"):
        (tmp_path / "g").write_text(wrong)
        with pytest.raises(MirflowError, match="g: "):
            artifacts.read_times(tmp_path / "g")
