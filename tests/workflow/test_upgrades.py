"""Artifacts of earlier versions that are made again, and those that are not."""

import pytest

from mirflow.core import artifacts
from mirflow.workflow import upgrades

VERSION_1 = ["kind: full_mix", "source: a.flac", "stamp: 1 2", "version: 1"]


@pytest.mark.parametrize(
    ("source", "is_valid"),
    [
        ({"codec": "PCM_16", "rate": 44100, "channels": 2}, True),
        ({"codec": "VORBIS", "rate": 44100, "channels": 1}, True),
        ({"codec": "OPUS", "rate": 48000, "channels": 2}, True),
        ({"codec": "OPUS", "rate": 16000, "channels": 2}, False),
        ({"codec": "VORBIS", "rate": 44100, "channels": 6}, False),
        ({"codec": "PCM_16", "rate": 48000, "channels": 3}, False),
        ({}, False),
    ],
)
def test_only_surround_and_opus_at_other_rates_are_decoded_again(tmp_path, source, is_valid):
    artifacts.write_json(tmp_path / "source.json", source)
    found = upgrades.renewed(VERSION_1, str(tmp_path / "full_mix.flac"))
    assert found == [*VERSION_1[:3], "version: 2" if is_valid else "version: 1"]


def test_other_kinds_and_edited_code_stay_as_they_are(tmp_path):
    artifacts.write_json(tmp_path / "source.json", {"codec": "PCM_16", "rate": 44100, "channels": 2})
    for recorded in (["kind: onsets", "version: 1"], ["kind: full_mix", "version: 1 0123456789ab"]):
        assert upgrades.renewed(recorded, str(tmp_path / "full_mix.flac")) == recorded
    assert upgrades.renewed(VERSION_1, str(tmp_path / "absent" / "full_mix.flac")) == VERSION_1
