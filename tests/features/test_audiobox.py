"""AudioBox Aesthetics: the scores of its own package, windows weighted by their length, files refused by name."""

import importlib.util
import json
import sys

import numpy as np
import pytest

import model_files
from conftest import jobs, loop, run_snakemake, write
from mirflow import features
from mirflow.commands import main
from mirflow.core import artifacts, audio, feature
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.features import audiobox
from mirflow.models import cache, catalogue, download, loading

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
WEIGHTS, JSON = (file.name for file in catalogue.files(audiobox.MODEL))


def describe(folder, *names) -> None:
    """Let the catalogue know no hash, so that random weights may stand in."""
    files = ", ".join(f"{{name: {name}, url: 'http://127.0.0.1:9/{name}'}}" for name in names)
    (folder / catalogue.OWN_ENTRIES).write_text(f"models: {{{audiobox.MODEL}: {{purpose: x, files: [{files}]}}}}")
    catalogue._entries.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A models' folder, empty so far."""
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))
    describe(tmp_path, WEIGHTS, JSON)
    yield tmp_path
    cache.drop()
    catalogue._entries.cache_clear()


def load() -> audiobox.Network:
    """Load the model from the models' folder, as the command `feature_audiobox` does."""
    return loading.load(audiobox.load, catalogue.path(audiobox.MODEL), "cpu", [audiobox.MODEL]).value


def test_without_torch_a_person_is_told_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    model_files.safetensors(folder / WEIGHTS)
    (folder / JSON).write_text("{}")
    with pytest.raises(MirflowError, match=r"audiobox: the package \w+ is missing; it is in envs/models\.txt"):
        load()


def test_a_missing_file_is_named(folder):
    with pytest.raises(MirflowError, match=r"audiobox-aesthetics\.safetensors is missing; without a connection"):
        load()


def test_it_is_a_feature_that_a_setting_brings():
    feature = {feature.name: feature for feature in features.all_features()}["audiobox"]
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
    return load()


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
    assert feature.check(audiobox.FEATURE, whole)


def test_the_command_reads_the_files_that_it_is_given(model, folder, capsys):
    """Their rule names the files; what lies in the models' folder does not count then."""
    mix = write(folder / "mix.wav", loop(2), subtype="FLOAT")
    (folder / "elsewhere").mkdir()
    given = [(folder / name).rename(folder / "elsewhere" / name) for name in (WEIGHTS, JSON)]
    command = ["feature_audiobox", str(mix), "--device", "cpu", "-o", str(folder / "audiobox.json")]
    assert main([*command, "--model", *map(str, given)]) == 0, capsys.readouterr().err
    found = artifacts.read_json(folder / "audiobox.json")
    origin = found.pop("_provenance")
    assert found == artifacts.to_json_values(audiobox.measure(audio.read(mix), model))
    assert (origin["feature"], origin["backend"]) == ("audiobox", "audiobox_aesthetics")
    assert origin["model"] == {path.name: download.sha256(path) for path in given}
    assert main(command) == 1  # without --model, those of the models' folder
    assert f"{folder}/{WEIGHTS} is missing" in capsys.readouterr().err
    given[1].write_text("{}")
    assert main([*command, "--model", *map(str, given)]) == 1
    assert f"{given[1]} is not the file that belongs there" in capsys.readouterr().err


def release(folder, model) -> str:
    """Save the same weights as the authors' checkpoint.pt; return its name."""
    import torch

    weights = {f"model.{name}": value for name, value in model.module.state_dict().items()}
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
    model.module.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0]["wav"])))
    monkeypatch.setattr(audiobox, "BATCH", 3)
    assert audiobox.measure(mix, model) == pytest.approx(expected, rel=1e-5)
    assert sizes == [3, 1]


def test_the_checkpoint_of_the_authors_release_serves_as_well(model, folder):
    mix = music(4)
    expected = audiobox.measure(mix, model)
    describe(folder, name := release(folder, model))
    with pytest.raises(MirflowError, match=r"checkpoint\.pt: models\.yaml has no sha256"):  # it could run code
        load()
    own = folder / catalogue.OWN_ENTRIES
    own.write_text(own.read_text().replace("'}", f"', sha256: {download.sha256(folder / name)}}}"))
    catalogue._entries.cache_clear()
    assert audiobox.measure(mix, load()) == expected
    (folder / name).write_bytes(b"not it")
    own.write_text(own.read_text().partition(", sha256")[0] + f", sha256: {download.sha256(folder / name)}}}]}}}}")
    catalogue._entries.cache_clear()
    with pytest.raises(MirflowError, match=r"checkpoint\.pt: checkpoint of AudioBox Aesthetics expected"):
        load()


def test_through_the_whole_workflow_in_the_model_worker(folder, tmp_path):
    """With weights of the real size: the encoder's is fixed in the package."""
    save(folder, proj_num_layer=5, nth_layer=13)
    assert (folder / WEIGHTS).stat().st_size == next(
        iter(catalogue._load(catalogue.CATALOGUE)[audiobox.MODEL]["files"])
    )["size"]
    write(tmp_path / "music" / "a.wav", loop(2))
    write(tmp_path / "music" / "silence.wav", 0 * loop(2))
    others = [feature.name for feature in features.all_features() if feature.name != "audiobox"]
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
    expected = audiobox.measure(Audio(loop(2).T.astype(np.float32), 44100), load())
    assert {key: content[key] for key in expected} == pytest.approx(expected, rel=1e-4)  # 16 bits
    origin = content["_provenance"]["features"]["audiobox"]
    assert origin["model"] == {name: download.sha256(folder / name) for name in (WEIGHTS, JSON)}
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
        (WEIGHTS, b"not it", "a file of safetensors is expected"),
        (JSON, b"{}", "configuration of AudioBox Aesthetics expected"),
    ):
        path = folder / name
        before = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(MirflowError, match=f"{name} is not the file that belongs there"):
            load()
        path.with_name(f"{name}.sha256").unlink()
        with pytest.raises(MirflowError, match=f"{name}: {message}"):
            load()
        path.write_bytes(before)
        path.with_name(f"{name}.sha256").unlink(missing_ok=True)
