"""The tables of a library: rows, columns, kinds, and that what is not complete says so."""

import json
from pathlib import Path

import numpy as np
import pytest

from mirflow.core import artifacts, layout
from mirflow.core.errors import MirflowError
from mirflow.export import tables

pytest.importorskip("pyarrow")


def track(results: Path, name: str, info: dict, heads: dict | None = None) -> str:
    files = layout.track_files(str(results), name)
    source = {"sha256": "ab" * 32, "duration": 2.5, "rate": 44100, "channels": 2}
    artifacts.write_json(files.info, info | {"_provenance": {"source": source}})
    for head, probabilities in (heads or {}).items():
        artifacts.write_json(files.fragment(head), {"_probabilities": probabilities})
    return name


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    results = tmp_path_factory.mktemp("results")
    genre = {"House": 0.6, "Techno": 0.3, 'Rock, "Punk"': 0.05}
    track(results, "a/One", {"bpm": 120.5, "beat_count": 9, "tonic_scale": "minor", "essentia_genre": {"House": 0.6}},
          {"genre_discogs400": genre})  # fmt: skip
    track(results, "Два", {"bpm": None, "beat_count": 0, "music_flamingo_full": 'Zwei\nZeilen, "so"', "split": "test"})
    track(results, "three", {"bpm": 90, "beat_count": 7, "mine": 3, "other": "x", "mixed": 1.5, "list": [1]})
    track(results, "four", {"bpm": 99.0, "beat_count": 7, "mine": 4, "mixed": "text", "flag": True})
    folder = results / "three/crops"
    for index in (0, 1):
        artifacts.write_json(folder / f"three_{index}.INFO", {"bpm": 80.0 + index})
    crops = [{"index": i, "file": f"three_{i}.flac", "start_time": 1.5 * i, "aligned": True} for i in (0, 1)]
    artifacts.write_json(folder / "crops.json", {"crops": crops})
    tracks = {name: f"/music/{name}.flac" for name in ("a/One", "bad", "four", "three", "Два")}
    counted = tables.write(str(results), tracks, {"bad": "full_mix: damaged"}, True, results)
    assert counted == {"library.parquet": 5, "crops.parquet": 2, "labels.parquet": 3}
    return results


def rows(path: Path) -> dict[str, dict]:
    pandas = pytest.importorskip("pandas")
    read = pandas.read_csv if path.suffix == ".csv" else pandas.read_parquet
    table = read(path).astype(object)
    return {row["track"]: row for row in table.where(table.notna(), None).to_dict("records")}


@pytest.mark.parametrize("name", ["library.parquet", "library.csv"])
def test_a_track_is_a_row_with_numbers_labels_texts_split_and_failure(made, name):
    found = rows(made / name)
    assert list(found) == ["a/One", "bad", "four", "three", "Два"]
    one, two, bad = found["a/One"], found["Два"], found["bad"]
    assert (one["bpm"], one["beat_count"], one["tonic_scale"], one["seconds"]) == (120.5, 9, "minor", 2.5)
    assert (one["essentia_genre"], one["essentia_genre_probability"]) == ("House", 0.6)
    assert (two["bpm"], two["split"], two["music_flamingo_full"]) == (None, "test", 'Zwei\nZeilen, "so"')
    assert bad["failed"] == "full_mix: damaged" and bad["source"] == "/music/bad.flac" and bad["bpm"] is None
    assert all(found[track]["failed"] is None for track in found if track != "bad")
    assert "list" not in one and "_provenance" not in one


def test_each_column_has_one_kind(made):
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(made / "library.parquet")
    kinds = {name: str(schema.field(name).type) for name in schema.names}
    wanted = {
        "bpm": "double",
        "beat_count": "int64",
        "tonic_scale": "string",
        "mine": "int64",
        "mixed": "string",
        "flag": "bool",
    }
    assert {key: kinds[key] for key in wanted} == wanted
    assert "lufs" not in kinds  # measured in no track


def test_a_crop_is_a_row_with_its_own_numbers(made):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(made / "crops.parquet")
    assert list(table["crop"]) == [0, 1] and list(table["bpm"]) == [80, 81] and list(table["start_time"]) == [0, 1.5]
    assert list(table["file"]) == ["three/crops/three_0.flac", "three/crops/three_1.flac"]


def test_labels_are_in_the_long_form_with_all_probabilities(made):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(made / "labels.parquet")
    assert list(table.columns) == ["track", "head", "label", "probability"]
    assert dict(zip(table["label"], np.round(table["probability"].astype(float), 4), strict=True)) == {
        "House": 0.6, "Techno": 0.3, 'Rock, "Punk"': 0.05,
    }  # fmt: skip
    assert set(table["track"]) == {"a/One"}


def test_a_damaged_info_is_named(tmp_path):
    track(tmp_path, "x", {"bpm": 1.0})
    Path(layout.track_files(str(tmp_path), "x").info).write_text("{")
    with pytest.raises(MirflowError, match=r"x\.INFO: not valid JSON"):
        tables.write(str(tmp_path), {"x": "x"}, {}, False, tmp_path)
    track(tmp_path, "x", {"bpm": "fast"})
    with pytest.raises(MirflowError, match=r"the key bpm of an \.INFO is no double"):
        tables.write(str(tmp_path), {"x": "x"}, {}, False, tmp_path)
    assert not list(tmp_path.glob("*.parquet")) and json.dumps(1)
