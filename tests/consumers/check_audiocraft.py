"""An export for AudioCraft in its own dataset of music."""

import json

import numpy as np
import pytest
import soundfile
import stubs

stubs.install("dora", "flashy", "librosa", "spacy", "transformers", "xformers")
from audiocraft.data.audio_dataset import load_audio_meta  # noqa: E402
from audiocraft.data.music_dataset import MusicDataset  # noqa: E402
from audiocraft.environment import AudioCraftEnvironment  # noqa: E402

# It rewrites paths for Meta's clusters, by a configuration that is not in the package.
AudioCraftEnvironment.apply_dataset_mappers = classmethod(lambda cls, path: path)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_music_dataset_reads_every_item_with_all_fields(trees, split):
    manifest = trees / f"audiocraft/egs/{split}/data.jsonl"
    if not manifest.exists():
        pytest.skip(f"no split {split}")
    meta = load_audio_meta(manifest)
    dataset = MusicDataset(meta, sample_rate=44100, channels=2, info_fields_required=True)
    assert len(dataset) == len(meta)
    for index in range(len(dataset)):
        sound, info = dataset[index]
        expected = soundfile.read(meta[index].path, dtype="float32", always_2d=True)[0].T
        assert np.abs(sound.numpy() - expected).max() < 1e-6
        assert info.description and info.name and info.artist
        about = json.loads(open(meta[index].path.replace(".flac", ".json")).read())
        assert (info.bpm == about["bpm"] and info.key == (about["key"] or "").lower()) or info.key is None
        attributes = info.to_condition_attributes()
        assert attributes.text["description"] == info.description


def test_artists_are_in_one_split(trees):
    artists = {}
    for split in ("train", "validation", "test"):
        for path in (trees / "audiocraft" / split).glob("*.json"):
            artists.setdefault(json.loads(path.read_text())["artist"], set()).add(split)
    assert artists and all(len(splits) == 1 for splits in artists.values())


def test_an_item_without_a_field_fails(trees, broken):
    tree = broken(trees / "audiocraft")
    path = next((tree / "train").glob("*.json"))
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "key"}))
    meta = [one for one in load_audio_meta(tree / "egs/train/data.jsonl") if one.path == str(path.with_suffix(".flac"))]
    with pytest.raises(KeyError):
        MusicDataset(meta, sample_rate=44100, channels=2, info_fields_required=True)[0]
