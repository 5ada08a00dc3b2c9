"""A part of the fuzz program (`make fuzz` tries as many cases as you like)."""

import os

import fuzz
from conftest import loop, run_snakemake, write
from mirflow.library.scan import scan

LONG = (
    "24 h of silence: flac, unknown length",
    "24 h of silence: mp3",
    "2 h of silence: flac",
    "flac: 100 MB of comments",
)


def test_no_damage_and_no_malice_crashes_hangs_or_makes_an_unreadable_file(tmp_path, monkeypatch):
    for name in LONG:
        monkeypatch.delitem(fuzz.MALICE, name)
    rows, failures = fuzz.run(tmp_path, cases=120, seed=0)
    assert not failures, "\n".join(failures)
    assert all(row.memory < 400 for row in rows.values())  # MiB
    verdicts = [sum(row.verdicts[verdict] for row in rows.values()) for verdict in ("decoded", "refused")]
    assert min(verdicts) > 10, "both must happen, or the cases are no good"


def test_what_only_looks_like_a_music_file_does_not_hold_up_the_scan(tmp_path):
    (tmp_path / "good.wav").write_bytes(fuzz.good("wav"))
    for name in ("directory", "fifo", "socket", "loop of links", "link to nothing", "link to an endless device"):
        fuzz.MALICE[name](tmp_path / f"{name}.wav")
    os.symlink(tmp_path, tmp_path / "directory.wav/again.wav")
    library = scan(tmp_path)
    assert list(library.tracks) == ["good"]
    others = {"fifo", "socket", "loop of links", "link to nothing", "link to an endless device", "again"}
    assert {skipped.path.stem for skipped in library.skipped} == others


def test_the_limit_is_a_setting_and_another_one_makes_nothing_out_of_date(tmp_path):
    source, target = write(tmp_path / "music/a.flac", loop(6)), tmp_path / "out/a/full_mix.flac"

    def run(minutes: float) -> tuple[int, str]:
        places = {"library": tmp_path / "music", "results": tmp_path / "out"}
        done = run_snakemake(str(target), **places, warm="false", max_minutes=minutes)
        return done.returncode, done.stdout

    status, said = run(0.05)
    assert status != 0 and f"{source}: is longer than 0.05 minutes" in said
    assert run(0.2)[0] == 0
    assert "Nothing to be done" in run(0.05)[1]
