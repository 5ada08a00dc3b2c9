"""Findings of made-up libraries: what was planted is found, and nothing else."""

import copy
from pathlib import Path

import pytest

from benchmarks import synthetic
from mirflow.report import build, values

TRACKS = 300
CAPTIONS = build.Captions(128, lambda text: len(text.split()) + 1, exact=True)


@pytest.fixture(scope="module")
def varied() -> dict[str, dict]:
    return dict(synthetic.infos(TRACKS))


def content(folder: Path, infos: dict[str, dict], failed: dict[str, str] | None = None) -> dict:
    synthetic.write(folder, infos.items())
    return build.build(values.read(str(folder), dict.fromkeys(infos, "source"), failed or {}), CAPTIONS)


def test_a_varied_library_has_no_findings(tmp_path, varied):
    found = content(tmp_path, varied)
    assert found["findings"] == []
    assert found["library"] | {"splits": 0} == {
        "tracks": TRACKS, "read": TRACKS, "failed": 0, "seconds": 200.0 * TRACKS, "splits": 0, "few": None,
    }  # fmt: skip
    assert found["redundancy"]["relations"][0]["because"] == "the 12 shares of the chroma sum to 1"


def test_what_is_planted_is_found_and_nothing_else(tmp_path, varied):
    infos = copy.deepcopy(varied)
    ids = list(infos)
    for track in ids[10:12]:
        infos[track] |= {"duplicate_group": "ab12", "split": "train"}
    for place, (track, info) in enumerate(infos.items()):
        info["warmth"] = 50.0 if place else 51.0
        info["bpm_essentia"] = info["bpm"]
        if place % 10 == 0:
            info["lra"] = 30.0 + place / 100
        if track in ids[20:22]:
            info["track_metadata_artist"] = "The Leaks (feat. Somebody)" if track == ids[20] else "leaks"
            info["split"] = "train" if track == ids[20] else "test"
    infos[ids[30]]["sharpness"] = 190.0
    findings = {one["kind"]: one for one in content(tmp_path, infos)["findings"]}
    assert list(findings) == ["leak", "duplicate", "constant", "clipped", "redundant", "outlier"]
    assert set(findings["leak"]["tracks"]) == set(ids[20:22])
    assert findings["leak"]["values"]["splits"] == {"train": [ids[20]], "test": [ids[21]]}
    assert findings["duplicate"]["tracks"] == ids[10:12]
    assert findings["constant"]["keys"] == ["warmth"] and findings["constant"]["values"]["mode"] == 50.0
    assert (
        findings["redundant"]["keys"] == ["bpm", "bpm_essentia"] and findings["redundant"]["values"]["strongest"] == 1
    )
    assert findings["outlier"]["keys"] == ["sharpness"] and findings["outlier"]["tracks"] == [ids[30]]
    clipped = findings["clipped"]
    assert clipped["keys"] == ["lra"] and clipped["values"]["clipped_above"] == TRACKS / 10
    assert 30 < clipped["values"]["p99_5"] < 33


def test_what_counts_in_any_library(tmp_path, varied):
    """Few tracks have no distributions, but failures, duplicates, leaks and captions are what they are."""
    infos = {track: copy.deepcopy(info) for track, info in list(varied.items())[:6]}
    one, two, three, four, five, six = infos
    infos[two]["_provenance"]["source"]["sha256"] = infos[one]["_provenance"]["source"]["sha256"]
    infos[two]["split"], infos[one]["split"] = "validation", "train"
    infos[three] |= {"music_flamingo_short": "A sad song.", "music_flamingo_conflicts": {"short": ["tempo: no"]}}
    infos[four]["music_flamingo_short"] = "A sad song."
    infos[five]["music_flamingo_short"] = "word " * 130
    infos[five]["saturation_ratio"] = 0.4
    del infos[six]["lufs"], infos[six]["lra"]
    found = content(tmp_path, infos, {"bad": "full_mix: damaged"})
    kinds = {finding["kind"]: finding for finding in found["findings"]}
    assert "fewer than 20 tracks" in found["library"]["few"]
    assert set(kinds) == {
        "failed", "leak", "duplicate", "contradicting_captions", "identical_captions", "long_caption", "audio_clipping",
        "missing",
    }  # fmt: skip
    assert set(kinds["leak"]["tracks"]) == set(kinds["duplicate"]["tracks"]) == {one, two}
    assert kinds["long_caption"]["values"]["tokens"] == {five: 131}
    assert kinds["missing"]["tracks"] == [six] and set(kinds["missing"]["keys"]) == {"lufs", "lra"}


def test_a_damaged_info_fails_alone(tmp_path, varied):
    infos = dict(list(varied.items())[:3])
    ids = synthetic.write(tmp_path, infos.items())
    Path(tmp_path, ids[1], f"{ids[1].rpartition('/')[2]}.INFO").write_text('{"bpm": NaN}')
    library = values.read(str(tmp_path), dict.fromkeys(ids, ""), {})
    assert library.tracks == [ids[0], ids[2]] and "not valid JSON" in library.failed[ids[1]]


def test_keys_of_other_programs_count_and_equal_numbers_tell_a_copy(tmp_path, varied):
    infos = {track: {"mine": index + 0.5, "own": 3 * index, "bpm": info["bpm"]} for index, (track, info) in
             enumerate(list(varied.items())[:120])}  # fmt: skip
    one, two = list(infos)[5:7]
    for info, other in zip(infos.values(), varied.values(), strict=False):
        info |= {key: other[key] for key in ("lufs", "warmth", "depth", "hardness")}
    infos[two] = dict(infos[one])
    findings = {finding["kind"]: finding for finding in content(tmp_path, infos)["findings"]}
    assert set(findings) == {"duplicate", "redundant"}
    assert findings["redundant"]["keys"] == ["mine", "own"]
    assert findings["duplicate"]["tracks"] == [one, two] and "numbers" in findings["duplicate"]["values"]["because"]
