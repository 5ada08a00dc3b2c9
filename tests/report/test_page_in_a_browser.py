"""The page as a reader meets it, in headless Chromium without a connection. Its Python is tested in test_page.py."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import CHROMIUM, Browser, browser
from test_page import HOSTILE, library

from mirflow.core import artifacts, layout
from mirflow.report.page import build

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
VIEWS = ("decisions", "numbers", "correlation", "map", "labels", "pairs", "tracks")
TRACK = "track/Album/Song%201"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    results = tmp_path_factory.mktemp("results") / "with #, % and é"
    content = library(results, 25)
    for name in ("full_mix.flac", "drums.wav"):
        path = Path(results, HOSTILE, name)
        soundfile.write(path, np.zeros((8000, 1)), 8000)
    artifacts.write_bytes(layout.report(str(results)), build.of_library(content, str(results), "wav"))
    return Path(layout.report(str(results)))


@pytest.fixture(scope="module")
def reader():
    with browser() as one:
        yield one


@pytest.fixture(autouse=True)
def no_complaint(reader: Browser):
    """No view may ask for anything but this file and the sounds beside it, fail, or run what stands in a text."""
    reader.size(1280)
    yield
    asked = [url for url in reader.requested if not url.startswith(("file:", "data:", "about:", "blob:"))]
    assert not asked and not reader.complaints
    assert reader.run("document.title").endswith("– mirflow report")


def test_every_view_fits_on_a_narrow_screen(reader: Browser, page: Path):
    reader.size(320)
    reader.open(page)
    for view in (*VIEWS, TRACK):
        reader.go(view)
        assert reader.run("document.documentElement.scrollWidth") == 320, view
        assert reader.run("document.querySelectorAll('h1').length") == 1


def test_charts_are_drawn_when_they_are_seen_and_say_what_they_show(reader: Browser, page: Path):
    reader.open(page, "numbers")
    reader.wait("document.querySelectorAll('.chart svg').length > 2")
    said = reader.run("[...document.querySelectorAll('.chart svg')].map(svg => svg.getAttribute('aria-label'))")
    assert (
        "Histogram of bpm: 25 tracks, median 112, 99 % between 100.1 and 123.9; range of the conditioner 40 to 300"
        in said
    )
    assert all(said) and reader.run("document.querySelectorAll('[role=img]').length") == len(said)
    reader.go(TRACK)
    reader.wait("document.querySelector('canvas') && document.querySelectorAll('.chart svg').length >= 2")


def test_the_table_filters_sorts_and_saves_the_list(reader: Browser, page: Path, tmp_path: Path):
    reader.open(page, "tracks")
    reader.click("#where")
    for letter in "bpm >= 105 and lufs != null":
        reader.press(letter)
    assert reader.run("document.querySelector('[role=status]').textContent") == "20 of 25 tracks"
    reader.click("th:nth-child(3) button")
    reader.press("Enter", 13)  # the button has the focus: once more
    assert reader.run("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"
    assert reader.run("document.querySelector('tbody th').textContent") == "Album/Song 24"
    saved = saved_list(reader, tmp_path)
    assert saved.splitlines() == [f"Album/Song {number}" for number in range(24, 4, -1)]
    reader.press("x")
    reader.run("where.value = 'bpn > 3'; where.dispatchEvent(new Event('input'))")
    assert "Did you mean bpm?" in reader.run("document.querySelector('#trouble').textContent")
    assert reader.run("document.querySelectorAll('tbody tr').length") == 20, "the table stays"


def saved_list(reader: Browser, folder: Path) -> str:
    reader.save_to(folder)
    reader.click(".controls button")
    end = time.monotonic() + 30
    while not (folder / "tracks.txt").exists():
        reader.run("0")
        assert time.monotonic() < end
        time.sleep(0.02)
    return (folder / "tracks.txt").read_text()


def test_a_filter_is_a_part_of_the_address(reader: Browser, page: Path):
    reader.open(page, "tracks?where=" + "tonic_scale%20%3D%3D%20%22minor%22" + "&by=bpm&down=yes")
    assert reader.run("document.querySelector('[role=status]').textContent") == "12 of 25 tracks"
    assert reader.run("document.querySelector('tbody th').textContent") == "Album/Song 23"


def test_a_track_with_a_hostile_name_is_heard_and_its_texts_are_texts(reader: Browser, page: Path):
    reader.open(page, "tracks")
    reader.click("tbody tr:first-child a")
    reader.wait("document.querySelector('h1').textContent !== 'Tracks'")
    assert reader.run("document.querySelector('h1').textContent") == HOSTILE
    assert "<svg onload=document.title=3> number 0 ]]>" in reader.run("document.querySelector('main').textContent")
    assert reader.run("document.querySelectorAll('main img, main b').length") == 0
    assert reader.run("[...document.querySelectorAll('.choices label')].map(e => e.textContent)") == ["Mix", "Drums"]
    reader.run("document.querySelector('audio').load(); document.querySelector('audio').preload = 'metadata'")
    reader.wait("document.querySelector('audio').duration === 1")
    reader.click(".choices label:nth-of-type(2) input")
    reader.run("document.querySelector('audio').load()")
    reader.wait(
        "document.querySelector('audio').src.endsWith('drums.wav') && document.querySelector('audio').duration === 1"
    )


def test_a_sound_that_is_not_there_is_said(reader: Browser, page: Path):
    reader.open(page, TRACK)
    reader.run("document.querySelector('audio').load(); document.querySelector('audio').preload = 'metadata'")
    reader.wait(
        "document.querySelector('.player [role=alert]').textContent.includes('keep report.html in the directory')"
    )
    reader.complaints.clear()  # the browser says as well that there is no such file


def test_dark_is_dark(reader: Browser, page: Path):
    reader.size(1280, dark=True)
    reader.open(page)
    colours = reader.run(
        "[getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(document.body).color]"
    )
    dark, light = (sum(map(int, colour[4:-1].split(", "))) for colour in colours)
    assert dark < 150 and light > 600


def test_filters_mean_the_same_as_in_python(reader: Browser, page: Path):
    cases = json.loads(Path(__file__).with_name("filter_cases.json").read_text())
    reader.open(page)
    reader.run(f"globalThis.asked = {json.dumps(cases)}")
    answers = reader.run(
        """asked.cases.map(({ expression }) => {
            try {
                return condition(expression, Object.keys(asked.row), key => row => row[key])(asked.row);
            } catch (error) {
                return error instanceof FilterError ? "error" : String(error);
            }
        })"""
    )
    wrong = [(case, answer) for case, answer in zip(cases["cases"], answers, strict=True) if answer != case["answer"]]
    assert len(answers) > 50 and not wrong


@pytest.mark.parametrize("text", ["(" * 9000 + "bpm" + ")" * 9000, "not " * 9000 + "bpm", "'" + "\\" * 9001])
def test_a_filter_that_is_too_deep_is_an_error(reader: Browser, page: Path, text):
    reader.open(page)
    asked = f"condition({json.dumps(text)}, ['bpm'], () => () => 1)(0)"
    script = f"try {{ {asked} }} catch (error) {{ error instanceof FilterError }}"
    assert reader.run(script) is True
