"""The report as a part of the workflow: made by a rule, with the tracks that `only` lists, named where it ends."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import synthetic
from conftest import REPOSITORY, loop, run_snakemake, write
from mirflow import features
from mirflow.commands import main
from mirflow.core import layout
from mirflow.core.errors import MirflowError
from mirflow.library.scan import scan
from mirflow.workflow import glance, selection, settings

KEPT = ("loudness", "saturation")  # what takes little time
SKIP = f"[{','.join(f.name for f in features.of_modules() if not f.on_request and f.name not in KEPT)}]"


def test_a_run_and_a_report_take_the_tracks_of_a_list_and_leave_the_others(tmp_path):
    library, results, chosen = tmp_path / "music", tmp_path / "results", tmp_path / "my tracks.txt"
    sound = loop(4)
    for name in ("one", "it's {2}", "three"):
        write(library / f"{name}.flac", sound if name != "three" else loop(5))
    listed = [track for track in scan(library).tracks if track != "three"]
    chosen.write_text("".join(f"{track}\r\n" for track in listed))
    command = [sys.executable, "-m", "mirflow", "run", "--library", str(library), "--results", str(results), "-j", "2"]
    command += ["--only", str(chosen), "--export", "report", "--", "--config", f"skip={SKIP}"]
    done = subprocess.run(
        command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "2 of 2 tracks complete" in done.stdout and "2 of the library's 3 tracks asked for" in done.stdout
    assert not (results / "three").exists()
    content = json.loads((results / "statistics.json").read_text())
    assert content["tracks"]["id"] == listed and content["library"]["tracks"] == 2
    assert [one["kind"] for one in content["findings"]] == ["duplicate"]
    assert f"mirflow: 1 finding about the library (1 warning); `mirflow stats {results}` shows them" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(f"in {results}/report.html")
    drawn = json.loads((results / "one/overview.json").read_text())
    assert drawn["seconds"] == 4 and set(drawn["loudness"]) == {"mix", "drums", "bass", "other", "vocals"}
    assert json.dumps(drawn, separators=(",", ":")) in (results / "report.html").read_text()
    assert (results / "library.csv").exists()
    # The list belongs to the whole library, whose other tracks are no part of this run, and not gone.
    assert "three\t" in (results / ".mirflow/library.tsv").read_text()
    same = {"library": library, "results": results, "skip": SKIP}
    assert "Nothing to be done" in run_snakemake("-n", "statistics", only=chosen, **same).stdout
    assert "Nothing to be done" in run_snakemake("-n", "all", only=chosen, **same).stdout
    refused = run_snakemake("-n", only=tmp_path / "none.txt", **same).stdout
    assert f"only: {tmp_path / 'none.txt'}: cannot be read (No such file or directory)" in refused


def test_unknown_tracks_of_a_list_are_named(tmp_path):
    tracks = {"a/One": "1", "b #2": "2"}
    path = tmp_path / "list"
    path.write_bytes("\ufeffb #2\n\na/One\n".encode())
    assert list(selection.of(tracks, path)) == ["a/One", "b #2"]
    path.write_text("a/On\nx\ny\nz\n")
    with pytest.raises(MirflowError, match=r"no track a/On, x, y and 1 others \(did you mean a/One\?\)"):
        selection.of(tracks, path)
    path.write_text("\n")
    with pytest.raises(MirflowError, match="names no track"):
        selection.of(tracks, path)


def test_settings_are_read_from_the_options_of_snakemake(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("only: file.txt\nstems: {format: flac}\n")
    read = settings.given(["-n", "--configfile", str(mine), "--config", "only=other.txt", "skip=[chroma]"])
    assert (read["only"], read["skip"], read["stems"]["format"]) == ("other.txt", ["chroma"], "flac")
    assert settings.given([f"--configfile={mine}"])["only"] == "file.txt" and settings.given([])["only"] == ""


def test_stats_prints_tables_chooses_and_saves(tmp_path, capsys):
    infos = dict(synthetic.infos(40))
    synthetic.write(tmp_path, infos.items())
    assert main(["stats", str(tmp_path), "--key", "bpm", "--top", "2"]) == 0
    said = capsys.readouterr().out
    best = max(infos, key=lambda track: infos[track]["bpm"] or 0)
    assert "range 40 to 300" in said and said[said.index("highest") :].splitlines()[1].endswith(best)
    assert main(["stats", str(tmp_path), "--csv"]) == 0
    assert capsys.readouterr().out.startswith("key,count,null,missing,mean,")
    fast = [track for track, info in infos.items() if info["bpm"] and info["bpm"] > 150]
    assert 0 < len(fast) < 40
    saved = tmp_path / "fast.txt"
    assert main(["stats", str(tmp_path), "--where", "bpm > 150", "--save", str(saved)]) == 0
    assert saved.read_text().splitlines() == fast
    capsys.readouterr()
    assert main(["stats", str(tmp_path), "--only", str(saved), "--key", "bpm", "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(fast) + 1
    assert main(["stats", str(tmp_path), "--where", "bmp > 150"]) == 1
    assert "did you mean bpm?" in capsys.readouterr().err


def test_findings_are_told_from_what_is_written_down_while_it_is_newest(tmp_path):
    synthetic.write(tmp_path, synthetic.infos(3))
    results, tracks = str(tmp_path), dict.fromkeys([track for track, _ in synthetic.infos(3)])
    assert glance.line(results, tracks, (), False) is None
    (tmp_path / "statistics.json").write_text('{"findings": [{"severity": "error"}, {"severity": "note"}]}')
    assert "2 findings about the library (1 error, 1 note)" in glance.line(results, tracks, (), False)
    stamp = layout.merge_stamp(results, next(iter(tracks)))
    later = (tmp_path / "statistics.json").stat().st_mtime_ns + 1
    os.utime(stamp, ns=(later, later))
    assert glance.line(results, tracks, (), False) is None


def test_tracks_called_like_files_of_the_whole_library_have_other_folders(tmp_path):
    for name in ("statistics.json", "report.html", "library.csv/Song", "duplicates.tsv/x"):
        write(tmp_path / f"{name}.flac", loop(0.1))
    assert list(scan(tmp_path).tracks) == [
        "%64uplicates.tsv/x",
        "%6Cibrary.csv/Song",
        "report.html.flac",
        "statistics.json.flac",
    ]
