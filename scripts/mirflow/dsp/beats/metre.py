"""The position of the beat in the beat period and of the downbeat in the bar, from the music on and between beats."""

from functools import cache
from pathlib import Path

import numpy as np

from mirflow.dsp.beats.periodicity import harmonic_changes, nearest_interval

TICKS = 12  # per beat: halves, thirds and quarters of a beat all lie on a tick
REPEAT_BEATS = range(2, 9)  # beats after which a rhythm may repeat
LEVEL_RATIOS = (1, 1 / 2, 2, 1 / 3, 3, 2 / 3, 3 / 2)  # beat intervals over the tracked one that beat trackers confuse


def metrical_levels(beats: np.ndarray, shortest: float, longest: float) -> dict[float, np.ndarray]:
    """Return the grids of other metrical levels.

    Parameters
    ----------
    beats : seconds, ascending [k]
    shortest, longest : seconds; grids whose median interval lies outside are left out

    Returns
    -------
    ratio of `LEVEL_RATIOS` → grid in seconds, whose beat interval is that many intervals of `beats`; 1, which is
    `beats` itself, comes first. Grids with fewer than three beats are left out
    """
    median_interval, index = np.median(np.diff(beats)), np.arange(len(beats))
    ratios = [ratio for ratio in LEVEL_RATIOS if ratio == 1 or shortest <= median_interval * ratio <= longest]
    grids = {ratio: np.interp(np.arange(0, len(beats) - 1 + 1e-9, ratio), index, beats) for ratio in ratios}
    return {ratio: grid for ratio, grid in grids.items() if len(grid) > 2}


def tick_times(beats: np.ndarray, duration: float) -> np.ndarray:
    """Return the times of the ticks, `TICKS` per beat, over the whole duration, in seconds [tick].

    Before the first and after the last beat, the grid continues with the first and the last beat interval.
    """
    before = np.arange(beats[0], 0, -(beats[1] - beats[0]))[:0:-1]
    after = np.arange(beats[-1], duration, beats[-1] - beats[-2])[1:]
    extended = np.concatenate([before, beats, after])
    return np.interp(np.arange((len(extended) - 1) * TICKS + 1) / TICKS, np.arange(len(extended)), extended)


def tick_features(ticks, flux, semitones, frame_rate, log_probability, intervals, step) -> np.ndarray:
    """Return the features of each tick.

    The features are: onset strength in bands; change of the bass and of the chord from the beat before to the beat
    after the tick; correlation of the rhythm with that of `REPEAT_BEATS` beats later; log probability of the local
    beat interval; and the local tempo in octaves, also squared.

    Parameters
    ----------
    ticks : seconds, ascending [tick]
    flux : onset strength in bands, each divided by its root mean square, float32 [frame, band]
    semitones : levels of the semitones, float32 [frame / 4, semitone]
    frame_rate : frames/s of `flux`
    log_probability : of the beat intervals `intervals`, float32 [moment, interval]
    intervals : beat intervals in frames, int64 [interval]
    step : seconds between consecutive moments

    Returns
    -------
    float32 [tick, feature]
    """
    frame = ticks * frame_rate
    low = np.clip(frame.astype(int), 0, len(flux) - 2)
    pattern = np.sqrt(np.maximum(flux[low], flux[low + 1]))  # [tick, band]
    bass, chord = harmonic_changes(semitones, frame / 4, TICKS)
    deviation = pattern - pattern.mean(axis=0)
    energy = _beat_mean((deviation**2).sum(axis=1))
    repeat = np.zeros((len(ticks), len(REPEAT_BEATS)))
    for column, beats in enumerate(REPEAT_BEATS):
        delay = beats * TICKS
        if delay < len(ticks):
            product = _beat_mean((deviation[:-delay] * deviation[delay:]).sum(axis=1))
            repeat[:-delay, column] = product / np.maximum(np.sqrt(energy[:-delay] * energy[delay:]), 1e-3)
    beat_interval = np.full(len(ticks), ticks[-1] - ticks[-1 - TICKS])
    beat_interval[:-TICKS] = ticks[TICKS:] - ticks[:-TICKS]
    moment = np.clip(np.round(ticks / step).astype(int), 0, len(log_probability) - 1)
    adjacent = np.clip(
        nearest_interval(intervals, beat_interval * frame_rate)[:, None] + np.arange(-1, 2), 0, len(intervals) - 1
    )
    evidence = np.maximum(log_probability[moment[:, None], adjacent].max(axis=1), -12) / 4
    octaves = np.log2(60 / beat_interval / 110)
    return np.column_stack([pattern, bass, chord, repeat, evidence, octaves, octaves**2]).astype(np.float32)


def _beat_mean(values: np.ndarray) -> np.ndarray:
    """Return the moving average [tick] over one beat."""
    from scipy.ndimage import uniform_filter1d

    return uniform_filter1d(values, TICKS, mode="constant")


def tick_log_odds(features: np.ndarray, weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the evidence for a beat at each tick and, given a beat, for a downbeat.

    A convolutional network over ticks: one layer that is one beat wide, two dilated layers of nine beats with one tap
    per beat and residual connections, and one output layer. All lengths are in beats, so the weights do not depend on
    the tempo. The weights are the same for all ticks, so they prefer no phase of the initial grid.

    Parameters
    ----------
    features : float32 [tick, feature], from `tick_features`
    weights : "mean", "scale" [feature]; "a", "b", "c", "d" [out, in, tap] and their biases "a0", "b0", "c0", "d0" [out]

    Returns
    -------
    beat : float32 [tick], logarithm of the probability that the beat of this period is at most one tick away, relative
        to a uniform distribution over the period; 0 means no evidence
    downbeat : float32 [tick], log odds that a beat at the tick is a downbeat
    """
    x = ((features - weights["mean"]) / weights["scale"]).T
    x = np.maximum(_convolve(x, weights["a"], weights["a0"], 1), 0)
    x = x + np.maximum(_convolve(x, weights["b"], weights["b0"], TICKS), 0)
    x = x + np.maximum(_convolve(x, weights["c"], weights["c0"], TICKS), 0)
    position_score, downbeat_log_odds, _ = _convolve(x, weights["d"], weights["d0"], 1)
    here, period = _log_sum(position_score, 1), _log_sum(position_score, TICKS // 2)
    return here - period - np.log(3 / (TICKS + 1)), downbeat_log_odds


def _convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, dilation: int) -> np.ndarray:
    """Convolve x [channel, tick] with a kernel [out, channel, tap], zero-padded. Returns [out, tick]."""
    taps, n = kernel.shape[2], x.shape[1]
    padded = np.pad(x, ((0, 0), (taps // 2 * dilation,) * 2))
    return sum(kernel[:, :, i] @ padded[:, i * dilation : i * dilation + n] for i in range(taps)) + bias[:, None]


def _log_sum(values: np.ndarray, reach: int) -> np.ndarray:
    """Return the logarithm of the sum of exponentials of values [tick], over `reach` ticks on both sides."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, reach, constant_values=-np.inf), 2 * reach + 1)
    return np.logaddexp.reduce(windows, axis=1)


@cache
def weights() -> dict[str, np.ndarray]:
    """Return the fitted weights of `tick_log_odds` and of `periodicity.interval_log_probability`, name → float32."""
    with np.load(Path(__file__).with_suffix(".npz"), allow_pickle=False) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}
