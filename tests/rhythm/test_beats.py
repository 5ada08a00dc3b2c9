"""Beats and downbeats: known grids are found, and no grid is found in sounds without beats."""

import itertools

import numpy as np
import pytest

from benchmarks import beat_scores
from conftest import SHARED
from mirflow.core import audio
from mirflow.core.audio import Audio
from mirflow.core.errors import MirflowError
from mirflow.dsp.beats import viterbi
from mirflow.rhythm import activations, clicks, decoders, embedded

RATE = 22050
PIECES = SHARED / "eval" / "dev30"


def certain_activations(
    times: np.ndarray, downbeats: np.ndarray, frame_rate: float, seconds: float
) -> activations.Activations:
    """Return the activations of an ideal network: a peak of one frame at each beat and downbeat."""
    probabilities = np.full((2, int(seconds * frame_rate) + 1), 0.02, np.float32)
    probabilities[0, np.round(times * frame_rate).astype(int)] = 0.95
    probabilities[1, np.round(downbeats * frame_rate).astype(int)] = 0.95
    return activations.Activations(*probabilities, frame_rate)


@pytest.mark.parametrize("bar", [2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("slowest, fastest", [(60, 60), (200, 200), (80, 120), (150, 105)])
def test_the_decoder_finds_the_bars_and_follows_the_tempo(bar, slowest, fastest):
    times = 0.5 + np.cumsum(60 / np.linspace(slowest, fastest, 8 * bar))
    grid = decoders.decode(certain_activations(times, times[1::bar], 50, times[-1] + 3))
    assert len(grid.beats) == len(times) and np.abs(grid.beats - times).max() < 0.021  # one frame
    assert np.abs(grid.downbeats - times[1::bar]).max() < 0.021
    assert set(grid.downbeats) <= set(grid.beats)


def test_a_missing_beat_is_added_and_an_extra_peak_is_ignored():
    times = np.arange(1, 31, 0.5)
    peaks = np.sort(np.append(np.delete(times, 20), 7.31))
    grid = decoders.decode(certain_activations(peaks, times[::4], 86.13, 33))
    assert np.abs(grid.beats - times).max() < 0.012


def test_no_beats_in_a_long_silence_between_two_tempi():
    times = np.concatenate([np.arange(1, 20, 0.5), np.arange(60, 80, 0.4)])
    grid = decoders.decode(certain_activations(times, times[::4], 100, 85))
    assert len(grid.beats) == len(times) and np.abs(grid.beats - times).max() < 0.011


def test_constant_activations_have_no_beats():
    constant = np.full(3000, 0.3, np.float32)
    assert len(decoders.decode(activations.Activations(constant, constant / 4, 100.0)).beats) == 0


def test_the_viterbi_search_finds_the_best_of_all_paths():
    """The reference is an exhaustive search over all paths with one segment, in a small model."""
    random = np.random.default_rng(5)
    frames, intervals, bars = 13, np.array([3, 4, 5]), np.array([2, 3])
    beat, down = random.normal(0, 2, (2, frames)).astype(np.float32)
    tempo = random.normal(0, 0.2, (2, 3)).astype(np.float32)
    prior, metres = np.log(np.float32([0.2, 0.5, 0.3])), np.log(np.float32([0.6, 0.4]))
    bar_cost, change_cost = np.float32([0.4, 0.1]), np.float32([0.3, 0.7])
    best = 0.0
    for count in range(1, 5):
        for start, first_interval, metre in itertools.product(range(frames), range(3), range(2)):
            for offset, steps in itertools.product(range(bars[metre]), itertools.product(range(3), repeat=count - 1)):
                frame = start + np.concatenate([[0], np.cumsum(intervals[list(steps)])]).astype(int)
                if frame[-1] >= frames:
                    continue
                score = prior[first_interval] + metres[metre] - np.log(bars[metre]) - 1 + beat[frame].sum()
                score += (down[frame[(offset + np.arange(count)) % bars[metre] == 0]] - bar_cost[metre]).sum()
                for step, previous, time in zip(steps, (first_interval, *steps), frame[1:], strict=False):
                    score += tempo[min(time // 7, 1), step] * intervals[step]
                    score -= change_cost[min(step, previous) : max(step, previous)].sum()
                best = max(best, score)
    found = viterbi.best_path(
        beat, down, tempo, 7, intervals, prior.astype(np.float32), bars, metres.astype(np.float32), bar_cost,
        change_cost, np.float32(1),
    )  # fmt: skip
    # The search may also use several segments, which can only be better.
    assert found[3] >= best - 1e-4
    if found[2].max(initial=0) == 0:
        assert found[3] == pytest.approx(best, abs=1e-4)


def test_peak_picking_returns_every_peak():
    times, downbeats = np.array([0.5, 1.1, 1.9, 2.2]), np.array([1.1])
    grid = decoders.pick_peaks(certain_activations(times, downbeats, 50, 3))
    assert np.allclose(grid.beats, times, atol=0.011) and np.allclose(grid.downbeats, downbeats, atol=0.011)


def performance(bar: int, tempo: float, seconds: float, start: float = 0.0) -> tuple[Audio, np.ndarray, np.ndarray]:
    """Return a synthetic performance, its beats and its downbeats.

    Kick on beat 1; snare on the last beat, and on beat 2 of bars with four beats; cymbals in eighths; one chord with
    bass per bar.
    """
    random = np.random.default_rng(0)
    beat = 60 / tempo
    out = np.zeros(int(RATE * seconds), np.float32)
    decay_time = np.arange(int(RATE * 0.12)) / RATE
    kick = np.sin(2 * np.pi * 55 * decay_time) * np.exp(-decay_time * 25)
    snare = random.normal(size=len(decay_time)) * np.exp(-decay_time * 40) * 0.4
    cymbal = np.diff(random.normal(size=len(decay_time) + 1)) * np.exp(-decay_time * 90) * 0.1

    def add(sound: np.ndarray, time_of_sound: float) -> None:
        begin = int(time_of_sound * RATE)
        if begin < len(out):
            out[begin : begin + len(sound)] += sound[: len(out) - begin]

    times = np.arange(start, seconds - 0.2, beat)
    for index, time in enumerate(times):
        position = index % bar
        add(cymbal, time)
        add(cymbal, time + beat / 2)
        if position == 0:
            add(kick, time)
            chord_time = np.arange(int(RATE * beat * bar * 0.95)) / RATE
            root = 110 * 2 ** ((0, 5, 7, 9)[index // bar % 4] / 12)
            for ratio, gain in ((0.5, 0.4), (1, 0.15), (1.26, 0.15), (1.498, 0.15)):
                add(gain * np.sin(2 * np.pi * root * ratio * chord_time) * np.exp(-chord_time), time)
        elif position == bar - 1 or (bar == 4 and position == 1):
            add(snare, time)
    return Audio(out[None] * 0.4, RATE), times, times[::bar]


@pytest.mark.parametrize("bar, tempo", [(4, 118), (3, 96)])
def test_beats_and_downbeats_of_a_band_are_found(bar, tempo):
    mix, times, downbeats = performance(bar, tempo, 25, start=0.7)
    grid = decoders.decode(embedded.activations(mix))
    assert beat_scores.score(times, grid.beats)[0] > 0.95
    assert beat_scores.score(downbeats, grid.downbeats)[0] > 0.9


def test_the_grid_covers_the_music_but_not_the_silence_before_and_after_it():
    mix, times, _ = performance(4, 120, 16)
    silence = np.zeros((1, 8 * RATE), np.float32)
    grid = decoders.decode(embedded.activations(Audio(np.concatenate([silence, mix.samples, silence], axis=1), RATE)))
    assert 7.9 < grid.beats[0] < 8.6 and times[-1] + 7.4 < grid.beats[-1] < 24.2


def metronome(times: np.ndarray, seconds: float) -> Audio:
    """Return clicks of 10 ms at given times."""
    out = np.zeros(int(seconds * RATE), np.float32)
    time = np.arange(int(0.02 * RATE)) / RATE
    for at in np.round(times * RATE).astype(int):
        sound = np.sin(2 * np.pi * 1500 * time) * np.exp(-time / 0.004)
        out[at : at + len(sound)] += sound[: len(out) - at]
    return Audio(0.5 * out[None], RATE)


@pytest.mark.parametrize(("tempo", "start"), [(60, 0.0), (90, 0.313), (120, 0.0), (174, 0.55)])
def test_the_beats_of_a_metronome_are_found_between_frames(tempo, start):
    times = np.arange(start, 20, 60 / tempo)
    found = decoders.decode(embedded.activations(metronome(times, 20))).beats
    assert len(found) == len(times), "the first beat may be the first sample"
    error = (found - times)[1:]
    assert np.median(np.abs(error)) < 0.003 and abs(error.mean()) < 0.003


def test_a_shift_of_the_audio_shifts_the_beats():
    mix, _, _ = performance(4, 104, 16, start=0.5)
    grid = decoders.decode(embedded.activations(mix)).beats
    shifted = Audio(np.pad(mix.samples, ((0, 0), (round(0.01 * RATE), 0))), RATE)
    moved = decoders.decode(embedded.activations(shifted)).beats
    assert len(moved) == len(grid) and np.median(moved - grid) == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize("tempo", [66, 96, 120, 140, 180])
def test_a_plain_rock_pattern_has_its_beats_on_kick_and_snare(tempo):
    """Kick on 1 and 3, snare on 2 and 4, closed hi-hat in eighths: not the eighths between are the beats."""
    random, beat, seconds = np.random.default_rng(0), 60 / tempo, 24
    out = np.zeros(int(RATE * (seconds + 1)), np.float32)
    time = np.arange(int(RATE * 0.15)) / RATE
    kick = np.sin(2 * np.pi * (50 * time + 2 * (1 - np.exp(-time / 0.02)))) * np.exp(-time / 0.06)
    snare = random.normal(size=len(time)) * np.exp(-time / 0.05) * 0.3
    hat = np.diff(random.normal(size=len(time) + 1)) * np.exp(-time / 0.015) * 0.1
    for eighth in range(int(seconds / beat * 2)):
        begin = round(eighth * beat / 2 * RATE)
        out[begin : begin + len(time)] += hat + {0: kick, 2: snare}.get(eighth % 4, 0)
    grid = decoders.decode(embedded.activations(Audio(0.5 * out[None], RATE))).beats
    assert beat_scores.score(np.arange(0, seconds, beat), grid)[0] > 0.95


def noise(seconds: float) -> np.ndarray:
    return 0.1 * np.random.default_rng(1).standard_normal(int(seconds * RATE))


def click() -> np.ndarray:
    out = np.zeros(12 * RATE)
    out[5 * RATE] = 1
    return out


def bursts() -> np.ndarray:
    """Return noise bursts whose durations and intervals resemble those of syllables."""
    random = np.random.default_rng(2)
    out, begin = np.zeros(15 * RATE), RATE // 2
    while begin < 14 * RATE:
        length = int(RATE * random.uniform(0.08, 0.25))
        out[begin : begin + length] = random.normal(size=length) * np.hanning(length) * random.uniform(0.05, 0.3)
        begin += length + int(RATE * (random.exponential(0.06) + (random.random() < 0.12) * random.uniform(0.3, 1)))
    return out


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0), np.ones(1), noise(0.3), np.zeros(8 * RATE), noise(12), click(), bursts()],
    ids=["empty", "one sample", "0.3 s", "silence", "noise", "one click", "syllables"],
)
def test_sounds_without_beats_have_no_grid(samples):
    estimated = embedded.activations(Audio(np.asarray(samples, np.float32)[None], RATE))
    assert len(decoders.decode(estimated).beats) == 0
    assert len(decoders.pick_peaks(estimated).beats) <= 4, "a peak is no pulse: a single click may be one"


def test_the_gain_does_not_matter_and_equal_input_gives_equal_bytes(tmp_path):
    mix, _, _ = performance(4, 120, 10)
    for name, gain in (("a.npz", 1), ("b.npz", 1), ("c.npz", 0.5)):
        embedded.activations(Audio(mix.samples * np.float32(gain), RATE)).save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    a, c = (decoders.decode(activations.Activations.load(tmp_path / name)) for name in ("a.npz", "c.npz"))
    assert np.array_equal(a.beats, c.beats) and np.array_equal(a.positions, c.positions)


def test_clicks_are_on_the_beats_and_have_twice_the_frequency_on_downbeats():
    clicked = clicks.with_clicks(
        Audio(np.zeros((2, 2 * RATE), np.float32), RATE), beats=np.array([0.5, 1.0, 1.99]), downbeats=np.array([1.0])
    )
    assert clicked.samples.shape == (2, 2 * RATE)
    sounding = np.flatnonzero(np.abs(clicked.samples[0]) > 0.05)
    assert np.allclose(sounding[np.diff(sounding, prepend=-RATE) > RATE // 4] / RATE, [0.5, 1.0, 1.99], atol=0.001)
    frequencies = [
        np.abs(np.fft.rfft(clicked.samples[0, begin : begin + 661])).argmax() * RATE / 661
        for begin in (RATE // 2, RATE)
    ]
    assert frequencies == pytest.approx([1000, 2000], abs=50)


def test_the_error_names_a_file_that_holds_no_activations(tmp_path):
    path = tmp_path / "broken"
    path.write_bytes(b"not a zip")
    with pytest.raises(MirflowError, match="broken"):
        activations.Activations.load(path)


@pytest.mark.skipif(
    not PIECES.is_dir(), reason="the evaluation pieces are not here; the tests with synthetic audio cover the same code"
)
@pytest.mark.parametrize("piece", ["not_jig10_68_80", "sim_runaway_44_130"])
def test_beats_of_rendered_pieces_are_found(piece):
    mix = audio.read(PIECES / piece / "mix.flac")
    grid = decoders.decode(embedded.activations(mix))
    assert beat_scores.score(np.loadtxt(PIECES / piece / "beats.txt"), grid.beats)[0] > 0.94
    assert beat_scores.score(np.loadtxt(PIECES / piece / "downbeats.txt"), grid.downbeats)[0] > 0.6
