"""Separation of the drums stem into drums, by a small random network in the real architecture and file format."""

import json

import numpy as np
import pytest
import soundfile

import tiny_separators
from conftest import RATE
from mirflow import commands
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.core.layout import DRUM_STEMS

torch = pytest.importorskip("torch")
pytest.importorskip("audio_separator")

from mirflow.stems import drum_stems, mdx23c  # noqa: E402


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return tiny_separators.mdx23c(tmp_path_factory.mktemp("mdx23c"))


def noise(seconds=1.2, channels=2, rate=RATE):
    return Audio(np.random.default_rng(0).normal(0, 0.1, (channels, round(seconds * rate))).astype(np.float32), rate)


def test_a_segment_is_what_the_network_makes_of_it(files):
    separator, record = drum_stems.load(files, "", "cpu")
    assert (separator.segment // 256 + 1) % 4 == 0, "the network halves the number of frames twice"
    samples = torch.from_numpy(noise(separator.segment / RATE).samples[:, : separator.segment])
    with torch.inference_mode():
        found = separator.forward(samples)
        direct = separator.network(mdx23c.LEVEL * samples[None])[0] / mdx23c.LEVEL
    assert found.shape == (6, 2, separator.segment)
    assert torch.allclose(found, direct, atol=1e-6)
    assert record["backend"] == "mdx23c" and set(record["model"]["sha256"]) == {"drums.ckpt", "drums.yaml"}


@pytest.mark.parametrize(("channels", "rate"), [(1, 44100), (2, 44100), (2, 48000), (6, 22050)])
def test_the_drums_have_the_form_of_the_stem(files, channels, rate):
    separator, _ = drum_stems.load(files, "", "cpu")
    sound = noise(channels=channels, rate=rate)
    found = drum_stems.separate(sound, separator)
    assert tuple(found) == DRUM_STEMS
    assert {part.shape for part in found.values()} == {sound.samples.shape}
    silent = drum_stems.separate(Audio(np.zeros_like(sound.samples), rate), separator)
    assert not any(part.any() for part in silent.values())


def test_ride_and_crash_are_cymbals():
    rows = drum_stems.folding(tiny_separators.DRUM_SOURCES)
    assert {name: row.tolist() for name, row in rows.items()} == {
        "kick": [1, 0, 0, 0, 0, 0],
        "snare": [0, 1, 0, 0, 0, 0],
        "tom": [0, 0, 1, 0, 0, 0],
        "hihat": [0, 0, 0, 1, 0, 0],
        "cymbal": [0, 0, 0, 0, 1, 1],
    }
    assert drum_stems.folding(("kick", "snare", "toms", "hh", "cymbals"))["cymbal"].tolist() == [0, 0, 0, 0, 1]


def test_other_models_are_refused_by_name(files, tmp_path):
    others = tiny_separators.mdx23c(tmp_path, sources=("vocals", "other"))
    with pytest.raises(MirflowError, match=r"drums\.ckpt: it separates vocals, other, but kick and snare"):
        drum_stems.load(others, "", "cpu")
    with pytest.raises(MirflowError, match=r"drums\.ckpt: weights of another network"):
        mdx23c.load((others[0], files[1]), "cpu")
    (tmp_path / "drums.yaml").write_text("audio: 3\n")
    with pytest.raises(MirflowError, match=r"drums\.yaml: the key audio\.chunk_size is missing"):
        mdx23c.load((files[0], tmp_path / "drums.yaml"), "cpu")


def test_the_command_writes_five_files_with_equal_bytes(files, tmp_path):
    soundfile.write(tmp_path / "drums.wav", noise().samples.T, RATE)
    contents = []
    for run in ("a", "b"):
        outputs = [str(tmp_path / run / f"{drum}.flac") for drum in DRUM_STEMS]
        record = str(tmp_path / run / "drum_stems.json")
        arguments = ["--model", *map(str, files), "--device", "cpu", "-o", *outputs, "--record", record]
        assert commands.main(["drum_stems", str(tmp_path / "drums.wav"), *arguments]) == 0
        contents.append([open(path, "rb").read() for path in outputs])
    assert contents[0] == contents[1]
    assert soundfile.info(tmp_path / "a/cymbal.flac").subtype == "PCM_24"
    assert json.loads((tmp_path / "a/drum_stems.json").read_text())["gain_db"] == 0
