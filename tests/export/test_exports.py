"""Exports: items, names, sounds, numbers, prompts, trees, and what each trainer reads. (Their own loaders read them in
tests/consumers.)
"""

import errno
import importlib.util
import json
import os
import pickle
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import RATE, loop, write
from mirflow.core import layout
from mirflow.core.errors import MirflowError
from mirflow.describe.conflicts import find
from mirflow.export import build, convert, items, numbers, prompts, targets, tree
from mirflow.export.convert import Form
from mirflow.export.items import Item
from mirflow.export.settings import Settings

NUMBERS = {"bpm": 120.2, "lufs": -14.0, "lra": 5.0, "brightness": 50.0}
MUSIC = NUMBERS | {"tonic": 6, "tonic_scale": "minor", "tonic_strength": 0.9, "true_peak": -1.0, "lufs_vocals": -20.0}
SOME = Settings(numbers=tuple(NUMBERS))


def track(results: Path, name: str, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16", **info) -> str:
    """Write what a run leaves of a complete track."""
    files = layout.track_files(str(results), name)
    write(Path(files.full_mix), samples, rate, subtype=subtype)
    Path(files.info).write_text(json.dumps({**MUSIC, **info}))
    return name


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> tuple[Path, list[str]]:
    """The results of some tracks that break carelessly written exports."""
    root, music = tmp_path_factory.mktemp("results"), loop(2)
    names = [
        track(root, "Bass", music, bpm=100.0),
        track(root, "v1.2 mix. final", 0.5 * music, bpm=None, brightness=70.0),
        track(root, "Кино/Группа крови", music, lufs=-9.5, lra=8.0),
        track(root, "mono", music[:, :1], lra=2.0),
        track(root, "48 kHz", loop(2, 48000), 48000, "PCM_24", split="validation"),
        track(root, "5.1", 0.6 * loop(2, channels=6), split="test", duplicate_group="g1"),
        track(root, "night train", music),
        track(root, "silent", np.zeros((RATE, 2)), true_peak=None),
    ]
    return root, names


FAILED = {"broken": "full_mix: broken.mp3: damaged"}


def make(results, place: Path, target: str = "stable_audio_tools", settings: Settings = SOME) -> dict:
    root, names = results
    return build.build(
        target, targets.target(target), str(root), [*names, "broken"], FAILED, settings, place, threads=2
    )


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def exported(results, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("exports") / "sat"
    make(results, place)
    return place


def item(**info) -> Item:
    """An item of which only the .INFO matters."""
    found = MUSIC | info
    return Item("t", None, Path("x.flac"), RATE, 2, RATE, RATE, 0.0, 1.0, "train", found, found)


# --- What is exported -------------------------------------------------------------------------------------------------


def test_items_and_excluded_are_all_that_was_planned(results, tmp_path):
    report = make(results, tmp_path / "x")
    assert (report["planned"], report["items"], report["excluded"]) == (9, 7, 2)
    assert report["splits"] == {"train": 5, "validation": 1, "test": 1}
    assert "7 items + 2 excluded = 9 planned; 5 train, 1 validation, 1 test" in build.summary(report)
    excluded = (tmp_path / "x/excluded.tsv").read_text()
    assert "broken\t\tfull_mix: broken.mp3: damaged\n" in excluded and "silent\t\tsilent (" in excluded
    header, *listed = (tmp_path / "x/items.tsv").read_text().splitlines()
    listed = {row.split("\t")[0]: row.split("\t")[1:] for row in listed}
    files = {path.stem for path in (tmp_path / "x").rglob("*.flac")}
    assert header.split("\t")[:2] == ["name", "track"] and set(listed) == files
    assert listed[items.name_of("48 kHz")] == ["48 kHz", "", "validation", "0.000000", "2.000000"]


def test_names_are_safe_unique_and_stable():
    tracks = [
        "Bass",
        "drums",
        "a.b.c",
        "A B",
        "a b",
        "Кино/Bass",
        "night train",
        "test/x",
        "x" * 240,
        'it\'s "q" %7Bx%7D',
        "Ç",
    ]
    names = [items.name_of(one) for one in tracks] + [items.name_of("a b", 3), items.name_of("a b", 12)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]{1,32}-[0-9a-f]{12}(_\d{4})?", name) for name in names)
    meant = ("train", "test", "valid", "eval", "dev", "drums", "bass", "other", "vocals")
    assert not [name for name in names for word in meant if word in name]
    assert items.name_of("night train").startswith("night-")  # a version of the name that people recognise


def test_sounds_have_the_form_that_the_trainer_wants(exported):
    for row in lines(exported / "manifest.jsonl"):
        header = soundfile.info(exported / row["file"])
        assert (header.format, header.samplerate, header.channels) == ("FLAC", RATE, 2)
        assert header.frames == row["frames"] == row["valid_frames"] == row["track_frames"] == 2 * RATE
        assert row["file"].startswith(row["split"] + "/")


def test_a_file_that_is_right_is_linked_and_copied_on_request(results, exported, tmp_path):
    root, _ = results
    file = next(row["file"] for row in lines(exported / "manifest.jsonl") if row["track"] == "Bass")
    assert (exported / file).samefile(root / "Bass/full_mix.flac")
    assert not (exported / file).is_symlink()
    make(results, tmp_path / "x", settings=Settings(numbers=SOME.numbers, copy=True))
    assert not (tmp_path / "x" / file).samefile(root / "Bass/full_mix.flac")
    assert (tmp_path / "x" / file).read_bytes() == (exported / file).read_bytes()


def of(tmp_path: Path, samples: np.ndarray, rate: int = RATE, **options) -> Item:
    path = write(tmp_path / "in.flac", samples, rate, **options)
    return Item("t", None, path, rate, samples.shape[1], len(samples), len(samples), 0.0, 1.0, "train", {}, {})


def test_mono_is_the_same_samples_in_both_channels(tmp_path):
    samples = loop(1, channels=1)
    made = of(tmp_path, samples, subtype="PCM_16")
    assert convert.put(made, tmp_path / "out.flac", Form(RATE)) == 0
    out, source = (soundfile.read(path, dtype="int16")[0] for path in (tmp_path / "out.flac", made.sound))
    assert soundfile.info(tmp_path / "out.flac").subtype == "PCM_16"
    assert np.array_equal(out[:, 0], source) and np.array_equal(out[:, 1], source)


def test_resampling_keeps_a_sine_and_the_length_is_cut_to_a_multiple(tmp_path):
    time = np.arange(48000) / 48000
    made = of(tmp_path, 0.5 * np.sin(2 * np.pi * 441 * time)[:, None].repeat(2, 1), 48000, subtype="PCM_24")
    convert.put(made, tmp_path / "out.flac", Form(RATE, 4096))
    out, rate = soundfile.read(tmp_path / "out.flac")
    assert rate == RATE and len(out) == 44100 // 4096 * 4096 == Form(RATE, 4096).frames(made)
    expected = 0.5 * np.sin(2 * np.pi * 441 * np.arange(len(out)) / RATE)
    assert np.abs(out[1000:-1000, 0] - expected[1000:-1000]).max() < 1e-4


def test_a_downmix_beyond_full_scale_is_attenuated_and_never_clipped(tmp_path):
    samples = np.tile(0.8 * np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)[:, None], 6)
    gain = convert.put(of(tmp_path, samples, subtype="PCM_24"), tmp_path / "out.flac", Form(RATE))
    out, _ = soundfile.read(tmp_path / "out.flac")
    # ITU-R BS.775: left + 0.707 centre + 0.707 left surround, of the same sine
    assert gain == pytest.approx(-20 * np.log10(0.8 * (1 + 2**0.5)), abs=0.01)
    assert np.abs(out).max() == pytest.approx(1, abs=1e-3)
    assert np.corrcoef(out[:, 0], samples[:, 0])[0, 1] > 0.999999


def test_surround_sound_is_mixed_down_by_its_stated_layout(tmp_path):
    samples = np.zeros((RATE, 4))
    samples[:, 3] = 0.5
    source = of(tmp_path, samples, subtype="PCM_16")
    levels = []
    for stated in ("FL FR FC LFE", "FL FR FC BC", ""):  # the last channel: left out; on both sides; on the right
        info = {"_provenance": {"source": {"layout": stated}}}
        made = Item("t", None, source.sound, RATE, 4, RATE, RATE, 0.0, 1.0, "train", info, info)
        convert.put(made, tmp_path / "out.flac", Form(RATE))
        levels.append(soundfile.read(tmp_path / "out.flac")[0].max(axis=0))
    assert levels == [
        pytest.approx([0, 0]),
        pytest.approx([0.25, 0.25], abs=1e-4),
        pytest.approx([0, 0.3536], abs=1e-4),
    ]


# --- Crops ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def crops(tmp_path) -> Path:
    """A track of 4 s with three crops of a second and a half, the last one padded."""
    music = loop(4)
    track(tmp_path, "Song", music)
    folder, length = tmp_path / "Song/crops", 66150
    listed = []
    for index, start in enumerate((0, 66150, 132300)):
        part = np.zeros((length, 2))
        part[: len(music) - start] = music[start : start + length][: len(music) - start]
        write(folder / f"Song_{index}.flac", part)
        write(folder / f"stems/Song_{index}.bass.flac", part)
        (folder / f"Song_{index}.INFO").write_text(json.dumps(MUSIC | {"bpm": 100.0 + index, "lufs": -20.0 + index}))
        valid = min(length, len(music) - start)
        place = {"start_sample": start, "end_sample": start + valid, "valid_samples": valid}
        listed.append({"index": index, "file": f"Song_{index}.flac", **place})
    about = {"mode": "exact", "sample_rate": RATE, "track_samples": len(music), "crops": listed, "left_out": []}
    (folder / "crops.json").write_text(json.dumps(about))
    return tmp_path


def test_a_crop_has_its_own_numbers_and_its_place_in_the_track(crops, tmp_path):
    place = tmp_path / "x"
    settings = Settings(crops=True, numbers=("bpm", "lufs"))
    report = build.build(
        "stable_audio_tools", targets.target("stable_audio_tools"), str(crops), ["Song"], {}, settings, place
    )
    assert (report["items"], report["excluded"], report["planned"]) == (3, 0, 3)
    rows = lines(place / "manifest.jsonl")
    assert [row["start"] for row in rows] == [0, 66150, 132300] and {row["track_frames"] for row in rows} == {4 * RATE}
    assert [row["numbers"]["bpm"] for row in rows] == [100.0, 101.0, 102.0]
    assert [row["valid_frames"] for row in rows] == [66150, 66150, 4 * RATE - 132300]
    for row in rows:  # sample by sample, and no stem
        crop = crops / "Song/crops" / f"Song_{row['crop']}.flac"
        assert np.array_equal(soundfile.read(place / row["file"])[0], soundfile.read(crop)[0])
    assert json.loads((place / "dataset_config.json").read_text())["random_crop"] is False
    assert (place / "items.tsv").read_text().splitlines()[2].split("\t")[1:] == [
        "Song",
        "1",
        "train",
        "1.500000",
        "1.500000",
    ]
    (crops / "Song/crops/crops.json").write_text('{"crops": [], "left_out": [{"reason": "shorter than a crop"}]}')
    _, (left,) = items.gather(str(crops), ["Song"], {}, settings)
    assert left.reason == "has no crops: shorter than a crop"


def test_a_crop_that_the_model_does_not_hear_whole_is_left_out(crops, tmp_path):
    settings = Settings(crops=True, numbers=("bpm",), sample_size=65536)
    with pytest.raises(MirflowError, match=r"1\.5 s long, which is more than 1\.48608 s"):
        build.build(
            "stable_audio_tools",
            targets.target("stable_audio_tools"),
            str(crops),
            ["Song"],
            {},
            settings,
            tmp_path / "x",
        )


# --- Numbers ----------------------------------------------------------------------------------------------------------


def chosen(values: list, settings: Settings = SOME, key: str = "bpm") -> numbers.Choice:
    made = [item(**{key: value}) for value in values]
    return numbers.choose(made, {key: numbers.declared()[key]}, settings)


def test_a_null_is_the_median_and_a_second_number_says_so():
    choice = chosen([100.0, 140.0, 120.0, None])
    (column,) = choice.columns
    assert (column.median, column.low, column.high) == (120, 40, 300)
    assert column.numbers(item(bpm=None)) == {"bpm": 120, "bpm_known": 0}
    assert column.numbers(item(bpm=90.0)) == {"bpm": 90, "bpm_known": 1}
    assert choice.conditioners == {"bpm": (40, 300), "bpm_known": (0, 1)}
    assert chosen([100.0, 140.0]).conditioners == {"bpm": (40, 300)}


def test_constants_and_numbers_that_never_exist_are_dropped_by_name():
    assert chosen([120.0, 120.0]).dropped == {"bpm": "the same in all items (120)"}
    assert chosen([120.0, None, 120.0]).columns == []
    assert chosen([None, None]).dropped == {"bpm": "null in all items"}


def test_decisions_rest_on_the_train_split_alone():
    other = Item("v", None, Path("x"), RATE, 2, 1, 1, 0.0, 1.0, "validation", MUSIC | {"bpm": 290.0}, MUSIC)
    train = [item(bpm=value) for value in np.linspace(100, 120, 1001)]
    settings = Settings(ranges="percentiles")
    (column,) = numbers.choose([*train, other], {"bpm": numbers.declared()["bpm"]}, settings).columns
    assert (column.low, column.high) == (pytest.approx(100.1), pytest.approx(119.9))  # numpy.percentile of 0.5 and 99.5
    assert column.median == pytest.approx(110)


def test_the_share_outside_of_the_range_is_reported():
    choice = chosen([30.0, 100.0, 120.0, 310.0])
    assert choice.clipped == {"bpm": 0.5} and choice.narrow == {}


def test_a_range_that_is_hardly_used_is_reported():
    values = [float(n) for n in range(1, 14)]  # of 0 to 2000
    choice = chosen(values, key="beat_count")
    assert choice.narrow == {"beat_count": pytest.approx(0.995 * 12 / 2000, rel=1e-2)}
    assert chosen(values, Settings(ranges="percentiles"), "beat_count").narrow == {}


def test_rejected_nulls_are_excluded_with_their_reason(results, tmp_path):
    make(results, tmp_path / "x", settings=Settings(numbers=SOME.numbers, nulls="reject"))
    assert "v1.2 mix. final\t\tnull: bpm (export.nulls)\n" in (tmp_path / "x/excluded.tsv").read_text()
    assert "bpm_known" not in (tmp_path / "x/manifest.jsonl").read_text()


@pytest.mark.parametrize(
    "info, reason",
    [({"bpm": "fast"}, "no number"), ({"bpm": True}, "no number"), ({"lufs": -1e9}, "outside of the bounds")],
)
def test_an_item_with_nonsense_is_excluded(info, reason):
    fields = {key: numbers.declared()[key] for key in ("bpm", "lufs")}
    good, (bad,) = numbers.admit([item(), item(**info)], fields)
    assert len(good) == 1 and reason in bad.reason


def test_an_item_without_its_numbers_is_excluded():
    lacking = Item("t", None, Path("x"), RATE, 2, 1, 1, 0.0, 1.0, "train", {"lufs": -10.0}, {})
    _, (bad,) = numbers.admit([lacking], {key: numbers.declared()[key] for key in ("bpm", "lufs")})
    assert bad.reason == "its .INFO lacks bpm"


def test_unknown_numbers_are_refused():
    with pytest.raises(MirflowError, match=r"export\.numbers: bpmm: no feature"):
        numbers.wanted([item()], Settings(numbers=("bpmm",)))
    with pytest.raises(MirflowError, match="onset_count: not measured"):
        numbers.wanted([item()], Settings(numbers=("onset_count",)))


def test_every_declared_number_can_be_a_conditioner():
    for key, field in numbers.declared().items():
        assert field.range[0] < field.range[1] and "." not in key


# --- Prompts ----------------------------------------------------------------------------------------------------------

LABELLED = {
    "essentia_genre": {"Electronic---Deep House": 0.6, "Electronic---Techno": 0.3, "Rock---Punk": 0.2},
    "essentia_mood": {"dark": 0.4, "energetic": 0.2},
    "essentia_instrument": {"drummachine": 0.5, "synthesizer": 0.4},
}


def prompt(info: dict, style: str = "tags", tokens: int = 128) -> str:
    return prompts.make(item(**info), Settings(prompt=style, tokens=tokens), prompts.estimate)[0]


def test_the_three_styles():
    assert prompt(LABELLED) == "deep house, techno, 120 BPM, F# minor, dark, energetic, drum machine, synthesizer"
    assert prompt(LABELLED, "keys") == (
        "Genre: Deep House, Techno, BPM: 120, Key: F# minor, Mood: dark, energetic,"
        " Instruments: drum machine, synthesizer"
    )
    assert prompt(LABELLED, "prose") == (
        "Deep House and Techno music, dark and energetic, with drum machine and synthesizer, at 120 BPM, in F# minor."
    )
    assert prompt({}) == "120 BPM, F# minor"


def test_tags_that_are_no_genres_are_not_said():
    tagged = "Other; Hip-Hop/Rap; www.example.org; 12.5; 17; ; R&B, Drum & Bass; " + "a remark that is no genre " * 3
    assert prompts.genres(item(track_metadata_genre=tagged)) == ["Hip-Hop", "Rap", "R&B", "Drum & Bass"]
    assert prompt({"track_metadata_genre": "Unknown"}) == "120 BPM, F# minor"


def test_what_is_unknown_or_unclear_is_not_said():
    nothing = {"bpm": None, "tonic": None, "tonic_scale": None, "tonic_strength": None}
    assert prompt(nothing) == "music" and prompt(nothing, "prose") == "music"
    assert prompt({"tonic_strength": 0.4}) == "120 BPM"
    assert prompt({"lufs_vocals": None}) == "120 BPM, F# minor, instrumental"
    crop = {"bpm": None, "bpm_track": 97.6}
    assert prompt(crop | {"beat_count": 7}) == "98 BPM, F# minor" and prompt(crop | {"beat_count": 1}) == "F# minor"
    said = [prompts.metre_of({"beats_per_bar": beats}) for beats in (None, 1, 2, 3, 4, 6, 12)]
    assert said == [None, None, None, "3/4", "4/4", "6/8", None]  # two may be half a bar of four


@pytest.mark.parametrize("tokens", [8, 12, 20, 30, 40, 64])
@pytest.mark.parametrize("style", prompts.STYLES)
def test_parts_are_dropped_whole_until_the_prompt_fits(style, tokens):
    text = prompt(LABELLED, style, tokens)
    assert prompts.estimate(text) <= tokens
    words = {
        "deep",
        "house",
        "techno",
        "f#",
        "minor",
        "dark",
        "energetic",
        "drum",
        "machine",
        "synthesizer",
        "120",
        "bpm",
    }
    glue = {"genre", "key", "mood", "instruments", "and", "music", "with", "at", "in"}
    assert set(re.sub("[,.:]", "", text.lower()).split()) <= words | glue
    assert "house" in text.lower()  # the genre is the most important


def test_a_caption_loses_the_sentences_that_contradict_a_measurement():
    caption = "A dark techno track. It runs at 140 BPM in A♭ major. The bass is deep. Its tempo is 120.2 BPM."
    assert find(caption.split(". ")[1], MUSIC)
    text = prompt({"music_flamingo_full": caption, "music_flamingo_model": "m"}, "prose")
    assert text == "A dark techno track. The bass is deep. Its tempo is 120 BPM. In F# minor."
    told = {"music_flamingo_full": "Slow. It has 90 BPM.", "music_flamingo_conflicts": {"full": ["tempo: ..."]}}
    assert prompt(told | {"bpm": 90.0}, "prose") == "Slow. At 90 BPM, in F# minor."


def test_there_are_sharps_only_and_no_raw_numbers():
    text = prompt(
        {"music_flamingo_full": "In G♭ minor, with a Bb7 chord. Loud: -9.53 LUFS. None of it. 120.17 bpm."}, "prose"
    )
    assert text == "In F# minor, with a A#7 chord. 120 bpm."
    for style in prompts.STYLES:
        assert not re.search(r"\d[.,]\d|None|nan|[A-G]b\b|♭", prompt(LABELLED, style))


def test_several_prompts_are_seeded_different_and_within_the_budget():
    settings = Settings(prompts_per_item=4, tokens=40)
    made = prompts.make(item(**LABELLED), settings, prompts.estimate)
    assert len(made) == len(set(made)) == 4 and all(prompts.estimate(text) <= 40 for text in made)
    assert made == prompts.make(item(**LABELLED), settings, prompts.estimate)
    assert made[0] == prompt(LABELLED, tokens=40)
    assert made != prompts.make(item(**LABELLED), Settings(prompts_per_item=4, tokens=40, seed=1), prompts.estimate)


def test_the_real_tokenizer_counts_where_there_is_one(tmp_path):
    pytest.importorskip("tokenizers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: number for number, word in enumerate(["[UNK]", "dark", "house"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(2)  # as files of tokenizers have it: it must not hide what is over
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert prompts.counter(tmp_path / "tokenizer.json")("dark house dark") == 3
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(MirflowError, match=r"bad.json: is not a tokenizer.json"):
        prompts.counter(tmp_path / "bad.json")


# --- The tree ---------------------------------------------------------------------------------------------------------


def test_other_peoples_files_are_never_removed(results, tmp_path):
    place = tmp_path / "mine"
    (place / "checkpoints").mkdir(parents=True)
    (place / "checkpoints/model.ckpt").write_text("precious")
    with pytest.raises(MirflowError, match=r"holds files that no export has made \(checkpoints/model.ckpt\)"):
        make(results, place)
    assert [path.name for path in place.rglob("*") if path.is_file()] == ["model.ckpt"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(MirflowError, match="is not a directory"):
        make(results, tmp_path / "file")
    make(results, tmp_path / "again")
    (tmp_path / "again/notes.txt").write_text("mine")
    with pytest.raises(MirflowError, match=r"notes\.txt"):
        make(results, tmp_path / "again")


def test_an_earlier_export_is_replaced_and_nothing_of_it_stays(results, tmp_path):
    make(results, tmp_path / "x")
    before = {path.name for path in (tmp_path / "x/train").iterdir()}
    root, names = results
    build.build(
        "stable_audio_tools", targets.target("stable_audio_tools"), str(root), names[1:], {}, SOME, tmp_path / "x"
    )
    after = {path.name for path in (tmp_path / "x/train").iterdir()}
    assert before - after == {f"{items.name_of('Bass')}.flac"} and [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_sound_is_converted_again_only_if_it_changed(results, tmp_path, monkeypatch):
    make(results, tmp_path / "x")
    times = {path: path.stat().st_ino for path in (tmp_path / "x/train").iterdir()}
    monkeypatch.setattr(convert, "put", lambda *_: pytest.fail("converted again"))
    make(results, tmp_path / "x")
    assert times == {path: path.stat().st_ino for path in (tmp_path / "x/train").iterdir()}
    monkeypatch.undo()
    root, _ = results
    mono = root / "mono/full_mix.flac"
    os.utime(mono, ns=(mono.stat().st_atime_ns, mono.stat().st_mtime_ns + 10**9))
    make(results, tmp_path / "x")
    assert sum(path.stat().st_ino != inode for path, inode in times.items()) == 1


def test_a_sound_in_a_shard_is_converted_again_only_if_it_changed(results, tmp_path, monkeypatch):
    make(results, tmp_path / "x", "webdataset")
    before = {path: path.read_bytes() for path in (tmp_path / "x").rglob("*.tar")}
    put, converted = convert.put, []

    def recorded(item, target, form, copy=False):
        converted.extend([] if form.is_met(item) else [item.track])
        return put(item, target, form, copy)

    monkeypatch.setattr(convert, "put", recorded)
    make(results, tmp_path / "x", "webdataset")
    assert not converted and before == {path: path.read_bytes() for path in before}
    root, _ = results
    (shard,) = [path for path in before if path.parent.name == "validation"]  # of one track, at 48 kHz
    shard.write_bytes(shard.read_bytes()[512:])
    mono = root / "mono/full_mix.flac"
    os.utime(mono, ns=(mono.stat().st_atime_ns, mono.stat().st_mtime_ns + 10**9))
    make(results, tmp_path / "x", "webdataset")
    assert sorted(converted) == ["48 kHz", "mono"] and before == {path: path.read_bytes() for path in before}


def test_a_failed_export_leaves_the_earlier_one_as_it_was(results, tmp_path, monkeypatch):
    make(results, tmp_path / "x")
    before = {path: path.read_bytes() for path in (tmp_path / "x").rglob("*") if path.is_file()}
    monkeypatch.setattr(targets.target("stable_audio_tools"), "fragment", lambda choice: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(results, tmp_path / "x")
    with pytest.raises(ZeroDivisionError):
        make(results, tmp_path / "new")
    assert before == {path: path.read_bytes() for path in (tmp_path / "x").rglob("*") if path.is_file()}
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_equal_input_gives_equal_bytes(results, tmp_path):
    for name in ("a", "b"):
        for target in targets.names():
            make(results, tmp_path / name / target, target)
    first, second = ({path.relative_to(tmp_path / name): path.read_bytes().replace(f"{tmp_path / name}".encode(), b"")
                      for path in (tmp_path / name).rglob("*") if path.is_file()} for name in ("a", "b"))  # fmt: skip
    assert first == second


def test_duplicates_in_two_splits_are_an_error(results, tmp_path):
    root, names = results
    track(root, "leak", loop(1), split="train", duplicate_group="g1")
    with pytest.raises(MirflowError, match="duplicates"):
        build.build(
            "stable_audio_3", targets.target("stable_audio_3"), str(root), [*names, "leak"], {}, SOME, tmp_path / "x"
        )


def test_an_artist_in_two_splits_is_said_and_an_error_where_the_library_was_split_by_artist(tmp_path):
    drawn = {"_provenance": {"features": {"duplicates": {"split": {"by": "artist"}}}}}
    for name, artist in (("one", "The Band; Björk feat. X"), ("two", "Bjork"), ("three", "Various Artists")):
        track(tmp_path, name, loop(1), bpm=100.0 + len(name), track_metadata_artist=artist)
    track(tmp_path, "four", loop(1), track_metadata_artist="Björk", split="validation")
    track(tmp_path, "five", loop(1), track_metadata_artist="various artists", split="test")
    names = ["one", "two", "three", "four", "five"]
    settings = Settings(numbers=("bpm",))
    where = "huggingface", targets.target("huggingface"), str(tmp_path)
    report = build.build(*where, names, {}, settings, tmp_path / "x")
    assert report["artists_in_several_splits"] == ["Björk"]
    assert "1 validation, 1 test; 1 artist is in several splits; in" in build.summary(report)
    for name, split in (("one", "train"), ("two", "train"), ("four", "test")):
        track(tmp_path, name, loop(1), track_metadata_artist="Bjork", split=split, **drawn)
    with pytest.raises(MirflowError, match="four and one are by the same artist"):
        build.build(*where, names, {}, settings, tmp_path / "x")


def test_nothing_to_export_is_an_error(results, tmp_path):
    with pytest.raises(MirflowError, match="nothing to export"):
        build.build(
            "stable_audio_3",
            targets.target("stable_audio_3"),
            str(results[0]),
            ["silent"],
            {},
            Settings(),
            tmp_path / "x",
        )
    assert not (tmp_path / "x").exists()


# --- What stable-audio-tools reads ------------------------------------------------------------------------------------


def metadata(place: Path):
    spec = importlib.util.spec_from_file_location("metadata_module", place / "custom_metadata.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_custom_metadata


class Mask(list):
    """A stand-in for a tensor."""

    def clone(self):
        return Mask(self)

    def __setitem__(self, place, value):
        super().__setitem__(place, [value] * len(self[place]))


def test_the_module_gives_the_truth_of_the_track_also_for_a_piece_of_it(exported):
    describe = metadata(exported)
    (row,) = [row for row in lines(exported / "manifest.jsonl") if row["track"] == "Bass"]
    info = {
        "path": str(exported / row["file"]),
        "timestamps": (0.25, 0.75),
        "seconds_total": 1,
        "padding_mask": Mask([1] * 8),
    }
    found = describe(info, None)
    assert found["seconds_start"] == 0.5 and found["seconds_total"] == 2
    assert found["prompt"] == "100 BPM, F# minor" and found["bpm"] == 100 and found["bpm_known"] == 1
    assert found["padding_mask"] == [[1] * 8]
    assert describe({"path": str(exported / "train/unknown.flac")}, None) == {"__reject__": True}
    assert describe({"path": str(exported / row["file"])}, None)["seconds_start"] == 0  # never raises
    assert describe({}, None) == {"__reject__": True}
    link = exported.parent / "link"
    link.symlink_to(exported)
    assert describe({"path": str(link / row["file"])}, None)["bpm"] == 100


def test_the_module_can_be_pickled_without_mirflow(exported):
    pickled = pickle.dumps(metadata(exported))
    code = "import pickle, sys; f = pickle.load(sys.stdin.buffer); print(len(f.items), 'mirflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], input=pickled, capture_output=True, check=True)
    assert done.stdout.split() == [b"7", b"False"]


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda text: "", "has no items"),
        (lambda text: text.replace('"lufs": -14.0', '"lufs": NaN', 1), "line 1: the number lufs is nan"),
        (lambda text: text.replace('"lufs": -14.0', '"lufs": null', 1), "line 1: the number lufs is None"),
        (lambda text: re.sub('"prompt": "[^"]*"', '"prompt": ""', text, count=1), "line 1: a prompt is empty"),
        (lambda text: text + text.splitlines()[0] + "\n", "line 8: lists train/"),
        (lambda text: text.replace("}", "", 1), "line 1: "),
        (lambda text: text.replace('"track": "mono"', '"track": "5.1"'), "is in two splits"),
        (lambda text: text.replace('"lra": 5.0', '"x": 5.0', 1), "has other numbers"),
    ],
)
def test_a_damaged_manifest_is_one_line_at_import(exported, tmp_path, damage, reason):
    (tmp_path / "custom_metadata.py").write_text((exported / "custom_metadata.py").read_text())
    (tmp_path / "manifest.jsonl").write_text(damage((exported / "manifest.jsonl").read_text()))
    with pytest.raises(ValueError) as error:
        metadata(tmp_path)
    assert reason in str(error.value) and "\n" not in str(error.value) and "manifest.jsonl" in str(error.value)


def test_all_conditioners_go_to_the_cross_attention(exported, tmp_path):
    fragment = json.loads((exported / "model_config.fragment.json").read_text())["model"]
    ids = [one["id"] for one in fragment["conditioning"]["configs"]]
    assert (
        ids
        == fragment["diffusion"]["cross_attention_cond_ids"]
        == list(lines(exported / "manifest.jsonl")[0]["numbers"])
    )
    diffusion = {"cross_attention_cond_ids": ["prompt", "bpm"], "global_cond_ids": ["x"]}
    base = {"conditioning": {"configs": [{"id": "prompt"}, {"id": "bpm"}]}, "diffusion": diffusion}
    (tmp_path / "base.json").write_text(json.dumps({"model": base}))
    command = [sys.executable, "-I", exported / "make_model_config.py", tmp_path / "base.json"]
    made = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["model"]
    assert [one["id"] for one in made["conditioning"]["configs"]] == [
        "prompt",
        *(["bpm"]),
        *(i for i in ids if i != "bpm"),
    ]
    assert made["diffusion"]["cross_attention_cond_ids"] == ["prompt", "bpm", *(i for i in ids if i != "bpm")]
    assert made["diffusion"]["global_cond_ids"] == ["x"]


@pytest.mark.parametrize("target", ["stable_audio_tools", "ace_step", "audiocraft"])
def test_a_moved_export_gets_its_paths_back_with_one_command(results, tmp_path, target):
    old, new = tmp_path / "old place", tmp_path / 'other/new "place"'
    make(results, old, target)
    new.parent.mkdir()
    old.rename(new)
    subprocess.run([sys.executable, "-I", new / "set_paths.py"], check=True, capture_output=True)
    named = [file for file in json.loads((new / "export.json").read_text())["with_paths"]]
    assert named
    for file in named:
        text = (new / file).read_text()
        assert str(old) not in text and json.dumps(str(new))[1:-1] in text
    make(results, new, target)  # it is still an export, and may be replaced


# --- What the others read ---------------------------------------------------------------------------------------------


def test_stable_audio_3_has_a_prompt_beside_each_sound(results, tmp_path):
    make(results, tmp_path / "x", "stable_audio_3")
    sounds = sorted((tmp_path / "x").rglob("*.flac"))
    assert len(sounds) == 7
    for sound in sounds:
        assert soundfile.info(sound).frames % 4096 == 0 and soundfile.info(sound).samplerate == 44100
        assert sound.with_suffix(".txt").read_text().strip()
        about = json.loads(sound.with_suffix(".json").read_text())
        assert all(isinstance(value, str | int | float) for value in about.values())
    listed = (tmp_path / "x/train/filelist.txt").read_text().splitlines()
    assert sorted(listed) == [sound.name for sound in sounds if sound.parent.name == "train"]


def test_ace_step_has_what_its_dataclass_takes(results, tmp_path):
    make(results, tmp_path / "x", "ace_step")
    dataset = json.loads((tmp_path / "x/dataset.json").read_text())
    assert dataset["metadata"]["num_samples"] == len(dataset["samples"]) == 5
    # Fields of AudioSample in acestep/training/dataset_builder_modules/models.py, with their kinds.
    texts = "id audio_path filename caption genre lyrics keyscale timesignature language custom_tag".split()
    kinds = dict.fromkeys(texts, str) | {"bpm": int | None, "duration": int, "prompt_override": str | None}
    kinds |= {"is_instrumental": bool, "labeled": bool}
    for sample in dataset["samples"]:
        assert set(sample) == set(kinds) and all(isinstance(sample[key], kind) for key, kind in kinds.items())
        assert soundfile.info(sample["audio_path"]).samplerate == 48000
        beside = Path(sample["audio_path"]).with_suffix("")
        assert Path(f"{beside}.caption.txt").read_text().strip() == sample["caption"] != ""
        assert Path(f"{beside}.lyrics.txt").read_text().strip() == sample["lyrics"] == "[Verse]"
        assert not sample["is_instrumental"] and sample["keyscale"] == "F# minor" and "BPM" not in sample["caption"]
    assert {sample["bpm"] for sample in dataset["samples"]} == {100, 120, None}


def test_instrumental_is_said_only_where_the_vocals_are_silent(tmp_path):
    track(tmp_path, "silent vocals", loop(1), lufs_vocals=None)
    track(tmp_path, "vocals", loop(1), bpm=90.0)
    tracks = ["silent vocals", "vocals"]
    build.build(
        "ace_step", targets.target("ace_step"), str(tmp_path), tracks, {}, Settings(numbers=("bpm",)), tmp_path / "x"
    )
    samples = json.loads((tmp_path / "x/dataset.json").read_text())["samples"]
    assert [(one["lyrics"], one["is_instrumental"]) for one in samples] == [
        ("[Instrumental]", True),
        ("[Verse]", False),
    ]


def test_audiocraft_has_every_field_of_its_dataclass(results, tmp_path):
    make(results, tmp_path / "x", "audiocraft")
    for split, count in (("train", 5), ("validation", 1), ("test", 1)):
        rows = lines(tmp_path / f"x/egs/{split}/data.jsonl")
        assert len(rows) == count
        for row in rows:
            assert row["duration"] == 2.0 and row["sample_rate"] == soundfile.info(row["path"]).samplerate
            about = json.loads(Path(row["path"]).with_suffix(".json").read_text())
            wanted = {
                "title",
                "artist",
                "key",
                "bpm",
                "genre",
                "moods",
                "description",
                "name",
                "instrument",
                "keywords",
            }
            assert set(about) == wanted and about["description"] and about["title"] is None


def test_webdataset_keys_have_one_dot(results, tmp_path):
    make(results, tmp_path / "x", "webdataset")
    for split, count in (("train", 5), ("validation", 1), ("test", 1)):
        with tarfile.open(tmp_path / f"x/{split}/000000.tar") as shard:
            members = shard.getnames()
            assert len(members) == 2 * count
            for sound, about in zip(members[::2], members[1::2], strict=True):
                assert sound.removesuffix(".flac") == about.removesuffix(".json") and sound.count(".") == 1
                assert json.load(shard.extractfile(about))["text"]
                assert soundfile.info(shard.extractfile(sound)).samplerate == 44100
    assert not list((tmp_path / "x").rglob("*.flac"))


def test_webdataset_can_be_made_into_batches(results, tmp_path):
    settings = Settings(numbers=SOME.numbers, prompts_per_item=3)
    make(results, tmp_path / "x", "webdataset", settings)
    with tarfile.open(tmp_path / "x/train/000000.tar") as shard:
        known = [json.load(shard.extractfile(name)) for name in shard.getnames() if name.endswith(".json")]

    def shape(value):
        if isinstance(value, dict):
            return {key: shape(one) for key, one in value.items()}
        return [shape(one) for one in value] if isinstance(value, list) else type(value)

    assert len(known) == 5 and all(shape(one) == shape(known[0]) for one in known)
    assert {one["numbers"]["bpm_known"] for one in known} == {0, 1} and len(known[0]["texts"]) == 3


def test_huggingface_has_one_type_for_each_column(results, tmp_path):
    make(results, tmp_path / "x", "huggingface")
    rows = [row for split in ("train", "validation", "test") for row in lines(tmp_path / f"x/{split}/metadata.jsonl")]
    assert len(rows) == 7 and len({tuple(row) for row in rows}) == 1
    for key in rows[0]:
        assert len({type(row[key]) for row in rows}) == 1, key  # no null: `datasets` would refuse a split of nulls
    assert {row["bpm_known"] for row in rows} == {0.0, 1.0}


@pytest.mark.parametrize("target", targets.names())
def test_each_export_says_how_it_is_used_and_has_no_stem(results, tmp_path, target):
    make(results, tmp_path / "x", target)
    page = (tmp_path / "x/README.md").read_text()
    assert "```" in page or "dataset.json" in page
    assert "{" not in re.sub(r"```.*?```", "", page, flags=re.S)
    names = [path.name.lower() for path in (tmp_path / "x").rglob("*")]
    assert not [name for name in names if any(stem in name for stem in layout.STEMS)]
    assert str(tmp_path) not in page


def test_the_earlier_export_stays_where_the_new_one_cannot_be_put_in_its_place(tmp_path, monkeypatch):
    place = tmp_path / "export"
    with tree.written(place) as made:
        made.write_json("one.json", {})
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if "-new-" in path.name:
            raise OSError(errno.EACCES, "Permission denied", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(MirflowError, match="cannot be written"), tree.written(place) as made:
        made.write_json("two.json", {})
    assert (place / "one.json").exists() and [path.name for path in tmp_path.iterdir()] == ["export"]
