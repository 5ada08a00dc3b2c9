"""MIDI files: notes at their seconds, beats and bars at those of the grids. Read back with mido's own arithmetic."""

import mido
import numpy as np
import pytest

from mirflow import commands
from mirflow.core import artifacts
from mirflow.transcribe import midi
from mirflow.transcribe.notes import DrumNotes
from mirflow.transcribe.tempo_map import TICKS, tempo_map

BEATS = 0.5 * np.arange(41)
GRIDS = {  # beats, downbeats, as (seconds of the beats, every which beat is a downbeat from which on)
    "from the beginning": (BEATS, BEATS[::4]),
    "a pick-up of one beat": (BEATS, BEATS[1::4]),
    "a pick-up of three beats after a rest": (BEATS + 1.93, BEATS[3::4] + 1.93),
    "a rest of 20 ms": (BEATS + 0.02, BEATS[::4] + 0.02),
    "a rest of 11 s": (BEATS + 11.3, BEATS[::4] + 11.3),
    "an accelerando": ((accelerando := np.cumsum(60 / np.linspace(60, 210, 80))), accelerando[2::4]),
    "a waltz": (BEATS + 0.8, BEATS[2::3] + 0.8),
    "bars of four, three and five": (BEATS, BEATS[[0, 4, 8, 12, 15, 18, 21, 26, 31]]),
    "a break of 13.2 s": (np.r_[BEATS, BEATS + 33.2], np.r_[BEATS[:40:4], BEATS[::4] + 33.2]),
    "missing downbeats": (BEATS, BEATS[[0, 4, 8, 20, 24]]),
    "no downbeats": (BEATS + 0.2, np.zeros(0)),
    "two beats a minute apart": (np.array([1.0, 61.0]), np.array([1.0])),
    "a tempo of 6000": (0.01 * np.arange(40), 0.04 * np.arange(10)),
    "a beat twice": (np.sort(np.r_[BEATS, BEATS[5:7]]), BEATS[::4]),
}


def played(beats, count=200):
    times = np.sort(np.random.default_rng(1).uniform(0, (beats[-1] if len(beats) else 20) + 3, count))
    drums = np.arange(count) % 5
    return DrumNotes(times, drums, np.array([36, 38, 47, 42, 49])[drums], 1 + np.arange(count) % 127, times[-1] + 1)


def write(path, notes, beats, downbeats, steps=0):
    tempo = tempo_map(beats, downbeats)
    midi.write(path, midi.drum_notes(notes, tempo, steps), tempo, name="drums", channel=9, duration=notes.duration)
    return mido.MidiFile(path)


def notes_of(file):
    """Return (seconds, ticks, note, velocity) of the notes as a player hears them."""
    found, seconds, ticks, tempo = [], 0.0, 0, 500000
    for message in mido.merge_tracks(file.tracks):
        seconds += mido.tick2second(message.time, file.ticks_per_beat, tempo)
        ticks += message.time
        if message.type == "set_tempo":
            tempo = message.tempo
        elif message.type == "note_on":
            found.append((seconds, ticks, message.note, message.velocity))
    return np.array(found).reshape(-1, 4)


def bar_lines(file, until):
    """Return the seconds of beats (quarters from each bar line on) and bar lines, as a sequencer draws them."""
    changes = {0: (4, 4)}
    tempi, ticks = [(0, 500000)], 0
    for message in file.tracks[0]:
        ticks += message.time
        if message.type == "time_signature":
            changes[ticks] = (message.numerator, message.denominator)
        elif message.type == "set_tempo":
            tempi.append((ticks, message.tempo))

    def seconds(tick):
        total = 0.0
        for (begin, tempo), (end, _) in zip(tempi, [*tempi[1:], (np.inf, 0)], strict=True):
            total += max(min(tick, end) - begin, 0) / TICKS * tempo / 1e6
        return total

    beats, bars, tick, signature = [], [], 0, (4, 4)
    while not bars or bars[-1] < until:
        signature = changes.get(tick, signature)
        length = signature[0] * 4 * TICKS // signature[1]
        assert not any(tick < change < tick + length for change in changes), "a time signature within a bar"
        bars.append(seconds(tick))
        first = length % TICKS  # of a first bar that is not whole, the beats count from its end
        beats += [seconds(tick + at) for at in range(first, length, TICKS)]
        tick += length
    return np.array(beats), np.array(bars)


@pytest.mark.parametrize("name", GRIDS)
def test_every_note_is_at_its_time_and_every_bar_begins_on_its_downbeat(name, tmp_path):
    beats, downbeats = GRIDS[name]
    given = played(beats)
    file = write(tmp_path / "drums.mid", given, beats, downbeats)
    assert (file.type, file.ticks_per_beat) == (1, 480)
    found = notes_of(file)
    merged = len(given.times) - len(found)
    assert merged <= 4, "two notes of one drum within a tick"
    distance = np.abs(found[:, 0][None] - given.times[:, None]).min(axis=1)
    assert distance.max() < 0.005
    drawn_beats, drawn_bars = bar_lines(file, until=beats[-1])
    assert max(np.abs(drawn_beats - beat).min() for beat in beats) < 1e-3
    assert max((np.abs(drawn_bars - downbeat).min() for downbeat in downbeats), default=0) < 1e-3


def test_rounding_does_not_add_up():
    beats = np.cumsum(np.random.default_rng(0).uniform(0.3, 0.9, 20000))
    tempi = tempo_map(beats, beats[::4]).tempi()
    ends = [*(tick for tick, _ in tempi[1:]), tempi[-1][0] + TICKS]
    seconds = sum((end - tick) / TICKS * quarter / 1e6 for (tick, quarter), end in zip(tempi, ends, strict=True))
    assert seconds == pytest.approx(beats[-1], abs=1e-5)


@pytest.mark.parametrize(
    ("name", "signatures"),
    [
        ("from the beginning", [(0, 4, 4)]),
        ("a pick-up of one beat", [(0, 1, 4), (480, 4, 4)]),
        ("a pick-up of three beats after a rest", [(0, 11, 16), (1320, 4, 4)]),
        ("an accelerando", [(0, 3, 4), (1440, 4, 4)]),
        ("a waltz", [(0, 1, 8), (240, 3, 4)]),
        ("bars of four, three and five", [(0, 4, 4), (5760, 3, 4), (10080, 5, 4), (14880, 3, 4)]),
        ("missing downbeats", [(0, 4, 4)]),
    ],
)
def test_time_signatures(name, signatures):
    assert list(tempo_map(*GRIDS[name]).bars) == signatures


@pytest.mark.parametrize("beats", [np.zeros(0), np.array([3.0]), np.array([3.0, 3.0])])
def test_without_a_grid_the_tempo_is_120_and_the_notes_are_at_their_times(beats, tmp_path):
    given = played(np.zeros(0))
    file = write(tmp_path / "drums.mid", given, beats, beats)
    assert [message.tempo for message in file.tracks[0] if message.type == "set_tempo"] == [500000]
    assert notes_of(file)[:, 0] == pytest.approx(given.times, abs=1.1e-3 / 2)


def test_notes_are_on_channel_10_with_their_velocities_and_end_before_they_begin_again(tmp_path):
    times = np.array([0.5, 0.51, 0.51, 1.0])
    given = DrumNotes(times, np.array([3, 1, 3, 0]), np.array([42, 38, 42, 36]), np.array([90, 110, 20, 64]), 2.0)
    file = write(tmp_path / "drums.mid", given, BEATS, BEATS[::4])
    messages = [message for message in file.tracks[1] if message.type.startswith("note")]
    assert {message.channel for message in messages} == {9}
    assert [(m.note, m.velocity) for m in messages if m.type == "note_on"] == [(42, 90), (38, 110), (42, 20), (36, 64)]
    sounding = set()
    for message in messages:
        assert (message.note in sounding) == (message.type == "note_off")
        sounding ^= {message.note}
    assert not sounding
    assert file.length == pytest.approx(2.0, abs=2e-3)


@pytest.mark.parametrize("lead", [0.0, 0.37])
@pytest.mark.parametrize("steps", [3, 4, 12, 24])
def test_quantised_notes_are_on_steps_of_the_beats(steps, lead, tmp_path):
    beats = BEATS + lead
    exact = np.arange(40 * steps) * 0.5 / steps + lead
    moved = exact + np.random.default_rng(0).uniform(-0.4, 0.4, len(exact)) * 0.5 / steps
    zeros = np.zeros(len(exact), int)
    given = DrumNotes(np.sort(np.maximum(moved, 0)), zeros, zeros + 38, zeros + 90, 25.0)
    found = notes_of(write(tmp_path / "drums.quantised.mid", given, beats, beats[::4], steps))
    assert found[:, 0] == pytest.approx(exact, abs=2e-5)


def test_of_two_notes_on_one_step_the_loudest_stays(tmp_path):
    given = DrumNotes(np.array([1.0, 1.02]), np.array([1, 1]), np.array([38, 38]), np.array([30, 99]), 2.0)
    found = notes_of(write(tmp_path / "drums.mid", given, BEATS, BEATS[::4], 4))
    assert found[:, 3].tolist() == [99]


def test_no_notes_and_equal_bytes(tmp_path):
    nothing = DrumNotes(*[np.zeros(0, int)] * 4, 5.0)
    assert len(notes_of(write(tmp_path / "none.mid", nothing, BEATS, BEATS[::4]))) == 0
    for name in ("a.mid", "b.mid"):
        write(tmp_path / name, played(BEATS), BEATS, BEATS[1::4])
    assert (tmp_path / "a.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()


def test_the_command_reads_the_grids(tmp_path):
    played(BEATS).save(tmp_path / "notes.json")
    artifacts.write_times(tmp_path / "b", BEATS)
    artifacts.write_times(tmp_path / "d", BEATS[1::4])
    files = ["--beats", str(tmp_path / "b"), "--downbeats", str(tmp_path / "d"), "-o", str(tmp_path / "drums.mid")]
    assert commands.main(["drums_mid", str(tmp_path / "notes.json"), *files]) == 0
    assert len(notes_of(mido.MidiFile(tmp_path / "drums.mid"))) == 200
