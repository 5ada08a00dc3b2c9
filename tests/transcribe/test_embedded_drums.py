"""The embedded drum network: what it hears, when, how hard; what it does not hear; and its file."""

import json

import numpy as np
import pytest

from mirflow import commands
from mirflow.core.audio import Audio
from mirflow.transcribe import backends, embedded, sonification
from mirflow.transcribe.activations import DRUMS
from mirflow.transcribe.notes import DrumNotes, read_notes

RATE = 44100
SECONDS = 20.0


def notes_of(sound):
    """Return the notes that the backend finds in a sound."""
    found = backends.choose("embedded")[0](sound, sound)
    return read_notes(found, sound, backends.thresholds("embedded", {}))


def bursts(times, levels=None):
    """Return bursts of noise that decay within a tenth of a second, each beginning exactly at its sample."""
    out = 1e-4 * np.random.default_rng(1).standard_normal(round(SECONDS * RATE))
    shape = np.exp(-np.arange(RATE // 5) / RATE / 0.03)
    random = np.random.default_rng(2)
    for time, level in zip(times, np.ones(len(times)) if levels is None else levels, strict=True):
        at = round(time * RATE)
        out[at : at + len(shape)] += level * shape * random.standard_normal(len(shape))
    return Audio(0.2 * out[None].astype(np.float32), RATE)


def played(rows):
    """Return what `sonification` plays: rows of time, drum, note and velocity."""
    rows = sorted(rows)
    columns = [np.array([row[i] for row in rows]) for i in range(4)]
    notes = DrumNotes(columns[0], np.array([DRUMS.index(name) for name in columns[1]]), *columns[2:], SECONDS)
    silence = Audio(np.zeros((1, round(SECONDS * RATE)), np.float32), RATE)
    return Audio(sonification.beside_the_track(silence, notes).samples[1:], RATE)


def test_times_lie_between_the_frames():
    times = np.arange(0.5, SECONDS - 0.5, 0.37) + np.random.default_rng(0).uniform(0, 0.01, 52)
    found = notes_of(bursts(times))
    own = found.times[found.drums == np.bincount(found.drums).argmax()]
    nearest = own[np.abs(own[None] - times[:, None]).argmin(axis=1)] - times
    assert np.median(np.abs(nearest)) < 0.003
    assert abs(np.median(nearest)) < 0.002


def test_a_later_sound_has_later_notes():
    times = np.arange(0.5, SECONDS - 0.5, 0.4)
    first, later = notes_of(bursts(times)), notes_of(bursts(times + 0.013))
    drum = np.bincount(first.drums).argmax()
    first, later = first.times[first.drums == drum], later.times[later.drums == drum]
    moved = later[np.abs(later[None] - first[:, None] - 0.013).argmin(axis=1)] - first
    assert np.median(moved) == pytest.approx(0.013, abs=0.002)


def test_kick_snare_and_hihat_are_told_apart():
    beat = 0.5
    rows = [(at, "hihat", 42, 80) for at in np.arange(0.5, SECONDS - 1, beat / 2)]
    rows += [(at, "kick", 36, 110) for at in np.arange(0.5, SECONDS - 1, 2 * beat)]
    rows += [(at, "snare", 38, 100) for at in np.arange(0.5 + beat, SECONDS - 1, 2 * beat)]
    found = notes_of(played(rows))
    for drum in ("kick", "snare", "hihat"):
        true = np.array(sorted(row[0] for row in rows if row[1] == drum))
        own = found.of(drum).times
        fitting = (np.abs(own[None] - true[:, None]) < 0.05).any(axis=1).sum()
        assert 2 * fitting / (len(true) + len(own)) > 0.9, drum


def test_louder_hits_have_higher_velocities():
    levels = np.tile([1.0, 0.3, 0.6, 0.15], 12)
    found = notes_of(bursts(0.5 + 0.4 * np.arange(len(levels)), levels))
    own = found.drums == np.bincount(found.drums).argmax()
    place = np.round((found.times[own] - 0.5) / 0.4).astype(int)
    assert np.corrcoef(found.velocities[own], levels[place])[0, 1] > 0.8


@pytest.mark.parametrize("attack", [0.005, 0.1])
def test_held_chords_have_no_notes(attack):
    time = np.arange(round(SECONDS * RATE)) / RATE
    within = time % 2.0
    envelope = np.minimum(within / attack, 1) * np.minimum((2.0 - within) / 0.2, 1)
    chord = sum(
        np.sin(2 * np.pi * 110 * 2 ** (step / 12) * h * time) / h for step in (0, 7, 12, 16) for h in range(1, 6)
    )
    assert len(notes_of(Audio((0.05 * chord * envelope)[None].astype(np.float32), RATE)).times) <= 2 * SECONDS / 60


@pytest.mark.parametrize("sound", [np.zeros((2, RATE)), np.zeros((1, 1)), 1e-7 * np.ones((1, RATE))])
def test_silence_has_no_notes(sound):
    assert len(notes_of(Audio(sound.astype(np.float32), RATE)).times) == 0


def test_a_track_at_another_rate_is_heard_alike():
    import soxr

    times = np.arange(0.5, SECONDS - 0.5, 0.4)
    sound = bursts(times)
    other = Audio(soxr.resample(sound.samples.T, RATE, 48000).T.astype(np.float32), 48000)
    first, second = notes_of(sound), notes_of(other)
    drum = np.bincount(first.drums).argmax()
    assert (first.drums == drum).sum() == (second.drums == drum).sum()
    assert first.times[first.drums == drum] == pytest.approx(second.times[second.drums == drum], abs=0.001)


def test_the_command_needs_no_model_and_writes_equal_bytes(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "drums.wav", bursts([1.0, 2.0]).samples.T, RATE)
    outputs = []
    for name in ("a", "b"):
        files = ["-o", str(tmp_path / f"{name}.npz"), "--record", str(tmp_path / f"{name}.json")]
        drums = str(tmp_path / "drums.wav")
        assert commands.main(["drum_activations", drums, "--full-mix", drums, "--backend", "embedded", *files]) == 0
        outputs.append((tmp_path / f"{name}.npz").read_bytes())
    assert outputs[0] == outputs[1]
    assert json.loads((tmp_path / "a.json").read_text()) == {"backend": "embedded", "version": embedded.VERSION}


def test_the_weights_are_small():
    from pathlib import Path

    assert Path(embedded.__file__).with_suffix(".npz").stat().st_size < 500_000


def test_recorded_drums_are_found(shared):
    """Recordings of drummers with their notes, which no training has seen."""
    from benchmarks import eval_drums

    folder = shared / "eval/drums"
    if not folder.is_dir():
        pytest.skip("no recordings of drums here")
    total = eval_drums.Scores.none()
    for recording in next(iter(eval_drums.recordings(folder).values())):
        sound = eval_drums.audio.read(recording.drums)
        total.add(eval_drums.score(eval_drums.truth(recording.notes), notes_of(sound)))
    kick, snare, _, hihat, _, together = total.columns(eval_drums.f_measure)
    assert kick > 0.94 and snare > 0.88 and hihat > 0.80 and together > 0.82
