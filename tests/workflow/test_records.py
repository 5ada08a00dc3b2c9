"""Few files: the records of a track are one file, its benchmarks another, and logs that say nothing go."""

import json
import os
import subprocess
import sys

import pytest

from conftest import REPOSITORY
from mirflow.workflow import progress
from mirflow.workflow.records import Records


def test_the_records_of_a_track_are_in_one_file_and_come_back(tmp_path):
    records = Records(str(tmp_path))
    artifacts = ["sub/it's/full_mix.flac", "sub/it's/features/tempo.json", ".mirflow/merged/sub/it's/done"]
    for number, artifact in enumerate(artifacts):
        records.write(artifact, {"rule": number})
    records.write("one/full_mix.flac", {"rule": "other"})
    assert [Records(str(tmp_path)).read(artifact)["rule"] for artifact in artifacts] == [0, 1, 2]
    assert records.read("sub/it's/drums.mp3") == {}
    files = sorted(str(path.relative_to(tmp_path / ".mirflow/merged")) for path in tmp_path.rglob("records.json"))
    assert files == ["one/records.json", "sub/it's/records.json"]
    assert records.delete(artifacts[0]) and not records.delete(artifacts[0])
    assert records.read(artifacts[0]) == {} and records.read(artifacts[1]) == {"rule": 1}


WRITE = """
import sys
from mirflow.workflow.records import Records
records = Records(sys.argv[1])
for number in range(40):
    records.write(f"a/features/{sys.argv[2]}{number}.json", {"rule": sys.argv[2]})
"""


def test_two_processes_that_share_a_file_lose_no_record(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts")}
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    writers = [subprocess.Popen([*command, name], env=environment) for name in "xy"]
    assert [writer.wait() for writer in writers] == [0, 0]
    found = json.loads((tmp_path / ".mirflow/merged/a/records.json").read_text())
    assert sorted(found) == sorted(f"a/features/{name}{number}.json" for name in "xy" for number in range(40))
    assert not list(tmp_path.rglob(".mirflow-tmp-*"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_full_disk_leaves_the_records_as_they_were(tmp_path, monkeypatch):
    records = Records(str(tmp_path))
    records.write("a/full_mix.flac", {"rule": 1})
    full = f"{tmp_path}/.mirflow/merged/a/.mirflow-tmp-{os.uname().nodename}-{os.getpid()}"
    os.symlink("/dev/full", full)
    with pytest.raises(OSError, match=r"records\.json: cannot be written \(No space left on device\)"):
        records.write("a/full_mix.flac", {"rule": 2})
    assert records.read("a/full_mix.flac") == {"rule": 1} and not os.path.lexists(full)


def test_a_finished_track_keeps_the_logs_that_say_something_and_one_table_of_benchmarks(tmp_path):
    logs, benchmarks = tmp_path / ".mirflow/logs/one", tmp_path / ".mirflow/benchmarks/one"
    for folder in (logs, benchmarks):
        folder.mkdir(parents=True)
    (logs / "stems.log").touch()
    (logs / "onsets.log").write_text("mirflow: error: no\n")
    (benchmarks / "stems.jsonl").write_text('{"s": 1.5}\n')
    (benchmarks / "onsets.jsonl").write_text('{"s": 0.5}\n{"s":')
    progress.tidy(str(tmp_path), ["one", "never begun"])
    assert [path.name for path in logs.iterdir()] == ["onsets.log"]
    (benchmarks / "stems.jsonl").write_text('{"s": 2.5}\n')
    (logs / "onsets.log").write_text("")
    progress.tidy(str(tmp_path), ["one"])
    assert not logs.exists()
    (table,) = benchmarks.iterdir()
    assert {row["step"]: row["s"] for row in map(json.loads, table.read_text().splitlines())} == {
        "onsets": 0.5,
        "stems": 2.5,
    }
