"""What every kind of artifact holds on fixed inputs, with the version that it had then.

``python known_values.py`` (``make versions``) computes the values anew, refuses when they moved while the version of
their kind did not, and then writes them to data/known_values.json, and the hashes of today's modules to versions.json:
with that, results that were made by the same versions stay up to date. Values are compared with a tolerance, since
libraries and processors round differently.
"""

import argparse
import base64
import contextlib
import json
import math
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import tiny_graphs
from conftest import RATE, loop, write
from mirflow import features, info
from mirflow.core import artifacts, audio, identity, layout
from mirflow.core.audio import Audio
from mirflow.export import build, tables, targets, tree
from mirflow.export.settings import Settings
from mirflow.labels import encoders
from mirflow.report import build as statistics
from mirflow.report import values as library_values
from mirflow.report.page import details, overview
from mirflow.report.page import map as library_map

STORED = Path(__file__).parent / "data" / "known_values.json"
RELATIVE, ABSOLUTE = 2e-3, 2e-4  # tolerance
SECONDS = 8.0


def kinds() -> tuple[str, ...]:
    """Return all kinds that belong to the product (`identity.KINDS`, its features, encoders and exports)."""
    exports = (f"export_{name}" for name in targets.names())
    encoded = (f"embedding_{name}" for name in encoders.names())
    return (*identity.KINDS, *(f"feature_{name}" for name in features.names()), *encoded, *exports)


def compute(kind: str) -> Any:
    """Return the values of a kind on its fixed input: numbers, texts, and lists and dictionaries of these."""
    name = kind.removeprefix("feature_")
    if kind not in COMPUTE and name in features.names():
        return _feature(name)
    if kind.startswith("export_"):
        return _export(kind.removeprefix("export_"))
    return artifacts.to_json_values(COMPUTE[kind]())


@cache
def _music() -> Audio:
    """Drums, bass and a chord at 120 beats a minute, a voice that slides, and a second of silence at the end."""
    samples = loop(SECONDS).T
    time = np.arange(samples.shape[1]) / RATE
    voice = 0.1 * np.sin(2 * np.pi * 500 * time + 8 * np.sin(2 * np.pi * 0.7 * time))
    samples = samples + voice * np.array([[1.0], [0.9]])
    return Audio((samples * (time < SECONDS - 1)).astype(np.float32), RATE)


@cache
def _parts() -> dict[str, np.ndarray]:
    """Four sounds that stand for stems: float32 [channel, n]."""
    random, count = np.random.default_rng(0), int(SECONDS * RATE)
    time = np.arange(count) / RATE
    drums = random.standard_normal(count) * np.exp(-(time % 0.25) / 0.02) * 0.3
    bass = np.sin(2 * np.pi * 55 * 2 ** (np.floor(time % 4) / 12) * time) * 0.3
    other = sum(np.sin(2 * np.pi * f * 2 ** (np.floor(time / 2) * 5 / 12) * time) for f in (220, 277.2, 329.6)) * 0.1
    vocals = 0.2 * np.sin(2 * np.pi * 440 * time) * (np.sin(2 * np.pi * 0.5 * time) > 0)
    parts = zip(layout.STEMS, (drums, bass, other, vocals), strict=True)
    return {name: np.stack([part, 0.8 * part]).astype(np.float32) for name, part in parts}


def _grids() -> dict[str, np.ndarray]:
    beats = np.arange(0.25, SECONDS - 1, 0.5)
    onsets = np.sort(np.concatenate([beats, beats[::2] + 0.125, beats[::3] + 0.375]))
    return {"beats": beats, "downbeats": beats[::4], "onsets": onsets}


def _feature(name: str) -> dict[str, Any]:
    inputs = {"full_mix": _music(), **{n: Audio(part, RATE) for n, part in _parts().items()}, **_grids()}
    inputs["drum_notes"] = _drum_notes()
    model = SimpleNamespace(value=_judge(), files={}) if features.declared(name).models else None
    values = features.fragment(name, inputs, model=model)
    return artifacts.to_json_values({key: value for key, value in values.items() if not key.startswith("_")})


def _judge() -> Any:
    """A network in the place of AudioBox's: its scores are the levels of the sound, on a scale of known numbers."""
    from mirflow.features import audiobox

    def module(batch: dict) -> dict:
        level = (batch["wav"].abs() * batch["mask"]).sum(dim=(1, 2)) / batch["mask"].sum(dim=(1, 2))
        return {axis: level * (place + 1) for place, axis in enumerate(audiobox.AXES)}

    return audiobox.Network(module, {axis: {"mean": 5.0, "std": 2.0} for axis in audiobox.AXES}, "cpu")


def _levels(samples: np.ndarray, pieces: int = 8) -> list[float]:
    """Return the root mean square of equal pieces of each channel, one channel after the other."""
    parts = np.array_split(samples.astype(float), pieces, axis=1)
    return [float(np.sqrt(np.mean(channel**2))) for part in parts for channel in part]


def _full_mix() -> dict[str, Any]:
    from mirflow.library import full_mix

    found = {}
    sounds = {"loud.wav": 1.7 * loop(1.0), "six.flac": loop(1.0, channels=6), "mono.ogg": loop(1.0, 22050, 1)}
    with tempfile.TemporaryDirectory() as folder:
        for name, samples in sounds.items():
            options = {"subtype": "FLOAT"} if name.endswith("wav") else {}
            source = write(Path(folder, name), samples, 22050 if "mono" in name else RATE, **options)
            record = full_mix.make(source, Path(folder, "full_mix.flac"))
            mix = audio.read(Path(folder, "full_mix.flac"))
            kept = {key: record[key] for key in ("rate", "channels", "duration", "gain_db")}
            found[name] = kept | {"levels": _levels(mix.samples, 2)}
    return found


def _stems_embedded() -> dict[str, Any]:
    from mirflow.stems import embedded

    return {name: _levels(stem) for name, stem in embedded.separate(_music()).items()}


def _stem_files() -> dict[str, Any]:
    from mirflow.stems import files

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for format in layout.STEM_FORMATS:
            paths = {name: Path(folder, f"{name}.{format}") for name in layout.STEMS}
            found[format] = files.write(_parts(), RATE, paths, format) | {
                name: _levels(audio.read(path).samples, 3) for name, path in paths.items()
            }
    return found


def _trained(sources: tuple[str, ...]) -> Callable[[], dict[str, Any]]:
    def separated() -> dict[str, Any]:
        import torch

        from mirflow.stems import trained

        class Shares(trained.Separator):
            """Each source is a share of the sound, and a delay of it."""

            def forward(self, sound: torch.Tensor) -> torch.Tensor:
                return torch.stack([sound.roll(place, -1) * (place + 1) / 10 for place in range(len(self.sources))])

        separator = Shares(None, sources, 44100, 2, 2 * RATE, "cpu")
        stems = trained.separate(_music(), separator, shifts=1, overlap=0.25)
        return {name: _levels(stem) for name, stem in stems.items()}

    return separated


def _activations() -> Any:
    from mirflow.rhythm.activations import Activations

    time = np.arange(0, SECONDS, 0.02)
    near = {name: np.abs(time[:, None] - times[None]).min(axis=1) for name, times in _grids().items()}
    beat, downbeat = (0.02 + 0.9 * np.exp(-0.5 * (near[name] / 0.02) ** 2) for name in ("beats", "downbeats"))
    return Activations(beat.astype(np.float32), downbeat.astype(np.float32), 50.0)


def _summary(found: Any) -> dict[str, Any]:
    """Say of activations how high they are, and when they are highest."""
    peaks = np.argsort(-found.beat, kind="stable")[:5]
    return {
        "frame_rate": found.frame_rate,
        "beat": [found.beat.mean(), found.beat.max()],
        "downbeat": [found.downbeat.mean(), found.downbeat.max()],
        "tempo": [found.tempo.mean()] if found.tempo.size else [],
        "highest": sorted(float(found.beat[peak]) for peak in peaks),
    }


def _beats_embedded() -> dict[str, Any]:
    from mirflow.rhythm import embedded

    return _summary(embedded.activations(_music()))


def _beats_this() -> dict[str, Any]:
    import torch

    from mirflow.rhythm import beat_this

    class Levels(torch.nn.Module):
        """Log odds are the level of the low bands, and of the high ones."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, spectrum: torch.Tensor) -> dict[str, torch.Tensor]:
            low, high = spectrum[..., :30].mean(-1), spectrum[..., 60:].mean(-1)
            return {"beat": (low - 2) * self.scale, "downbeat": (high - 2) * self.scale}

    return _summary(beat_this.activations(_music(), Levels()))


def _grid(of: str) -> Callable[[], dict[str, Any]]:
    def decoded() -> dict[str, Any]:
        from mirflow.rhythm.decoders import DECODERS

        return {name: getattr(decode(_activations()), of) for name, decode in DECODERS.items()}

    return decoded


def _onsets() -> dict[str, Any]:
    from mirflow.dsp import onsets

    return {"times": onsets.detect(_music().mono(), RATE).times}


def _full_mix_instrumental() -> dict[str, Any]:
    from mirflow.stems import instrumental

    music = _music()
    parts = [Audio(music.samples * np.float32(level), music.rate) for level in (0.5, 0.25, 0.125)]
    found = instrumental.without_vocals(parts, gain_db=-3.0).samples
    return {"rms": np.sqrt(np.mean(np.square(found, dtype=np.float64), axis=1)), "samples": found[:, 1000:60000:12345]}


def _beats_wav() -> dict[str, Any]:
    from mirflow.rhythm import clicks

    grids = {name: times for name, times in _grids().items() if name != "onsets"}
    return {"levels": _levels(clicks.with_clicks(_music(), **grids).samples)}


def _beats_png() -> dict[str, Any]:
    import matplotlib.image

    from mirflow.rhythm import plot

    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "beats.png")
        grids = _grids()
        plot.draw(_activations(), picture, beats=grids["beats"], downbeats=grids["downbeats"])
        pixels = matplotlib.image.imread(picture)
    return {"shape": pixels.shape, "mean": [round(float(value), 2) for value in pixels.mean(axis=(0, 1))]}


def _drum_activations() -> dict[str, Any]:
    import torch

    from mirflow.transcribe import adtof, hearing

    class Levels(torch.nn.Module):
        """Log odds are the levels of five parts of the bands."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, spectrum: torch.Tensor) -> torch.Tensor:
            return torch.stack([part.mean(-1) - 1 for part in spectrum.split(17, dim=-1)], dim=-1) * self.scale

    made = adtof.network()  # the shapes are those of the published weights
    shapes = {name: list(value.shape) for name, value in made.state_dict().items() if "num_batches" not in name}
    found = hearing.activations(Audio(_parts()["drums"], RATE), _music(), lambda drums: adtof.hits(drums, Levels()))
    return {"mean": found.hits.mean(axis=0), "highest": found.hits.max(axis=0), "frames": len(found.hits), **shapes}


def _drums_embedded() -> dict[str, Any]:
    from mirflow.transcribe import embedded, hearing

    network = embedded.load()
    found = hearing.activations(
        Audio(_parts()["drums"], RATE), _music(), lambda drums: embedded.hits(drums, network), with_mix=True
    )
    return {"mean": found.hits.mean(axis=0), "highest": found.hits.max(axis=0), "frames": len(found.hits)}


def _drum_notes() -> Any:
    from mirflow.transcribe.notes import DrumNotes

    beats = _grids()["beats"]
    played = [(0, beats[::2]), (1, beats[1::2] + 0.01), (2, beats[6:7] + 0.25), (3, np.sort([*beats, *(beats + 0.3)]))]
    times = np.concatenate([times for _, times in played])
    drums = np.concatenate([np.full(len(times), drum) for drum, times in played])
    order = np.lexsort((drums, times))
    velocities = 60 + 11 * np.arange(len(times)) % 60
    pitches = np.array([36, 38, 47, 42])[drums]
    return DrumNotes(times[order], drums[order], pitches[order], velocities, SECONDS)


def _read_drum_notes() -> dict[str, Any]:
    from mirflow.transcribe.activations import DrumActivations
    from mirflow.transcribe.notes import read_notes

    frames = np.arange(int(SECONDS * 100)) / 100
    given = _drum_notes()
    near = [np.abs(frames[:, None] - given.times[given.drums == drum][None]) for drum in range(4)]
    hits = [0.9 * np.exp(-0.5 * (distance.min(axis=1) / 0.01) ** 2) for distance in near]
    hits.append(0.3 * hits[0])
    activations = DrumActivations(np.stack(hits, axis=1).astype(np.float32), SECONDS)
    found = read_notes(activations, Audio(_parts()["drums"], RATE), [0.2] * 5)
    return {"times": found.times, "drums": found.drums, "pitches": found.pitches, "velocities": found.velocities}


def _drums_mid() -> dict[str, Any]:
    from mirflow.transcribe import midi, tempo_map

    found = {}
    for name, steps in (("as played", 0), ("quantised", 4)):
        tempo = tempo_map.tempo_map(_grids()["beats"], _grids()["downbeats"][1:])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "drums.mid")
            notes = midi.drum_notes(_drum_notes(), tempo, steps)
            midi.write(path, notes, tempo, name="drums", channel=midi.DRUM_CHANNEL, duration=SECONDS)
            found[name] = path.read_bytes().hex()
    return found


def _bass_notes() -> dict[str, Any]:
    from mirflow.transcribe import bass

    time = np.arange(int(4 * RATE)) / RATE
    notes = [40, 40, 43, 28]
    sound = sum(0.3 * np.sin(2 * np.pi * 440 * 2 ** ((note - 69) / 12) * (time - i)) * np.exp(-2 * (time - i))
                * ((time >= i) & (time < i + 0.8)) for i, note in enumerate(notes))  # fmt: skip
    found = bass.read_notes(Audio(np.asarray(sound, np.float32)[None], RATE))
    return {name: getattr(found, name) for name in ("starts", "ends", "pitches", "velocities")}


def _bass_mid() -> dict[str, Any]:
    from mirflow.transcribe import midi, tempo_map

    tempo = tempo_map.tempo_map(_grids()["beats"], _grids()["downbeats"])
    starts = np.array([0.5, 1.0, 2.3])
    notes = midi.line(
        tempo, starts=starts, ends=starts + 0.4, pitches=np.array([28, 40, 33]), velocities=np.array([90, 60, 127])
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bass.mid")
        midi.write(path, notes, tempo, name="bass", channel=0, program=33, duration=SECONDS)
        return {"bytes": path.read_bytes().hex()}


def _drums_wav() -> dict[str, Any]:
    from mirflow.transcribe import sonification

    return {"levels": _levels(sonification.beside_the_track(_music(), _drum_notes()).samples)}


def _drums_png() -> dict[str, Any]:
    import matplotlib.image

    from mirflow.transcribe import plot

    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "drums.png")
        grids = {name: _grids()[name] for name in ("beats", "downbeats")}
        plot.draw(Audio(_parts()["drums"], RATE), _drum_notes(), picture, **grids)
        pixels = matplotlib.image.imread(picture)
    return {"shape": pixels.shape, "mean": [round(float(value), 2) for value in pixels.mean(axis=(0, 1))]}


def _drum_stems() -> dict[str, Any]:
    import torch

    import tiny_separators
    from mirflow.stems import drum_stems, mdx23c

    class Gains(torch.nn.Module):
        """Each source is the sound at another gain."""

        def forward(self, sound: torch.Tensor) -> torch.Tensor:
            return sound[:, None] * torch.arange(1.0, 7.0).reshape(1, 6, 1, 1)

    separator = mdx23c.MDX23C(Gains(), tiny_separators.DRUM_SOURCES, RATE, 2, RATE, "cpu")
    found = drum_stems.separate(Audio(_parts()["drums"], RATE), separator)
    return {name: _levels(part, 2) for name, part in found.items()}


MUSICNN = "TensorflowPredictMusiCNN"


def _network(folder: Path) -> Any:
    from mirflow.labels import embedding

    bands = np.linspace(-1, 1, 96)[:, None] * np.linspace(0.5, 2, 4)
    graph = tiny_graphs.network(folder / "network.pb", bands, np.arange(4.0))
    nodes = {"output": "model/dense/BiasAdd"}
    return embedding.Network(MUSICNN, graph.name, nodes, graph, trusted=True, gpu=False)


def _embedding() -> dict[str, Any]:
    from mirflow.labels import embedding

    with tempfile.TemporaryDirectory() as folder:
        patches = embedding.embed(_music(), _network(Path(folder)), {"network.pb": "0"})
    return {"shape": patches.output.shape, "means": patches.output.mean(axis=0)}


def _clap() -> dict[str, Any]:
    from transformers import ClapFeatureExtractor

    from mirflow.labels import encoders
    from mirflow.labels.encoders.clap import Clap

    def bands(input_features: Any) -> SimpleNamespace:
        """Give the means of eight ranges of bands."""
        return SimpleNamespace(audio_embeds=input_features.mean(dim=(1, 2)).reshape(-1, 8, 8).mean(dim=-1))

    spectrogram = ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc")
    return {"vectors": encoders.embed(_music(), Clap(bands, 48000, 2 * 48000, "cpu", spectrogram), {}).output}


def _muq() -> dict[str, Any]:
    from mirflow.labels import encoders
    from mirflow.labels.encoders.muq import MuQ

    class Levels:
        """Gives the levels of pieces of the sound."""

        def preprocessing(self, sound: Any, names: list[str]) -> dict[str, Any]:
            return {name: sound.reshape(len(sound), -1, 1200).square().mean(dim=-1) for name in names}

        def normalize(self, levels: dict[str, Any]) -> dict[str, Any]:
            return levels

        def conv(self, levels: Any) -> Any:
            return levels.reshape(len(levels), -1, 4)

        def conformer(self, hidden: Any) -> SimpleNamespace:
            return SimpleNamespace(last_hidden_state=hidden)

    return {"vectors": encoders.embed(_music(), MuQ(Levels(), 24000, 2 * 24000, "cpu"), {}).output}


def _head() -> dict[str, Any]:
    from mirflow.labels import heads
    from mirflow.labels.embedding import Patches

    output = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
    patches = Patches(output, {})
    weights = np.array([[1.0, -1, 0], [0, 2, 1], [1, 1, -1], [0.5, 0, 2]])
    with tempfile.TemporaryDirectory() as folder:
        graph = heads.Graph(
            ("cat", "dog", "owl"), tiny_graphs.head(Path(folder, "head.pb"), weights, np.zeros(3)), True
        )
        entries = {"labels": {"labels": "animals"}, "keys": {"keys": {"dogs": "dog"}}, "tempo": {"tempo": "bpm"}}
        found = {}
        for name, entry in entries.items():
            made = heads.Head(name)
            found[name] = heads.values(name, entry, patches, graph)
            assert made.name == name
    return found


class _Speaker:
    """A language model that gives the answers that it is told to, and says what it was asked."""

    name, version, max_seconds, encodings = "speaker", "1", 600.0, 0

    def __init__(self, *said: str) -> None:
        self.said, self.asked = list(said), []

    def encode(self, samples: np.ndarray, answer_tokens: int) -> None:
        self.asked.append([len(samples), float(np.abs(samples).mean()), answer_tokens])

    def answer(self, question: str, decoding: Any) -> Any:
        from mirflow.describe.generation import Raw

        self.asked.append([question, decoding.temperature, decoding.seed])
        text = self.said.pop(0)
        return Raw(text, len(text.split()), True)


def _describe() -> dict[str, Any]:
    from mirflow.describe import prompts
    from mirflow.describe.generation import Decoding
    from mirflow.describe.session import Question, Session, Track

    prompt = prompts.Prompt("full", "Describe it; {bpm}; {key}; {loudness}; {genres}.")
    measured = {"bpm": 120.0, "beat_regularity": 0.5, "tonic": 9, "tonic_scale": "minor", "tonic_strength": 0.8}
    measured |= {"lufs": -14.2, "essentia_genre": {"Rock": 0.5, "Pop": 0.25}}
    with tempfile.TemporaryDirectory() as folder:
        artifacts.write_json(Path(folder, "x.json"), measured)
        words = prompt.fill(prompts.hints(prompt, [Path(folder, "x.json")]))
    speaker = _Speaker("boom " * 50, "<think>hm</think>A “slow” waltz – in F♯ minor, 10² bars…")
    session = Session(speaker)
    question = Question(words, Decoding(100), {"name": "speaker"}, "speaker")
    result = session.describe(Track("T", ("T",), _music), question, 100)
    return {"result": result, "asked": speaker.asked}


def _texts() -> dict[str, Any]:
    from mirflow.describe import fragment

    texts = {"full": "A waltz at 90 bpm in C major.", "short": ""}
    record = {
        "asked": {"words": "What is it?", "model": {}},
        "heard_seconds": 7.0,
        "decoding": {"seed": 0},
        "tokens": 9,
    }
    model = {"name": "speaker", "files": {"a.gguf": {"bytes": 1, "sha256": "0"}}}
    measured = {"bpm": 120.0, "tonic": 9, "tonic_scale": "minor", "tonic_strength": 0.8}
    return fragment.assemble(texts, {"full": record, "short": record}, model, measured)


def _tags() -> dict[str, Any]:
    from mirflow.metadata import tags

    raw = {"artist": ["BjÃ¶rk", "  Êèíî - Ãðóïïà êðîâè "], "title": ["“A” – B²"], "year": ["(p) 1999"], "key": ["8A"]}
    found = tags.Tags()
    found.add("ID3v2", raw | {"bpm": ["127,5"], "isrc": ["is-a47-00-12345"], "language": ["ENG"], "album": ["unknown"]})
    return {"values": found.values, "repaired": found.repaired, "blocks": found.blocks}


def _fingerprint() -> dict[str, Any]:
    from mirflow.metadata import fingerprint

    words = fingerprint.words(fingerprint.compute(_music()))
    bits = np.unpackbits(words[:, None].view(np.uint8), axis=1)
    return {"words": len(words), "set": bits.sum(axis=1)}


def _lookup() -> dict[str, Any]:
    from mirflow.metadata import lookup

    number = "00000000-0000-0000-0000-00000000000"
    release = {"id": f"{number}2", "title": "Album", "date": "1999-05", "release-group": {"id": f"{number}3"}}
    recording = {
        "id": f"{number}1",
        "title": "Song (Remastered)",
        "length": 200400,
        "releases": [release],
        "artist-credit": [{"name": "Björk"}],
        "isrcs": ["ISA470012345"],
        "genres": [{"name": "pop", "count": 2}],
    }

    class Known:
        def musicbrainz(self, path: str, **_: str) -> dict:
            label = {"label-info": [{"label": {"name": "One Little Indian"}}]}
            found = {"recording": {"recordings": [recording]}, f"recording/{number}1": recording}
            return (found | {f"release/{number}2": label})[path]

    said = {"_artists": ["Bjork"], "track_metadata_title": "Song"}
    return lookup.look_up(said, {}, 201.0, Known(), by_sound=False)


def _duplicates() -> dict[str, Any]:
    from mirflow.metadata import duplicates, split

    random = np.random.default_rng(0)
    one, two = (random.integers(0, 1 << 32, 400, np.uint32) for _ in range(2))
    flips = np.uint32(1) << random.integers(0, 32, 400).astype(np.uint32)
    variants = {"copy": one ^ flips, "late": one[25:], "half": np.concatenate([one[:200], two[200:]]), "other": two}
    matches = {name: duplicates.compare(one, words) for name, words in variants.items()}
    words = {"one": one, **variants}
    pairs = {("one", name): match for name, match in matches.items() if match.kind}
    named = duplicates.groups(duplicates.Known({name: name for name in words}, words, pairs), {})
    tracks = {f"{n}": split.Track((f"Artist {n % 40}",), group="g" if n in (3, 4) else None) for n in range(200)}
    drawn = split.assign(tracks, split.Rule(validation=0.2, test=0.1), {})
    return {
        "matches": {name: [m.kind, m.similarity, m.offset, m.words, m.covered] for name, m in matches.items()},
        "groups": named,
        "split": " ".join(drawn[f"{n}"] for n in range(40)),
    }


def _alike() -> dict[str, Any]:
    from mirflow.labels.embedding import Patches
    from mirflow.metadata import alike

    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, f"{name}.npz") for name in "abcd"}
        for place, path in zip((5.0, 6.0, 7.0, -5.0), files.values(), strict=True):
            Patches((place * np.arange(8) + random.standard_normal((40, 8))).astype(np.float32), {}).save(path)
        return {" ".join(pair): similarity for pair, similarity in alike.relate(files, alike.Known()).pairs.items()}


def _info() -> dict[str, Any]:
    origin = {"feature": "tempo", "version": 1}
    existing = {"mine": 1, "bpm": 90.0, "_provenance": {"features": {"old": {"version": 1}}, "theirs": 2}}
    fragment = {"bpm": 120.0, "_internal": 3, "_provenance": origin}
    return {"text": artifacts.json_bytes(info.merge(existing, [fragment], {"source": {"rate": 44100}})).decode()}


def _timeseries() -> dict[str, Any]:
    from mirflow.timeseries import measure, same_chroma

    stems = {name: Audio(part, RATE) for name, part in _parts().items()}
    found = measure.measure(_music(), stems, _activations())
    found["same_chroma"] = same_chroma.series(_music())
    return {
        name: [
            series.unit,
            series.rate,
            *series.values.shape,
            _levels(series.values.reshape(-1, series.values.shape[-1]), 4)[:16],
        ]
        for name, series in found.items()
    }


def _choice(mode: str, **more: Any) -> Any:
    from mirflow.crops.plan import Choice

    return Choice(mode, length=16 * 4096, bars=1, **more)


def _crops() -> dict[str, Any]:
    from mirflow.crops import files, plan

    mix, grids = _music(), _grids()
    found = {}
    for mode in plan.MODES:
        for tail in plan.TAILS:
            choice = _choice(mode, tail=tail, hop_bars=int(tail == "pad"))
            made = plan.plan(mix, beats=grids["beats"], downbeats=grids["downbeats"], choice=choice)
            parts = [files.cut(mix, crop, RATE, mix.samples.shape[1]) for crop in made.crops]
            found[f"{mode} {tail}"] = {
                "crops": [[crop.start, crop.end, crop.length, crop.bars, int(crop.aligned)] for crop in made.crops],
                "left_out": [[part.start, part.end, part.reason] for part in made.left_out],
                "levels": [_levels(part.samples, 2) for part in parts],
                "edges": [float(np.abs(part.samples[:, [0, 20, -100, -1]]).sum()) for part in parts],
                "onsets": [files.cut_times(grids["onsets"], crop, RATE) for crop in made.crops],
            }
    return found


def _crops_png() -> dict[str, Any]:
    import matplotlib.image

    from mirflow.crops import plot
    from mirflow.crops.plan import Crop

    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "crops.png")
        grids = {name: times for name, times in _grids().items() if name != "onsets"}
        plot.draw(_music(), [Crop(RATE, 3 * RATE, 3 * RATE, 1, True)], picture, **grids)
        pixels = matplotlib.image.imread(picture)
    return {"shape": pixels.shape, "mean": [round(float(value), 2) for value in pixels.mean(axis=(0, 1))]}


def _crop_features() -> dict[str, Any]:
    from mirflow.crops import measure
    from mirflow.crops.plan import Crop

    inputs = {"full_mix": _music(), **{n: Audio(part, RATE) for n, part in _parts().items()}, **_grids()}
    crops = [Crop(RATE // 4, 3 * RATE, 4 * RATE, 1, True), Crop(4 * RATE, 8 * RATE, 4 * RATE, None, False)]
    found = measure.measure(["loudness", "tempo", "onsets"], crops, inputs, {})
    return {name: [{k: v for k, v in one.items() if k[0] != "_"} for one in of] for name, of in found.items()}


def _crop_info() -> dict[str, Any]:
    from mirflow.crops import info as crop_info
    from mirflow.crops.plan import Crop

    track = {"bpm": 120.0, "split": "train", "essentia_mood": {"happy": 0.5}, "lufs": -9.0, "_provenance": {}}
    existing = {"mine": 1, "lufs": -8.0, "lra": 3.0, "_provenance": {"theirs": 2}}
    own = crop_info.place(Crop(RATE, 3 * RATE, 4 * RATE, 1, True), RATE, 9 * RATE, "a/b")
    merged = crop_info.merge(
        existing,
        own=artifacts.to_json_values(own),
        fragments=[{"lufs": -10.0, "_provenance": {"feature": "loudness", "version": 1}}],
        track=track,
        records={"crop": {"mode": "bars"}},
    )
    return {"text": artifacts.json_bytes(merged).decode()}


@contextlib.contextmanager
def _results() -> Iterator[tuple[str, list[str]]]:
    """Give the results of three tracks, and their ids; the numbers are made up."""
    labels = {"essentia_genre": {"Electronic---House": 0.5}, "essentia_mood": {"dark": 0.3}}
    infos = {
        "One": {"bpm": 120.4, "lufs": -14.0, "tonic": 6, "tonic_scale": "minor", "tonic_strength": 0.9, **labels},
        "Two.x": {"bpm": None, "lufs": -9.0, "tonic": None, "tonic_scale": None, "tonic_strength": None},
        "Drei/Vier": {"bpm": 90.0, "lufs": -20.0, "lufs_vocals": None, "split": "validation"},
    }
    with tempfile.TemporaryDirectory() as folder:
        for (track, info), channels, rate in zip(infos.items(), (2, 1, 2), (RATE, RATE, 48000), strict=True):
            files = layout.track_files(folder, track)
            write(Path(files.full_mix), loop(1.0, rate, channels), rate)
            artifacts.write_json(files.info, {"lufs_vocals": -20.0, "true_peak": -1.0} | info)
        yield folder, list(infos)


def _export(target: str) -> dict[str, Any]:
    """Return what an export says of its items: all its files but the sounds, pages and programs."""
    settings = Settings(numbers=("bpm", "lufs"), prompts_per_item=2)
    with _results() as (results, tracks):
        place = Path(results, "export")
        build.build(target, targets.target(target), results, tracks, {}, settings, place)
        texts = {}
        for path in sorted(place.rglob("*")):
            if path.suffix == ".tar":
                with tarfile.open(path) as shard:
                    texts |= {
                        name: shard.extractfile(name).read() for name in shard.getnames() if name.endswith(".json")
                    }
            elif path.suffix in (".json", ".jsonl", ".txt", ".tsv") and path.name not in (tree.CONTENT, tree.REPORT):
                texts[path.relative_to(place).as_posix()] = path.read_bytes()
        return {name: text.decode().replace(str(place), "PLACE").splitlines() for name, text in texts.items()}


def _tables() -> dict[str, Any]:
    import pyarrow.parquet

    with _results() as (results, tracks):
        tables.write(
            results, dict.fromkeys([*tracks, "bad"], "source"), {"bad": "damaged"}, False, Path(results, "out")
        )
        return pyarrow.parquet.read_table(Path(results, "out", tables.LIBRARY)).to_pydict()


def _statistics() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    tracks = {f"track {index}": f"{index}.flac" for index in range(40)}
    with tempfile.TemporaryDirectory() as folder:
        for index, track in enumerate(tracks):
            bpm, lufs = rng.normal(120, 20), rng.normal(-14, 3)
            values = {
                "bpm": bpm,
                "bpm_essentia": bpm if index % 5 else None,
                "lufs": lufs if index else 30.0,
                "lra": 7.0,
            }
            artifacts.write_json(layout.track_files(folder, track).info, values | {"split": "train"})
        library = library_values.read(folder, tracks, {})
    content = statistics.build(library, statistics.Captions(128, len, exact=True))
    return {name: content[name] for name in ("findings", "keys", "correlation", "redundancy", "components")}


def _overview() -> dict[str, Any]:
    grids = {name: times for name, times in _grids().items() if name != "onsets"}
    stems = {name: Audio(part, RATE) for name, part in _parts().items()}
    measured = overview.measure(_music(), stems, crops=[(0.25, 4.25), (4.25, 7.0)], **grids)
    loudness = {name: _bytes(text)[::8] for name, text in measured["loudness"].items()}
    return measured | {
        "waveform": _bytes(measured["waveform"])[::60],
        "loudness": loudness,
        "chroma": _bytes(measured["chroma"]),
    }


def _bytes(text: str) -> list[int]:
    return list(base64.b64decode(text))


def _report() -> dict[str, Any]:
    values = {"bpm": [120.0, 90.0, None, 100.0], "lufs": [-14.0, -9.0, -20.0, -11.0], "lra": [5.0, 5.0, 5.0, 5.0]}
    with tempfile.TemporaryDirectory() as folder:
        files = layout.track_files(folder, "a/One")
        texts = {"music_flamingo_full": "A waltz.", "music_flamingo_model": "m"}
        artifacts.write_json(files.info, {"bpm": 120.0, "essentia_genre": {"House": 0.2, "Techno": 0.7}, **texts})
        artifacts.write_json(files.overview, {"seconds": 2.0})
        artifacts.write_bytes(files.full_mix, b"")
        return {"map": library_map.of_numbers(values), "details": details.of_track(folder, "a/One", "mp3")}


COMPUTE: dict[str, Callable[[], Any]] = {
    "full_mix": _full_mix,
    "stems_embedded": _stems_embedded,
    "stems_demucs": _trained(("drums", "bass", "other", "vocals")),
    "stems_roformer": _trained(("bass", "drums", "other", "vocals", "guitar", "piano")),
    "stems_scnet": _trained(("drums", "bass", "other", "vocals")),
    "drum_stems": _drum_stems,
    "stem_files": _stem_files,
    "beat_activations_embedded": _beats_embedded,
    "beat_activations_beat_this": _beats_this,
    "beats_grid": _grid("beats"),
    "downbeats": _grid("downbeats"),
    "onsets": _onsets,
    "full_mix_instrumental": _full_mix_instrumental,
    "beats_wav": _beats_wav,
    "beats_png": _beats_png,
    "drum_activations_embedded": _drums_embedded,
    "drum_activations_adtof": _drum_activations,
    "drum_notes": _read_drum_notes,
    "bass_notes": _bass_notes,
    "bass_mid": _bass_mid,
    "drums_wav": _drums_wav,
    "drums_png": _drums_png,
    "drums_mid": _drums_mid,
    "embedding": _embedding,
    "embedding_clap": _clap,
    "embedding_muq": _muq,
    "feature_head": _head,
    "describe_gguf": _describe,
    "describe_transformers": _describe,
    "condense": _describe,
    "texts": _texts,
    "tags": _tags,
    "fingerprint": _fingerprint,
    "lookup": _lookup,
    "duplicates": _duplicates,
    "alike": _alike,
    "info": _info,
    "timeseries": _timeseries,
    "crops": _crops,
    "crop_features": _crop_features,
    "crop_info": _crop_info,
    "crops_png": _crops_png,
    "tables": _tables,
    "statistics": _statistics,
    "overview": _overview,
    "report": _report,
}


def differences(before: Any, now: Any, place: str = "") -> list[str]:
    """Return where two values differ by more than rounding, a line each."""
    if isinstance(before, dict) and isinstance(now, dict) and list(before) == list(now):
        return [line for key in before for line in differences(before[key], now[key], f"{place}.{key}".lstrip("."))]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        return [line for i, pair in pairs for line in differences(*pair, f"{place}[{i}]")]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, now))
    if numbers and math.isclose(before, now, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
        return []
    return [] if not numbers and before == now else [f"{place}: {before!r} → {now!r}"]


def moved(kind: str, stored: dict[str, Any], now: Any) -> list[str]:
    """Return which values of a kind moved while its version did not."""
    if kind not in stored or stored[kind]["version"] != identity.declared_version(kind):
        return []
    return differences(stored[kind]["values"], now)


def main() -> int:
    """Renew what is stored; return the exit status."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    computed = {kind: compute(kind) for kind in kinds()}
    wrong = {kind: lines for kind in computed if (lines := moved(kind, stored, computed[kind]))}
    for kind, lines in wrong.items():
        print(f"{kind}: values moved, and the version is still {identity.declared_version(kind)}; raise it in "
              f"mirflow.{identity.modules(kind)[0]}", *lines[:5], sep="\n    ", file=sys.stderr)  # fmt: skip
    if wrong:
        return 1
    now = {kind: {"version": identity.declared_version(kind), "values": values} for kind, values in computed.items()}
    # What is equal but for rounding stays as it was: the file changes where something has changed.
    kept = {k: stored[k] if k in stored and stored[k]["version"] == now[k]["version"] else now[k] for k in now}
    artifacts.write_bytes(STORED, artifacts.json_bytes(kept))
    versions = identity.read_versions()
    hashes = {module: one for kind in kinds() for module, one in identity.code(kind).items()}
    listed = {module: set(known) for module, known in versions["modules"].items()}
    for module, one in hashes.items():
        listed.setdefault(module, set()).add(one)
    versions["kinds"] = {kind: identity.declared_version(kind) for kind in kinds()}
    versions["modules"] = {module: sorted(listed[module]) for module in sorted(listed)}
    artifacts.write_bytes(identity.VERSIONS, artifacts.json_bytes(versions))
    print(f"{len(kept)} kinds of artifacts and {len(hashes)} modules are recorded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
