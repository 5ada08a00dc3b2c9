"""An export for stable-audio-tools in its own loader, its own conditioners, and a step of its own training."""

import contextlib
import io
import json
import math
import multiprocessing
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import stubs
import torch

stubs.install("alias_free_torch", "audiotools", "k_diffusion", "pesq", "transformers", "wandb")
from stable_audio_tools.data.dataset import create_dataloader_from_config  # noqa: E402
from stable_audio_tools.models.conditioners import create_multi_conditioner_from_conditioning_config  # noqa: E402
from stable_audio_tools.models.factory import create_model_from_config  # noqa: E402

SAMPLE_SIZE = 1 << 16
CONFIGS = {"train": "dataset_config.json", "validation": "dataset_config.validation.json"}


def manifest(tree: Path) -> dict[str, dict]:
    return {item["file"]: item for item in map(json.loads, (tree / "manifest.jsonl").read_text().splitlines())}


def loader(tree: Path, split: str = "train", batch: int = 4, size: int = SAMPLE_SIZE, shuffle: bool = False):
    config = json.loads((tree / CONFIGS[split]).read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        return create_dataloader_from_config(config, batch, size, 44100, num_workers=1, shuffle=shuffle)


def base_model(tree: Path) -> dict:
    """Return the configuration of a tiny model with the conditioners of Stable Audio Open.

    Without a text encoder: the prompt is one of a list. Cross-attention must not be narrower than its tokens, or it
    would be exactly zero.
    """
    prompts = sorted({prompt for item in manifest(tree).values() for prompt in item["prompts"]})
    seconds = {"type": "number", "config": {"min_val": 0, "max_val": 512}}
    return {
        "model_type": "diffusion_cond",
        "sample_size": SAMPLE_SIZE,
        "sample_rate": 44100,
        "audio_channels": 2,
        "model": {
            "pretransform": {"type": "patched", "config": {"channels": 2, "patch_size": 64}},
            "conditioning": {
                "configs": [
                    {"id": "prompt", "type": "list", "config": {"options": prompts}},
                    {"id": "seconds_start", **seconds},
                    {"id": "seconds_total", **seconds},
                ],
                "cond_dim": 32,
            },
            "diffusion": {
                "cross_attention_cond_ids": ["prompt", "seconds_start", "seconds_total"],
                "global_cond_ids": ["seconds_start", "seconds_total"],
                "type": "dit",
                "config": {
                    "io_channels": 128,
                    "embed_dim": 64,
                    "depth": 1,
                    "num_heads": 2,
                    "cond_token_dim": 32,
                    "global_cond_dim": 64,
                    "project_cond_tokens": False,
                    "transformer_type": "continuous_transformer",
                },
            },
            "io_channels": 128,
        },
        "training": {"use_ema": False, "cfg_dropout_prob": 0.0, "learning_rate": 1e-3, "pre_encoded": False},
    }


def with_numbers(tree: Path, folder: Path) -> dict:
    """Return that configuration as make_model_config.py of the export completes it."""
    path = folder / "model_config.json"
    path.write_text(json.dumps(base_model(tree)))
    done = subprocess.run(
        [sys.executable, tree / "make_model_config.py", path], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def check(tree: Path, folder: Path) -> None:
    """Check all that a trainer relies on, in the order in which it meets it; raises where something is wrong."""
    items = manifest(tree)
    for split in ("train", "validation"):
        mine = {str(tree / file): item for file, item in items.items() if item["split"] == split}
        if not (tree / CONFIGS[split]).exists():
            assert not mine
            continue
        loading = loader(tree, split)
        dataset = loading.dataset
        assert set(dataset.filenames) == set(mine), "the loader finds other files than the manifest has"
        (describe,) = dataset.custom_metadata_fns.values()
        for index, path in enumerate(dataset.filenames):
            header = soundfile.info(path)
            assert (header.samplerate, header.channels) == (44100, 2), f"{path}: {header.samplerate} Hz"
            assert header.frames == mine[path]["frames"]
            found = describe({"path": path}, None)  # not through the loader, which would hide an exception
            assert "__reject__" not in found and found["prompt"].strip()
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                sound, info = dataset[index]
            assert info["path"] == path and not said.getvalue(), f"{path}: another file was drawn; {said.getvalue()}"
            equal_to_file(path, sound, info, mine[path])
        configs = json.loads((tree / "model_config.fragment.json").read_text())["model"]["conditioning"]["configs"]
        conditioner = create_multi_conditioner_from_conditioning_config({"configs": configs, "cond_dim": 16})
        for _, metadata in loading:
            for name, (embedding, _) in conditioner(metadata, "cpu").items():
                assert torch.isfinite(embedding).all(), name
    train(tree, folder)


def equal_to_file(path: str, sound: torch.Tensor, info: dict, item: dict) -> None:
    """Check that the loader gives the samples of the file (it may invert the phase), and the true place in it."""
    samples = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    frames = samples.shape[1]
    offset = round(info["timestamps"][0] * frames)
    expected = samples[:, offset : offset + sound.shape[1]]
    given = sound[:, : expected.shape[1]].numpy()
    assert np.array_equal(given, expected) or np.array_equal(given, -expected)
    assert not sound[:, expected.shape[1] :].any()
    assert info["seconds_start"] == (item["start"] + offset) / 44100
    assert info["seconds_total"] == item["track_frames"] / 44100
    (mask,) = info["padding_mask"]
    assert mask.sum() == max(0, min(sound.shape[1], item["valid_frames"] - offset))
    assert all(info[key] == value and math.isfinite(value) for key, value in item["numbers"].items())


def train(tree: Path, folder: Path) -> None:
    """Take one step of training; a gradient reaches every conditioner."""
    import pytorch_lightning as pl
    from stable_audio_tools.training.factory import create_training_wrapper_from_config

    config = with_numbers(tree, folder)
    torch.manual_seed(0)
    model = create_model_from_config(config)
    # A new model begins with branches whose output is exactly zero, so that no gradient passes them; that of a
    # checkpoint does not.
    for weights in model.model.parameters():
        if not weights.any():
            torch.nn.init.normal_(weights, std=0.02)
    wrapper = create_training_wrapper_from_config(config, model)
    before = {name: p.detach().clone() for name, p in model.conditioner.named_parameters()}
    trainer = pl.Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(wrapper, loader(tree, batch=8, shuffle=True))
    assert trainer.global_step == 1
    ids = [one["id"] for one in config["model"]["conditioning"]["configs"]]
    assert len(ids) > 10 and set(ids) == set(model.conditioner.conditioners)
    for name in ids:
        moved = [p for key, p in model.conditioner.named_parameters() if key.startswith(f"conditioners.{name}.")]
        gradients = [p.grad for p in moved if p.grad is not None]
        assert gradients and all(torch.isfinite(g).all() for g in gradients), name
        assert any(g.abs().sum() > 0 for g in gradients), f"no gradient at {name}"
    assert any(not torch.equal(before[name], p) for name, p in model.conditioner.named_parameters())


# --- What must pass ---------------------------------------------------------------------------------------------------


def test_the_export_is_loaded_and_trained_on(trees, tmp_path):
    check(trees / "stable_audio_tools", tmp_path)


def test_a_copy_works_after_set_paths(trees, broken, tmp_path):
    tree = broken(trees / "stable_audio_tools")
    config = json.loads((tree / "dataset_config.json").read_text())["datasets"][0]
    assert config["path"] == f"{tree}/train/" and Path(config["custom_metadata_module"]).parent == tree
    check(tree, tmp_path)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_start_in_all_ways(trees, method):
    before = multiprocessing.get_start_method(allow_none=True)
    torch.multiprocessing.set_start_method(method, force=True)
    try:
        (_, metadata), *_ = loader(trees / "stable_audio_tools")
    finally:
        torch.multiprocessing.set_start_method(before or "fork", force=True)
    assert len(metadata) == 4 and all(item["prompt"] for item in metadata)


def test_pre_encoding_gets_the_bare_mask(trees, monkeypatch):
    monkeypatch.setenv("MIRFLOW_PADDING_MASK", "bare")
    _, info = loader(trees / "stable_audio_tools").dataset[0]
    assert isinstance(info["padding_mask"], torch.Tensor)
    json.dumps({key: value for key, value in info.items() if not isinstance(value, torch.Tensor)})


def test_the_module_needs_nothing_and_can_be_pickled(trees):
    code = (
        "import importlib.util, pickle, sys\n"
        "spec = importlib.util.spec_from_file_location('metadata_module', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "again = pickle.loads(pickle.dumps(module.get_custom_metadata))\n"
        "assert again.items == module.get_custom_metadata.items\n"
        "assert again({'path': '/elsewhere/x.flac'}, None) == {'__reject__': True}\n"
        "assert not {name for name in sys.modules if name.partition('.')[0] in ('torch', 'numpy', 'mirflow')}\n"
    )
    module = trees / "stable_audio_tools/custom_metadata.py"
    subprocess.run([sys.executable, "-I", "-c", code, module], check=True)


def test_no_stem_is_in_the_tree(trees):
    for tree in trees.iterdir():
        names = [path.name.lower() for path in tree.rglob("*")]
        assert not [name for name in names if any(stem in name for stem in ("drums", "bass", "other", "vocals"))]


# --- What must fail ---------------------------------------------------------------------------------------------------


def edit(tree: Path, **changed) -> None:
    """Change the first line of the manifest."""
    first, *others = (tree / "manifest.jsonl").read_text().splitlines()
    (tree / "manifest.jsonl").write_text("\n".join([json.dumps(json.loads(first) | changed), *others]) + "\n")


def nan(tree):
    first = next(iter(manifest(tree).values()))
    edit(tree, numbers=first["numbers"] | {next(iter(first["numbers"])): float("nan")})


def null(tree):
    first = next(iter(manifest(tree).values()))
    edit(tree, numbers=first["numbers"] | {next(iter(first["numbers"])): None})


def empty_prompt(tree):
    edit(tree, prompt=" ")


def leak(tree):
    second = list(manifest(tree).values())[1]
    edit(tree, track=second["track"], split="validation" if second["split"] == "train" else "train")


def stem(tree):
    shutil.copy(next((tree / "train").glob("*.flac")), tree / "train/bass.flac")


def other_rate(tree):
    path = next((tree / "train").glob("*.flac"))
    soundfile.write(path, soundfile.read(path)[0][:, 0], 48000)


def raising_module(tree):
    module = tree / "custom_metadata.py"
    module.write_text(module.read_text().replace("item = self.find(", "item = self.find_it(", 1))


def empty_manifest(tree):
    (tree / "manifest.jsonl").write_text("")


def constant(tree):
    path = tree / "model_config.fragment.json"
    content = json.loads(path.read_text())
    config = content["model"]["conditioning"]["configs"][0]["config"]
    config["max_val"] = config["min_val"]
    path.write_text(json.dumps(content))


def no_gradient(tree):
    path = tree / "make_model_config.py"
    path.write_text(path.read_text().replace("ids += [", "unused = ["))


@pytest.mark.parametrize(
    "fault",
    [nan, null, empty_prompt, leak, stem, other_rate, raising_module, empty_manifest, constant, no_gradient],
    ids=lambda fault: fault.__name__,
)
def test_a_broken_tree_fails(some_trees, broken, tmp_path, fault):
    tree = broken(some_trees / "stable_audio_tools")
    fault(tree)
    with pytest.raises((AssertionError, ValueError, AttributeError)) as error:
        check(tree, tmp_path)
    print(f"{fault.__name__}: {str(error.value).splitlines()[0][:150]}")
