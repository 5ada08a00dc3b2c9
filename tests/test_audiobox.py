"""AudioBox Aesthetics: what its own package says, windows weighted by their sound, files refused by name."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from conftest import jobs, loop, run_snakemake, write
from mirflow import artifacts, models, registry
from mirflow.audio import Audio
from mirflow.errors import MirflowError
from mirflow.model_features import audiobox

HAS_TORCH = importlib.util.find_spec("torch") and importlib.util.find_spec("audiobox_aesthetics")
CONFIGURATION = {
    "proj_num_layer": 2,
    "proj_ln": True,
    "proj_act_fn": "gelu",
    "proj_dropout": 0.0,
    "nth_layer": 3,
    "use_weighted_layer_sum": True,
    "precision": "bf16",
    "normalize_embed": True,
    "output_dim": 1,
    "target_transform": {axis: {"mean": 4.0 + i, "std": 0.5 + i} for i, axis in enumerate(audiobox.AXES)},
}
SMALL = {"encoder_layers": 2, "encoder_embed_dim": 48, "encoder_ffn_embed_dim": 64, "encoder_attention_heads": 4,
         "conv_feature_layers": "[(32,10,5)] + [(32,3,2)] * 4 + [(32,2,2)] * 2"}  # fmt: skip
WEIGHTS, JSON = (file.name for file in models.files(audiobox.MODEL))


def catalogue(folder, *names) -> None:
    """Let the catalogue know no hash, so that random weights may stand in."""
    files = ", ".join(f"{{name: {name}, url: 'http://127.0.0.1:9/{name}'}}" for name in names)
    (folder / models.OWN_ENTRIES).write_text(f"models: {{{audiobox.MODEL}: {{purpose: x, files: [{files}]}}}}")
    models._entries.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A models' folder, empty so far."""
    monkeypatch.setenv(models.FOLDER, str(tmp_path))
    catalogue(tmp_path, WEIGHTS, JSON)
    yield tmp_path
    models._entries.cache_clear()


def test_without_torch_a_person_is_told_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (folder / WEIGHTS).write_bytes(b"x")
    (folder / JSON).write_text("{}")
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


def save(folder, **arguments) -> None:
    """Save random weights as the package publishes them on the hub, under the names of the catalogue."""
    if not HAS_TORCH:
        pytest.skip("torch or audiobox_aesthetics is not installed")
    import torch
    from audiobox_aesthetics.model import aes

    torch.manual_seed(0)
    aes.AesMultiOutput(**CONFIGURATION | arguments).save_pretrained(folder / "hub")
    (folder / "hub" / "model.safetensors").rename(folder / WEIGHTS)
    (folder / "hub" / "config.json").rename(folder / JSON)


@pytest.fixture
def model(folder, monkeypatch):
    """The package's own class with a small encoder and random weights, loaded from files as the real one is."""
    if HAS_TORCH:
        from audiobox_aesthetics.model import aes

        monkeypatch.setattr(aes, "DEFAULT_AUDIO_CFG", aes.WavLMConfig(vars(aes.DEFAULT_AUDIO_CFG) | SMALL))
    save(folder)
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


def release(folder, model) -> str:
    """Save the same weights as the authors' checkpoint.pt; return its name."""
    import torch

    weights = {f"model.{name}": value for name, value in model.network.state_dict().items()}
    content = {"state_dict": weights, "model_cfg": json.loads((folder / JSON).read_text())}
    torch.save(content | {"target_transform": CONFIGURATION["target_transform"]}, folder / "checkpoint.pt")
    return "checkpoint.pt"


def test_scores_are_those_of_the_package_whatever_the_batch(model, folder, monkeypatch):
    torch = pytest.importorskip("torch")
    infer = pytest.importorskip("audiobox_aesthetics.infer")
    mix = music(33.7)
    theirs = infer.AesPredictor(str(folder / release(folder, model)))
    (expected,) = theirs.forward([{"path": torch.from_numpy(mix.samples.mean(0)[None]), "sample_rate": audiobox.RATE}])
    expected = {key: expected[axis] for axis, (key, _) in audiobox.AXES.items()}
    assert audiobox.measure(mix, model) == pytest.approx(expected, rel=1e-5)
    model.device, sizes = "cpu:0", []  # as if it were none
    model.network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0]["wav"])))
    monkeypatch.setattr(audiobox, "BATCH", 3)
    assert audiobox.measure(mix, model) == pytest.approx(expected, rel=1e-5)
    assert sizes == [3, 1]


def test_the_checkpoint_of_the_authors_release_serves_as_well(model, folder):
    mix = music(4)
    expected = audiobox.measure(mix, model)
    catalogue(folder, name := release(folder, model))
    with pytest.raises(MirflowError, match=r"checkpoint\.pt: models\.yaml has no sha256"):  # it could run code
        audiobox.load()
    own = folder / models.OWN_ENTRIES
    own.write_text(own.read_text().replace("'}", f"', sha256: {models.sha256(folder / name)}}}"))
    models._entries.cache_clear()
    assert audiobox.measure(mix, audiobox.load()) == expected
    (folder / name).write_bytes(b"not it")
    own.write_text(own.read_text().partition(", sha256")[0] + f", sha256: {models.sha256(folder / name)}}}]}}}}")
    models._entries.cache_clear()
    with pytest.raises(MirflowError, match=r"checkpoint\.pt: checkpoint of AudioBox Aesthetics expected"):
        audiobox.load()


def test_through_the_whole_workflow_in_the_model_worker(folder, tmp_path):
    """With weights of the real size: the encoder's is fixed in the package."""
    save(folder, proj_num_layer=5, nth_layer=13)
    assert (folder / WEIGHTS).stat().st_size == next(iter(models._load(models.CATALOGUE)[audiobox.MODEL]["files"]))[
        "size"
    ]
    write(tmp_path / "music" / "a.wav", loop(2))
    write(tmp_path / "music" / "silence.wav", 0 * loop(2))
    others = [feature.name for feature in registry.all_features() if feature.name != "audiobox"]
    settings = {
        "library": tmp_path / "music",
        "results": tmp_path / "out",
        "models": folder,
        "skip": f"[{','.join(others)}]",
    }
    settings["aesthetics"] = "{backend: audiobox, device: cpu}"
    done = run_snakemake("-j", "2", **settings)
    assert done.returncode == 0, done.stdout
    assert jobs(done.stdout)["feature_audiobox"] == 2
    assert "gpu=1" in done.stdout.partition("rule feature_audiobox:")[2].partition("rule ")[0]
    content = artifacts.read_json(tmp_path / "out" / "a" / "a.INFO")
    expected = audiobox.measure(Audio(loop(2).T.astype(np.float32), 44100), audiobox.load())
    assert {key: content[key] for key in expected} == pytest.approx(expected, rel=1e-4)  # 16 bits
    origin = content["_provenance"]["features"]["audiobox"]
    assert origin["model"] == {name: models.sha256(folder / name) for name in (WEIGHTS, JSON)}
    silence = artifacts.read_json(tmp_path / "out" / "silence" / "silence.INFO")
    assert {silence[key] for key in expected} == {None}


def test_silence_is_not_judged(model):
    mix = music(10)
    followed = Audio(np.pad(mix.samples, ((0, 0), (0, 30 * audiobox.RATE))), audiobox.RATE)
    assert audiobox.measure(followed, model) == pytest.approx(audiobox.measure(mix, model), rel=1e-5)
    for nothing in (Audio(mix.samples * 0, audiobox.RATE), music(0.5), Audio(np.zeros((1, 0), np.float32), 44100)):
        assert set(audiobox.measure(nothing, model).values()) == {None}


def test_wrong_files_are_refused_by_name(model, folder):
    for name, content, message in (
        (WEIGHTS, b"not it", "weights of AudioBox Aesthetics expected"),
        (JSON, b"{}", "configuration of AudioBox Aesthetics expected"),
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
