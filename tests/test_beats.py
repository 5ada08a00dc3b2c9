"""Beats and downbeats: known grids, and no grid where there is none."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from mirflow import audio, beat_scores, beats
from mirflow.audio import Audio
from mirflow.dsp import beat_viterbi
from mirflow.errors import MirflowError

RATE = 22050
SHARED = Path(os.environ.get("MIRFLOW_SHARED", Path(__file__).parents[1].parent / "shared")) / "eval" / "dev30"


def sure(times: np.ndarray, downbeats: np.ndarray, frame_rate: float, seconds: float) -> beats.Activations:
    """Return what a perfect network would say, one frame wide."""
    rows = np.full((2, int(seconds * frame_rate) + 1), 0.02, np.float32)
    rows[0, np.round(times * frame_rate).astype(int)] = 0.95
    rows[1, np.round(downbeats * frame_rate).astype(int)] = 0.95
    return beats.Activations(*rows, frame_rate)


@pytest.mark.parametrize("bar", [2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("slowest, fastest", [(60, 60), (200, 200), (80, 120), (150, 105)])
def test_the_decoder_finds_bars_and_follows_the_tempo(bar, slowest, fastest):
    times = 0.5 + np.cumsum(60 / np.linspace(slowest, fastest, 8 * bar))
    grid = beats.decode(sure(times, times[1::bar], 50, times[-1] + 3))
    assert len(grid.beats) == len(times) and np.abs(grid.beats - times).max() < 0.021  # a frame
    assert np.abs(grid.downbeats - times[1::bar]).max() < 0.021
    assert set(grid.downbeats) <= set(grid.beats)


def test_one_lost_beat_is_filled_and_one_extra_is_not_taken():
    times = np.arange(1, 31, 0.5)
    heard = np.sort(np.append(np.delete(times, 20), 7.31))
    grid = beats.decode(sure(heard, times[::4], 86.13, 33))
    assert np.abs(grid.beats - times).max() < 0.012


def test_a_long_silence_ends_the_grid_and_a_new_tempo_begins_one():
    times = np.concatenate([np.arange(1, 20, 0.5), np.arange(60, 80, 0.4)])
    grid = beats.decode(sure(times, times[::4], 100, 85))
    assert len(grid.beats) == len(times) and np.abs(grid.beats - times).max() < 0.011


def test_without_evidence_there_are_no_beats():
    flat = np.full(3000, 0.3, np.float32)
    assert len(beats.decode(beats.Activations(flat, flat / 4, 100.0)).beats) == 0


def test_the_search_finds_the_best_of_all_paths():
    """Against every path there is, one by one, in a model small enough for that."""
    random = np.random.default_rng(5)
    frames, intervals, bars = 13, np.array([3, 4, 5]), np.array([2, 3])
    beat, down = random.normal(0, 2, (2, frames)).astype(np.float32)
    tempo = random.normal(0, 0.2, (2, 3)).astype(np.float32)
    prior, metres, turn = np.log(np.float32([0.2, 0.5, 0.3])), np.log(np.float32([0.6, 0.4])), np.float32([0.3, 0.7])
    best = 0.0
    for count in range(1, 5):
        for start, first, metre in itertools.product(range(frames), range(3), range(2)):
            for offset, steps in itertools.product(range(bars[metre]), itertools.product(range(3), repeat=count - 1)):
                at = start + np.concatenate([[0], np.cumsum(intervals[list(steps)])]).astype(int)
                if at[-1] >= frames:
                    continue
                score = prior[first] + metres[metre] - np.log(bars[metre]) - 1 + beat[at].sum()
                score += down[at[(offset + np.arange(count)) % bars[metre] == 0]].sum()
                for step, before, time in zip(steps, (first, *steps), at[1:], strict=False):
                    score += tempo[min(time // 7, 1), step] * intervals[step]
                    score -= turn[min(step, before) : max(step, before)].sum()
                best = max(best, score)
    # `entry` so high for a second segment that only single segments compete: none fits twice
    found = beat_viterbi.best_path(
        beat, down, tempo, 7, intervals, prior.astype(np.float32), bars, metres.astype(np.float32), turn, np.float32(1)
    )
    assert found[3] >= best - 1e-4
    if found[2].max(initial=0) == 0:
        assert found[3] == pytest.approx(best, abs=1e-4)


def test_peaks_are_taken_as_they_are():
    times, downbeats = np.array([0.5, 1.1, 1.9, 2.2]), np.array([1.1])
    grid = beats.pick_peaks(sure(times, downbeats, 50, 3))
    assert np.allclose(grid.beats, times, atol=0.011) and np.allclose(grid.downbeats, downbeats, atol=0.011)


def band(bar: int, tempo: float, seconds: float, start: float = 0.0) -> tuple[Audio, np.ndarray, np.ndarray]:
    """Play kick on one, snare on the last beat (and 2 of 4), cymbals in eighths, and a chord and bass a bar."""
    random = np.random.default_rng(0)
    beat = 60 / tempo
    out = np.zeros(int(RATE * seconds), np.float32)
    t = np.arange(int(RATE * 0.12)) / RATE
    kick = np.sin(2 * np.pi * 55 * t) * np.exp(-t * 25)
    snare = random.normal(size=len(t)) * np.exp(-t * 40) * 0.4
    cymbal = np.diff(random.normal(size=len(t) + 1)) * np.exp(-t * 90) * 0.1

    def add(sound: np.ndarray, when: float) -> None:
        at = int(when * RATE)
        if at < len(out):
            out[at : at + len(sound)] += sound[: len(out) - at]

    times = np.arange(start, seconds - 0.2, beat)
    for index, time in enumerate(times):
        place = index % bar
        add(cymbal, time)
        add(cymbal, time + beat / 2)
        if place == 0:
            add(kick, time)
            held = np.arange(int(RATE * beat * bar * 0.95)) / RATE
            root = 110 * 2 ** ((0, 5, 7, 9)[index // bar % 4] / 12)
            for ratio, gain in ((0.5, 0.4), (1, 0.15), (1.26, 0.15), (1.498, 0.15)):
                add(gain * np.sin(2 * np.pi * root * ratio * held) * np.exp(-held), time)
        elif place == bar - 1 or (bar == 4 and place == 1):
            add(snare, time)
    return Audio(out[None] * 0.4, RATE), times, times[::bar]


@pytest.mark.parametrize("bar, tempo", [(4, 118), (3, 96)])
def test_a_band_is_followed(bar, tempo):
    mix, times, downbeats = band(bar, tempo, 25, start=0.7)
    grid = beats.decode(beats.activations(mix, {}))
    assert beat_scores.score(times, grid.beats)[0] > 0.95
    assert beat_scores.score(downbeats, grid.downbeats)[0] > 0.9


def test_the_grid_covers_the_music_and_not_the_silence_around():
    mix, times, _ = band(4, 120, 16)
    silence = np.zeros((1, 8 * RATE), np.float32)
    grid = beats.decode(beats.activations(Audio(np.concatenate([silence, mix.samples, silence], axis=1), RATE), {}))
    assert 7.9 < grid.beats[0] < 8.6 and times[-1] + 7.4 < grid.beats[-1] < 24.2


def noise(seconds: float) -> np.ndarray:
    return 0.1 * np.random.default_rng(1).standard_normal(int(seconds * RATE))


def click() -> np.ndarray:
    out = np.zeros(12 * RATE)
    out[5 * RATE] = 1
    return out


def bursts() -> np.ndarray:
    """Return noise bursts as long and as irregular as syllables."""
    random = np.random.default_rng(2)
    out, at = np.zeros(15 * RATE), RATE // 2
    while at < 14 * RATE:
        length = int(RATE * random.uniform(0.08, 0.25))
        out[at : at + length] = random.normal(size=length) * np.hanning(length) * random.uniform(0.05, 0.3)
        at += length + int(RATE * (random.exponential(0.06) + (random.random() < 0.12) * random.uniform(0.3, 1)))
    return out


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0), np.ones(1), noise(0.3), np.zeros(8 * RATE), noise(12), click(), bursts()],
    ids=["empty", "one sample", "0.3 s", "silence", "noise", "one click", "syllables"],
)
def test_no_grid_is_invented(samples):
    found = beats.activations(Audio(np.asarray(samples, np.float32)[None], RATE), {})
    assert len(beats.decode(found).beats) == 0 and len(beats.pick_peaks(found).beats) == 0


def test_louder_changes_nothing_and_equal_work_gives_equal_bytes(tmp_path):
    mix, _, _ = band(4, 120, 10)
    for name, gain in (("a.npz", 1), ("b.npz", 1), ("c.npz", 0.5)):
        beats.activations(Audio(mix.samples * np.float32(gain), RATE), {}).save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    a, c = (beats.decode(beats.Activations.load(tmp_path / name)) for name in ("a.npz", "c.npz"))
    assert np.array_equal(a.beats, c.beats) and np.array_equal(a.positions, c.positions)


def test_clicks_lie_on_the_beats_and_are_higher_on_downbeats():
    clicked = beats.with_clicks(
        Audio(np.zeros((2, 2 * RATE), np.float32), RATE), beats=np.array([0.5, 1.0, 1.99]), downbeats=np.array([1.0])
    )
    assert clicked.samples.shape == (2, 2 * RATE)
    heard = np.flatnonzero(np.abs(clicked.samples[0]) > 0.05)
    assert np.allclose(heard[np.diff(heard, prepend=-RATE) > RATE // 4] / RATE, [0.5, 1.0, 1.99], atol=0.001)
    pitches = [np.abs(np.fft.rfft(clicked.samples[0, at : at + 661])).argmax() * RATE / 661 for at in (RATE // 2, RATE)]
    assert pitches == pytest.approx([1000, 2000], abs=50)


def test_a_file_that_holds_no_activations_is_named(tmp_path):
    path = tmp_path / "broken"
    path.write_bytes(b"not a zip")
    with pytest.raises(MirflowError, match="broken"):
        beats.Activations.load(path)


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="the evaluation pieces are not here; the bands above cover the same code"
)
@pytest.mark.parametrize("piece", ["not_jig10_68_80", "sim_runaway_44_130"])
def test_known_pieces(piece):
    mix = audio.read(SHARED / piece / "mix.flac")
    grid = beats.decode(beats.activations(mix, {}))
    assert beat_scores.score(np.loadtxt(SHARED / piece / "beats.txt"), grid.beats)[0] > 0.94
    assert beat_scores.score(np.loadtxt(SHARED / piece / "downbeats.txt"), grid.downbeats)[0] > 0.9
