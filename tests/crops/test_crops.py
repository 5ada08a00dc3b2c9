"""The files of crops, their numbers and their .INFO, made with the commands from made grids."""

import json
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile

from conftest import RATE, loop, write
from mirflow import commands, features, timeseries
from mirflow.core import artifacts, audio, layout
from mirflow.core.audio import Audio
from mirflow.crops import info, measure
from mirflow.crops.plan import MULTIPLE
from mirflow.stems import files as stem_files
from mirflow.timeseries import files as timeseries_files
from mirflow.transcribe.notes import DrumNotes

FAST = ("loudness", "tempo", "onsets", "multiband_rms")
BAR = 2.0  # s, in `loop`
FADES = 0.001, 0.005  # s, at most


def track_of(folder: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16", gain_db: float = 0.0):
    """Return a track with a made grid of bars of 4 beats at 120 bpm, stems and an .INFO."""
    track = layout.TrackFiles(str(folder), folder.name, "flac")
    write(Path(track.full_mix), samples, rate, subtype=subtype)
    seconds = len(samples) / rate
    for name, step in (("beats", 0.5), ("downbeats", BAR), ("onsets", 0.25)):
        artifacts.write_times(track.grid(name), np.arange(0, seconds, step))
    parts = {
        stem: samples.T.astype(np.float32) * share for stem, share in zip(layout.STEMS, (0.5, 0.3, 0.2, 0), strict=True)
    }
    artifacts.write_json(track.stems_record, stem_files.write(parts, rate, track.stems))
    artifacts.write_json(track.source_record, {"source": "x.wav", "gain_db": gain_db})
    artifacts.write_json(
        track.info,
        {
            "bpm": 120.0, "lufs": -99.0, "essentia_mood": {"happy": 0.5}, "danceability": 0.7, "artist": "Å",
            "split": "valid", "mine": 1,
            "_provenance": {"features": {"moods": {"version": 1}, "loudness": {"version": 9}}},
        },
    )  # fmt: skip
    return track


def grids(track):
    return [part for name in layout.GRIDS for part in (f"--{name}", track.grid(name))]


def cut(track, *options: str, stems: bool = False) -> dict:
    given = ["--stems", *track.stems.values()] if stems else []
    assert commands.main(["crops", track.full_mix, *grids(track), *given, *options, "-o", track.crops]) == 0
    return artifacts.read_json(track.crops)


def measured(track, *names: str) -> dict:
    command = ["crop_features", track.full_mix, "--stems", *track.stems.values(), *grids(track)]
    command += ["--crops", track.crops, "--features", *(names or FAST), "-o", track.crop_features]
    assert commands.main(command) == 0
    return artifacts.read_json(track.crop_features)["features"]


def merge(track) -> list[dict]:
    records = [part for name in ("source", "stems") for part in ("--record", name, f"{track.folder}/{name}.json")]
    command = ["crop_info", track.crops, "--features", track.crop_features, "--info", track.info, "--track", "a/b"]
    assert commands.main([*command, *records]) == 0
    return infos(track)


def infos(track) -> list[dict]:
    number = len(artifacts.read_json(track.crops)["crops"])
    return [artifacts.read_json(track.crop(index, "INFO")) for index in range(number)]


def tree(folder: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()
    }


BARS = ("--mode", "bars", "--bars", "2")


@pytest.fixture
def track(tmp_path):
    return track_of(tmp_path / "Song", loop(13))


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"),
    [(44100, 2, "PCM_16"), (44100, 2, "PCM_24"), (22050, 1, "PCM_16"), (48000, 6, "PCM_16"), (37800, 2, "PCM_24")],
)
def test_a_crop_is_the_track_sample_for_sample_but_for_its_fades(tmp_path, rate, channels, subtype):
    track = track_of(tmp_path / "T", loop(9, rate, channels), rate, subtype)
    listed = cut(track, *BARS, stems=True)
    assert [crop["start_time"] for crop in listed["crops"]] == [0, 4] and listed["sample_rate"] == rate
    sounds = {"": track.full_mix} | {f".{stem}": path for stem, path in track.stems.items()}
    for crop in listed["crops"]:
        for stem, path in sounds.items():
            whole, _ = soundfile.read(path, dtype="int32", always_2d=True)
            file = Path(track.crops).parent / (crop["stems"][stem[1:]] if stem else crop["file"])
            part, part_rate = soundfile.read(file, dtype="int32", always_2d=True)
            assert part_rate == rate and part.shape == (crop["file_samples"], channels)
            assert len(part) % MULTIPLE == 0 and not part[crop["valid_samples"] :].any()
            first = 0 if crop["start_sample"] == 0 else int(FADES[0] * rate)
            last = crop["valid_samples"] - int(FADES[1] * rate)
            expected = whole[crop["start_sample"] : crop["end_sample"]]
            assert np.array_equal(part[first:last], expected[first:last])
            assert (np.abs(part[: crop["valid_samples"]].astype(float)) <= np.abs(expected.astype(float)) + 2**16).all()
            assert first == 0 or abs(part[0]).max() == 0
    assert soundfile.info(track.crop(0)).subtype == subtype


def test_sliced_grids_are_relative_to_the_crop(track):
    cut(track, *BARS)
    for index in (0, 1, 2):
        found = {name: artifacts.read_times(track.crop(index, suffix)) for name, suffix in layout.GRIDS.items()}
        assert found["beats"].tolist() == np.arange(0, 4, 0.5).tolist()
        assert found["downbeats"].tolist() == [0, 2] and len(found["onsets"]) == 16


def test_numbers_are_measured_on_the_crop_and_loudness_is_that_of_its_file(tmp_path):
    samples = loop(13)
    samples[4 * RATE : 8 * RATE] *= 0.1  # the second crop is 20 dB softer
    track = track_of(tmp_path / "Song", samples)
    cut(track, *BARS)
    measured(track)
    for index, found in enumerate(merge(track)):
        part, rate = soundfile.read(track.crop(index))
        assert found["lufs"] == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(part), abs=0.1)
        music = Audio(part[: found["valid_samples"]].T.astype(np.float32), rate)
        by_hand = features.measure("multiband_rms", {"full_mix": music})
        assert {key: found[key] for key in by_hand} == pytest.approx(by_hand, abs=0.01)
        assert found["lufs_drums"] == pytest.approx(found["lufs"] - 6.02, abs=0.05)
        assert found["bpm"] == pytest.approx(120) and found["beat_count"] == 8 and found["onset_count"] == 16
    first, second, _ = infos(track)
    assert second["lufs"] == pytest.approx(first["lufs"] - 20, abs=0.2)


def test_a_source_that_was_turned_down_has_the_level_of_the_source(tmp_path):
    quiet, loud = (track_of(tmp_path / name, loop(9), gain_db=gain) for name, gain in (("a", 0.0), ("b", -6.0)))
    for track in (quiet, loud):
        cut(track, *BARS)
        measured(track)
    for before, after in zip(merge(quiet), merge(loud), strict=True):
        assert after["lufs"] == pytest.approx(before["lufs"] + 6, abs=0.01)


def test_where_channels_cancel_only_those_crops_and_features_say_so(tmp_path):
    samples = loop(9)
    samples[4 * RATE :, 1] = -samples[4 * RATE :, 0]
    track = track_of(tmp_path / "Song", samples)
    cut(track, *BARS)
    measured(track)
    origins = [found["_provenance"]["features"] for found in merge(track)]
    assert [("onsets", "downmix" in each["onsets"]) for each in origins] == [("onsets", False), ("onsets", True)]
    assert not any("downmix" in each["loudness"] for each in origins)


def test_an_info_says_where_the_crop_lies_and_what_it_has_from_its_track(track):
    cut(track, *BARS)
    measured(track)
    found = merge(track)[1]
    expected = {
        "position_in_file": 4 / 13, "start_sample": 4 * RATE, "end_sample": 8 * RATE, "valid_samples": 4 * RATE,
        "start_time": 4.0, "end_time": 8.0, "track_duration": 13.0, "bars": 2, "aligned": 1, "bpm_track": 120.0,
        "source_track": "a/b", "split": "valid", "essentia_mood": {"happy": 0.5}, "danceability": 0.7, "artist": "Å",
        "mine": 1,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == {**expected, "position_in_file": pytest.approx(4 / 13)}
    provenance = found["_provenance"]
    assert provenance["inherited"] == ["artist", "bpm_track", "danceability", "essentia_mood", "mine", "split"]
    assert provenance["features"]["loudness"]["version"] == features.declared("loudness").version
    assert provenance["features"]["moods"] == {"version": 1} and provenance["source"]["source"] == "x.wav"
    assert tuple(list(found)[: len(info.OWN)]) == info.OWN


def test_a_crop_of_few_beats_has_no_tempo_of_its_own(track):
    cut(track, "--mode", "bars", "--bars", "1")
    measured(track)
    assert {(found["bpm"], found["bpm_is_defined"], found["bpm_track"]) for found in merge(track)} == {(None, 0, 120.0)}


def test_every_feature_without_a_model_is_measured_on_crops():
    assert [one.name for one in features.of_modules() if not one.models] == [
        one.name for one in features.of_modules() if measure.is_measured(one)
    ]


def test_only_what_can_have_changed_is_measured_again(track, monkeypatch):
    asked = []
    real = measure.measure
    monkeypatch.setattr(measure, "measure", lambda names, *rest: asked.append(names) or real(names, *rest))
    cut(track, *BARS)
    first = measured(track)
    assert measured(track, *FAST, "saturation")["loudness"] == first["loudness"]
    assert set(measured(track, "tempo")) == {"tempo"}
    cut(track, *BARS, stems=True)
    measured(track, *FAST)
    times = artifacts.read_times(track.grid("beats"))
    artifacts.write_times(track.grid("beats"), times[:-2])
    measured(track, *FAST)
    cut(track, "--mode", "bars", "--bars", "3")
    measured(track, *FAST)
    fast = sorted(FAST)
    left = [name for name in fast if name != "tempo"]
    assert [sorted(names) for names in asked] == [fast, ["saturation"], left, ["tempo"], fast]


def test_another_plan_leaves_nothing_of_the_one_before_and_no_file_of_others_is_touched(track):
    cut(track, *BARS, stems=True)
    measured(track)
    merge(track)
    before = tree(f"{track.folder}/crops")
    theirs = {"Song_1.txt": b"x", "Song_9.flac.bak": b"y", "Other_7.flac": b"z", "stems/Song_1.choir.flac": b"w"}
    for name, content in theirs.items():
        Path(track.crops).with_name("crops.json").parent.joinpath(name).write_bytes(content)
    listed = cut(track, "--mode", "exact", "--length", str(64 * MULTIPLE), "--hop-bars", "1")
    names = {path for path in tree(f"{track.folder}/crops") if path not in theirs}
    number = len(listed["crops"])
    assert number == 4
    suffixes = ("flac", *layout.GRIDS.values())
    expected = {f"Song_{i}.{s}" for i in range(number) for s in suffixes} | {"crops.json", "features.json"}
    assert {name for name in names if not name.endswith((".INFO.lock",))} == expected, (
        ".INFO files described other music"
    )
    assert all(tree(f"{track.folder}/crops")[name] == content for name, content in theirs.items())
    cut(track, *BARS, stems=True)
    measured(track)
    merge(track)
    after = tree(f"{track.folder}/crops")
    assert {name: after[name] for name in after if name not in theirs} == before


def test_keys_of_others_stay_with_the_music_that_they_are_about(track):
    cut(track, *BARS)
    measured(track)
    second = merge(track)[1]
    second = {"caption": "the chorus", "mine": 2} | second | {"mine": 2}
    second["_provenance"]["their_tool"] = "x"
    second["_provenance"]["inherited"].remove("mine")
    Path(track.crop(1, "INFO")).write_text(json.dumps(second))
    measured(track)
    again = merge(track)
    assert again[1]["caption"] == "the chorus" and again[1]["mine"] == 2 and again[0]["mine"] == 1
    assert again[1]["_provenance"]["their_tool"] == "x" and "mine" not in again[1]["_provenance"]["inherited"]
    # Crop 1 becomes other music: its keys are set aside, and are back when the music is, though as crop 2.
    cut(track, "--mode", "bars", "--bars", "3")
    measured(track)
    assert not any("caption" in found for found in merge(track))
    cut(track, *BARS, "--hop-bars", "1")
    measured(track)
    found = merge(track)
    assert [index for index, one in enumerate(found) if "caption" in one] == [2]
    assert found[2]["start_sample"] == 4 * RATE and found[2]["mine"] == 2
    assert not Path(track.crops).with_name("others_keys.json").exists()


def test_a_damaged_info_is_named_and_stays(track, capsys):
    cut(track, *BARS)
    measured(track)
    merge(track)
    path = Path(track.crop(1, "INFO"))
    path.write_text("{ broken")
    command = ["crops", track.full_mix, *grids(track), "-o", track.crops]
    assert commands.main(command) == 1 and str(path) in capsys.readouterr().err
    assert path.read_text() == "{ broken" and Path(track.crop(0)).exists()


@pytest.mark.parametrize("name", ["Bass", "crops", "音" * 80, "a.b_0", "it's {x}"])
def test_names_of_tracks(tmp_path, name):
    track = track_of(tmp_path / name, loop(5))
    listed = cut(track, *BARS, stems=True)
    measured(track)
    (found,) = merge(track)
    assert found["bars"] == 2 and listed["crops"][0]["file"].endswith("_0.flac")
    if len(name) < 80:
        assert listed["crops"][0]["file"] == f"{name}_0.flac"
    assert len(listed["crops"][0]["stems"]["vocals"].encode()) <= len("stems/") + 255


def test_drum_notes_are_cut_and_measured(track):
    times = np.arange(0, 13, 0.5)
    kinds = np.arange(len(times)) % 2  # kick, snare
    DrumNotes(times, kinds, 36 + 2 * kinds, np.full(len(times), 100), 13.0).save(track.drum_notes)
    cut(track, "--mode", "bars", "--bars", "2")
    command = ["crop_features", track.full_mix, "--stems", *track.stems.values(), *grids(track)]
    command += [
        "--crops",
        track.crops,
        "--features",
        "drums",
        "--drum-notes",
        track.drum_notes,
        "-o",
        track.crop_features,
    ]
    assert commands.main(command) == 0
    for found in merge(track):
        assert found["drum_density_kick"] == found["drum_density_snare"] == 1
        assert found["drum_velocity_mean_kick"] == 100 and found["drum_backbeat"] == 1


def test_time_series_are_cut_exactly(track):
    values = np.random.default_rng(0).standard_normal((2, 1300)).astype(np.float32)
    timeseries_files.write(track.timeseries, {"x": timeseries_files.Series(values, "1", "made", -1.0)}, 13.0)
    artifacts.write_times(track.grid("downbeats"), [0.123456, 4.3, 8.6543, 12.9])
    listed = cut(track, "--mode", "bars", "--bars", "1", "--series", track.timeseries)
    for crop in listed["crops"]:
        path = track.crop(crop["index"], layout.SERIES)
        start, frames = crop["start_sample"] / RATE, crop["valid_samples"] * 100 // RATE
        expected = timeseries.read(track.timeseries, start=start, frames=frames)["x"]
        found = timeseries.read(path)["x"]
        assert np.allclose(found[:, :frames], expected, atol=1e-5) and found.shape[1] == frames + 1
    cut(track, *BARS)
    assert not list(Path(track.crops).parent.glob("*.npz")), "series of an earlier plan"


def test_stems_beyond_full_scale_are_turned_down_together(tmp_path):
    track = track_of(tmp_path / "T", loop(5))
    loud = layout.TrackFiles(track.folder, track.name, "wav")
    parts = {
        stem: np.full((2, 5 * RATE), level, np.float32)
        for stem, level in zip(layout.STEMS, (2, 1, 0.5, 0), strict=True)
    }
    artifacts.write_json(track.stems_record, stem_files.write(parts, RATE, loud.stems))
    listed = cut(loud, *BARS, stems=True)
    assert listed["stem_gain_db"] == pytest.approx(-6.02, abs=0.01)
    levels = [audio.read(track.crop_stem(0, stem)).samples.max() for stem in layout.STEMS]
    assert levels == pytest.approx([1, 0.5, 0.25, 0], abs=1e-6)
