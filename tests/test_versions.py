"""What makes an artifact out of date: its version, edits that no release knows, its settings, and nothing else."""

import base64
import json
import re
import shutil
from pathlib import Path

import pytest

import known_values
from conftest import copy_project, jobs, loop, run_snakemake, write
from mirflow import features
from mirflow.core import identity, layout
from mirflow.core.layout import GRIDS, track_files

STORED = json.loads(known_values.STORED.read_text())
RELEASED = identity.read_versions()


@pytest.mark.parametrize("kind", sorted(STORED))
def test_the_values_of_a_version_do_not_move(kind):
    if kind in (
        "stems_demucs",
        "stems_roformer",
        "stems_scnet",
        "drum_stems",
        "beat_activations_beat_this",
        "drum_activations_adtof",
        "feature_audiobox",
        "embedding_clap",
        "embedding_muq",
    ):
        pytest.importorskip("torch")
    wrong = known_values.moved(kind, STORED, known_values.compute(kind))
    assert not wrong, f"values of {kind} moved while its version did not: raise it, then `make versions`"


def test_every_kind_has_known_values_of_its_version():
    assert set(identity.KINDS) <= set(STORED) == set(RELEASED["kinds"])
    for kind, version in RELEASED["kinds"].items():
        assert STORED[kind]["version"] == version == identity.declared_version(kind), f"{kind}: run `make versions`"


def test_the_modules_of_this_release_are_listed():
    unknown = {
        m for kind in RELEASED["kinds"] for m, one in identity.code(kind).items() if one not in identity.released()
    }
    assert not unknown, f"changed since `make versions`: {', '.join(sorted(unknown))}"


def test_values_that_moved_are_seen_and_rounding_is_not():
    stored = {"onsets": {"version": identity.declared_version("onsets"), "values": {"times": [1.0, 2.0], "name": "x"}}}
    assert known_values.moved("onsets", stored, {"times": [1.0001, 2.0], "name": "x"}) == []
    assert known_values.moved("onsets", stored, {"times": [1.0, 2.01], "name": "x"}) == ["times[1]: 2.0 → 2.01"]
    assert len(known_values.moved("onsets", stored, {"times": [1.0], "name": "y"})) == 2
    stored["onsets"]["version"] = 0  # another version may have other values
    assert known_values.moved("onsets", stored, {"times": [], "name": "x"}) == []


# --- What counts as another meaning of a module -----------------------------------------------------------------------

MODULE = '''"""Docstring."""
from mirflow.core import audio
from mirflow.core.audio import Audio

VERSION = 3  # a comment
LIMIT = 2.0


def f(x: int, *, y: float = 1.0) -> float:
    """Do it."""
    return audio.resample(x, LIMIT) + y
'''
SAME = {
    "comments": ("# a comment", "# another\n# and one more"),
    "docstrings": ('"""Do it."""', '"""Do it otherwise\n\n    and longer."""'),
    "formatting": ("f(x: int, *, y: float = 1.0)", "f(\n    x: int,\n    *,\n    y: float = 1.0,\n)"),
    "annotations": ("x: int", "x: 'np.ndarray'"),
    "a moved module": ("from mirflow.core import audio\n", "from mirflow import audio as audio\n"),
    "a renamed module": ("audio.resample(", "sound.resample(", "import audio\n", "import sound\n"),
    "quotes and brackets": ("return audio.resample(x, LIMIT) + y", "return (audio.resample(x, LIMIT)) + y"),
}
OTHER = {
    "a constant": ("LIMIT = 2.0", "LIMIT = 2.1"),
    "a default": ("y: float = 1.0", "y: float = 2.0"),
    "an operation": (") + y", ") - y"),
    "another function": ("audio.resample(", "audio.decode("),
    "a keyword argument": ("*, y", "y"),
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one's own; returns what reads a module of it anew."""
    monkeypatch.setattr(identity, "PACKAGE", tmp_path)
    monkeypatch.setattr(identity, "NOTES", tmp_path / "notes.json")

    def read(text: str, name: str = "module", **data: bytes) -> identity.Module:
        for file in ("core/__init__.py", "core/audio.py", "core/sound.py", "audio.py", "sound.py"):
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).touch()
        (tmp_path / f"{name}.py").write_text(text)
        for suffix, content in data.items():
            (tmp_path / f"{name}.{suffix}").write_bytes(content)
        identity.read.cache_clear()
        identity._notes.cache_clear()
        return identity.read(name)

    yield read
    identity.read.cache_clear()
    identity._notes.cache_clear()


def edited(change: tuple[str, ...]) -> str:
    text = MODULE
    for before, after in zip(change[::2], change[1::2], strict=True):
        assert before in text
        text = text.replace(before, after)
    return text


@pytest.mark.parametrize("change", SAME)
def test_it_does_not_count(package, change):
    assert package(edited(SAME[change])).meaning == package(MODULE, "elsewhere").meaning


@pytest.mark.parametrize("change", OTHER)
def test_it_counts(package, change):
    assert package(edited(OTHER[change])).meaning != package(MODULE, "elsewhere").meaning


def test_data_beside_a_module_counts_and_versions_are_read(package):
    first = package(MODULE, npz=b"1")
    assert first.version == 3 and first.imports == ["core.audio"]
    assert package(MODULE, npz=b"2").meaning != first.meaning
    assert package('FEATURE = Feature(name="x", version=7)', "feature").version == 7
    assert package('FEATURE = Feature("x", 8)', "feature").version == 8


def test_edits_add_to_the_version_until_they_are_released(monkeypatch):
    known = identity.version("onsets")
    assert known == str(identity.declared_version("onsets"))
    one = identity.code("onsets")["dsp.onsets"]
    monkeypatch.setattr(identity, "released", lambda: frozenset(RELEASED_HASHES - {one}))
    identity.version.cache_clear()
    assert identity.version("onsets") == f"{known} {one}"
    monkeypatch.undo()
    identity.version.cache_clear()
    assert identity.unify(f"{known} {one}") == known and identity.unify(f"{known} abc") == f"{known} abc"


RELEASED_HASHES = set(identity.released())


# --- The table: what is changed, and what is out of date then ---------------------------------------------------------

FEATURES = {feature.name: feature for feature in features.built_in()}


def downstream(*files: str) -> set[str]:
    """Return the rules of a default run that are made from these files of a track, directly or not, and `info`."""
    track = track_files("r", "T")
    made = {  # rule → inputs, outputs
        "fingerprint": ([track.full_mix], [track.metadata("fingerprint")]),
        "stems": ([track.full_mix], list(track.stems.values())),
        "beat_activations": ([track.full_mix], [track.beat_activations]),
        "beats_grid": ([track.beat_activations], [track.grid("beats")]),
        "downbeats": ([track.beat_activations], [track.grid("downbeats")]),
        "onsets": ([track.full_mix], [track.grid("onsets")]),
        "drum_activations": ([track.stem("drums"), track.full_mix], [track.drum_activations]),
        "drum_notes": ([track.drum_activations, track.stem("drums")], [track.drum_notes]),
        "drums_mid": ([track.drum_notes, track.grid("beats"), track.grid("downbeats")], [track.drums_midi]),
        **{f"feature_{n}": ([track.input(i) for i in f.inputs], [track.fragment(n)]) for n, f in FEATURES.items()},
    }
    stale, found = set(files), {"info"}
    for _ in made:
        for rule, (inputs, outputs) in made.items():
            if stale & set(inputs):
                stale |= set(outputs)
                found.add(rule)
    return found


TRACK = track_files("r", "T")
# What is changed in which module → what is out of date with it, beside `info`.
EDITS = {
    "library/full_mix.py": {"full_mix", "tags"} | downstream(TRACK.full_mix),
    "stems/embedded.py": {"stems"} | downstream(*TRACK.stems.values()),
    "stems/mp3.py": {"stems"} | downstream(*TRACK.stems.values()),
    "dsp/separation/channels.py": {"stems"} | downstream(*TRACK.stems.values()),
    "rhythm/embedded.py": {"beat_activations"} | downstream(TRACK.beat_activations),
    "dsp/beats/viterbi.py": {"beats_grid", "downbeats"} | downstream(TRACK.grid("beats"), TRACK.grid("downbeats")),
    "transcribe/embedded.py": {"drum_activations"} | downstream(TRACK.drum_activations),
    "rhythm/decoders.py": {"beats_grid", "downbeats"} | downstream(TRACK.grid("beats"), TRACK.grid("downbeats")),
    "dsp/onsets.py": {"onsets", "feature_onsets", "feature_per_stem_rhythm"} | downstream(TRACK.grid("onsets")),
    "dsp/timbral/kernels.py": {"feature_timbral"},
    **{f"features/{name}.py": {f"feature_{name}"} for name in FEATURES},
    "metadata/tags.py": {"tags"},
    "metadata/fingerprint.py": {"fingerprint"},
    "info.py": set(),
    "describe/conflicts.py": None,
    "stems/demucs.py": None,
    "commands/stems.py": None,
    "warm/server.py": None,
    "workflow/settings.py": None,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A copy of the project, and a track that it made; returns what plans again, and the copy."""
    root = tmp_path_factory.mktemp("staleness")
    project = copy_project(root / "project")
    write(root / "music/T.wav", loop(3))
    done = run_snakemake(cwd=project, library=root / "music", results=root / "r")
    assert done.returncode == 0, done.stdout

    def planned(**config: object) -> set[str]:
        return set(jobs(run_snakemake("-n", cwd=project, library=root / "music", results=root / "r", **config).stdout))

    assert planned() == set()
    return planned, project / "scripts/mirflow"


@pytest.mark.parametrize("module", EDITS)
def test_an_edit_makes_exactly_what_depends_on_it_out_of_date(made, module):
    planned, package = made
    path: Path = package / module
    text = path.read_text()
    try:
        path.write_text(f"{text}\n\nEDITED = True\n")
        expected = EDITS[module]
        assert planned() == (set() if expected is None else expected | {"info"})
    finally:
        path.write_text(text)


def test_an_upgrade_that_moves_and_rewrites_without_other_values_makes_nothing_out_of_date(made):
    """A module gets another place and another text, and `make versions` has found its values equal."""
    planned, package = made
    path, versions = package / "dsp/onsets.py", package / "versions.json"
    text, listed = path.read_text(), versions.read_text()
    try:
        path.write_text(f"{text}\n\nREWRITTEN = True\n")
        assert planned() >= {"onsets"}
        new = next((h for h in _hashes(package) if h not in RELEASED_HASHES), None)
        content = json.loads(listed)
        content["modules"]["dsp.onsets"].append(new)
        versions.write_text(json.dumps(content))
        assert planned() == set()
    finally:
        path.write_text(text)
        versions.write_text(listed)


def _hashes(package: Path) -> set[str]:
    """Return the hash of the module of onsets, as the copy of the project reads it."""
    noted = json.loads((package / "__pycache__/identity.json").read_text())
    return {noted[str(package / "dsp/onsets.py")][1]}


@pytest.mark.parametrize(
    ("config", "stale"),
    [
        ({"stems": "{bitrate: 128}"}, {"stems"} | downstream(*TRACK.stems.values())),
        ({"beats": "{decoder: peaks}"}, EDITS["rhythm/decoders.py"]),
        ({"max_minutes": 60}, None),
        ({"warm": "false"}, None),
        ({"skip": "[chroma]"}, set()),
        ({"beats": "{device: cpu}"}, None),
        ({"transcribe": "{device: cpu}"}, None),
        ({"transcribe": "{thresholds: {snare: 0.9}}"}, {"drum_notes"} | downstream(TRACK.drum_notes)),
        ({"transcribe": "{drums: none, thresholds: {snare: 0.5}, quantise: 4}"}, set()),  # without drums
        (
            {"transcribe": "{drums: adtof, quantise: 4, bass: pyin}"},
            {
                "bass_notes",
                "bass_mid",
                "drum_activations",
                "drum_notes",
                "drums_mid",
                "drums_quantised_mid",
                "feature_drums",
                "model_file_adtof_frame_rnn_pytorch_weights_pth",
            },
        ),
    ],
)
def test_a_setting_makes_exactly_what_it_decides_out_of_date(made, config, stale):
    planned, _ = made
    assert planned(**config) == (set() if stale is None else stale | {"info"})


def test_the_records_lie_with_the_results_wherever_these_are(made, tmp_path):
    """Another checkout, and results that were moved: what is up to date stays so, what is not is seen."""
    _, package = made
    root = package.parents[2]
    moved = tmp_path / "moved"
    (root / "r").rename(moved)
    try:
        other = copy_project(tmp_path / "other checkout")

        def planned(**config: object) -> set[str]:
            done = run_snakemake("-n", cwd=other, library=root / "music/T.wav", results=moved, **config)
            return set(jobs(done.stdout))

        assert planned() == set()
        assert planned(beats="{decoder: peaks}") == EDITS["rhythm/decoders.py"] | {"info"}
    finally:
        moved.rename(root / "r")


@pytest.mark.parametrize("where", ["working directory", "results"])
def test_records_of_earlier_versions_still_count(made, where):
    """0.1.0 left them in the working directory, under the paths that were given; later each artifact had a file."""
    planned, package = made
    results, metadata = package.parents[2] / "r", package.parents[1] / ".snakemake/metadata"
    folder = Path(layout.own(str(results), layout.RECORDS)) if where == "results" else metadata
    merged = results / ".mirflow/merged"
    for path in merged.rglob("records.json"):
        for artifact, record in json.loads(path.read_text()).items():
            output = artifact if where == "results" else f"{results}/{artifact}"
            name = base64.urlsafe_b64encode(output.encode()).decode()
            parts = [f"@{part}" for part in re.findall(".{254}(?=.)", name)]
            target = folder.joinpath(*parts, name[len(parts) * 254 :])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(record))
        path.rename(path.with_name("away"))
    try:
        assert planned() == set()
        assert planned(beats="{decoder: peaks}") == EDITS["rhythm/decoders.py"] | {"info"}
    finally:
        shutil.rmtree(folder)
        for path in merged.rglob("away"):
            path.rename(path.with_name("records.json"))


def test_every_grid_is_in_the_table():
    assert {rule for rules in EDITS.values() for rule in rules or ()} >= {"beats_grid", "downbeats", "onsets"}
    assert set(GRIDS) == {"beats", "downbeats", "onsets"}
