"""What people look at and listen to: the sonification and the picture of drum notes."""

import matplotlib.image
import numpy as np
import pytest
import soundfile

from conftest import RATE, loop, write
from mirflow import commands
from mirflow.core import artifacts
from mirflow.transcribe.notes import DrumNotes


@pytest.fixture
def track(tmp_path):
    """Two seconds of music with a note of each drum."""
    write(tmp_path / "mix.wav", loop(2.0))
    times, drums = np.array([0.25, 0.5, 0.75, 1.0, 1.25]), np.arange(5)
    DrumNotes(times, drums, np.array([36, 38, 47, 42, 51]), np.full(5, 127), 2.0).save(tmp_path / "notes.json")
    artifacts.write_times(tmp_path / "beats", np.arange(0, 2, 0.5))
    artifacts.write_times(tmp_path / "downbeats", [0.0])
    return tmp_path


def test_the_track_is_on_the_left_and_the_notes_are_on_the_right(track):
    arguments = ["drums_wav", str(track / "mix.wav"), "--notes", str(track / "notes.json"), "-o"]
    assert commands.main([*arguments, str(track / "drums.wav")]) == 0
    samples, rate = soundfile.read(track / "drums.wav")
    assert samples.shape == (2 * RATE, 2) and rate == RATE
    assert samples[:, 0] == pytest.approx(0.7 * loop(2.0).mean(axis=1), abs=1e-3)
    energy = np.square(samples[:, 1]).reshape(-1, RATE // 100).mean(axis=1)  # in steps of 10 ms
    assert not energy[:25].any() and all(energy[start + 1] > 1e-4 for start in (25, 50, 75, 100, 125))


def test_the_picture_shows_each_track(track):
    arguments = ["drums_png", str(track / "mix.wav"), "--notes", str(track / "notes.json")]
    grids = ["--beats", str(track / "beats"), "--downbeats", str(track / "downbeats")]
    pictures = []
    for name in ("a.png", "b.png"):
        assert commands.main([*arguments, *grids, "-o", str(track / name)]) == 0
        pictures.append((track / name).read_bytes())
    assert pictures[0] == pictures[1]
    assert matplotlib.image.imread(track / "a.png").std() > 0.05
    write(track / "mix.wav", np.zeros((1, 2)))
    DrumNotes(*[np.zeros(0, int)] * 4, 1 / RATE).save(track / "notes.json")
    assert commands.main([*arguments, *grids, "-o", str(track / "empty.png")]) == 0
