"""Labels: the output of trained graphs, unchanged; one embedding a track; and null where a track holds no sound."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
import yaml

import tiny_graphs
from conftest import jobs, loop, run_snakemake, write
from mirflow import features
from mirflow.commands import main, needs_own_process
from mirflow.core import artifacts, audio, layout
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.dsp import essentia_algorithms
from mirflow.labels import embedding, heads
from mirflow.models import cache, catalogue, download, graphs, loading

RATE = 16000
RANDOM = np.random.default_rng(0)
BANDS = RANDOM.normal(0, 0.2, (96, 4))
WEIGHTS = RANDOM.normal(0, 1, (4, 3))
ANIMALS = ["cat", "dog", "owl"]
VGGISH = "model/vggish/embeddings"  # node of audioset-vggish-3 that its heads read


TINY = ("animals", "creatures", "marks", "sizes", "judge")


def describe(folder, **entries) -> None:
    """Write models.yaml; the files of the entries may lie beside it already, or not."""
    for name, entry in entries.items():
        names = entry.pop("files")
        entry["files"] = [{"name": file, "url": f"http://127.0.0.1:9/{file}"} for file in names]
        entry |= {"purpose": name, "licence": "none"}
    (folder / catalogue.OWN_ENTRIES).write_text(yaml.safe_dump({"models": entries}))
    catalogue._entries.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A models' folder with a network, three heads on it, and a network that is a whole classifier."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv(catalogue.FOLDER, str(folder))
    tiny_graphs.network(folder / "ear.pb", BANDS, np.arange(4.0))
    tiny_graphs.network(folder / "judge.pb", np.zeros((96, 2)), np.array([0.0, np.log(3.0)]))
    vggish = RANDOM.normal(0, 0.3, (64, 128))
    tiny_graphs.network(folder / "audioset-vggish-3.pb", vggish, np.zeros(128), patch=96, embedding=VGGISH)
    tiny_graphs.head(folder / "creatures.pb", RANDOM.normal(0, 1, (128, 3)), np.zeros(3))
    tiny_graphs.head(folder / "animals.pb", WEIGHTS, np.zeros(3))
    tiny_graphs.head(folder / "marks.pb", WEIGHTS, np.zeros(3), "Sigmoid")
    tiny_graphs.head(folder / "sizes.pb", WEIGHTS[:, :2], np.zeros(2))
    for name, classes in (
        ("animals", ANIMALS),
        ("creatures", ANIMALS),
        ("marks", ANIMALS),
        ("sizes", ["large", "small"]),
    ):
        (folder / f"{name}.json").write_text(json.dumps({"classes": classes}))
    musicnn = "TensorflowPredictMusiCNN"
    describe(
        folder,
        ear={"files": ["ear.pb"], "network": {"algorithm": musicnn, "output": "model/dense/BiasAdd"}},
        animals={"files": ["animals.pb", "animals.json"], "head": {"network": "ear", "labels": "tiny_animals"}},
        marks={
            "files": ["marks.pb", "marks.json"],
            "head": {"network": "ear", "output": "model/Sigmoid", "labels": "tiny_marks"},
        },
        **{
            "audioset-vggish": {
                "files": ["audioset-vggish-3.pb"],
                "network": {"algorithm": "TensorflowPredictVGGish", "output": VGGISH},
            }
        },
        sizes={"files": ["sizes.pb", "sizes.json"], "head": {"network": "ear", "keys": {"largeness": "large"}}},
        creatures={
            "files": ["creatures.pb", "creatures.json"],
            "head": {"network": "audioset-vggish", "labels": "tiny_creatures"},
        },
        judge={
            "files": ["judge.pb"],
            "network": {"algorithm": musicnn, "output": "model/Sigmoid"},
            "head": {"network": "judge", "classes": ["bad", "good"], "keys": {"goodness": "good"}, "optional": True},
        },
    )
    yield folder
    cache.drop()
    catalogue._entries.cache_clear()


def embed(name: str, mix: Audio, device: str = "cpu") -> embedding.Patches:
    """Run a network of the catalogue on a track, as the command `embedding` does."""
    network = loading.load(embedding.load, catalogue.path(name), device, [name], name=name)
    return embedding.embed(mix, network.value, network.files)


def measure(name: str, patches: embedding.Patches, **settings: float) -> dict:
    """Return the fragment of a head, as the command `feature_<name>` makes it."""
    (needed,) = heads.Head(name).FEATURE.inputs
    model = loading.load(heads.Head(name).load, catalogue.path(name), "cpu", [name])
    return features.fragment(name, {needed: patches}, settings, model)


def essentias_own(algorithm: str) -> Callable:
    """Return Essentia's own class for an algorithm; with `essentia_algorithms` those of TensorFlow are left out."""
    es = essentia_algorithms.standard()
    return getattr(es, algorithm, None) or es._create_essentia_class(algorithm)


def music(seconds: float, rate: int = RATE) -> Audio:
    return Audio(loop(seconds, rate).T.astype(np.float32), rate)


def test_a_network_gives_what_essentias_own_class_gives(folder):
    mix = music(8)
    mono = mix.samples.mean(axis=0)
    patches = embed("ear", mix)
    ear = essentias_own("TensorflowPredictMusiCNN")(graphFilename=str(folder / "ear.pb"), output="model/dense/BiasAdd")
    np.testing.assert_array_equal(patches.output, ear(mono))
    assert len(patches.output) == 4
    assert np.ptp(patches.output, axis=0).max() > 0  # it does depend on the sound
    classifier = essentias_own("TensorflowPredict2D")(graphFilename=str(folder / "animals.pb"), output="model/Softmax")
    expected = classifier(patches.output).mean(axis=0)
    found = measure("animals", patches)["_probabilities"]
    assert list(found) == ANIMALS
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-6)


SIX = {"genre_discogs400": 400, "mtg_jamendo_moodtheme": 56, "mtg_jamendo_instrument": 40, "voice_instrumental": 2,
       "danceability": 2, "tonal_atonal": 2}  # fmt: skip


@pytest.fixture(scope="module")
def discogs(tmp_path_factory):
    """A models' folder with what the catalogue says of discogs-effnet and its heads, but for the hashes.

    Returns the folder, and per head its classes and weights [1280, class].
    """
    folder = tmp_path_factory.mktemp("discogs")
    random = np.random.default_rng(5)
    described = catalogue._load(catalogue.CATALOGUE)
    own = {name: described[name] for name in ("discogs-effnet", *SIX)}
    for entry in own.values():
        for file in entry["files"]:
            file.pop("size", None)
            file.pop("sha256", None)
    (folder / catalogue.OWN_ENTRIES).write_text(yaml.safe_dump({"models": own}))
    parts = {}
    for name, count in SIX.items():
        weights = random.normal(0, 0.05, (tiny_graphs.EMBEDDING, count))
        (graph,) = (folder / file["name"] for file in own[name]["files"])
        if name == "genre_discogs400":
            tiny_graphs.style_head(graph, weights)
            tiny_graphs.effnet(folder / "discogs-effnet-bs64-1.pb", random.normal(0, 0.1, (96, 1280)), weights)
        else:
            tiny_graphs.head(graph, weights, np.zeros(count), "Softmax" if count == 2 else "Sigmoid")
        parts[name] = (layout.CONFIG / "labels" / f"{name}.txt").read_text().splitlines(), weights
    return folder, parts


@pytest.mark.parametrize("seconds", [1.2, 9, 65, 70])
def test_discogs_effnet_gives_what_essentias_own_class_gives(discogs, monkeypatch, seconds):
    """Its graph takes 64 patches at a time, no fewer: 9 s are 8 of them, 65 s just 64, 70 s two batches."""
    folder, _ = discogs
    monkeypatch.setenv(catalogue.FOLDER, str(folder))
    mix = music(seconds)
    found = embed("discogs-effnet", mix).output
    mono = mix.samples.mean(axis=0)
    patch = tiny_graphs.PATCH * 256
    theirs = essentias_own("TensorflowPredictEffnetDiscogs")(
        graphFilename=str(folder / "discogs-effnet-bs64-1.pb"), output="PartitionedCall:1"
    )
    if len(mono) < patch:
        assert not len(theirs(mono))  # it drops what is no whole patch
        mono = np.pad(mono, (0, patch - len(mono)))
    np.testing.assert_array_equal(found, theirs(mono))
    assert found.shape == (1 + max(0, len(mono) - patch) // (62 * 256), 1280)
    assert not np.allclose(found[0], found[-1]) or len(found) == 1


def test_six_heads_give_what_their_graphs_give_under_the_keys_that_users_know(discogs, monkeypatch):
    folder, parts = discogs
    monkeypatch.setenv(catalogue.FOLDER, str(folder))
    patches = embed("discogs-effnet", music(5))
    found, labels = {}, 0
    for name, (classes, weights) in parts.items():
        logits = patches.output @ weights
        powers = np.exp(logits)
        said = powers / powers.sum(axis=1, keepdims=True) if len(classes) == 2 else 1 / (1 + np.exp(-logits))
        fragment = measure(name, patches)
        every = fragment["_probabilities"]
        assert list(every) == classes
        np.testing.assert_allclose(list(every.values()), said.mean(axis=0), atol=1e-5)
        files = fragment["_provenance"]["model"]
        assert files == {file: download.sha256(folder / file) for file in files} and len(files) == 2
        labels += len(every) if len(classes) > 2 else 0
        found |= {key: value for key, value in fragment.items() if not key.startswith("_")}
        if len(classes) == 2:
            found |= {f"expected {label}": p for label, p in every.items()}
    assert labels == 496
    for key, label in (("voice_probability", "voice"), ("instrumental_probability", "instrumental"),
                       ("danceability", "danceable"), ("atonality", "atonal")):  # fmt: skip
        assert found[key] == found[f"expected {label}"]
    for key in ("essentia_genre", "essentia_mood", "essentia_instrument"):
        likely = list(found[key].values())
        assert len(likely) <= 10 and likely == sorted(likely, reverse=True) and likely[-1] >= 0.1


def test_names_of_outputs_are_those_of_essentia_in_its_order(shared):
    """Where its metadata is here; of the others the number, and that they are sorted, as Essentia's are."""
    for name, count in SIX.items():
        classes = heads._of_project(name)
        assert len(classes) == count and list(classes) == sorted(classes), name
    weights = shared / "weights" / "essentia"
    for path in weights.glob("*-discogs-effnet-1.json"):
        name = path.name.removesuffix("-discogs-effnet-1.json")
        stated = catalogue.entry(name)["head"].get("classes") or heads._of_project(name)
        assert list(stated) == json.loads(path.read_text())["classes"], name
        graph = path.with_suffix(".pb")
        head = heads.head_entry(name)
        given = {"input": head.get("input", "model/Placeholder"), "output": head.get("output", "model/Softmax")}
        output = graphs.run("TensorflowPredict2D", RANDOM.normal(0, 1, (3, 1280)).astype(np.float32), graph, **given)
        assert output.shape == (3, len(stated)), name
        assert download.sha256(graph) == catalogue.files(name)[0].sha256, name


def test_names_that_do_not_fit_the_graph_are_refused(discogs, monkeypatch, tmp_path):
    folder, _ = discogs
    monkeypatch.setenv(catalogue.FOLDER, str(folder))
    monkeypatch.setattr(heads, "CLASSES", tmp_path)
    heads._of_project.cache_clear()
    for names, said in (
        ("one\ntwo\nthree\n", "has 2 outputs, but danceability has 3 classes"),
        ("a\na\n", "each once"),
    ):
        (tmp_path / "danceability.txt").write_text(names)
        heads._of_project.cache_clear()
        cache.drop()
        with pytest.raises(MirflowError, match=said):
            measure("danceability", embedding.Patches(np.ones((2, 1280), np.float32), {}))
    heads._of_project.cache_clear()
    cache.drop()


def test_the_voice_is_heard_on_the_vocals_and_nothing_where_they_are_silent(discogs, monkeypatch):
    """Traces of other instruments below -50 dBFS are no voice."""
    folder, _ = discogs
    monkeypatch.setenv(catalogue.FOLDER, str(folder))
    assert heads.declare("gender").inputs == ("labels/discogs-effnet.vocals",)
    voice = np.sin(2 * np.pi * 220 * np.arange(20 * RATE) / RATE).astype(np.float32)
    level = np.where(np.arange(20 * RATE) < 10 * RATE, 10 ** (-20 / 20), 10 ** (-60 / 20)).astype(np.float32)
    sung, traces = Audio((voice * level)[None], RATE), Audio((voice * 10 ** (-48 / 20))[None], RATE)
    network = loading.load(
        embedding.load, catalogue.path("discogs-effnet"), "cpu", ["discogs-effnet"], name="discogs-effnet"
    )
    every = embedding.embed(sung, network.value, network.files)
    heard = embedding.embed(sung, network.value, network.files, "vocals")
    assert len(every.output) == 19 and 9 <= len(heard.output) <= 11
    np.testing.assert_array_equal(heard.output, every.output[: len(heard.output)])
    assert not len(embedding.embed(traces, network.value, network.files, "vocals").output)  # -51 dBFS
    graph = heads.Graph(("female", "male"), folder / "gender.pb", True)
    tiny_graphs.head(folder / "gender.pb", np.stack([np.full(1280, 0.01), np.zeros(1280)], axis=1), np.zeros(2))
    said = heads.Head("gender").measure(heard, graph)
    assert 0 < said["female_probability"] < 1
    assert said["female_probability"] + said["male_probability"] == pytest.approx(1)
    silent = heads.Head("gender").measure(embedding.embed(traces, network.value, network.files, "vocals"), graph)
    assert silent["female_probability"] is None and silent["male_probability"] is None


def test_a_vggish_gives_what_essentias_own_class_gives(folder):
    """The names are those of Essentia's audioset-vggish-3 and of the heads for it."""
    mix = music(6)
    found = embed("audioset-vggish", mix).output
    theirs = essentias_own("TensorflowPredictVGGish")(graphFilename=str(folder / "audioset-vggish-3.pb"), output=VGGISH)
    np.testing.assert_array_equal(found, theirs(mix.samples.mean(axis=0)))
    assert found.shape == (6, 128)


def test_probabilities_are_those_of_the_graph_averaged_over_the_track(folder):
    output = RANDOM.normal(0, 1, (5, 4)).astype(np.float32)
    patches = embedding.Patches(output, {"ear.pb": "00"})
    powers = np.exp(output @ WEIGHTS)
    softmax = (powers / powers.sum(axis=1, keepdims=True)).mean(axis=0)
    fragment = measure("animals", patches)
    np.testing.assert_allclose(list(fragment["_probabilities"].values()), softmax, rtol=1e-5)
    likeliest = fragment["tiny_animals"]
    assert list(likeliest) == [ANIMALS[i] for i in np.argsort(-softmax) if softmax[i] >= 0.1]
    assert all(value == round(value, 4) for value in likeliest.values())
    assert (
        list(measure("animals", patches, threshold=0, top=2)["tiny_animals"])
        == list(measure("animals", patches, threshold=0, top=3)["tiny_animals"])[:2]
    )
    two = 1 / (1 + np.exp(output @ (WEIGHTS[:, 1] - WEIGHTS[:, 0])))
    assert measure("sizes", patches)["largeness"] == pytest.approx(two.mean(), rel=1e-5)
    origin = measure("sizes", patches)["_provenance"]
    assert origin["model"]["ear.pb"] == "00"
    assert origin["model"]["sizes.pb"] == hashlib.sha256((folder / "sizes.pb").read_bytes()).hexdigest()
    assert measure("animals", patches, top=2)["_provenance"]["settings"] == {"top": 2}


def test_a_whole_classifier_needs_no_head_graph(folder):
    patches = embed("judge", music(4))
    assert measure("judge", patches)["goodness"] == pytest.approx(0.75)


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("sound", ["silence", "noise of a 24 bit converter", "short", "one sample"])
def test_of_a_silent_or_very_short_track_everything_is_null(folder, tmp_path, sound, rate):
    n = {"short": int(0.9 * rate), "one sample": 1}.get(sound, 5 * rate)
    level = {"silence": 0.0, "noise of a 24 bit converter": 1e-6}.get(sound, 0.1)
    embed("ear", Audio(RANDOM.normal(0, level, (2, n)).astype(np.float32), rate)).save(tmp_path / "e.npz")
    patches = embedding.Patches.load(tmp_path / "e.npz")
    assert measure("animals", patches)["tiny_animals"] is None
    assert measure("animals", patches)["_probabilities"] is None
    assert measure("sizes", patches)["largeness"] is None


def test_short_sound_is_followed_by_silence_and_silent_patches_do_not_count(folder):
    short = music(1.5)
    padded = Audio(np.pad(short.samples, ((0, 0), (0, 187 * 256 - short.samples.shape[1]))), RATE)
    one = embed("ear", short).output
    assert len(one) == 1
    np.testing.assert_array_equal(one, embed("ear", padded).output)
    long = music(9)
    followed = Audio(np.pad(long.samples, ((0, 0), (0, 60 * RATE))), RATE)
    found, whole = embed("ear", followed).output, embed("ear", long).output
    assert len(whole) <= len(found) <= len(whole) + 2  # patches that end in the silence
    np.testing.assert_allclose(found[: len(whole)], whole, rtol=1e-5)


def test_tempo_is_what_most_patches_are_for():
    votes = np.zeros((3, 256), np.float32)
    votes[[0, 1, 2], [90, 91, 90]] = 1
    assert heads.tempo(votes) == 120.0
    assert heads.tempo(votes[:0]) is None


def test_wrong_files_are_refused_by_name(folder, tmp_path):
    patches = embedding.Patches(np.ones((2, 4), np.float32), {})

    def message(call, *arguments) -> str:
        with pytest.raises(MirflowError) as error:
            call(*arguments)
        return str(error.value)

    graph = (folder / "animals.pb").read_bytes()

    def replaced(content: bytes) -> None:
        (folder / "animals.pb.sha256").unlink(missing_ok=True)
        (folder / "animals.pb").write_bytes(content)

    measure("animals", patches)
    (folder / "animals.pb").write_bytes(graph + b"\x0a\x00")
    assert "animals.pb is not the file that belongs there: sha256" in message(measure, "animals", patches)
    for damaged in (graph[:-20], b"<html>", b"", bytes(1000)):
        replaced(damaged)
        assert "animals.pb: a frozen TensorFlow graph is expected" in message(measure, "animals", patches)
    tiny_graphs.network(folder / "animals.pb", BANDS, np.arange(4.0))
    replaced((folder / "animals.pb").read_bytes())
    assert "animals.pb: no node 'model/Softmax' in it; likely ones are" in message(measure, "animals", patches)
    tiny_graphs.head(folder / "animals.pb", WEIGHTS[:3], np.zeros(3))
    replaced((folder / "animals.pb").read_bytes())
    said = message(measure, "animals", patches)
    assert "animals.pb: not the graph that TensorflowPredict2D expects (input model/Placeholder" in said
    tiny_graphs.head(folder / "animals.pb", WEIGHTS[:, :2], np.zeros(2))
    replaced((folder / "animals.pb").read_bytes())
    assert "animals.pb has 2 outputs, but animals has 3 classes" in message(measure, "animals", patches)
    replaced(graph + tiny_graphs.node("out", "WriteFile", "a", "b"))
    assert "animals.pb: refused, since it can do more than compute (WriteFile)" in message(measure, "animals", patches)
    replaced(graph)
    (folder / "animals.json.sha256").unlink()
    (folder / "animals.json").write_text('{"classes": 3}')
    assert "animals.json: Essentia's metadata with a list of classes" in message(measure, "animals", patches)
    (folder / "ear.pb").unlink()
    assert "ear.pb is missing; without a connection" in message(embed, "ear", music(2))
    (tmp_path / "e.npz").write_bytes(b"PK")
    assert "e.npz: not the output of a network" in message(embedding.Patches.load, tmp_path / "e.npz")


def test_without_the_libraries_for_a_gpu_tensorflow_does_not_silently_run_on_the_cpu(folder, monkeypatch):
    monkeypatch.setattr(graphs, "GPU_LIBRARIES", ("libc.so.6", "libno-cuda.so.11.0"))
    with pytest.raises(MirflowError, match=r"labels\.device is gpu, but .* does not find .*libno-cuda\.so\.11\.0;"):
        embed("ear", music(2), "gpu")
    monkeypatch.setattr(graphs, "GPU_LIBRARIES", ())
    monkeypatch.setattr(graphs, "GPU_DRIVER", "libc.so.6")
    monkeypatch.setattr(graphs.ctypes, "CDLL", lambda _: Driver)
    with pytest.raises(MirflowError, match="does not find a GPU that works"):
        graphs.check_gpu()


class Driver:
    """Of a machine that has one, but no card."""

    @staticmethod
    def cuInit(flags: int) -> int:
        return 0 * flags

    @staticmethod
    def cuDeviceGetCount(count: object) -> int:
        count._obj.value = 0
        return 0


def test_the_reader_of_graphs_sees_names_and_operations(folder):
    assert graphs.read(folder / "marks.pb")[0] == ("model/Placeholder", "Placeholder")
    assert graphs.read(folder / "marks.pb")[-1] == ("model/Sigmoid", "Sigmoid")


def wanted(**labels) -> set[str]:
    """Return the features that a run with these settings of `labels` measures."""
    config = yaml.safe_load((layout.CONFIG / "config.yaml").read_text())
    return {feature.name for feature in features.wanted(config | {"labels": config["labels"] | labels})}


def test_heads_are_features_like_the_others_and_made_on_request_only(folder):
    by_name = {feature.name: feature for feature in features.all_features()}
    assert by_name["animals"].requires == "labels.backend: essentia"
    assert by_name["judge"].requires == "labels.backend: essentia, labels.optional: [judge]"
    assert (by_name["animals"].inputs, by_name["animals"].models) == (("labels/ear",), ("animals",))
    assert not wanted(backend="none") & set(heads.names())
    assert {"animals", "marks", "sizes"} <= wanted(backend="essentia")
    assert wanted(backend="essentia", optional=["judge"]) - wanted(backend="essentia") == {"judge"}
    heads.check_optional(["judge"])
    with pytest.raises(MirflowError, match=r"labels\.optional: animals: none of .*judge"):
        heads.check_optional(["animals"])


def test_no_head_has_the_name_or_the_key_of_another_feature(folder):
    own = folder / catalogue.OWN_ENTRIES
    described = yaml.safe_load(own.read_text())["models"]
    for name, key, message in (("sizes", "bpm", "both declare bpm"), ("tempo", "x", "both declare the name tempo")):
        head = {"network": "ear", "keys": {key: "large"}}
        own.write_text(yaml.safe_dump({"models": described | {name: described["sizes"] | {"head": head}}}))
        catalogue._entries.cache_clear()
        with pytest.raises(MirflowError, match=f"models.yaml: features .*{message}"):
            features.all_features()


def test_the_keys_that_users_know_are_made_without_an_optional_head(tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))
    made = wanted(backend="essentia")
    keys = {field.key for feature in heads.features() if feature.name in made for field in feature.fields}
    assert keys == {
        "essentia_genre",
        "essentia_mood",
        "essentia_instrument",
        "danceability",
        "atonality",
        "voice_probability",
        "instrumental_probability",
        "female_probability",
        "male_probability",
    }


def test_the_command_of_a_head_reads_the_files_that_it_is_given(folder, tmp_path, capsys):
    """Their rule names the files; what lies in the models' folder does not count then."""
    patches = embedding.Patches(RANDOM.normal(0, 1, (5, 4)).astype(np.float32), {"ear.pb": "00"})
    patches.save(tmp_path / "ear.npz")
    expected = measure("animals", patches, top=2)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    given = [(folder / name).rename(elsewhere / name) for name in ("animals.pb", "animals.json")]
    command = ["feature_animals", str(tmp_path / "ear.npz"), "-o", str(tmp_path / "animals.json"), "--set-top", "2"]
    assert main([*command, "--model", *map(str, given)]) == 0, capsys.readouterr().err
    assert artifacts.read_json(tmp_path / "animals.json") == artifacts.to_json_values(expected)
    assert len(expected["tiny_animals"]) <= 2 and expected["_provenance"]["settings"] == {"top": 2}
    assert main(command) == 1  # without --model, those of the models' folder
    assert "models/animals.pb is missing" in capsys.readouterr().err


def test_a_track_is_embedded_once_for_all_heads(folder, tmp_path):
    """Three heads, one embedding; a new head or another threshold does not run the network again."""
    write(tmp_path / "music" / "a.wav", loop(4))
    write(tmp_path / "music" / "b.wav", 0 * loop(4))
    others = [f.name for f in features.all_features() if f.name not in TINY]
    settings = {
        "library": str(tmp_path / "music"),
        "results": str(tmp_path / "out"),
        "models": str(folder),
        "skip": [*others, "marks"],
        "labels": {"backend": "essentia"},
    }
    mine = tmp_path / "mine.yaml"

    def snakemake(*arguments, **changed):
        mine.write_text(yaml.safe_dump(settings | changed))
        return run_snakemake("--configfile", str(mine), *arguments)

    done = snakemake("-j", "8")
    assert done.returncode == 0, done.stdout
    made = jobs(done.stdout)
    assert {rule: made[rule] for rule in made if rule.startswith(("embedding", "feature"))} == {
        "embedding_ear": 2,
        "embedding_audioset-vggish": 2,
        "feature_animals": 2,
        "feature_creatures": 2,
        "feature_sizes": 2,
    }
    content = artifacts.read_json(tmp_path / "out" / "a" / "a.INFO")
    mix = audio.read(tmp_path / "out" / "a" / "full_mix.flac")
    expected = {name: measure(name, embed(network, mix)) for name, network in
             (("animals", "ear"), ("creatures", "audioset-vggish"))}  # fmt: skip
    for name, fragment in expected.items():
        written = artifacts.read_json(tmp_path / "out" / "a" / "features" / f"{name}.json")
        assert list(written["_probabilities"]) == ANIMALS
        assert written["_probabilities"] == pytest.approx(fragment["_probabilities"], rel=1e-6)
        likely = content[f"tiny_{name}"]
        assert likely == fragment[f"tiny_{name}"] == written[f"tiny_{name}"]
        assert list(likely.values()) == sorted(likely.values(), reverse=True)
        origin = content["_provenance"]["features"][name]["model"]
        assert origin == {file: download.sha256(folder / file) for file in origin} and len(origin) == 3
    assert 0 <= content["largeness"] <= 1 and set(content["tiny_animals"]) <= set(ANIMALS)
    assert "_probabilities" not in content
    assert content["_provenance"]["features"]["animals"]["backend"] == "essentia-tensorflow"
    assert artifacts.read_json(tmp_path / "out" / "b" / "b.INFO")["largeness"] is None
    log = tmp_path / "out" / ".mirflow" / "logs" / "a" / "embedding_ear.log"  # is removed if it says nothing
    said = log.read_text() if log.exists() else ""
    assert said.replace("ear.pb: sha256", "").count("\n") <= 1  # the hash, if first, and no noise
    assert "Nothing to be done" in snakemake("-n").stdout
    assert jobs(snakemake("-n", skip=others).stdout) == {"feature_marks": 2, "info": 2}
    threshold = {"labels": {"backend": "essentia", "threshold": 0.5}}
    assert jobs(snakemake("-n", **threshold).stdout) == {"feature_animals": 2, "feature_creatures": 2, "info": 2}
    assert "gpu=1" not in snakemake("-n", "--forcerun", "embedding_ear").stdout
    gpu = {"backend": "essentia", "device": "gpu"}
    assert "Nothing to be done" in snakemake("-n", labels=gpu).stdout  # where it runs is no reason to run it again
    assert "gpu=1" in snakemake("-n", "--forcerun", "embedding_ear", labels=gpu).stdout
    optional = {"labels": {"backend": "essentia", "optional": ["judge"]}}
    assert jobs(snakemake("-n", **optional).stdout) == {"embedding_judge": 2, "feature_judge": 2, "info": 2}


FORK = """
import os, sys
import numpy as np
from mirflow.dsp import essentia_algorithms
from mirflow.core.audio import Audio
from mirflow.labels import embedding
from mirflow.models import catalogue, loading

essentia_algorithms.standard().RhythmExtractor2013()(np.ones(44100, np.float32))
print(len(os.listdir("/proc/self/task")), flush=True)
if os.fork() == 0:
    network = loading.load(embedding.load, catalogue.path("ear"), "cpu", ["ear"], name="ear")
    patches = embedding.embed(Audio(np.ones((1, 48000), np.float32), 16000), network.value, network.files)
    print(len(patches.output), flush=True)
else:
    print(os.wait()[1], flush=True)
"""


def test_a_fork_of_a_process_with_essentia_can_run_a_network(folder):
    """The warm worker is such a process: with TensorFlow's threads in it, its children would wait for ever."""
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, env=os.environ | one
    )
    assert done.stdout.split() == ["1", "1", "0"], done.stderr


def test_a_network_leaves_a_fork_of_a_process_with_threads(folder, monkeypatch):
    monkeypatch.setattr(os, "getppid", os.getpid)
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    try:
        assert needs_own_process("embedding") and needs_own_process("feature_animals")
        assert not needs_own_process("info") and not needs_own_process("feature_tempo")
    finally:
        end.set()
        other.join()
    with subprocess.Popen(["sleep", "9"]) as single:
        monkeypatch.setattr(os, "getppid", lambda: single.pid)
        assert not needs_own_process("embedding") and not needs_own_process("feature_animals")
        single.kill()


@pytest.fixture(scope="module")
def trained(shared):
    folder = shared / "weights" / "essentia"
    if not folder.is_dir():
        pytest.skip("no trained graphs here")
    return folder


def test_trained_graphs_give_what_essentias_own_classes_give(shared, trained, tmp_path, monkeypatch):
    """MusiCNN, a regression head on it, and TempoCNN; and jazz is jazz."""
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))
    emotion = "emomusic-msd-musicnn-1.pb"
    for name, file in (("msd-musicnn-1.pb",) * 2, ("deeptemp-k16-3.pb", "deeptemp_k16.pb"), (emotion,) * 2):
        os.symlink(trained / file, tmp_path / name)
    clip = audio.read(next((shared / "eval" / "clips").glob("*Vibe_Ace.ogg")))
    clip = Audio(clip.samples[:, : 15 * clip.rate], clip.rate)
    mono = audio.resample(clip.mono(), clip.rate, RATE)
    patches = embed("msd-musicnn", clip)
    musicnn = essentias_own("TensorflowPredictMusiCNN")(
        graphFilename=str(trained / "msd-musicnn-1.pb"), output="model/dense/BiasAdd"
    )
    np.testing.assert_allclose(patches.output, musicnn(mono), atol=2e-5)  # another batch size rounds differently
    regression = essentias_own("TensorflowPredict2D")(
        graphFilename=str(trained / emotion), input="flatten_in_input", output="dense_out"
    )
    emotions = regression(musicnn(mono)).mean(axis=0)
    fragment = measure("valence_arousal", patches)
    assert (fragment["valence"], fragment["arousal"]) == pytest.approx(tuple(emotions), rel=1e-5)
    tags = measure("msd_tags", embed("msd_tags", clip))["essentia_tags"]
    assert next(iter(tags)) == "jazz"
    slow = audio.resample(clip.mono(), clip.rate, 11025)
    tempo, _, _ = essentias_own("TempoCNN")(graphFilename=str(trained / "deeptemp_k16.pb"))(slow)
    assert measure("bpm_tempocnn", embed("bpm_tempocnn", clip))["bpm_tempocnn"] == tempo
    catalogue._entries.cache_clear()
