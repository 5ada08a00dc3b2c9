"""Encoders of torch (CLAP, MuQ): the vectors that their own code gives for each window, and never by chance."""

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import loopback
import tiny_encoders
from conftest import jobs, loop, run_snakemake, write
from mirflow import features
from mirflow.commands import main
from mirflow.core.audio import Audio, resample
from mirflow.core.errors import MirflowError
from mirflow.labels import embedding, encoders
from mirflow.models import catalogue, download, loading
from mirflow.report.page import map as page_map

torch = pytest.importorskip("torch")
if importlib.util.find_spec("muq") is None:  # importing it would need more than mirflow does
    pytest.skip("muq not installed", allow_module_level=True)

NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HF_ENDPOINT", "HF_TOKEN")
RATES = {"clap": 48000, "muq": 24000}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("encoders")
    for name in RATES:
        getattr(tiny_encoders, name)(made, files(name))
    return made


def files(name: str) -> list[str]:
    return [file.name for file in catalogue.files(name)]


def load(name: str, folder: Path) -> encoders.Encoder:
    return encoders.load([folder / file for file in files(name)], "cpu", encoder=name)


def embed(name: str, folder: Path, sound: Audio, stem: str = "") -> np.ndarray:
    return encoders.embed(sound, load(name, folder), {"net": "00"}, stem).output


def noise(seconds: float, rate: int, level: float = 0.1) -> np.ndarray:
    """Return noise that becomes darker with time, so that all of its windows differ: float32 [n]."""
    n = round(seconds * rate)
    white, brown = np.random.default_rng(1).normal(0, level, (2, n))
    dark = np.linspace(0, 1, n)
    return (white * (1 - dark) + np.convolve(brown, np.ones(32) / 6, "same") * dark).astype(np.float32)


def clap_itself(folder: Path, window: np.ndarray) -> np.ndarray:
    """Return what transformers says of one window of at most 10 s: the whole model, loaded by its own means."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    about = ClapConfig.from_dict(json.loads((folder / files("clap")[1]).read_text()))
    model = ClapModel.from_pretrained(None, config=about, state_dict=torch.load(folder / files("clap")[0])).eval()
    given = ClapFeatureExtractor(**tiny_encoders.SPECTROGRAM)(window, sampling_rate=48000, return_tensors="pt")
    with torch.inference_mode():
        return model.get_audio_features(**given).pooler_output[0].numpy()


def muq_itself(folder: Path, window: np.ndarray) -> np.ndarray:
    """Return the mean of the last layer for one window, layer by layer as transformers 4 did it."""
    import torchaudio

    model = load("muq", folder).network
    mel = torchaudio.transforms.MelSpectrogram(24000, n_fft=2048, hop_length=240, n_mels=128)
    with torch.inference_mode():
        decibels = torchaudio.transforms.AmplitudeToDB()(mel(torch.from_numpy(window)[None]))[..., :-1]
        hidden = model.conv((decibels - 6.768444971712967) / 18.417922652295623)
        places = model.conformer.embed_positions(hidden)
        for layer in model.conformer.layers:
            hidden = layer(hidden, attention_mask=None, relative_position_embeddings=places)
        return model.conformer.layer_norm(hidden).mean(dim=1)[0].numpy()


ITSELF = {"clap": clap_itself, "muq": muq_itself}


@pytest.mark.parametrize("name", RATES)
def test_each_window_gets_the_vector_that_the_networks_own_code_gives(folder, name):
    rate, window = RATES[name], {"clap": 10, "muq": 30}[name]
    mono = noise(2.5 * window, rate)
    found = embed(name, folder, Audio(mono[None], rate))
    begins = [0, window, 1.5 * window]  # the last window ends with the track
    wanted = [ITSELF[name](folder, mono[round(b * rate) : round((b + window) * rate)]) for b in begins]
    assert found.dtype == np.float32 and found == pytest.approx(np.array(wanted), abs=2e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-3  # the network hears a difference
    np.random.seed(5)  # noqa: NPY002 - the generator that transformers draws random windows from
    again = embed(name, folder, Audio(mono[None], rate))
    assert again.tobytes() == found.tobytes()


def test_vectors_of_clap_have_length_1_and_a_short_sound_is_repeated(folder):
    sound = noise(4, 48000)
    found = embed("clap", folder, Audio(sound[None], 48000))
    assert found.shape == (1, 24) and np.linalg.norm(found[0]) == pytest.approx(1)
    padded = np.concatenate([sound, sound, np.zeros(2 * 48000, np.float32)])
    assert found == pytest.approx(embed("clap", folder, Audio(padded[None], 48000)), abs=1e-5)


@pytest.mark.parametrize("name", RATES)
def test_rate_and_channels_of_the_source_do_not_matter(folder, name):
    mono = noise(6, RATES[name]) * np.hanning(6 * RATES[name]).astype(np.float32)
    low = np.convolve(mono, np.sinc(np.arange(-200, 201) / 4) * np.hanning(401) / 4, "same").astype(np.float32)
    sound = Audio(np.stack([low, low]), RATES[name])
    other = Audio(resample(low, RATES[name], 44100)[None], 44100)
    one, two = embed(name, folder, sound)[0], embed(name, folder, other)[0]
    assert np.dot(one, two) / np.linalg.norm(one) / np.linalg.norm(two) > 0.995


@pytest.mark.parametrize("name", RATES)
def test_where_nothing_sounds_there_is_no_vector(folder, name):
    rate = RATES[name]
    for silent in (np.zeros(40 * rate), np.full(40 * rate, 5e-5), noise(0.9, rate)):
        assert embed(name, folder, Audio(silent[None].astype(np.float32), rate)).shape == (0, 0)
    traces = Audio(noise(12, rate, level=10 ** (-56 / 20))[None], rate)
    assert len(embed(name, folder, traces)) and not len(embed(name, folder, traces, stem="vocals"))
    broken = np.full((1, 12 * rate), np.nan, np.float32)
    with pytest.raises(MirflowError, match="NaN"):
        embed(name, folder, Audio(broken, rate))


def test_windows_cover_a_track_once():
    def starts(n: int) -> list[int]:
        return encoders.starts(n, window=10, shortest=2)

    assert starts(1) == [] and starts(2) == starts(10) == starts(11) == [0]
    assert starts(12) == [0, 2] and starts(20) == [0, 10] and starts(39) == [0, 10, 20, 29]


def damage(folder: Path, name: str, place: int, content: bytes | None) -> list[Path]:
    """Copy the files of an encoder, one of them changed (None: cut off)."""
    paths = []
    for number, file in enumerate(files(name)):
        body = (folder.parent / "good" / file).read_bytes()
        if number == place:
            body = body[: len(body) // 2] if content is None else content
        (folder / file).write_bytes(body)
        paths.append(folder / file)
    return paths


@pytest.mark.parametrize("name", RATES)
def test_a_file_that_is_damaged_or_of_another_model_is_named_in_one_line(folder, tmp_path, name):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.mkdir()
    getattr(tiny_encoders, name)(good, files(name))
    larger = {"clap": {"patch_embeds_hidden_size": 32, "hidden_size": 256}, "muq": {"encoder_dim": 32}}[name]
    deeper = {"clap": {"depths": [1, 1, 2, 1]}, "muq": {"encoder_depth": 3}}[name]
    weights, configuration, *more = files(name)
    cases: list[tuple[int, bytes | None]] = [(0, None), (0, b"no weights"), (1, None), (1, b"[1]"), (1, b"{}")]
    cases += [(2, b'{"truncation": "fusion"}'), (2, b"{}"), (2, b'{"feature_size": "many"}')] if more else []
    for sizes in (larger, deeper):
        getattr(tiny_encoders, name)(bad, files(name), **sizes)
        cases.append((1, (bad / configuration).read_bytes()))
    if name == "clap":
        getattr(tiny_encoders, name)(bad, files(name), enable_fusion=True, fusion_type="aff_2d")
        cases.append((1, (bad / configuration).read_bytes()))
    else:
        cases.append((1, (good / configuration).read_bytes().replace(b"melspec_2048_std", b"melspec_1024_std")))
    for place, content in cases:
        paths = damage(bad, name, place, content)
        with pytest.raises(MirflowError) as error:
            encoders.load(paths, "cpu", encoder=name)
        said = str(error.value)
        # Where weights and configuration do not fit each other, it is the weights that are not those of the model.
        assert "\n" not in said and any(str(path) in said for path in paths[: place + 1]), (place, content, said)
    with pytest.raises(MirflowError, match=r"models\.yaml: a "):
        encoders.load([good / weights], "cpu", encoder=name)


def test_a_model_that_lacks_its_package_says_which(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "muq.muq.muq", None)
    with pytest.raises(MirflowError, match=r"muq: the package muq.muq.muq is missing; it is in envs/models.txt"):
        load("muq", folder)


def test_an_encoder_that_does_not_exist_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))
    entry = "{purpose: x, files: [{name: a.safetensors, url: 'http://h/a'}], network: {encoder: %s}}"
    for wrong, said in (
        ("nothing", "mine: unknown encoder nothing"),
        ("clap, algorithm: x", "models.yaml: models.mine"),
    ):
        (tmp_path / catalogue.OWN_ENTRIES).write_text(f"models: {{mine: {entry % wrong}}}")
        catalogue._entries.cache_clear()
        with pytest.raises(MirflowError, match=said):
            embedding.network_entry("mine")
    catalogue._entries.cache_clear()


def test_every_encoder_has_an_entry_and_is_loaded_once(folder, monkeypatch):
    entries = catalogue.entries().items()
    assert {about["network"]["encoder"] for _, about in entries if "encoder" in about.get("network", {})} == set(
        encoders.names()
    )
    paths = [folder / file for file in files("muq")]
    first = loading.load(encoders.load, paths, "cpu", encoder="muq")
    assert loading.load(encoders.load, paths, "cpu", encoder="muq") is first
    assert first.files == {path.name: download.sha256(path) for path in paths}


def test_embeddings_are_fetched_kept_and_mapped_with_one_load_of_each_model(tmp_path, monkeypatch, capsys):
    """Of three tracks, through the workflow; what was made before stays as it is."""
    for name in NETWORK:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(catalogue.FOLDER, "none")  # main changes it
    models, made = tmp_path / "models", tmp_path / "made"
    made.mkdir()
    models.mkdir()
    for number in range(3):
        write(tmp_path / f"music/{number}.wav", loop(2 + number / 2))
    where = {"library": tmp_path / "music", "results": tmp_path / "out", "models": models}
    where["skip"] = "[" + ",".join(name for name in features.names() if name != "loudness") + "]"
    where["labels"] = "{embeddings: [muq, clap, clap.vocals]}"
    with loopback.serving() as server:
        entries = {}
        for name in RATES:
            getattr(tiny_encoders, name)(made, files(name))
            bodies = {file: (made / file).read_bytes() for file in files(name)}
            about = [
                {"name": file, "url": server.give(file, body), "sha256": hashlib.sha256(body).hexdigest()}
                for file, body in bodies.items()
            ]
            entries[name] = catalogue.entries()[name] | {"files": about}
        (models / catalogue.OWN_ENTRIES).write_text(yaml.safe_dump({"models": entries}))
        catalogue._entries.cache_clear()
        before = run_snakemake(**where | {"labels": "{embeddings: []}"})
        assert before.returncode == 0 and server.asked == [], before.stdout
        mine = {"labels": {"embeddings": list(RATES)}}
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
        main(["models", "fetch", "--configfile", str(tmp_path / "mine.yaml"), "--models", str(models)])
        assert len(server.asked) == 5 and "5 files of 5" in capsys.readouterr().out
        done = run_snakemake("-p", **where | {"labels": where["labels"].replace("}", ", encoder_device: cpu}")})
        assert done.returncode == 0 and len(server.asked) == 5, done.stdout
        wanted = {"embedding_clap": 3, "embedding_clap_vocals": 3, "embedding_muq": 3}
        assert {rule: count for rule, count in jobs(done.stdout).items() if rule != "all"} == wanted, done.stdout
        assert done.stdout.count("gpu=1") == done.stdout.count(" --device cpu ") == 9
    kept = {(t, n): tmp_path / f"out/{t}/labels/{n}.npz" for t in "012" for n in ("clap", "clap.vocals", "muq")}
    assert all(embedding.Patches.load(path).model_files for path in kept.values())
    assert embedding.Patches.load(kept["1", "muq"]).output.shape == (1, 16)
    logs = [(tmp_path / f"out/.mirflow/logs/{t}").glob("embedding_*.log") for t in "012"]
    assert sum(log.read_text().count("loading the model") for track in logs for log in track) == 2
    assert "Nothing to be done" in run_snakemake("-n", **where).stdout
    found = page_map.of_library(str(tmp_path / "out"), ["0", "1", "2"], {})
    assert "embeddings of clap" in found["says"] and found["rows"] == [0, 1, 2]
    cold = tmp_path / "cold.npz"
    monkeypatch.setenv(catalogue.FOLDER, str(models))
    main(["embedding", "clap", str(tmp_path / "out/0/full_mix.flac"), "--device", "cpu", "-o", str(cold)])
    catalogue._entries.cache_clear()
    assert cold.read_bytes() == kept["0", "clap"].read_bytes()
