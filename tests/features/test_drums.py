"""What drums play, on patterns whose swing, timing, syncopation and backbeat are known."""

import numpy as np
import pytest

from mirflow.core import layout
from mirflow.features import built_in, declared, measure
from mirflow.transcribe.activations import DRUMS
from mirflow.transcribe.notes import DrumNotes

BARS = 16
PITCHES = {"kick": 36, "snare": 38, "tom": 47, "hihat": 42, "cymbal": 49}


def pattern(bpm=120.0, beats_per_bar=4, shift=0.0, velocities=None, **places):
    """Return the inputs of a pattern: for each drum, places in a bar in beats, in each of `BARS` bars."""
    beats = shift + 60 / bpm * np.arange(BARS * beats_per_bar + 1)
    rows = []
    for drum, own in places.items():
        for bar in range(BARS):
            rows += [(shift + 60 / bpm * (bar * beats_per_bar + place), DRUMS.index(drum)) for place in own]
    rows = np.array(sorted(rows)).reshape(-1, 2)
    drums = rows[:, 1].astype(int)
    velocity = np.full(len(rows), 100) if velocities is None else velocities(drums)
    pitches = np.array([PITCHES[DRUMS[drum]] for drum in drums], int)
    notes = DrumNotes(rows[:, 0], drums, pitches, velocity, float(beats[-1]))
    return {"drum_notes": notes, "beats": beats, "downbeats": beats[::beats_per_bar]}


ROCK = {"kick": [0, 2, 2.5], "snare": [1, 3], "hihat": np.arange(0, 4, 0.5)}


@pytest.mark.parametrize("bpm", [60, 120, 200])
def test_a_rock_beat(bpm):
    values = measure("drums", pattern(bpm, **ROCK))
    bar = 4 * 60 / bpm
    assert values["drum_density_kick"] == pytest.approx(3 / bar)
    assert values["drum_density_snare"] == pytest.approx(2 / bar)
    assert values["drum_density_hihat"] == pytest.approx(8 / bar)
    assert values["drum_density_tom"] == values["drum_density_cymbal"] == 0
    assert values["drum_velocity_mean_snare"] == 100 and values["drum_velocity_std_snare"] == 0
    assert values["drum_velocity_mean_tom"] is None and values["drum_velocity_std_tom"] is None
    assert values["drum_backbeat"] == 1 and values["drum_swing"] == pytest.approx(0.5)
    assert values["drum_microtiming"] == pytest.approx(0, abs=1e-6)
    # the snare on 2 and 4 continues over 3 and 1 (1 + 2 of 15); the kick's off-beat eighth (-3) over beat 4 (-2)
    assert values["syncopation_snare"] == pytest.approx(3 / 15)
    assert values["syncopation_kick"] == pytest.approx(1 / 15)


@pytest.mark.parametrize("swing", [0.5, 0.55, 0.6, 2 / 3, 0.7])
def test_swing_is_where_the_off_beat_eighth_lies(swing):
    ride = [beat + part for beat in range(4) for part in (0, swing)]
    values = measure("drums", pattern(150, cymbal=ride, kick=[0, 2], snare=[1, 3]))
    assert values["drum_swing"] == pytest.approx(swing, abs=1e-6)


@pytest.mark.parametrize(
    ("hihat", "expected"),
    [
        (np.arange(0, 4, 0.25), 0.5),  # of straight sixteenths, the eighth counts
        (np.arange(0, 4, 1 / 3), 2 / 3),  # of triplets, the last one
        ([0, 0.75, 1, 1.75, 2, 2.75, 3, 3.75], None),  # dotted eighths have none
        ([0, 1, 2, 3], None),
        ([0.5, 1.5, 2.5, 3.5], None),  # no pairs
    ],
)
def test_swing_of_other_divisions(hihat, expected):
    value = measure("drums", pattern(hihat=hihat))["drum_swing"]
    assert value == (None if expected is None else pytest.approx(expected, abs=1e-6))


def test_fewer_than_eight_pairs_have_no_swing():
    inputs = pattern(hihat=np.arange(0, 4, 0.5))
    for pairs, expected in ((7, None), (8, pytest.approx(0.5))):
        notes = inputs["drum_notes"]
        few = DrumNotes(
            *(part[: 2 * pairs] for part in (notes.times, notes.drums, notes.pitches, notes.velocities)), 9.0
        )
        assert measure("drums", inputs | {"drum_notes": few})["drum_swing"] == expected


@pytest.mark.parametrize("parts", [4, 3])
@pytest.mark.parametrize("milliseconds", [2.0, 8.0])
def test_microtiming_is_the_deviation_that_was_played(milliseconds, parts):
    inputs = pattern(90, hihat=np.arange(0, 4, 1 / parts))
    notes = inputs["drum_notes"]
    jitter = np.random.default_rng(0).normal(0, milliseconds / 1000, len(notes.times))
    late = DrumNotes(notes.times + 0.012 + jitter, notes.drums, notes.pitches, notes.velocities, notes.duration)
    value = measure("drums", inputs | {"drum_notes": late})["drum_microtiming"]
    assert value == pytest.approx(milliseconds, rel=0.1), "a constant delay does not count"


@pytest.mark.parametrize(
    ("snare", "share"), [([1, 3], 1.0), ([1], 0.5), ([0, 2], 0.0), ([], 0.0), ([1.1, 3.1], 1.0), ([1.2, 3.2], 0.0)]
)
def test_backbeat(snare, share):
    assert measure("drums", pattern(kick=[0, 2], snare=snare))["drum_backbeat"] == share


def test_bars_of_three_and_missing_downbeats_have_no_backbeat():
    assert measure("drums", pattern(beats_per_bar=3, kick=[0], snare=[1, 2]))["drum_backbeat"] is None
    inputs = pattern(**ROCK)
    assert measure("drums", inputs | {"downbeats": np.zeros(0)})["drum_backbeat"] is None


def test_velocities_are_those_of_their_drum():
    alternating = pattern(kick=[0], snare=[1, 3], velocities=lambda drums: np.where(drums == 1, 60, 100))
    values = measure("drums", alternating)
    assert values["drum_velocity_mean_kick"] == 100 and values["drum_velocity_mean_snare"] == 60
    swell = pattern(snare=[0, 1], velocities=lambda drums: np.tile([50, 110], BARS))
    assert measure("drums", swell)["drum_velocity_std_snare"] == 30


def test_without_drums_densities_are_0_and_all_else_is_undefined():
    for inputs in (pattern(), pattern() | {"beats": np.zeros(0), "downbeats": np.zeros(0)}):
        values = measure("drums", inputs)
        assert {values[f"drum_density_{drum}"] for drum in DRUMS} == {0}
        assert {value for key, value in values.items() if "density" not in key} == {None}


def test_without_beats_there_are_densities_and_velocities():
    values = measure("drums", pattern(**ROCK) | {"beats": np.zeros(0), "downbeats": np.zeros(0)})
    assert values["drum_density_snare"] == 1 and values["drum_velocity_mean_kick"] == 100
    rhythm = ("drum_swing", "drum_microtiming", "drum_backbeat", "syncopation_kick", "syncopation_snare")
    assert {values[key] for key in rhythm} == {None}


def test_it_is_wanted_where_drums_are_transcribed():
    feature = declared("drums")
    config = {"skip": [], "transcribe": {"drums": "none"}}
    assert not feature.is_wanted(config) and feature in built_in()
    config["transcribe"]["drums"] = "adtof"
    assert feature.is_wanted(config) and not feature.is_wanted(config | {"skip": ["drums"]})
    assert feature.requires == layout.ON_REQUEST["drum_notes"] == "transcribe.drums"
