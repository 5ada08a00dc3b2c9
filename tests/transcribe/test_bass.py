"""The bass line: synthetic lines whose notes are known."""

import mido
import numpy as np
import pytest

from mirflow import commands
from mirflow.core import artifacts
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.transcribe import bass

RATE = 44100


def line(notes, seconds=0.4, gap=0.05, tuning=0.0, rate=RATE, level=0.3):
    """Return a plucked line, mono: each note has five harmonics and decays."""
    time = np.arange(round(seconds * rate)) / rate
    length = round((seconds - gap) * rate)
    parts = []
    for note in notes:
        frequency = 440 * 2 ** ((note + tuning - 69) / 12)
        tone = sum(np.sin(2 * np.pi * frequency * k * time) / k for k in range(1, 6)) * np.exp(-time / 0.4)
        tone[length:] = 0
        tone[:length] *= np.minimum(1, np.minimum(time[:length], time[:length][::-1]) / 0.003)
        parts.append(tone)
    return Audio((level * np.concatenate([*parts, np.zeros(rate // 4)]))[None].astype(np.float32), rate)


@pytest.mark.parametrize("notes", [[28, 33, 31, 40], [40, 52, 40, 28], [43, 44, 45, 44], [23, 24, 26, 35]])
@pytest.mark.parametrize("rate", [44100, 48000])
def test_the_notes_of_a_line(notes, rate):
    found = bass.read_notes(line(notes, rate=rate))
    assert found.pitches.tolist() == notes
    assert found.starts == pytest.approx(0.4 * np.arange(4), abs=0.03)
    assert found.ends == pytest.approx(0.4 * np.arange(4) + 0.35, abs=0.08)
    assert (found.starts[1:] >= found.ends[:-1]).all()


def test_a_repeated_note_is_struck_again_without_a_pause_between():
    found = bass.read_notes(line([33] * 6, seconds=0.3, gap=0.004))
    assert found.pitches.tolist() == [33] * 6
    assert found.starts == pytest.approx(0.3 * np.arange(6), abs=0.03)


@pytest.mark.parametrize("tuning", [-0.4, 0.3])
def test_the_tuning_of_the_track_does_not_matter(tuning):
    assert bass.read_notes(line([28, 33, 35, 40], tuning=tuning)).pitches.tolist() == [28, 33, 35, 40]


def test_a_slide_between_notes_and_blips_are_no_notes():
    pitch = np.array([40.0] * 30 + [41.0] * 2 + [42.0] * 30 + [np.nan] * 20 + [60.0] * 3 + [np.nan] * 20)
    starts, ends, found = bass.segments(pitch, np.zeros(0))
    assert found.tolist() == [40, 42] and ends[0] == pytest.approx(starts[1])


def test_louder_notes_have_higher_velocities():
    quiet, loud = line([33], level=0.05).samples, line([33], level=0.3).samples
    found = bass.read_notes(Audio(np.concatenate([loud, quiet, loud, quiet], axis=1), RATE))
    assert len(found.velocities) == 4
    assert (found.velocities[[0, 2]] > found.velocities[[1, 3]] + 30).all()


@pytest.mark.parametrize("seconds", [0.0, 1 / RATE, 0.1, 3.0])
def test_silence_has_no_notes(seconds):
    silent = bass.read_notes(Audio(np.zeros((2, round(seconds * RATE)), np.float32), RATE))
    assert len(silent.starts) == len(silent.pitches) == 0


def test_a_long_track_is_analysed_in_pieces_without_a_trace(monkeypatch):
    sound = line([28, 33, 31, 40] * 3)
    whole = bass.read_notes(sound)
    monkeypatch.setattr(bass, "PIECE", 1.5)
    pieces = bass.read_notes(sound)
    assert pieces.pitches.tolist() == whole.pitches.tolist()
    assert pieces.starts == pytest.approx(whole.starts, abs=0.02)


def test_the_commands_make_a_monophonic_midi_file(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "bass.wav", line([28, 33, 31, 40]).samples.T, RATE)
    artifacts.write_times(tmp_path / "b", np.arange(0, 4, 0.5))
    artifacts.write_times(tmp_path / "d", np.arange(0, 4, 2.0))
    grids = ["--beats", str(tmp_path / "b"), "--downbeats", str(tmp_path / "d")]
    assert commands.main(["bass_notes", str(tmp_path / "bass.wav"), "-o", str(tmp_path / "notes.json")]) == 0
    assert commands.main(["bass_mid", str(tmp_path / "notes.json"), *grids, "-o", str(tmp_path / "bass.mid")]) == 0
    file = mido.MidiFile(tmp_path / "bass.mid")
    sounding, played = set(), []
    for message in file.tracks[1]:
        if message.type == "note_on":
            assert not sounding and message.channel == 0
            sounding.add(message.note)
            played.append(message.note)
        elif message.type == "note_off":
            sounding.remove(message.note)
    assert played == [28, 33, 31, 40] and not sounding
    found = bass.BassNotes.load(tmp_path / "notes.json")
    found.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "notes.json").read_bytes()
    (tmp_path / "notes.json").write_text('{"duration": 1, "notes": [[2, 1, 30, 40]]}')
    with pytest.raises(MirflowError, match=r"notes\.json"):
        bass.BassNotes.load(tmp_path / "notes.json")
