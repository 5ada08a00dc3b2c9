"""The evaluation of drum notes, with a backend that knows the answer."""

import mido
import numpy as np
import pytest

from benchmarks import eval_drums
from conftest import RATE, write
from mirflow.core.errors import MirflowError
from mirflow.transcribe.activations import DRUMS, DrumActivations
from mirflow.transcribe.notes import read_notes


def perfect(times, drum="kick"):
    """Return a backend that hears one drum at these times."""

    def listen(drums, mix):
        hits = np.zeros((round(drums.duration * 100) + 1, len(DRUMS)), np.float32)
        hits[np.round(np.array(times) * 100).astype(int), DRUMS.index(drum)] = 0.9
        return read_notes(DrumActivations(hits, drums.duration), drums, [0.3] * len(DRUMS))

    return listen


@pytest.fixture
def sets(tmp_path):
    """A recording with a list of notes, and one with its mix."""
    time = np.arange(4 * RATE) / RATE
    sound = np.sin(2 * np.pi * 60 * time) * np.exp(-(time % 1) / 0.1)
    sound *= np.where(time < 2, 0.5, 0.25)
    write(tmp_path / "one/song.flac", sound)
    (tmp_path / "one/song.csv").write_text("1.0,36,127\n2.0,35,90\n3.0,36,90\n3.0,54,1\n1.5,38,5\n")
    write(tmp_path / "two/piece/drums.flac", sound)
    write(tmp_path / "two/piece/mix.flac", sound)
    rows = "0.99,drums,10,0,36\n2.0,drums,10,0,36\n2.0,bass,1,33,36\n"
    (tmp_path / "two/piece/notes.csv").write_text("time,stem,channel,program,pitch\n" + rows)
    return tmp_path


def test_the_table_counts_what_fits(sets):
    lines = list(eval_drums.report(sets, {"ear": perfect([1.0, 2.0, 3.0, 3.5])}))
    table = {tuple(line.split()[:-6]): line.split()[-6:] for line in lines[1:]}
    assert table["one:", "1", "ear", "P"] == ["0.750", "-", "-", "-", "-", "0.750"]
    assert table["one:", "1", "ear", "R"] == ["1.000", "0.000", "-", "-", "-", "0.750"]
    assert table["piece", "ear"][0] == "0.667"  # 2 of 2 were found, and 4 notes made
    assert table["notes",] == ["2", "0", "0", "0", "0", "2"]  # of the last set: the bass does not count
    assert float(table["one:", "1", "velocity", "r"][0]) > 0.9


def test_velocities_come_from_midi_too(tmp_path):
    write(tmp_path / "a.wav", np.zeros(RATE))
    track = mido.MidiTrack(
        [
            mido.Message("note_on", channel=9, note=38, velocity=77, time=480),
            mido.Message("note_on", channel=9, note=38, velocity=0, time=10),
            mido.Message("note_on", channel=0, note=38, velocity=77, time=10),
        ]
    )
    mido.MidiFile(tracks=[track], ticks_per_beat=480).save(tmp_path / "a.mid")
    assert eval_drums.truth(tmp_path / "a.mid")[DRUMS.index("snare")].tolist() == [[0.5, 77.0]]


def test_a_directory_without_recordings_and_bad_notes_are_named(tmp_path):
    with pytest.raises(MirflowError, match="no recordings"):
        list(eval_drums.report(tmp_path, {}))
    write(tmp_path / "a.wav", np.zeros(RATE))
    (tmp_path / "a.csv").write_text("1.0,snare\n")
    with pytest.raises(MirflowError, match=r"a\.csv"):
        eval_drums.truth(tmp_path / "a.csv")
