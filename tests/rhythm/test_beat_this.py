"""The Beat This backend: its input, and its network with random weights in the real architecture."""

import importlib.metadata
import re

import numpy as np
import pytest

from conftest import loop, write
from mirflow.commands import main
from mirflow.core import artifacts
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.models import catalogue, download
from mirflow.rhythm import beat_this, decoders


def test_a_tone_lies_in_its_mel_band():
    """At 1 kHz the mel scale of Slaney turns from linear to logarithmic: 15 mel of 50.1 below 11 kHz."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(beat_this.RATE) / beat_this.RATE).astype(np.float32)
    mel = beat_this.log_mel(tone)
    assert mel.shape == (51, 128)
    low, high = 3 * 30 / 200, 15 + 27 * np.log(11) / np.log(6.4)
    assert abs(mel[25].argmax() - ((15 - low) / (high - low) * 129 - 1)) <= 1


def test_the_input_is_that_of_torchaudio():
    torch = pytest.importorskip("torch")
    transforms = pytest.importorskip("torchaudio.transforms")
    samples = np.random.default_rng(0).normal(0, 0.2, 3 * beat_this.RATE).astype(np.float32)
    spectrogram = transforms.MelSpectrogram(
        sample_rate=22050, n_fft=1024, hop_length=441, f_min=30, f_max=11000, n_mels=128, mel_scale="slaney",
        normalized="frame_length", power=1,
    )  # fmt: skip
    expected = torch.log1p(1000 * spectrogram(torch.from_numpy(samples)).T).numpy()
    assert np.abs(beat_this.log_mel(samples) - expected).max() < 1e-4


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch = pytest.importorskip("torch")
    tracker = pytest.importorskip("beat_this.model.beat_tracker")
    torch.manual_seed(0)
    size = {"spect_dim": 128, "transformer_dim": 128, "n_layers": 6}  # those of small0
    network = tracker.BeatThis(**size)
    path = tmp_path_factory.mktemp("beat_this") / "small.ckpt"
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    torch.save({"hyper_parameters": {**size, "lr": 0.001}, "state_dict": state}, path)
    return path


def test_a_short_track_is_what_the_network_says_of_it(checkpoint):
    import torch

    network = beat_this.load([checkpoint])
    samples = np.random.default_rng(1).normal(0, 0.2, 4 * beat_this.RATE).astype(np.float32)
    found = beat_this.activations(Audio(samples[None], beat_this.RATE), network)
    with torch.inference_mode():
        judged = network(torch.from_numpy(beat_this.log_mel(samples))[None])
    assert found.frame_rate == 50
    assert np.allclose(found.beat, torch.sigmoid(judged["beat"][0]), atol=1e-6)
    assert np.allclose(found.downbeat, torch.sigmoid(judged["downbeat"][0]), atol=1e-6)
    decoders.decode(found)


def test_chunks_leave_no_seam():
    """The output for a frame does not depend on its chunk; where chunks differ, one fades into the other."""
    torch = pytest.importorskip("torch")

    class Level(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, spectrum):
            row = spectrum.mean(dim=2) * self.weight - 1
            return {"beat": row, "downbeat": torch.arange(row.shape[1])[None] / row.shape[1]}

    samples = np.random.default_rng(2).normal(0, 0.1, 75 * beat_this.RATE).astype(np.float32)
    found = beat_this.activations(Audio(samples[None], beat_this.RATE), Level())
    expected = 1 / (1 + np.exp(1 - beat_this.log_mel(samples).mean(axis=1)))
    assert np.allclose(found.beat, expected, atol=1e-5)
    assert np.abs(np.diff(found.downbeat)).max() < 0.002


def test_another_file_is_named(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("beat_this.model.beat_tracker")
    path = tmp_path / "other.ckpt"
    path.write_bytes(b"something else")
    with pytest.raises(MirflowError, match="other"):
        beat_this.load([path])


def test_the_command_says_in_its_record_which_checkpoint_it_was(checkpoint, tmp_path, monkeypatch, capsys):
    """By --model alone a checkpoint is only hashed; with --entry it must be the one that the catalogue describes."""
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))
    mix = write(tmp_path / "mix.flac", loop(2))
    outputs = [tmp_path / name for name in ("one.npz", "two.npz")]
    command = ["beat_activations", str(mix), "--backend", "beat_this", "--device", "cpu"]
    record = tmp_path / "record.json"
    for output in outputs:
        done = main([*command, "--model", str(checkpoint), "-o", str(output), "--record", str(record)])
        assert done == 0, capsys.readouterr().err
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert artifacts.read_json(record) == {
        "backend": "beat-this",
        "backend_version": importlib.metadata.version("beat-this"),
        "model": {"name": "small.ckpt", "sha256": download.sha256(checkpoint)},
    }
    command += ["-o", str(tmp_path / "x.npz")]
    assert main([*command, "--model", str(checkpoint), "--entry", "beat_this_small0"]) == 1
    assert "small.ckpt is not the file that belongs there" in capsys.readouterr().err
    assert main([*command, "--entry", "beat_this_small0"]) == 1
    assert re.search(rf"{tmp_path}/\S+ is missing; without a connection, fetch", capsys.readouterr().err)
    assert main(command) == 1
    assert "beat_this: one checkpoint is expected, 0 files are given" in capsys.readouterr().err
