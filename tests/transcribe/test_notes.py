"""Drum notes from activations and sound: when, which note of General MIDI, how hard."""

import json

import numpy as np
import pytest

from mirflow import commands
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.transcribe import notes
from mirflow.transcribe.activations import DRUMS, DrumActivations
from mirflow.transcribe.notes import DrumNotes, read_notes

RATE = 44100
THRESHOLDS = [0.3] * len(DRUMS)


def bumps(times, seconds=4.0, height=0.9, width=0.012):
    """Return an activation with a bump at each time, float64 [frame]."""
    frames = np.arange(round(100 * seconds) + 1) / 100
    return sum((height * np.exp(-0.5 * ((frames - at) / width) ** 2) for at in times), np.zeros(len(frames)))


def activations(seconds=4.0, **times):
    hits = np.stack([bumps(times.get(drum, ()), seconds) for drum in DRUMS], axis=1)
    return DrumActivations(hits.astype(np.float32), seconds)


def noise_bursts(hits, seconds=4.0, rate=RATE, decay=0.03, band=None):
    """Return bursts of noise at (time, amplitude), decaying by e in `decay` seconds, as mono `Audio`."""
    time = np.arange(round(seconds * rate)) / rate
    white = np.random.default_rng(0).standard_normal(len(time))
    sound = sum((gain * white * np.exp(-(time - at) / decay) * (time >= at) for at, gain in hits), 0 * time)
    return Audio((0.1 * sound)[None].astype(np.float32), rate)


def test_peaks_lie_between_frames():
    times = np.array([0.503, 1.0, 1.4967, 3.25])
    assert notes.peaks(bumps(times), 0.3) == pytest.approx(times, abs=1e-3)


def test_peaks_above_the_threshold_alone_are_notes_and_close_ones_are_one():
    both = bumps([1.0], height=0.2) + bumps([2.0, 2.02], height=0.9, width=0.004)
    found = notes.peaks(both, 0.3)
    assert len(found) == 1 and found[0] == pytest.approx(2.0, abs=0.011)
    assert len(notes.peaks(both, 0.1)) == 2


@pytest.mark.parametrize("activation", [np.zeros(0), np.zeros(1), np.zeros(300), np.full(300, 0.9)])
def test_without_peaks_there_are_no_notes(activation):
    assert len(notes.peaks(activation, 0.3)) == 0


def test_notes_are_sorted_and_have_their_drums():
    found = read_notes(activations(kick=[1.0, 2.0], snare=[1.5], hihat=[1.0]), noise_bursts([(1, 1)]), THRESHOLDS)
    assert found.times == pytest.approx([1.0, 1.0, 1.5, 2.0], abs=2e-3)
    assert [DRUMS[drum] for drum in found.drums] == ["kick", "hihat", "snare", "kick"]
    assert found.pitches.tolist() == [36, 42, 38, 36]
    assert found.of("kick").times == pytest.approx([1.0, 2.0], abs=2e-3)


@pytest.mark.parametrize("gain", [0.01, 1.0])
@pytest.mark.parametrize("rate", [22050, 44100, 96000])
def test_velocities_follow_the_level_as_sound_modules_make_it(gain, rate):
    """A note of velocity v has the amplitude (v / 127)². The gain and the rate of the track do not matter."""
    true = np.array([110, 40, 70, 100, 55, 110, 90, 110])
    times = 0.4 + 0.45 * np.arange(len(true))
    sound = noise_bursts([(at, gain * (v / 127) ** 2) for at, v in zip(times, true, strict=True)], rate=rate)
    found = read_notes(activations(snare=times), sound, THRESHOLDS)
    assert found.velocities == pytest.approx(true, abs=4)


def test_velocities_of_a_backend_are_taken_as_they_are():
    given = activations(snare=[1.0, 2.0])
    velocities = np.zeros_like(given.hits)
    velocities[95:105, 1], velocities[195:205, 1] = 0.5, 1.0
    found = read_notes(DrumActivations(given.hits, 4.0, velocities), noise_bursts([(1, 1), (2, 0.1)]), THRESHOLDS)
    assert found.velocities.tolist() == [64, 127]


def rates_to_pitches(drum, decay, times):
    """Return the notes of one drum whose sound decays by e in `decay` seconds."""
    found = read_notes(activations(**{drum: times}), noise_bursts([(at, 1.0) for at in times], decay=decay), THRESHOLDS)
    return set(found.pitches.tolist())


def test_the_decay_decides_between_open_and_closed_and_between_ride_and_crash():
    """8.7 dB in `decay` seconds; a hit every half second."""
    slowly, times = [0.5, 1.5, 2.5], [0.5, 1.0, 1.5, 2.0]
    assert rates_to_pitches("hihat", 0.03, times) == {notes.CLOSED}
    assert rates_to_pitches("hihat", 0.15, times) == {notes.OPEN}
    assert rates_to_pitches("cymbal", 0.15, slowly) == {notes.RIDE}
    assert rates_to_pitches("cymbal", 2.0, slowly) == {notes.CRASH}


def test_where_the_next_note_comes_too_soon_nothing_is_decided():
    times = np.arange(0.5, 3.5, 0.1)
    assert rates_to_pitches("hihat", 0.3, times[:-1]) <= {notes.CLOSED, notes.OPEN}
    found = read_notes(activations(hihat=times), noise_bursts([(at, 1) for at in times], decay=0.3), THRESHOLDS)
    assert set(found.pitches[:-1].tolist()) == {notes.CLOSED}


@pytest.mark.parametrize(("frequency", "pitch"), [(75, 45), (115, 47), (180, 50)])
def test_toms_are_low_middle_and_high(frequency, pitch):
    time = np.arange(4 * RATE) / RATE
    sound = 0.3 * np.sin(2 * np.pi * frequency * time) * np.exp(-(time % 1) / 0.2)
    found = read_notes(activations(tom=[1.0, 2.0]), Audio(sound[None].astype(np.float32), RATE), THRESHOLDS)
    assert found.pitches.tolist() == [pitch, pitch]


@pytest.mark.parametrize("seconds", [0.0, 1 / RATE, 0.02, 4.0])
def test_silence_and_hits_at_the_ends_of_short_tracks_do_no_harm(seconds):
    silent = Audio(np.zeros((2, round(seconds * RATE)), np.float32), RATE)
    hits = np.zeros((int(seconds * 100) + 1, len(DRUMS)), np.float32)
    assert len(read_notes(DrumActivations(hits, seconds), silent, THRESHOLDS).times) == 0
    hits[[0, -1]] = 1.0
    found = read_notes(DrumActivations(hits, seconds), silent, THRESHOLDS)
    assert (found.times >= 0).all() and (found.times <= seconds).all()
    assert (found.velocities >= 1).all() and (found.velocities <= 127).all()


def test_the_file_is_json_and_comes_back(tmp_path):
    found = DrumNotes(np.array([0.5, 1.25]), np.array([0, 3]), np.array([36, 46]), np.array([100, 1]), 2.0)
    found.save(tmp_path / "notes.json")
    assert json.loads((tmp_path / "notes.json").read_text()) == {
        "duration": 2.0,
        "notes": [[0.5, "kick", 36, 100], [1.25, "hihat", 46, 1]],
    }
    loaded = DrumNotes.load(tmp_path / "notes.json")
    assert all(np.array_equal(getattr(loaded, name), getattr(found, name)) for name in ("times", "drums", "velocities"))
    DrumNotes(*[np.zeros(0, int)] * 4, 0.0).save(tmp_path / "none.json")
    assert len(DrumNotes.load(tmp_path / "none.json").times) == 0


@pytest.mark.parametrize("content", ["", "[]", '{"duration": 1, "notes": [[2, "gong", 36, 1]]}',
                                     '{"duration": 3, "notes": [[2, "kick", 36, 1], [1, "kick", 36, 1]]}'])  # fmt: skip
def test_another_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "notes.json").write_text(content)
    with pytest.raises(MirflowError, match=r"notes\.json"):
        DrumNotes.load(tmp_path / "notes.json")


def test_the_command_writes_notes_and_adds_the_thresholds_to_the_record(tmp_path):
    import soundfile

    activations(kick=[1.0]).save(tmp_path / "a.npz")
    soundfile.write(tmp_path / "drums.wav", noise_bursts([(1, 1)]).samples.T, RATE)
    (tmp_path / "a.json").write_text('{"backend": "adtof"}')
    thresholds = ["0.1", "0.2", "0.3", "0.4", "0.5"]
    assert commands.main(["drum_notes", str(tmp_path / "a.npz"), "--drums", str(tmp_path / "drums.wav"),
                          "--thresholds", *thresholds, "-o", str(tmp_path / "notes.json"),
                          "--record", str(tmp_path / "a.json"), str(tmp_path / "drums.json")]) == 0  # fmt: skip
    assert DrumNotes.load(tmp_path / "notes.json").times == pytest.approx([1.0], abs=1e-3)
    record = json.loads((tmp_path / "drums.json").read_text())
    assert record == {"backend": "adtof", "thresholds": dict(zip(DRUMS, map(float, thresholds), strict=True))}
