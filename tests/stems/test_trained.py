"""Trained separators: all that surrounds a network, with networks of known output; small random ones in real files."""

import json
import pickle
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks import eval_stems
from conftest import RATE, jobs, loop, run_snakemake, write
from mirflow import features
from mirflow.commands import main
from mirflow.core import artifacts, audio
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.core.layout import STEMS
from mirflow.models import accelerator, cache, catalogue, download
from mirflow.stems import trained

torch = pytest.importorskip("torch")
pytest.importorskip("demucs.hf")
pytest.importorskip("audio_separator.separator")
pytest.importorskip("safetensors")
pytest.importorskip("msst")

import tiny_separators  # noqa: E402
from mirflow.stems import demucs, mdx23c, roformer, scnet  # noqa: E402

SIX = ("bass", "drums", "other", "vocals", "guitar", "piano")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accelerator, "CPU_THREADS", 1)
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)


@dataclass
class Shares:
    """A network that gives each source a fixed share of its input."""

    shares: dict[str, float]
    rate: int = 44100
    channels: int = 2
    segment: int = 4410
    device: str = "cpu"
    calls: int = 0

    @property
    def sources(self):
        return tuple(self.shares)

    def forward(self, audio):
        assert audio.shape == (self.channels, self.segment)
        self.calls += 1
        return torch.stack([share * audio for share in self.shares.values()])


KNOWN = {"drums": 0.5, "bass": 0.25, "other": 0.125, "vocals": 0.125}


def tone(channels: int, n: int, rate: int) -> np.ndarray:
    """A quiet sound below 2 kHz, which any rate here holds, unlike in each channel, that begins and ends in silence."""
    t = np.arange(n) / rate
    sound = np.stack([np.sin(2 * np.pi * (400 + 250 * c) * t) for c in range(channels)])
    return (0.01 * sound * np.hanning(n)).astype(np.float32)


@pytest.mark.parametrize(("rate", "accuracy"), [(44100, 1e-6), (8000, 2e-4), (96000, 2e-4)])
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_stems_have_the_mixes_level_rate_channels_and_length(rate, channels, accuracy):
    mix = tone(channels, rate + 17, rate)
    stems = trained.separate(Audio(mix, rate), Shares(KNOWN))
    assert tuple(stems) == STEMS
    for name, stem in stems.items():
        assert (stem.shape, stem.dtype) == (mix.shape, np.float32)
        np.testing.assert_allclose(stem, KNOWN[name] * mix, atol=accuracy * 0.01 + 1e-7)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("overlap", "shifts"), [(0, 0), (0.25, 0), (0.6, 0), (0.9, 1), (0.25, 3)])
def test_segments_add_up_to_the_whole_wherever_they_lie(channels, overlap, shifts):
    mix = tone(2, 30001, RATE)
    network = Shares(KNOWN, channels=channels, segment=4411)
    stems = trained.separate(Audio(mix, RATE), network, shifts=shifts, overlap=overlap)
    np.testing.assert_allclose(stems["drums"], 0.5 * mix, atol=1e-8)
    np.testing.assert_allclose(sum(stems.values()), mix, atol=1e-8)
    runs = max(shifts, 1) * (2 if channels == 1 else 1)
    assert network.calls >= runs * 30001 / (4411 * (1 - overlap))


def test_a_mono_network_gets_each_channel_alone_and_surround_sound_goes_in_pairs_of_channels():
    class Left(Shares):
        def forward(self, audio):
            return super().forward(audio[:1].expand_as(audio))

    mix = tone(6, 5000, RATE)  # L R C LFE Ls Rs
    stems = trained.separate(Audio(mix, RATE), Left({"drums": 1, "bass": 0, "other": 0, "vocals": 0}))
    # Loudness of a pair is that of both its channels, so right comes out as left does.
    for left, right in ((0, 1), (4, 5), (2, 2), (3, 3)):
        np.testing.assert_allclose(stems["drums"][right], stems["drums"][left], atol=1e-8)
        np.testing.assert_allclose(stems["drums"][left], mix[left], atol=1e-6)


def test_sources_beside_the_four_stems_go_to_other_and_an_offset_too():
    network = Shares({"bass": 0.1, "drums": 0.2, "other": 0.05, "Vocals": 0.25, "guitar": 0.3, "piano": 0.1})
    mix = tone(2, 20000, RATE) + np.float32(0.125)
    stems = trained.separate(Audio(mix, RATE), network)
    offset = mix.mean()
    np.testing.assert_allclose(stems["other"], 0.45 * (mix - offset) + offset, atol=1e-7)
    np.testing.assert_allclose(stems["vocals"], 0.25 * (mix - offset), atol=1e-7)
    without_other = Shares({"drums": 0.2, "bass": 0.1, "vocals": 0.3, "guitar": 0.05})
    stems = trained.separate(Audio(mix, RATE), without_other)
    np.testing.assert_allclose(sum(stems.values()), mix, atol=1e-7)
    np.testing.assert_allclose(stems["other"], 0.4 * (mix - offset) + offset, atol=1e-7)


@pytest.mark.parametrize(
    ("sources", "missing"),
    [(("vocals", "instrumental"), "drums and bass"), (("drums",), "bass and vocals"), (("drums", "bass"), "vocals")],
)
def test_a_network_without_drums_bass_or_vocals_is_refused(sources, missing):
    with pytest.raises(MirflowError, match=f"it separates {', '.join(sources)}, but {missing} are needed too"):
        trained.fold(sources)


def test_silence_stays_silent_and_the_network_is_not_run():
    network = Shares(KNOWN)
    for mix, rate in ((np.zeros((2, 9000)), 48000), (np.full((1, 1), 0.5), RATE), (np.full((6, 500), 0.25), RATE)):
        stems = trained.separate(Audio(mix.astype(np.float32), rate), network)
        np.testing.assert_allclose(stems.pop("other"), mix, atol=1e-7)
        assert not any(stem.any() for stem in stems.values())
    assert network.calls == 0


def test_impossible_input_is_an_error():
    mix = tone(2, 1000, RATE)
    with pytest.raises(MirflowError, match="the mix holds NaN or infinity"):
        trained.separate(Audio(np.where(np.arange(1000) == 7, np.nan, mix).astype(np.float32), RATE), Shares(KNOWN))
    with pytest.raises(MirflowError, match="float16 needs a GPU"):
        trained.separate(Audio(mix, RATE), Shares(KNOWN), precision="float16")
    with pytest.raises(MirflowError, match="output is not finite; take precision float32"):
        trained.separate(Audio(mix, RATE), Shares(KNOWN | {"bass": float("inf")}))


def test_nothing_of_torch_is_left_as_a_network_had_it(monkeypatch):
    """Other models run in the same process; their output must not depend on whether stems were made before."""

    class Nosy(Shares):
        def forward(self, audio):
            seen.append(state())
            if self.shares["bass"] > 1:
                raise torch.OutOfMemoryError
            return super().forward(audio)

    def state():
        flags = torch.backends.mha.get_fastpath_enabled(), torch.backends.cudnn.deterministic
        return torch.get_num_threads(), *flags, torch.is_inference_mode_enabled()

    seen, before, mix = [], state(), Audio(tone(2, 900, RATE), RATE)
    monkeypatch.setattr(accelerator, "CPU_THREADS", 3)
    trained.separate(mix, Nosy(KNOWN))
    with pytest.raises(MirflowError, match="the GPU has too little memory"):
        trained.separate(mix, Nosy(KNOWN | {"bass": 2}))
    assert seen == [(3, False, True, True)] * 2 and state() == before == (1, True, False, False)


def test_opposite_channels_are_no_silence():
    left = tone(1, 9000, RATE)
    mix = np.concatenate([left, -left])
    stems = trained.separate(Audio(mix, RATE), Shares(KNOWN))
    np.testing.assert_allclose(stems["drums"], 0.5 * mix, atol=1e-8)


# Demucs


def music(seconds: float, channels: int = 2, rate: int = RATE) -> Audio:
    return Audio(np.ascontiguousarray(loop(seconds, rate, channels).T, dtype=np.float32), rate)


@pytest.fixture(scope="module")
def demucs_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demucs")
    return [tiny_separators.demucs(folder / f"{seed}.safetensors", seed) for seed in (0, 1)]


@pytest.mark.parametrize(
    ("number", "shifts", "overlap"), [(1, 0, 0.25), (1, 0, 0.6), (1, 1, 0.25), (2, 0, 0.25)], ids=str
)
def test_it_is_what_demucs_itself_makes_of_a_track(demucs_files, number, shifts, overlap):
    """Also without the fast path of torch's attention layers, which `trained` turns off."""
    import random

    from demucs.apply import BagOfModels, apply_model
    from demucs.hf import load_safetensors_model

    weights = [[1, 0, 2, 0], [0, 1, 1, 1]] if number == 2 else None
    mix = music(2.6)
    separator = demucs.load(demucs_files[:number], "cpu", weights=weights)
    stems = trained.separate(mix, separator, shifts=shifts, overlap=overlap)

    bag = BagOfModels([load_safetensors_model(file) for file in demucs_files[:number]], weights)
    sound = torch.from_numpy(mix.samples)
    mean, scale = sound.mean(), sound.std(unbiased=False)
    random.seed(trained.SEED)
    with torch.no_grad():
        expected = apply_model(bag, ((sound - mean) / scale)[None], shifts=shifts, overlap=overlap)[0] * scale
    expected[2] += mean
    for name, target in zip(tiny_separators.SOURCES, expected.numpy(), strict=True):
        assert target.std() > 1e-4
        np.testing.assert_allclose(stems[name], target, atol=1e-5 * float(np.abs(target).max()))


def test_a_shorter_segment_is_what_demucs_makes_of_it_and_a_longer_one_is_refused(demucs_files, tmp_path):
    from fractions import Fraction

    from demucs.apply import BagOfModels, apply_model
    from demucs.hf import load_safetensors_model

    file, mix = tiny_separators.demucs(tmp_path / "long.safetensors", segment=Fraction(3, 2)), music(1.7)
    separator = demucs.load([file], "cpu", segment=1)
    assert separator.segment == RATE
    sound, (mean, scale) = torch.from_numpy(mix.samples), trained.mean_and_deviation(mix.samples)
    with torch.no_grad():
        bag = BagOfModels([load_safetensors_model(file)], segment=1)
        expected = apply_model(bag, ((sound - mean) / scale)[None], shifts=0)[0][0].numpy() * scale
    np.testing.assert_allclose(trained.separate(mix, separator)["drums"], expected, atol=1e-5 * np.abs(expected).max())
    for wrong in (1.5, 0.5):
        with pytest.raises(MirflowError, match=rf"0\.safetensors: processes between 1 and 1 s at once, not .*{wrong}"):
            demucs.load(demucs_files[:1], "cpu", segment=wrong)


def test_bfloat16_is_nearly_the_same(demucs_files, tmp_path):
    mix = music(0.3)
    for separator in demucs.load(demucs_files[:1], "cpu"), roformer.load(tiny_separators.roformer(tmp_path), "cpu"):
        exact = trained.separate(mix, separator)["drums"]
        rough = trained.separate(mix, separator, precision="bfloat16")["drums"]
        assert 0 < np.abs(rough - exact).max() < 0.1 * np.abs(exact).max()


def rewritten(path: Path, target: Path, **changed: object) -> Path:
    """Copy a safetensors file with other metadata (None leaves a key out) or `arguments` of its class."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(str(path), framework="pt") as stored:
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}
        about = stored.metadata()
    arguments = changed.pop("arguments", {})
    about |= {"kwargs": json.dumps(json.loads(about["kwargs"]) | arguments)} | changed
    save_file(tensors, target, metadata={key: value for key, value in about.items() if value is not None})
    return target


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"klass": "os.system", "args": '["touch executed"]', "kwargs": "{}"}, "refused, since it names the class os"),
        ({"structure": '{"_class": "os.system"}'}, "refused, since its weights are packed"),
        ({"klass": None}, "not a model of Demucs"),
        ({"kwargs": "[]"}, "not a model of Demucs"),
        ({"arguments": {"channels": 16}}, "size mismatch for encoder"),
        ({"arguments": {"t_layers": 5}}, r"Missing key\(s\) in state_dict: .crosstransformer"),
        ({"arguments": {"bottom_channels": 0}}, r"Unexpected key\(s\) in state_dict: .channel_downsampler"),
        ({"arguments": {"nfft": "many"}}, "not a model of Demucs"),
    ],
    ids=str,
)
def test_other_files_are_refused_by_name_and_never_run(demucs_files, tmp_path, monkeypatch, changed, said):
    monkeypatch.chdir(tmp_path)
    path = rewritten(demucs_files[0], tmp_path / "other.safetensors", **changed)
    with pytest.raises(MirflowError, match=rf"other\.safetensors: .*({said})"):
        demucs.load([path], "cpu")
    assert not (tmp_path / "executed").exists()


def test_damaged_files_and_bags_that_are_none_are_refused(demucs_files, tmp_path):
    short = tmp_path / "short.safetensors"
    for content in (b"", b"<html>", demucs_files[0].read_bytes()[:-500]):
        short.write_bytes(content)
        with pytest.raises(MirflowError, match=r"short\.safetensors: not a model of Demucs 4\.1"):
            demucs.load([short], "cpu")
    with pytest.raises(MirflowError, match="weights must be 2 x 4"):
        demucs.load(demucs_files, "cpu", weights=[[1, 0, 0, 0]])
    with pytest.raises(MirflowError, match="no file contributes to one of drums, bass, other, vocals"):
        demucs.load(demucs_files, "cpu", weights=[[1, 0, 0, 1], [0, 1, 0, 1]])
    six = tiny_separators.demucs(tmp_path / "six.safetensors", sources=SIX)
    assert demucs.load([six], "cpu").sources == SIX
    with pytest.raises(MirflowError, match=r"six\.safetensors: .*not one bag"):
        demucs.load([demucs_files[0], six], "cpu")
    two = tiny_separators.demucs(tmp_path / "two.safetensors", sources=("vocals", "instrumental"))
    with pytest.raises(MirflowError, match=r"two\.safetensors: it separates vocals, instrumental"):
        demucs.load([two], "cpu")


# RoFormers


@pytest.mark.parametrize(("kind", "suffix"), [("bs", ".ckpt"), ("mel", ".ckpt"), ("bs", ".safetensors")])
def test_a_short_track_is_what_the_network_says_of_it(tmp_path, kind, suffix):
    from safetensors.torch import save_file

    checkpoint, configuration = tiny_separators.roformer(tmp_path, kind=kind, sources=SIX)
    if suffix == ".safetensors":
        save_file(torch.load(checkpoint, weights_only=True), checkpoint.with_suffix(suffix))
        checkpoint = checkpoint.with_suffix(suffix)
    separator = roformer.load([configuration, checkpoint], "cpu")
    assert (separator.segment, separator.rate, separator.channels) == (22050 // 128 * 128, 44100, 2)
    mix = music(0.3)
    stems = trained.separate(mix, separator)

    # To the last bit, since bands with next to nothing in them are brought to the level of the others.
    n, (mean, scale) = mix.samples.shape[1], trained.mean_and_deviation(mix.samples)
    before = (separator.segment - n) // 2
    chunk = np.zeros((2, separator.segment), np.float32)
    chunk[:, before : before + n] = (mix.samples - mean) / scale
    with torch.no_grad():
        expected = separator.network(torch.from_numpy(chunk)[None])[0][..., before : before + n].numpy() * scale
    np.testing.assert_allclose(stems["bass"], expected[0], atol=1e-6)
    np.testing.assert_allclose(stems["drums"], expected[1], atol=1e-6)
    np.testing.assert_allclose(stems["vocals"], expected[3], atol=1e-6)
    np.testing.assert_allclose(stems["other"], expected[2] + expected[4] + expected[5] + mean, atol=1e-6)
    twice = trained.separate(Audio(2 * mix.samples, RATE), separator)
    np.testing.assert_allclose(twice["drums"], 2 * stems["drums"], atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": {"skip_connection": True}}, r"model\.yaml: BSRoformer has no skip_connection"),
        ({"model": {"num_subbands": 3}}, r"model\.yaml: BSRoformer has no num_subbands"),
        ({"model": {"dim": "wide"}}, r"model\.yaml: no BSRoformer can be built from it"),
        ({"model": {"freqs_per_bands": (2, 3)}}, r"model\.yaml: no BSRoformer can be built .*must equal 257"),
        (
            {"model": {"dim": 24}},
            r"model\.ckpt: weights of another network \(of another shape: \S+, \S+, \S+ and \d+ more",
        ),
        ({"model": {"depth": 2}}, r"model\.ckpt: weights of another network \(missing: layers\.1\S+, "),
        ({"model": {"time_transformer_depth": 0}}, r"unknown: layers\.0\.0\S+"),
        ({"training": {"instruments": ["drums", "bass", "vocals"]}}, "num_stems is 4, but 3 instruments are named"),
        ({"training": {"target_instrument": "vocals"}}, r"model\.ckpt: it separates vocals, but drums and bass"),
        ({"training": {"instruments": None}}, r"model\.yaml: the key training\.instruments is missing"),
        ({"audio": {}}, r"model\.yaml: the key audio\.chunk_size or inference\.chunk_size is missing"),
        (
            {"audio": {"chunk_size": "long"}},
            r"model\.yaml: the key audio\.sample_rate or model\.sample_rate is missing",
        ),
        ({"training": {"instruments": 3}}, r"model\.yaml: not the configuration of a RoFormer \(TypeError"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_a_configuration_that_is_another_networks_is_refused(tmp_path, changed, said):
    files = tiny_separators.roformer(tmp_path, **changed)
    with pytest.raises(MirflowError, match=said):
        roformer.load(files, "cpu")


@pytest.mark.parametrize("kind", ["bs", "mel", "scnet", "mdx23c"])
def test_a_configuration_that_is_cut_off_at_the_end_of_a_line_is_noticed(tmp_path, kind):
    """It is YAML all the same. What no cut takes away must be all that decides what the network computes."""
    make, module = {"mdx23c": (tiny_separators.mdx23c, mdx23c), "scnet": (tiny_separators.scnet, scnet)}.get(
        kind, (partial(tiny_separators.roformer, kind=kind), roformer)
    )
    files, load = make(tmp_path), module.load
    content = yaml.unsafe_load(files[1].read_text())  # with the sections in the order in which trainers write them
    order = [name for name in ("audio", "model", "training", "inference") if name in content]
    lines = yaml.dump({name: content[name] for name in order}, sort_keys=False).splitlines(keepends=True)
    whole = load(files, "cpu")
    refused = 0
    for count in range(len(lines)):
        files[1].write_text("".join(lines[:count]))
        try:
            cut = load(files, "cpu")
        except MirflowError as error:
            refused += 1
            assert str(error).startswith((f"{files[1]}: ", f"{files[0]}: ")) and "\n" not in str(error)
        else:
            assert (cut.sources, cut.rate, cut.segment) == (whole.sources, whole.rate, whole.segment), lines[count]
            assert cut.network.state_dict().keys() == whole.network.state_dict().keys(), lines[count]
    assert refused > len(lines) - 8


@pytest.mark.parametrize("normalize", [False, True])
def test_an_scnet_hears_the_level_that_it_was_trained_with(tmp_path, normalize):
    separator = scnet.load(tiny_separators.scnet(tmp_path, normalize=normalize), "cpu")
    assert (separator.segment, separator.rate, separator.sources) == (
        22050,
        44100,
        ("drums", "bass", "other", "vocals"),
    )
    mix = music(0.5)  # one segment
    stems = trained.separate(mix, separator, overlap=0)
    mean, scale = trained.mean_and_deviation(mix.samples)
    level = 1 if normalize else 0.1
    with torch.no_grad():
        expected = separator.network(torch.from_numpy((mix.samples - mean) / scale * level)[None])[0].numpy()
    for name, source in zip(separator.sources, expected / level * scale, strict=True):
        np.testing.assert_allclose(stems[name], source + (mean if name == "other" else 0), atol=1e-6)
    assert np.abs(stems["drums"] - stems["bass"]).max() > 1e-4
    long = trained.separate(music(1.3), separator)
    assert long["drums"].shape == (2, round(1.3 * RATE)) and all(np.isfinite(stem).all() for stem in long.values())
    with pytest.raises(MirflowError, match="float32 only"):
        trained.separate(mix, separator, precision="bfloat16")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": {"dims": "wide"}}, r"model\.yaml: not the configuration of an SCNet"),
        ({"model": {"tran_depth": 1}}, r"model\.yaml: not the configuration of an SCNet \(TypeError"),  # another kind
        ({"model": {"dims": [4, 8, 8, 32]}}, r"model\.ckpt: weights of another network"),
        ({"model": {"sources": ["vocals", "other"]}}, r"model\.ckpt: it separates vocals, other, but drums and bass"),
        (
            {"training": {"instruments": ["bass", "drums", "other", "vocals"]}},
            r"model\.yaml: the sources are drums, bass",
        ),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_a_configuration_that_is_not_that_of_the_scnet_is_refused(tmp_path, changed, said):
    files = tiny_separators.scnet(tmp_path, **changed)
    with pytest.raises(MirflowError, match=said):
        scnet.load(files, "cpu")


def test_neither_file_of_a_roformer_can_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint, configuration = tiny_separators.roformer(tmp_path)

    class Hostile:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    hostile = tmp_path / "hostile.ckpt"
    for write_it in (
        lambda: torch.save({"a": Hostile()}, hostile),
        lambda: hostile.write_bytes(pickle.dumps(Hostile())),
    ):
        write_it()
        with pytest.raises(MirflowError, match=r"hostile\.ckpt: not a checkpoint"):
            roformer.load([hostile, configuration], "cpu")
    configuration.write_text("model: !!python/object/apply:os.system ['touch executed']")
    with pytest.raises(MirflowError, match=r"model\.yaml: not a configuration .*python/object/apply:os\.system"):
        roformer.load([checkpoint, configuration], "cpu")
    assert not (tmp_path / "executed").exists()
    with pytest.raises(MirflowError, match=r"a RoFormer is a checkpoint and its \.yaml file, not .*hostile\.ckpt"):
        roformer.load([hostile], "cpu")


# The catalogue, the command and the workflow


def test_a_model_belongs_to_one_backend():
    assert trained.entry("demucs") == "htdemucs"
    assert trained.entry("roformer", "bs_roformer_sw") == "bs_roformer_sw"
    with pytest.raises(MirflowError, match="htdemucs is a model of the backend demucs; for roformer there are bs_rof"):
        trained.entry("roformer", "htdemucs")
    with pytest.raises(
        MirflowError, match="beat_this_small0 is not a separator; for demucs there are htdemucs, htdemucs_ft"
    ):
        trained.entry("demucs", "beat_this_small0")
    with pytest.raises(MirflowError, match="no model 'nothing'"):
        trained.entry("demucs", "nothing")


def test_catalogued_separators_are_of_known_files():
    described = {name: about for name, about in catalogue.entries().items() if "separator" in about}
    assert set(trained.BACKENDS.values()) <= set(described)
    for name, about in described.items():
        suffixes = [Path(file["name"]).suffix for file in about["files"]]
        if about["separator"]["backend"] == "demucs":
            assert set(suffixes) == {".safetensors"}
            assert len(about["separator"].get("weights", suffixes)) == len(suffixes)
        else:
            assert sorted(suffixes) == [".ckpt", ".yaml"]
        assert all(len(file["sha256"]) == 64 and file["url"].startswith("https://") for file in about["files"]), name


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A models' folder with small random models in the place of the real ones."""
    where = tmp_path / "models"
    where.mkdir()
    monkeypatch.setenv(catalogue.FOLDER, str(where))
    tiny_separators.demucs(where / "one.safetensors", 0)
    tiny_separators.demucs(where / "two.safetensors", 1)
    checkpoint, _ = tiny_separators.roformer(where, name="former")
    pickled = {"former.ckpt": download.sha256(checkpoint)}

    def described(backend, *names, **more):
        files = [{"name": name, "url": f"http://127.0.0.1:9/{name}", "sha256": pickled.get(name, "")} for name in names]
        return {"purpose": "test", "files": files, "separator": {"backend": backend, **more}}

    entries = {
        "htdemucs": described("demucs", "one.safetensors"),
        "bag": described("demucs", "one.safetensors", "two.safetensors", weights=[[1, 0, 1, 0], [0, 1, 0, 1]]),
        "bs_roformer_4stems": described("roformer", "former.ckpt", "former.yaml"),
    }
    (where / catalogue.OWN_ENTRIES).write_text(yaml.safe_dump({"models": entries}))
    catalogue._entries.cache_clear()
    yield where
    cache.drop()
    catalogue._entries.cache_clear()


def test_one_process_loads_once_and_two_runs_give_the_same_bytes(folder, tmp_path, monkeypatch, capsys):
    mix = write(tmp_path / "mix.flac", loop(1.5))
    loads = []
    load = demucs.load
    monkeypatch.setattr(demucs, "load", lambda *given, **named: loads.append(named) or load(*given, **named))

    def separated(name, *arguments) -> list[bytes]:
        outputs = [tmp_path / f"{name}-{stem}.mp3" for stem in STEMS]
        record = tmp_path / f"{name}.json"
        done = main(
            ["stems", str(mix), "-o", *map(str, outputs), "--record", str(record), "--backend", "demucs", *arguments]
        )
        assert done == 0, capsys.readouterr().err
        return [path.read_bytes() for path in outputs]

    first = separated("a", "--entry", "htdemucs", "--device", "cpu")
    assert separated("b", "--entry", "htdemucs", "--device", "cpu") == first
    assert len(loads) == 1
    record = artifacts.read_json(tmp_path / "a.json")
    assert record["model"] == {
        "name": "htdemucs",
        "sha256": {"one.safetensors": download.sha256(folder / "one.safetensors")},
    }
    assert record["settings"] == {} and record["backend"] == "demucs" and record["format"] == "mp3"
    shifted = separated("c", "--entry", "htdemucs", "--device", "cpu", "--shifts", "2")
    assert separated("d", "--entry", "htdemucs", "--device", "cpu", "--shifts", "2") == shifted != first
    assert artifacts.read_json(tmp_path / "c.json")["settings"] == {"shifts": 2}
    assert len(loads) == 1
    bag = separated("e", "--entry", "bag", "--device", "cpu")
    assert (bag[0] == first[0], bag[1] == first[1], bag[2] == first[2]) == (True, False, True)
    assert separated("f", "--model", str(folder / "one.safetensors"), "--device", "cpu") == first
    assert len(loads) == 3
    (folder / "former.ckpt").write_bytes(b"another")
    wrong = [str(tmp_path / f"x-{stem}.mp3") for stem in STEMS]
    assert main(["stems", str(mix), "-o", *wrong, "--backend", "roformer", "--device", "cpu"]) == 1
    assert "former.ckpt is not the file that belongs there: sha256" in capsys.readouterr().err


def test_a_trained_separator_is_scored_by_its_name(folder, tmp_path, capsys):
    for stem in ("mix", *STEMS):
        write(tmp_path / "set" / "piece" / f"{stem}.flac", loop(1.5))
    eval_stems.main([str(tmp_path / "set"), "--backend", "demucs", "--entry", "bag", "--device", "cpu"])
    assert "MEAN of set                 bag  " in capsys.readouterr().out


def test_the_workflow_with_each_of_them(folder, tmp_path):
    """Changing the separator makes the stems anew and what stands on them, and nothing else."""
    write(tmp_path / "music" / "Song one.flac", loop(4))
    write(tmp_path / "music" / "short.flac", loop(0.3, channels=1))
    settings = {
        "library": str(tmp_path / "music"),
        "results": str(tmp_path / "out"),
        "models": str(folder),
        "skip": [f.name for f in features.of_modules() if f.name not in ("stem_quality", "spectral")],
        "transcribe": {"drums": "none"},
    }
    mine = tmp_path / "mine.yaml"

    def snakemake(*arguments, **stems):
        mine.write_text(yaml.safe_dump(settings | {"stems": stems}))
        return run_snakemake("--configfile", str(mine), *arguments)

    done = snakemake(backend="demucs", device="cpu", overlap=0.5, precision="bfloat16", shifts=1, segment=1)
    assert done.returncode == 0, done.stdout
    assert jobs(done.stdout)["stems"] == 2
    assert "priority: 25" in done.stdout and "gpu=1" in done.stdout
    content = artifacts.read_json(tmp_path / "out" / "Song one" / "Song one.INFO")
    said = content["_provenance"]["stems"]
    assert (said["backend"], said["model"]["name"]) == ("demucs", "htdemucs")
    assert said["settings"] == {"overlap": 0.5, "precision": "bfloat16", "shifts": 1, "segment": 1}
    assert content["stem_rms_drums"] < 0
    assert audio.read(tmp_path / "out" / "short" / "drums.mp3").samples.shape == (1, int(0.3 * RATE))

    same = {"device": "cpu", "overlap": 0.5, "precision": "bfloat16", "shifts": 1, "segment": 1}
    assert "Nothing to be done" in snakemake("-n", backend="demucs", **same).stdout
    again = {"stems": 2, "feature_stem_quality": 2, "info": 2}
    assert jobs(snakemake("-n", backend="demucs", model="bag", **same).stdout) == again
    assert jobs(snakemake("-n", backend="demucs", **same | {"shifts": 2}).stdout) == again
    assert jobs(snakemake("-n", backend="embedded").stdout) == again
    refused = snakemake("-n", backend="roformer", model="bag").stdout
    assert "stems.model: bag is a model of the backend demucs; for roformer there are bs_roformer_4stems" in refused

    done = snakemake(backend="roformer", device="cpu", format="flac")
    assert done.returncode == 0, done.stdout
    assert jobs(done.stdout) == again
    said = artifacts.read_json(tmp_path / "out" / "Song one" / "Song one.INFO")["_provenance"]["stems"]
    assert (said["backend"], said["settings"]) == ("roformer", {})
    assert set(said["model"]["sha256"]) == {"former.ckpt", "former.yaml"}
    assert audio.read(tmp_path / "out" / "Song one" / "drums.flac").samples.shape == (2, 4 * RATE)


def test_further_stems_are_written_on_request_and_stay_a_part_of_other(folder, tmp_path):
    network = Shares({"drums": 0.4, "bass": 0.2, "other": 0.1, "vocals": 0.1, "guitar": 0.15, "piano": 0.05})
    mix = tone(2, 5000, RATE)
    found = trained.separate(Audio(mix, RATE), network, extra=("guitar", "piano"))
    assert tuple(found) == (*STEMS, "guitar", "piano")
    for name, share in (("other", 0.3), ("guitar", 0.15), ("piano", 0.05)):
        np.testing.assert_allclose(found[name], share * mix, atol=1e-8)
    np.testing.assert_allclose(sum(found[stem] for stem in STEMS), mix, atol=1e-8)
    with pytest.raises(MirflowError, match="flute"):
        trained.fold(network.sources, ("flute",))

    tiny_separators.demucs(folder / "six.safetensors", sources=SIX)
    entries = yaml.safe_load((folder / catalogue.OWN_ENTRIES).read_text())
    six = {
        "name": "six.safetensors",
        "url": "http://127.0.0.1:9/six",
        "sha256": download.sha256(folder / "six.safetensors"),
    }
    about = {"purpose": "six", "files": [six], "separator": {"backend": "demucs"}, "extra_stems": ["guitar", "piano"]}
    (folder / catalogue.OWN_ENTRIES).write_text(yaml.safe_dump({"models": entries["models"] | {"six": about}}))
    write(tmp_path / "music" / "it's a song.flac", loop(2))
    chosen = {"library": str(tmp_path / "music"), "results": str(tmp_path / "out"), "models": str(folder)}
    chosen["skip"] = [f.name for f in features.of_modules() if f.name != "spectral"]
    mine = tmp_path / "mine.yaml"

    def snakemake(*arguments, **stems):
        mine.write_text(
            yaml.safe_dump(chosen | {"stems": {"backend": "demucs", "device": "cpu", "format": "wav", **stems}})
        )
        return run_snakemake("--configfile", str(mine), *arguments)

    assert "stems.extra: htdemucs separates four stems only; more do" in snakemake("-n", extra="keep").stdout
    done = snakemake(model="six", extra="keep", instrumental=True)
    assert done.returncode == 0, done.stdout
    song = tmp_path / "out" / "it's a song"
    sound = {path.stem: audio.read(path).samples for path in song.glob("*.wav")}
    assert set(sound) == {*STEMS, "guitar", "piano", "full_mix_instrumental"}
    assert np.abs(sound["guitar"]).max() > 0 and not np.array_equal(sound["guitar"], sound["piano"])
    np.testing.assert_allclose(
        sound["full_mix_instrumental"], sound["drums"] + sound["bass"] + sound["other"], atol=1e-6
    )
    same = {"model": "six", "instrumental": True}
    assert jobs(snakemake("-n", extra="fold", **same).stdout)["stems"] == 1
    assert "Nothing to be done" in snakemake("-n", extra="keep", **same).stdout
