"""The demo pieces are what their program makes, and are what it says they are."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mirflow.core import audio
from mirflow.rhythm import decoders, embedded

DEMO = Path(__file__).parent.parent / "demo"


@pytest.fixture(scope="module")
def made() -> dict:
    """Return name → (piece, int16 samples [n, 2]), made anew."""
    pieces = runpy.run_path(str(DEMO / "make_demo.py"))["PIECES"]
    return {name: make() for name, make in pieces.items()}


def test_the_flac_is_what_the_program_makes(made):
    committed, rate = soundfile.read(DEMO / "Nightline.flac", dtype="int16")
    samples = made["Nightline.flac"][1]
    assert rate == 44100 and committed.shape == samples.shape
    assert np.abs(committed.astype(int) - samples).max() <= 1  # sums of sines round differently between machines


def test_the_ogg_is_what_the_program_makes_as_far_as_it_is_lossy(made):
    committed, rate = soundfile.read(DEMO / "waltzes" / "Paper Boat.ogg")
    samples = made["waltzes/Paper Boat.ogg"][1] / 32768
    assert rate == 44100 and committed.shape == samples.shape
    assert ((committed - samples) ** 2).sum() < 0.01 * (samples**2).sum()


@pytest.mark.parametrize("name", ["Nightline.flac", "waltzes/Paper Boat.ogg"])
def test_bass_and_drums_strike_on_the_downbeats(made, name):
    piece, samples = made[name]
    power = (samples.astype(float) ** 2).sum(axis=1)
    for downbeat in piece.beats()[:: piece.metre]:
        at = round(downbeat * 44100)
        assert power[at : at + 2205].mean() > 1.5 * power[max(0, at - 1102) : at].mean()


def test_the_demo_stays_small():
    sizes = [path.stat().st_size for path in DEMO.rglob("*") if path.suffix in (".flac", ".ogg")]
    assert len(sizes) == 2 and max(sizes) < 1.5e6 and sum(sizes) < 2e6


@pytest.mark.parametrize(("file", "tempo", "bar"), [("Nightline.flac", 112, 4), ("waltzes/Paper Boat.ogg", 126, 3)])
def test_the_beats_of_the_demo_are_found_at_its_tempo(file, tempo, bar):
    """The waltz has little but a chord a bar: a beat a bar, at 42 bpm, would explain it too."""
    grid = decoders.decode(embedded.activations(audio.read(DEMO / file)))
    beats = (grid.beats - 0.1) * tempo / 60  # the music begins after 0.1 s
    assert np.abs(beats - np.arange(len(beats))).max() < 0.05 and len(beats) > 30
    assert np.array_equal(grid.downbeats, grid.beats[::bar])
