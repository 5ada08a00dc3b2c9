"""Drum activations: ADTOF's network and spectrogram, the level that it hears, and the file."""

import hashlib

import numpy as np
import pytest

from mirflow import commands
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.dsp import loudness
from mirflow.models import catalogue
from mirflow.transcribe import backends, hearing
from mirflow.transcribe.activations import DRUMS, DrumActivations

RATE = 44100


def noise(seconds=3.0, level=0.1, rate=RATE):
    samples = level * np.random.default_rng(0).standard_normal((2, round(seconds * rate)))
    return Audio(samples.astype(np.float32), rate)


def silence(seconds=3.0):
    return Audio(np.zeros((2, round(seconds * RATE)), np.float32), RATE)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of random weights in the form of the published one."""
    torch = pytest.importorskip("torch")
    from mirflow.transcribe import adtof

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "adtof.pth"
    state = {name: value.double() for name, value in adtof.network().state_dict().items() if "num_batches" not in name}
    torch.save({"model_weights": state, "model_info": {"n_bins": 84}}, path)
    return path


def test_the_bands_are_those_that_the_network_was_trained_with():
    from mirflow.transcribe import adtof

    bands = adtof.filter_bank()
    assert bands.shape == (1024, adtof.BANDS)
    assert bands.sum(axis=0) == pytest.approx(1)
    assert (np.diff(bands.argmax(axis=0)) > 0).all()


def test_a_sine_is_in_its_band_at_its_level():
    from mirflow.transcribe import adtof

    bands, frequency = adtof.filter_bank(), 100 * RATE / adtof.FRAME  # the middle of a bin
    sine = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE).astype(np.float32)
    levels = adtof.spectrogram(sine)
    assert len(levels) == 101
    assert levels[50].argmax() == bands[100].argmax()
    magnitude = np.hanning(adtof.FRAME).sum() / 2 * np.array([0.5, 1, 0.5]) @ bands[99:102, bands[100].argmax()]
    assert levels[50].max() == pytest.approx(np.log10(1 + magnitude), rel=1e-3)


def test_the_network_has_the_size_of_the_published_one(weights):
    from mirflow.transcribe import adtof

    assert sum(value.numel() for value in adtof.network().parameters()) == 449741
    hits = adtof.hits(noise(), adtof.load([weights]))
    assert hits.shape == (301, len(DRUMS)) and hits.dtype == np.float32 and 0 <= hits.min() < hits.max() <= 1


def test_a_long_track_is_heard_in_pieces_without_a_trace(weights, monkeypatch):
    from mirflow.transcribe import adtof

    network, sound = adtof.load([weights]), noise(4)
    whole = adtof.hits(sound, network)
    monkeypatch.setattr(adtof, "PIECE", 70)
    assert adtof.hits(sound, network) == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("fault", ["missing", "text", "pickle", "other network", "two files"])
def test_other_files_are_refused_by_name(weights, tmp_path, fault):
    import torch

    from mirflow.transcribe import adtof

    path = tmp_path / "weights.pth"
    if fault == "text":
        path.write_text("no weights")
    elif fault == "pickle":
        torch.save({"model_weights": Exploding()}, path)
    elif fault == "other network":
        stored = torch.load(weights, weights_only=True)
        stored["model_weights"].pop("output_layer.bias")
        torch.save(stored, path)
    with pytest.raises(MirflowError, match="one file" if fault == "two files" else "weights.pth"):
        adtof.load([path, path] if fault == "two files" else [path])
    assert not (tmp_path / "exploded").exists()


class Exploding:
    """What a malicious file of weights would hold."""

    def __reduce__(self):
        return (open, ("exploded", "w"))


def test_it_equals_the_published_port(shared):
    """The activations that the port itself gives for a synthetic bar."""
    pytest.importorskip("torch")
    path = shared / "weights/adtof/adtof_frame_rnn_pytorch_weights.pth"
    if not path.is_file():
        pytest.skip("no weights of ADTOF here")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == catalogue.files("adtof_frame_rnn")[0].sha256
    from mirflow.transcribe import adtof

    hits = adtof.hits(click_track(), adtof.load([path]))
    for frame, expected in PORT.items():
        assert hits[frame] == pytest.approx(expected, abs=1e-4), frame


def click_track():
    """A thump, a burst of noise, and a burst of high noise, each half a second."""
    time = np.arange(3 * RATE) / RATE
    white = np.random.default_rng(7).standard_normal(len(time))
    beat = time % 0.5
    thump = np.sin(2 * np.pi * 55 * beat) * np.exp(-beat / 0.08) * (time % 1.5 < 0.5)
    snare = white * np.exp(-beat / 0.06) * ((time % 1.5 >= 0.5) & (time % 1.5 < 1))
    high = np.diff(white, prepend=0) * np.exp(-beat / 0.02) * (time % 1.5 >= 1)
    return Audio((0.4 * thump + 0.2 * snare + 0.1 * high)[None].astype(np.float32), RATE)


# Frame → kick, snare, tom, hi-hat, cymbal, from ADTOF-pytorch with its own reading of the file
PORT = {
    0: (0.02597, 0.00160, 0.00274, 0.00934, 0.00174),
    50: (0.01502, 0.62771, 0.04858, 0.50723, 0.15314),
    51: (0.00347, 0.08312, 0.00559, 0.05604, 0.02080),
    100: (0.00757, 0.00865, 0.05533, 0.39075, 0.03504),
    150: (0.15738, 0.00528, 0.00872, 0.01239, 0.00085),
    199: (0.01266, 0.77693, 0.08170, 0.63192, 0.18153),
    251: (0.00139, 0.00403, 0.00772, 0.06010, 0.00651),
}


# --- Level ------------------------------------------------------------------------------------------------------------


def heard(drums, full_mix):
    """Return the loudness at which a backend hears the drums; None where it is not asked."""
    asked = []

    def hits(sound):
        asked.append(loudness.integrated_loudness(loudness.step_powers(sound.samples, sound.rate)))
        return np.zeros((round(sound.duration * 100) + 1, len(DRUMS)), np.float32)

    found = hearing.activations(drums, full_mix, hits)
    assert found.hits.shape == (round(drums.duration * 100) + 1, len(DRUMS))
    return asked[0] if asked else None


@pytest.mark.parametrize("gain", [0.02, 0.1, 10])
def test_loud_and_quiet_tracks_are_heard_at_one_level(gain):
    drums, mix = noise(level=0.05 * gain), noise(level=0.06 * gain)
    assert heard(drums, mix) == pytest.approx(hearing.TARGET, abs=0.1)


def test_what_leaked_into_a_stem_without_drums_stays_quiet():
    assert heard(noise(level=0.001), noise(level=0.1)) == pytest.approx(hearing.TARGET - 40 + 6, abs=0.1)


@pytest.mark.parametrize("drums", [silence(), noise(level=1e-6), noise(0.1)], ids=["zeros", "below -70 LUFS", "0.1 s"])
def test_a_silent_stem_has_no_hits_and_no_backend_is_asked(drums):
    assert heard(drums, noise()) is None


def test_separated_drums_are_heard_alone_at_one_gain():
    levels = [0.1, 0.2, 0.01, 0.05, 0.0]
    own = [Audio(noise().samples * np.float32(level / 0.1), RATE) for level in levels]

    def hits(sound):
        level = min(float(sound.samples.std()), 1.0)
        return np.full((301, len(DRUMS)), level, np.float32) * np.arange(1, 6, dtype=np.float32) / 5

    found = hearing.activations(noise(), noise(), hits, own).hits[0]
    gain = found[0] * 5 / 0.1
    assert found == pytest.approx([gain * level * place / 5 for place, level in enumerate(levels, 1)], rel=1e-3)


# --- The file and the command -----------------------------------------------------------------------------------------


def test_the_file_has_equal_bytes_and_comes_back(tmp_path):
    hits = np.random.default_rng(0).random((50, len(DRUMS))).astype(np.float32)
    for name in ("a.npz", "b.npz"):
        DrumActivations(hits, 0.5, hits / 2).save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = DrumActivations.load(tmp_path / "a.npz")
    assert np.array_equal(loaded.hits, hits) and np.array_equal(loaded.velocities, hits / 2) and loaded.duration == 0.5


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_another_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "drum_activations.npz"
    if content is None:
        np.savez(path, hits=np.zeros((3, 4)), velocities=np.zeros((0, 5)), duration=1.0)
    else:
        path.write_bytes(content)
    with pytest.raises(MirflowError, match=r"drum_activations\.npz"):
        DrumActivations.load(path)


def test_the_command_writes_activations_and_what_made_them(weights, tmp_path):
    import json

    import soundfile

    soundfile.write(tmp_path / "drums.wav", noise().samples.T, RATE)
    arguments = ["--full-mix", str(tmp_path / "drums.wav"), "--backend", "adtof", "--model", str(weights)]
    outputs = []
    for name in ("a", "b"):
        files = ["-o", str(tmp_path / f"{name}.npz"), "--record", str(tmp_path / f"{name}.json")]
        assert (
            commands.main(["drum_activations", str(tmp_path / "drums.wav"), *arguments, "--device", "cpu", *files]) == 0
        )
        outputs.append((tmp_path / f"{name}.npz").read_bytes())
    assert outputs[0] == outputs[1]
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["backend"] == "adtof" and len(record["model"]["sha256"]) == 64


def test_thresholds_are_those_of_the_backend_unless_the_user_chose_others():
    from mirflow.transcribe import adtof

    assert backends.thresholds("adtof", {}) == [adtof.THRESHOLDS[drum] for drum in DRUMS]
    assert backends.thresholds("adtof", {"tom": 0.9, "kick": 0})[:3] == [0.22, 0.24, 0.9]
