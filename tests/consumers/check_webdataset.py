"""An export as WebDataset in `webdataset`, and in the loader of stable-audio-tools for it."""

import io
import json
import tarfile

import pytest
import soundfile
import stubs

webdataset = pytest.importorskip("webdataset")
stubs.install("alias_free_torch", "k_diffusion", "wandb")


def shards(trees, split: str = "train") -> list[str]:
    return [str(path) for path in sorted((trees / "webdataset" / split).glob("*.tar"))]


def test_every_sample_is_whole(trees):
    members = sum(len(tarfile.open(shard).getnames()) for shard in shards(trees))
    samples = list(webdataset.WebDataset(shards(trees), shardshuffle=False))
    assert len(samples) == members / 2 > 0
    for sample in samples:
        about = json.loads(sample["json"])
        assert about["text"].strip() and about["track"] and set(sample) >= {"flac", "json", "__key__"}
        header = soundfile.info(io.BytesIO(sample["flac"]))
        assert (header.samplerate, header.channels) == (44100, 2)
        assert header.frames / 44100 == pytest.approx(about["seconds"], abs=1e-5)


def test_stable_audio_tools_reads_the_prompts(trees):
    from stable_audio_tools.data.dataset import create_dataloader_from_config

    config = {
        "dataset_type": "wds",
        "datasets": [{"id": "x", "path": str(trees / "webdataset/train")}],
        "random_crop": False,
        "epoch_steps": 4,
    }
    loader = create_dataloader_from_config(config, 2, 1 << 16, 44100, num_workers=1)
    sounds, metadata = next(iter(loader))  # a batch in a batch, as its training takes it
    assert sounds.shape == (1, 2, 2, 1 << 16)
    assert len(metadata) == 2 and all(item["prompt"][0].strip() for item in metadata)
