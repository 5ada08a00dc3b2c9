"""Settings: every one is known, checked and does something."""

import argparse
import os
import shlex
import sys
import types

import pytest
import yaml

from mirflow import features
from mirflow.commands import _feature
from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.feature import Feature, Field, Setting
from mirflow.workflow import settings


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((settings.CONFIG / "config.yaml").read_text())


def test_the_defaults_are_valid_and_every_setting_is_commented(config):
    settings.check(config)
    lines = (settings.CONFIG / "config.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        key = line.strip().partition(":")[0]
        if line.strip() and not line.strip().startswith("#") and not line.rstrip().endswith(":"):
            assert lines[number - 1].strip().startswith("#"), f"{key} has no comment above it"


def test_the_schema_describes_each_setting_and_no_other(config):
    def names(value, described):
        properties = described.get("properties")
        if not properties or not isinstance(value, dict):
            return
        assert set(value) == set(properties), "config.yaml and config.schema.yaml list different settings"
        for key in value:
            if key != "features":
                names(value[key], properties[key])

    names(config, settings.schema())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"libary": "x"}, r"libary: no such setting \(did you mean library\?\)"),
        ({"stems": {"formatt": "mp3"}}, r"stems.formatt: no such setting \(did you mean format\?\)"),
        ({"stems": {"format": "mp4"}}, r"stems.format: 'mp4' is none of mp3, flac, wav, ogg"),
        ({"skip": ["temppo"]}, r"'temppo' is none of .* \(did you mean tempo\?\)"),
        ({"skip": "tempo"}, r"skip: a list of features is expected"),
        ({"features": {"tempo": {"x": 1}}}, r"features"),
        ({"library": 2024}, r"library: 2024 is not of type 'string'"),
    ],
)
def test_what_is_unknown_or_impossible_is_refused_by_name(config, change, message):
    with pytest.raises(MirflowError, match=message):
        settings.check(config | change)


def test_texts_of_the_command_line_become_what_they_say(config):
    settings.read(config := config | {"warm": "False", "stems": {"bitrate": "128"}, "library": "2024"})
    settings.check(config)
    assert (config["warm"], config["stems"], config["library"]) == (False, {"bitrate": 128}, "2024")


def test_results_may_not_hold_what_snakemake_reads_as_a_pattern():
    assert settings.directory("out/") == "out"
    with pytest.raises(MirflowError, match="results"):
        settings.directory("out{x}")


def test_usual_paths_are_taken_and_an_empty_one_is_refused():
    assert settings.directory("../out") == "../out" and settings.directory(".out") == ".out"
    assert settings.directory("-out") == os.path.abspath("-out")  # no option, for the commands that get it
    for empty in (settings.directory, settings.path):
        with pytest.raises(MirflowError, match="empty"):
            empty("")


def test_a_setting_of_a_feature_reaches_its_measurement_and_the_provenance(tmp_path, monkeypatch):
    feature = Feature(
        "toy",
        1,
        ("beats",),
        (Field("toy_share", "ratio", bounds=(0, 1)),),
        settings=(Setting("share", 0.5, "what is returned", bounds=(0, 1)),),
    )
    module = types.ModuleType("mirflow.features.toy")
    module.FEATURE, module.measure = feature, lambda beats, share: {"toy_share": share}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(features, "names", lambda: ("toy",))
    (tmp_path / "T.BEATS_GRID").write_text("")
    for chosen, expected in (({}, 0.5), ({"toy": {"share": 0.25}}, 0.25)):
        parser = argparse.ArgumentParser()
        _feature.configure(parser, "toy")
        options = shlex.split(settings.options(feature, {"features": chosen}))
        _feature.run(parser.parse_args([str(tmp_path / "T.BEATS_GRID"), *options, "-o", str(tmp_path / "toy.json")]))
        fragment = artifacts.read_json(tmp_path / "toy.json")
        assert fragment["toy_share"] == expected
        assert fragment["_provenance"].get("settings", {}) == chosen.get("toy", {})


def test_unfinished_files_lie_in_the_scratch_folder_and_get_their_names_when_they_are_whole(tmp_path, monkeypatch):
    scratch, target = tmp_path / "scratch", tmp_path / "out/x.json"
    monkeypatch.setenv(artifacts.SCRATCH, "of an earlier run")
    with pytest.raises(MirflowError, match=r"scratch: .* is no directory"):
        settings.export({"max_minutes": 1, "scratch": str(scratch)})
    scratch.mkdir()
    settings.export({"max_minutes": 1, "scratch": str(scratch)})
    with artifacts.atomic_write(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == scratch and temporary.suffix == ".json" and not list(target.parent.iterdir())
    assert target.read_text() == "new" and [*scratch.iterdir(), *target.parent.iterdir()] == [target]
    with pytest.raises(RuntimeError), artifacts.atomic_write(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "new" and not list(scratch.iterdir())
    settings.export({"max_minutes": 1, "scratch": ""})
    with artifacts.atomic_write(target) as temporary:
        assert temporary.parent == target.parent
