"""Which files are tracks, and what their ids are."""

import os
from pathlib import Path

import pytest

from mirflow.core.errors import MirflowError
from mirflow.library.scan import encode, scan


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def ids(root: Path, **options: object) -> dict[str, str]:
    return {track: str(path.relative_to(root)) for track, path in scan(root, **options).tracks.items()}


def test_ids_are_paths_without_extension_in_any_letter_case(tmp_path):
    make(tmp_path, "a.flac", "Кино/01 - Группа.FLAC", "x/y/z.Mp3", 'it\'s "quoted" $(y).ogg')
    assert set(ids(tmp_path)) == {"a", "Кино/01 - Группа", "x/y/z", 'it\'s "quoted" $(y)'}


def test_what_breaks_shells_or_snakemake_is_percent_encoded():
    assert encode("-rf") == "%2Drf"
    assert encode(".hidden") == "%2Ehidden"
    assert encode("a\nb{x}") == "a%0Ab%7Bx%7D"
    assert encode("x <remix>") == "x %3Cremix>"  # Snakemake would look for a path variable of that name
    assert encode("a < b > c, 100%, e-f.g") == "a < b > c, 100%, e-f.g"
    assert encode(os.fsdecode(b"\xff")) == "%FF"


def test_different_names_have_different_ids(tmp_path):
    make(tmp_path, "{.wav", "%7B.wav", "%257B.wav")
    assert len(ids(tmp_path)) == 3


def test_of_equal_names_the_lossless_one_is_plain_and_all_are_kept(tmp_path):
    make(tmp_path, "Song.mp3", "Song.flac", "Song.ogg", "Take.mp3", "Take.mp3.wav", "Take.wav")
    assert ids(tmp_path) == {
        "Song": "Song.flac",
        "Song.mp3": "Song.mp3",
        "Song.ogg": "Song.ogg",
        "Take": "Take.wav",
        "Take.mp3": "Take.mp3.wav",  # its plain id; the other Take.mp3 has to evade
        "Take.mp3.mp3": "Take.mp3",
    }


def test_no_track_lies_where_another_has_a_file(tmp_path):
    make(tmp_path, "a.flac", "a/full_mix.flac.flac", "a/features.flac", "b/full_mix.flac.flac")
    assert set(ids(tmp_path)) == {"a", "a/full_mix.flac.flac", "a/features", "b/full_mix.flac"}


def test_no_directory_lies_where_another_track_has_a_file(tmp_path):
    """A directory called like an artifact of a track that lies beside it: the id of what is in it evades."""
    names = ["a.flac", "a/drums.mp3/b.wav", "a/drums.mp3/c/d.wav", "a/features/loudness.json/e.wav", "a/features/f.wav"]
    make(tmp_path, *names)
    assert ids(tmp_path) == {
        "a": "a.flac",
        "a/%64rums.mp3/b": "a/drums.mp3/b.wav",
        "a/%64rums.mp3/c/d": "a/drums.mp3/c/d.wav",
        "a/features/%6Coudness.json/e": "a/features/loudness.json/e.wav",
        "a/features/f": "a/features/f.wav",
    }
    make(tmp_path, "a/features/tempo.json.wav")
    assert ids(tmp_path)["a/features/tempo.json.wav"] == "a/features/tempo.json.wav"


def test_ids_leave_room_for_what_is_derived_from_them(tmp_path):
    """240 bytes and .TIMESERIES.npz are the 255 that a file system takes; longer names are cut, and stay different."""
    fits, long, other = "x" * 240, "音" * 80 + "abc", "音" * 80 + "abd"
    make(tmp_path, *(f"{name}.wav" for name in (fits, long, other)))
    found = ids(tmp_path)
    assert found[fits] == f"{fits}.wav" and len(found) == 3
    cut = [track for track in found if track.startswith("音")]
    assert len(set(cut)) == 2 and all(len(f"{track}.TIMESERIES.npz".encode()) <= 255 for track in cut)


def test_what_is_no_track_is_listed_with_its_reason(tmp_path):
    make(tmp_path, "cover.jpg", "README", "ok.wav")
    (tmp_path / "._ok.wav").write_bytes(b"\x00\x05\x16\x07 and so on")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.wav")
    library = scan(tmp_path)
    assert list(library.tracks) == ["ok"]
    assert {skipped.path.name: skipped.reason for skipped in library.skipped} == {
        "cover.jpg": "not an audio extension: .jpg",
        "README": "no extension",
        "._ok.wav": "file attributes that macOS keeps beside a file",
        "gone.wav": "link to a file that does not exist",
        "loop": "links to a directory that is scanned already",
        "pipe.wav": "not a regular file",
    }


def test_results_inside_the_library_are_not_scanned(tmp_path):
    make(tmp_path, "a.wav", "new/a/full_mix.flac", "old/.mirflow/library.tsv", "old/a/full_mix.flac")
    assert set(ids(tmp_path, exclude=tmp_path / "new")) == {"a"}
    with pytest.raises(MirflowError, match="cannot be the library"):
        scan(tmp_path, exclude=tmp_path)


def test_a_single_file_is_a_library(tmp_path):
    make(tmp_path, "Song.FLAC", "notes.txt")
    assert scan(tmp_path / "Song.FLAC").tracks == {"Song": tmp_path / "Song.FLAC"}
    with pytest.raises(MirflowError, match=r"notes\.txt"):
        scan(tmp_path / "notes.txt")
    with pytest.raises(MirflowError, match="no such file"):
        scan(tmp_path / "nowhere")
    (tmp_path / "Song.FLAC").unlink()
    with pytest.raises(MirflowError, match="no audio file in it, 1 other files"):
        scan(tmp_path)
