"""AudioBox Aesthetics: windows weighted by their sound, batches of any size alike, files refused by name."""

import importlib.util
import json

import numpy as np
import pytest

from conftest import loop
from mirflow import models, registry
from mirflow.audio import Audio
from mirflow.errors import MirflowError
from mirflow.model_features import audiobox

HAS_TORCH = importlib.util.find_spec("torch") and importlib.util.find_spec("audiobox_aesthetics")
CONFIGURATION = {
    "proj_num_layer": 2,
    "proj_ln": True,
    "nth_layer": 3,
    "precision": "32",
    "target_transform": {axis: {"mean": 4.0 + i, "std": 0.5 + i} for i, axis in enumerate(audiobox.AXES)},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A models' folder whose catalogue knows no hash, so that random weights may stand in."""
    monkeypatch.setenv(models.FOLDER, str(tmp_path))
    names = [file.name for file in models.files(audiobox.MODEL)]
    files = ", ".join(f"{{name: {name}, url: 'http://127.0.0.1:9/{name}'}}" for name in names)
    (tmp_path / models.OWN_ENTRIES).write_text(f"models: {{{audiobox.MODEL}: {{purpose: x, files: [{files}]}}}}")
    models._entries.cache_clear()
    (tmp_path / names[1]).write_text(json.dumps(CONFIGURATION))
    yield tmp_path
    models._entries.cache_clear()


@pytest.mark.skipif(bool(HAS_TORCH), reason="torch is here")
def test_without_torch_a_person_is_told_what_to_install(folder):
    (folder / "audiobox-aesthetics.safetensors").write_bytes(b"x")
    with pytest.raises(MirflowError, match=r"audiobox: the package \w+ is missing; it is in envs/models\.txt"):
        audiobox.load()


def test_a_missing_file_is_named(folder):
    with pytest.raises(MirflowError, match=r"audiobox-aesthetics\.safetensors is missing; without a connection"):
        audiobox.load()


def test_it_is_a_feature_that_a_setting_brings():
    feature = {feature.name: feature for feature in registry.all_features()}["audiobox"]
    assert feature.requires == "aesthetics.backend: audiobox"
    assert [field.key for field in feature.fields] == [
        "content_enjoyment",
        "content_usefulness",
        "production_complexity",
        "production_quality",
    ]


@pytest.fixture
def model(folder, monkeypatch):
    """The package's own class with a small encoder and random weights, loaded from files as the real one is."""
    if not HAS_TORCH:
        pytest.skip("torch or audiobox_aesthetics is not installed")
    import torch
    from audiobox_aesthetics.model import aes
    from safetensors.torch import save_model

    small = {"encoder_layers": 2, "encoder_embed_dim": 48, "encoder_ffn_embed_dim": 64, "encoder_attention_heads": 4,
             "conv_feature_layers": "[(32,10,5)] + [(32,3,2)] * 4 + [(32,2,2)] * 2"}  # fmt: skip
    monkeypatch.setattr(aes, "DEFAULT_AUDIO_CFG", aes.WavLMConfig(vars(aes.DEFAULT_AUDIO_CFG) | small))
    torch.manual_seed(0)
    save_model(aes.AesMultiOutput(**CONFIGURATION), folder / "audiobox-aesthetics.safetensors")
    return audiobox.load()


def music(seconds: float) -> Audio:
    return Audio(loop(seconds, audiobox.RATE).T.astype(np.float32), audiobox.RATE)


def test_a_track_is_the_mean_of_its_windows_weighted_by_their_length(model):
    mix = music(45.5)
    alone = [
        audiobox.measure(Audio(mix.samples[:, start : start + audiobox.WINDOW], audiobox.RATE), model)
        for start in range(0, mix.samples.shape[1], audiobox.WINDOW)
    ]
    whole = audiobox.measure(mix, model)
    for key, value in whole.items():
        assert value == pytest.approx(np.average([w[key] for w in alone], weights=[10, 10, 10, 10, 5.5]), rel=1e-5)
        assert np.ptp([w[key] for w in alone]) > 1e-6  # the windows do differ
    assert registry.check(audiobox.FEATURE, whole)


def test_silence_is_not_judged(model):
    mix = music(10)
    followed = Audio(np.pad(mix.samples, ((0, 0), (0, 30 * audiobox.RATE))), audiobox.RATE)
    assert audiobox.measure(followed, model) == pytest.approx(audiobox.measure(mix, model), rel=1e-5)
    for nothing in (Audio(mix.samples * 0, audiobox.RATE), music(0.5), Audio(np.zeros((1, 0), np.float32), 44100)):
        assert set(audiobox.measure(nothing, model).values()) == {None}


def test_wrong_files_are_refused_by_name(model, folder):
    for name, content, message in (
        ("audiobox-aesthetics.safetensors", b"not it", "the weights of AudioBox Aesthetics are expected"),
        ("audiobox-aesthetics.json", b"{}", "the configuration of AudioBox Aesthetics is expected"),
    ):
        path = folder / name
        before = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(MirflowError, match=f"{name} is not the file that belongs there"):
            audiobox.load()
        path.with_name(f"{name}.sha256").unlink()
        with pytest.raises(MirflowError, match=f"{name}: {message}"):
            audiobox.load()
        path.write_bytes(before)
        path.with_name(f"{name}.sha256").unlink()
