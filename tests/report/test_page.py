"""The page of a library: what is drawn of a track, that texts stay texts, what the file asks for, what fits into it."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mirflow.commands import overview as command
from mirflow.core import artifacts, layout
from mirflow.core.audio import Audio
from mirflow.report import build as statistics
from mirflow.report import values
from mirflow.report.page import build, details, overview
from mirflow.report.page import map as library_map

RATE = 22050
HOSTILE = '<img src=x onerror="document.title=1"> #1 50%? "é"'


def coded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8)


def measured(samples: np.ndarray, rate: int = RATE, **more: object) -> dict:
    sound = Audio(samples.astype(np.float32), rate)
    grids = {"beats": np.zeros(0), "downbeats": np.zeros(0)} | more
    return overview.measure(sound, dict.fromkeys(layout.STEMS, sound), **grids)


def test_the_pictures_of_a_tone_and_silence_are_known():
    time = np.arange(20 * RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * time) * (time < 10)
    found = measured(tone[None])
    assert found["seconds"] == 20 and found["peak"] == pytest.approx(0.5, abs=1e-3)
    waveform = coded(found["waveform"])
    assert len(waveform) == overview.WAVEFORM and (waveform[:590] > 250).all() and not waveform[610:].any()
    # A sine of amplitude 0.5 has a mean square of -9.03 dB; the K-weighting adds next to nothing at 440 Hz.
    loudness = coded(found["loudness"]["drums"]) * overview.LUFS_STEP + overview.LOWEST_LUFS
    assert loudness[30] == pytest.approx(-0.691 - 9.03, abs=0.6) and (loudness[145:] == overview.LOWEST_LUFS).all()
    levels = np.stack([coded(found["chroma"]) >> 4, coded(found["chroma"]) & 15], axis=1).reshape(-1, 12)
    first, last = levels[: len(levels) // 2 - 3], levels[len(levels) // 2 + 4 :]
    assert (first[:, 9] == overview.CHROMA_LEVELS).all() and np.delete(first, 9, axis=1).max() <= 1
    assert not last.any()


def test_times_are_exact_to_a_hundredth_however_many_they_are():
    beats = np.cumsum(np.random.default_rng(0).uniform(0.3, 0.7, 1400))
    found = measured(np.zeros((1, RATE)), beats=beats, downbeats=beats[::4], crops=[(0.5, 2.25), (2.25, 4.0)])
    assert np.abs(np.cumsum(found["beats"]) / 100 - beats).max() <= 0.005001
    assert np.abs(np.cumsum(found["downbeats"]) / 100 - beats[::4]).max() <= 0.005001
    assert found["crops"] == [50, 225, 225, 400]
    assert measured(np.zeros((1, RATE)), beats=np.arange(2000.0))["beats"] == []


@pytest.mark.parametrize("samples", [0, 1, 1000])
@pytest.mark.parametrize("channels", [1, 6])
def test_the_shortest_sounds_have_pictures(samples, channels):
    found = measured(np.full((channels, samples), 0.1))
    json.dumps(artifacts.to_json_values(found), allow_nan=False)
    assert len(coded(found["waveform"])) == samples if samples < overview.WAVEFORM else True


def test_a_track_of_five_minutes_takes_at_most_8_kb():
    noise = np.random.default_rng(0).standard_normal((1, 300 * 8000)) * 0.1
    beats = np.arange(0, 300, 0.487)
    crops = [(start, start + 7.8) for start in np.arange(0, 290, 7.8)]
    found = measured(noise, 8000, beats=beats, downbeats=beats[::4], crops=crops)
    assert len(json.dumps(artifacts.to_json_values(found), separators=(",", ":"))) <= 8192


def test_a_sound_that_cannot_be_read_is_said_and_keeps_no_report_from_being_made(tmp_path):
    (tmp_path / "full_mix.flac").write_bytes(b"no sound")
    from argparse import ArgumentParser

    parser = ArgumentParser()
    command.configure(parser)
    files = [str(tmp_path / f"{name}.mp3") for name in layout.STEMS]
    mix, out = str(tmp_path / "full_mix.flac"), str(tmp_path / "overview.json")
    command.run(parser.parse_args([mix, "--stems", *files, "--beats", "b", "--downbeats", "d", "-o", out]))
    assert "full_mix.flac: cannot be read" in artifacts.read_json(out)["failed"]


# The page


def library(results: Path, count: int = 3) -> dict:
    """Write the artifacts of some tracks, the first of which has a hostile name; return the statistics."""
    rng = np.random.default_rng(0)
    tracks = {HOSTILE: "/music/x.flac"} | {
        f"Album/Song {number}": f"/music/{number}.flac" for number in range(1, count)
    }
    for number, track in enumerate(tracks):
        files = layout.track_files(str(results), track)
        info = {
            "bpm": 100.0 + number,
            "lufs": float(rng.normal(-14, 3)) if number != 1 else None,
            "lra": float(rng.uniform(3, 9)),
            "tonic": number % 12,
            "tonic_scale": "minor" if number % 2 else "major",
            "track_metadata_title": "</script><script>document.title=2</script>",
            "essentia_genre": {"<b>House</b>": 0.7, "Techno": 0.2},
            "music_flamingo_full": f"<svg onload=document.title=3> number {number} ]]>",
            "_provenance": {"source": {"source": tracks[track], "duration": 4.0}},
        }
        artifacts.write_json(files.info, info)
        samples = np.sin(np.arange(4 * 8000))[None] * 0.2
        found = measured(samples, 8000, beats=np.arange(0, 4, 0.5), downbeats=np.arange(0, 4, 2.0), crops=[(0, 2)])
        artifacts.write_json(files.overview, found)
    read = values.read(str(results), tracks, {})
    return statistics.build(read, statistics.Captions(128, len, exact=True))


class Elements(HTMLParser):
    """Collects the elements of a page with their attributes, and what scripts hold."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict]] = []
        self.scripts: list[tuple[dict, str]] = []
        self.policy = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if dict(attrs).get("http-equiv"):
            self.policy = dict(attrs)["content"]

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict]:
    results = tmp_path_factory.mktemp("results")
    content = library(results)
    artifacts.write_bytes(layout.report(str(results)), build.of_library(content, str(results)))
    return results, content


def test_nothing_from_files_becomes_a_part_of_the_page(made):
    results, content = made
    page = Elements(Path(layout.report(str(results))).read_text())
    plain = [text for attributes, text in page.scripts if not attributes]
    assert [attributes.get("id") for attributes, _ in page.scripts] == [
        "page",
        "statistics",
        "details",
        *[None] * len(plain),
    ]
    assert {tag for tag, _ in page.found} & {"img", "svg", "b", "iframe", "object", "link"} == set()
    held = {attributes["id"]: text for attributes, text in page.scripts if attributes}
    assert json.loads(held["statistics"]) == json.loads(json.dumps(content))
    lines = [json.loads(line) for line in held["details"].split("\n")]
    assert [line["texts"]["music_flamingo_full"] for line in lines] == [
        f"<svg onload=document.title=3> number {number} ]]>" for number in range(3)
    ]
    assert lines[0]["labels"] == {"essentia_genre": {"<b>House</b>": 0.7, "Techno": 0.2}}


def test_the_policy_allows_the_scripts_of_the_package_and_no_request(made):
    results, _ = made
    text = Path(layout.report(str(results))).read_text()
    page = Elements(text)
    rules = dict(rule.split(" ", 1) for rule in page.policy.split("; "))
    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for attributes, script in page.scripts
        if not attributes
    }
    assert rules["default-src"] == "'none'" and set(rules["script-src"].split()) == hashes
    assert not any("http" in allowed or "*" in allowed for allowed in rules.values())
    attributes = [(name, value or "") for _, found in page.found for name, value in found.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name == "srcset"]
    assert not [value for name, value in attributes if "//" in value and name != "content"]
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style


def test_the_vendored_files_are_those_that_their_readme_names():
    readme = (build.HERE / "vendor" / "README.md").read_text()
    for name in build.VENDORED:
        digest = hashlib.sha256((build.HERE / "vendor" / name).read_bytes()).hexdigest()
        assert re.search(rf"\| {re.escape(name)} .*\| {digest} \|", readme), name


def test_names_that_are_no_utf8_stay_what_they_are():
    track = b"caf\xe9".decode(errors="surrogateescape")
    text = build.embedded({"track": track})
    assert json.loads(text.encode(errors="backslashreplace")) == {"track": track}


def test_functions_of_the_scripts_have_names_of_their_own():
    names = [
        name
        for path in (build.HERE / "js").glob("*.js")
        for name in re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", path.read_text(), re.MULTILINE)
    ]
    assert len(names) > 40 and sorted(set(names)) == sorted(names)


def test_what_does_not_fit_is_a_sample_that_has_what_findings_name():
    sizes = {f"track {number}": 10 for number in range(100)}
    assert details.chosen(sizes, [], most=1000) == set(sizes)
    kept = details.chosen(sizes, ["track 3", "track 97"], most=200)
    assert len(kept) == 20 and {"track 3", "track 97"} <= kept
    places = sorted(int(track.split()[1]) for track in kept)
    assert max(np.diff(places)) <= 8, "evenly spread"


def test_a_sample_is_said_on_the_page(made, monkeypatch):
    results, content = made
    monkeypatch.setattr(details.chosen, "__defaults__", (3000,))
    page = Elements(build.of_library(content, str(results)).decode())
    held = {attributes["id"]: text for attributes, text in page.scripts if attributes}
    shown = [line for line in held["details"].split("\n") if line]
    assert (
        0 < len(shown) < 3
        and f"of all 3 tracks would make the page too large, so it holds those of {len(shown)}" in held["page"]
    )


# The map


def test_tracks_that_measure_alike_lie_near_each_other():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 20)
    columns = {f"key {n}": (5 * n + 3 * group + rng.standard_normal(40)).tolist() for n in range(6)}
    columns["constant"] = [0.1] * 40
    columns["often null"] = [None] * 38 + [1.0, 2.0]
    found = library_map.of_numbers(columns)
    x = np.array(found["x"])
    assert found["rows"] == list(range(40)) and "7 standardised numbers" in found["says"]
    assert x[group == 0].max() < x[group == 1].min() or x[group == 1].max() < x[group == 0].min()
    assert found == library_map.of_numbers(columns)


@pytest.mark.parametrize(
    "columns", [{}, {"a": []}, {"a": [1.0, 2.0], "b": [2.0, 1.0]}, {"a": [1.0] * 9, "b": [None] * 9}]
)
def test_there_is_no_map_of_too_little(columns):
    assert library_map.of_numbers(columns) is None
