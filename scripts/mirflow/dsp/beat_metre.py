"""What the music does on and between the beats of a first grid: where in its period the beat is, and where the bar begins."""

import numpy as np

from mirflow.dsp.beat_tempo import changes, nearest

TICKS = 12  # a beat: halves, thirds and quarters all fall on one
REPEATS = range(2, 9)  # beats after which a bar may repeat
LEVELS = (1, 1 / 2, 2, 1 / 3, 3, 2 / 3, 3 / 2)  # the ratios by which trackers take another level for the beat


def other_levels(beats: np.ndarray, shortest: float, longest: float) -> list[np.ndarray]:
    """Return grids whose beat is another level of the metre than that of `beats` [k], itself first.

    A grid whose median interval is outside [`shortest`, `longest`] s is left out.
    """
    usual = np.median(np.diff(beats))
    ratios = [ratio for ratio in LEVELS if ratio == 1 or shortest <= usual * ratio <= longest]
    index = np.arange(len(beats))
    grids = [np.interp(np.arange(0, len(beats) - 1 + 1e-9, ratio), index, beats) for ratio in ratios]
    return [grid for grid in grids if len(grid) > 2]


def tick_times(beats: np.ndarray, duration: float) -> np.ndarray:
    """Return times of `TICKS` a beat over the whole duration, the first and last tempo continued outside the beats."""
    before = np.arange(beats[0], 0, -(beats[1] - beats[0]))[:0:-1]
    after = np.arange(beats[-1], duration, beats[-1] - beats[-2])[1:]
    whole = np.concatenate([before, beats, after])
    return np.interp(np.arange((len(whole) - 1) * TICKS + 1) / TICKS, np.arange(len(whole)), whole)


def describe(ticks, flux, semitones, frame_rate, tempo, frames, step) -> np.ndarray:
    """Return features of each tick, float32 [tick, feature].

    Onset strength in bands, change of bass and chord from the beat before to the beat after the tick, likeness of the
    rhythm to that of `REPEATS` beats later, and the tempo with its evidence.

    Parameters
    ----------
    ticks : seconds, ascending [tick]
    flux : onset strength in bands, float32 [frame, band], each over its root mean square
    semitones : float32 [frame / 4, note]
    frame_rate : frames/s of `flux`
    tempo : log probability of the intervals `frames`, float32 [moment, interval], one moment every `step` seconds
    """
    at = ticks * frame_rate
    low = np.clip(at.astype(int), 0, len(flux) - 2)
    pattern = np.sqrt(np.maximum(flux[low], flux[low + 1]))  # [tick, band]
    bass, chord = changes(semitones, at / 4, TICKS)
    shape = pattern - pattern.mean(axis=0)
    energy = _beat_mean((shape**2).sum(axis=1))
    repeat = np.zeros((len(ticks), len(REPEATS)))
    for column, beats in enumerate(REPEATS):
        delay = beats * TICKS
        if delay < len(ticks):
            product = _beat_mean((shape[:-delay] * shape[delay:]).sum(axis=1))
            repeat[:-delay, column] = product / np.maximum(np.sqrt(energy[:-delay] * energy[delay:]), 1e-3)
    gaps = np.full(len(ticks), ticks[-1] - ticks[-1 - TICKS])
    gaps[:-TICKS] = ticks[TICKS:] - ticks[:-TICKS]
    row = np.clip(np.round(ticks / step).astype(int), 0, len(tempo) - 1)
    near = np.clip(nearest(frames, gaps * frame_rate)[:, None] + np.arange(-1, 2), 0, len(frames) - 1)
    evidence = np.maximum(tempo[row[:, None], near].max(axis=1), -12) / 4
    octaves = np.log2(60 / gaps / 110)
    return np.column_stack([pattern, bass, chord, repeat, evidence, octaves, octaves**2]).astype(np.float32)


def _beat_mean(values: np.ndarray) -> np.ndarray:
    from scipy.ndimage import uniform_filter1d

    return uniform_filter1d(values, TICKS, mode="constant")


def judge(described: np.ndarray, weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Judge each tick: evidence for a beat and, given a beat, for a downbeat.

    Three convolutions over ticks: one beat wide, then twice nine beats wide (one tap a beat), with skips. All lengths
    are in beats, so that the weights know nothing of tempo, and no phase is preferred.

    Parameters
    ----------
    described : float32 [tick, feature] of `describe`
    weights : "mean", "scale" [feature]; "a", "b", "c", "d" [out, in, tap] and their biases "a0" ... [out]

    Returns
    -------
    beat : float32 [tick], log of the probability that the beat is within a tick of here, rather than elsewhere in the
        period around, over that of a beat that may be anywhere; 0 says nothing
    down : float32 [tick], log odds of a downbeat
    """
    x = ((described - weights["mean"]) / weights["scale"]).T
    x = np.maximum(_convolve(x, weights["a"], weights["a0"], 1), 0)
    x = x + np.maximum(_convolve(x, weights["b"], weights["b0"], TICKS), 0)
    x = x + np.maximum(_convolve(x, weights["c"], weights["c0"], TICKS), 0)
    place, down, _ = _convolve(x, weights["d"], weights["d0"], 1)
    near, around = _log_sum(place, 1), _log_sum(place, TICKS // 2)
    return near - around - np.log(3 / (TICKS + 1)), down


def _convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, dilation: int) -> np.ndarray:
    """Convolve [channel, tick] with [out, channel, tap], zeros outside."""
    taps, n = kernel.shape[2], x.shape[1]
    padded = np.pad(x, ((0, 0), (taps // 2 * dilation,) * 2))
    return sum(kernel[:, :, i] @ padded[:, i * dilation : i * dilation + n] for i in range(taps)) + bias[:, None]


def _log_sum(values: np.ndarray, reach: int) -> np.ndarray:
    """Return the logarithm of the sum of exponentials over `reach` ticks on both sides."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, reach, constant_values=-np.inf), 2 * reach + 1)
    return np.logaddexp.reduce(windows, axis=1)

