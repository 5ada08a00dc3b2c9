"""Where crops lie: on made grids, whose bars are known."""

import numpy as np
import pytest

from mirflow.core.audio import Audio
from mirflow.crops.plan import MULTIPLE, Choice, plan

RATE = 8000


def sound(seconds: float, rate: int = RATE) -> Audio:
    return Audio(np.full((2, round(seconds * rate)), 0.5, np.float32), rate)


def grid(*bars: tuple[int, float], start: float = 0.0) -> dict[str, np.ndarray]:
    """Return the beats of bars, each with a number of beats and a beat interval, and the downbeat after the last."""
    beats, downbeats, time = [], [], start
    for count, interval in bars:
        downbeats.append(time)
        beats += [time + interval * beat for beat in range(count)]
        time += count * interval
    return {"beats": np.array([*beats, time]), "downbeats": np.array([*downbeats, time])}


def spans(found, rate=RATE):
    return [(crop.start / rate, crop.end / rate) for crop in found.crops]


@pytest.mark.parametrize(
    ("metre", "expected"),
    [(3, [(0, 6), (6, 12), (12, 18)]), (4, [(0, 8), (8, 16)]), (5, [(0, 10), (10, 20)])],
)
def test_four_bars_are_four_bars_in_every_metre(metre, expected):
    found = plan(sound(20), **grid(*[(metre, 0.5)] * (40 // metre)), choice=Choice("bars", bars=4))
    assert spans(found) == expected
    for crop in found.crops:
        assert (crop.bars, crop.aligned) == (4, True)
        assert crop.length % MULTIPLE == 0 and 0 <= crop.length - crop.valid < MULTIPLE


def test_bars_follow_changes_of_tempo_and_metre_and_a_pick_up_is_left_out():
    bars = [(4, 0.5), (3, 0.5), (4, 0.25), (5, 0.25), (2, 1.0), (4, 0.4)]
    found = plan(sound(12), **grid(*bars, start=0.5), choice=Choice("bars", bars=2))
    assert spans(found) == [(0.5, 4.0), (4.0, 6.25), (6.25, 9.85)]
    assert [(part.start / RATE, part.end / RATE, part.reason) for part in found.left_out] == [
        (0, 0.5, "before the first downbeat"),
        (9.85, 12, "fewer than 2 bars"),
    ]


def test_hop_bars_is_the_distance_of_starts_in_both_modes():
    bars = grid(*[(4, 0.5)] * 10)
    by_bars = plan(sound(20), **bars, choice=Choice("bars", bars=4, hop_bars=2))
    assert spans(by_bars) == [(0, 8), (4, 12), (8, 16), (12, 20)]
    length = 5 * MULTIPLE  # 2.56 s
    by_length = plan(sound(20), **bars, choice=Choice("exact", length, hop_bars=1))
    assert [start for start, _ in spans(by_length)] == [0, 2, 4, 6, 8, 10, 12, 14, 16]


def test_exact_crops_have_one_length_start_on_downbeats_and_do_not_overlap():
    length = 5 * MULTIPLE
    found = plan(sound(21), **grid(*[(4, 0.5)] * 10), choice=Choice("exact", length))
    assert [crop.start / RATE for crop in found.crops] == [0, 4, 8, 12, 16]
    assert {(crop.valid, crop.length, crop.bars) for crop in found.crops} == {(length, length, 1)}
    last = found.left_out[-1]
    assert (last.start, last.end, last.reason) == (20 * RATE, 21 * RATE, "shorter than a crop")


def test_the_last_piece_is_padded_when_asked_for():
    length = 5 * MULTIPLE
    bars = grid(*[(4, 0.5)] * 9)
    padded = plan(sound(18), **bars, choice=Choice("exact", length, tail="pad", max_silence=1.0)).crops[-1]
    assert (padded.start, padded.end, padded.length, padded.bars) == (16 * RATE, 18 * RATE, length, 0)
    of_bars = plan(sound(19), **bars, choice=Choice("bars", bars=4, tail="pad")).crops[-1]
    assert (of_bars.start, of_bars.end, of_bars.bars) == (16 * RATE, 19 * RATE, 1)
    # A piece that would be mostly padding is silence.
    short = plan(sound(17), **grid(*[(4, 0.5)] * 8), choice=Choice("exact", length, tail="pad"))
    assert short.crops[-1].start == 12 * RATE and "silence" in short.left_out[-1].reason


@pytest.mark.parametrize("mode", ["exact", "bars"])
def test_without_downbeats_starts_are_regular(mode):
    length = 5 * MULTIPLE
    found = plan(sound(8), beats=np.arange(8.0), downbeats=np.zeros(0), choice=Choice(mode, length))
    assert [(c.start, c.valid, c.bars, c.aligned) for c in found.crops] == [
        (i * length, length, None, False) for i in range(3)
    ]
    assert found.left_out[0].reason == "shorter than a crop"


@pytest.mark.parametrize("mode", ["exact", "bars"])
@pytest.mark.parametrize("tail", ["drop", "pad"])
@pytest.mark.parametrize("samples", [1, 100, MULTIPLE])
def test_a_track_shorter_than_a_crop_has_none_or_a_padded_one(mode, tail, samples):
    short = Audio(np.full((1, samples), 0.5, np.float32), RATE)
    for downbeats in (np.zeros(0), np.zeros(1)):
        found = plan(
            short, beats=downbeats, downbeats=downbeats, choice=Choice(mode, 2 * MULTIPLE, max_silence=1, tail=tail)
        )
        assert len(found.crops) == (tail == "pad") and len(found.left_out) == (tail == "drop")
        for crop in found.crops:
            assert crop.length % MULTIPLE == 0 and crop.valid == samples


def test_silence_is_left_out_with_its_reason():
    mix = sound(32)
    mix.samples[:, 8 * RATE : 16 * RATE] = 0.0009  # -61 dBFS
    mix.samples[:, 17 * RATE : 22 * RATE] = 0
    choice = {"bars": 4, "mode": "bars"}
    found = plan(mix, **grid(*[(4, 0.5)] * 16), choice=Choice(**choice))
    assert spans(found) == [(0, 8), (24, 32)]
    assert [part.reason for part in found.left_out[:2]] == [
        "silent: no sample reaches -60 dBFS",
        "63% of it is silence",
    ]
    kept = plan(mix, **grid(*[(4, 0.5)] * 16), choice=Choice(**choice, max_silence=0.7))
    assert spans(kept) == [(0, 8), (16, 24), (24, 32)]


def test_a_loop_ends_with_its_last_bar():
    """No beat marks the end of a file. A last bar that stops early is none."""
    bars = {"beats": np.arange(0, 16, 0.5), "downbeats": np.arange(0, 16, 2.0)}
    assert spans(plan(sound(16), **bars, choice=Choice("bars", bars=4))) == [(0, 8), (8, 16)]
    assert spans(plan(sound(15.9), **bars, choice=Choice("bars", bars=4))) == [(0, 8), (8, 15.9)]
    assert spans(plan(sound(30), **bars, choice=Choice("bars", bars=4))) == [(0, 8), (8, 16)]
    bars["beats"] = bars["beats"][:-1]
    assert spans(plan(sound(30), **bars, choice=Choice("bars", bars=4))) == [(0, 8)]


def test_a_break_in_the_grid_is_no_bar():
    before, after = grid(*[(4, 0.5)] * 6), grid(*[(4, 0.5)] * 6, start=40.0)
    joined = {name: np.concatenate([before[name], after[name]]) for name in before}
    found = plan(sound(52), **joined, choice=Choice("bars", bars=4))
    assert spans(found) == [(0, 8), (40, 48)]
    (broken,) = [part for part in found.left_out if "break" in part.reason]
    assert (broken.start, broken.end) == (8 * RATE, 40 * RATE)
    missed = grid(*[(4, 0.5)] * 8)
    missed["beats"] = np.delete(missed["beats"], [5, 6])  # two beats that were not found are no break
    assert spans(plan(sound(16), **missed, choice=Choice("bars", bars=4))) == [(0, 8), (8, 16)]


@pytest.mark.parametrize("rate", [11025, 44100, 48000, 37801])
def test_starts_are_the_samples_nearest_to_the_downbeats(rate):
    bars = grid(*[(4, 60 / 113)] * 12, start=0.1234567)
    found = plan(sound(27, rate), **bars, choice=Choice("bars", bars=2))
    starts = np.array([crop.start for crop in found.crops])
    assert len(starts) == 6 and np.abs(starts / rate - bars["downbeats"][:-1:2]).max() <= 0.5 / rate
    assert [crop.end for crop in found.crops[:-1]] == starts[1:].tolist(), "a crop ends where the next one begins"
