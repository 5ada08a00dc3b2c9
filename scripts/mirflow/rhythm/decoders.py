"""Decoders: they turn the activations of any backend into a grid of beats and downbeats."""

from dataclasses import dataclass

import numpy as np

from mirflow.rhythm.activations import FLOOR, Activations, beat_intervals

VERSION = 2  # of the grids; raise it when their times change
TEMPO_CHANGE_COST = 50.0  # nats, times the absolute logarithm of the ratio of consecutive beat intervals
# Nats that a segment of beats costs. Its evidence has to exceed them: a segment has thousands of possible starts, tempi
# and metres, and one of them fits by chance.
SEGMENT_COST = 16.0
# Frames/s. At this frame rate and 250 beats per minute, one frame more makes an interval 6 % longer, and
# TEMPO_CHANGE_COST still allows that. Coarser activations are interpolated.
LOWEST_FRAME_RATE = 75
PEAK_REACH = 2  # frames from a beat in which the peak of the activation is looked for
METRES = {4: 0.5, 3: 0.2, 2: 0.15, 5: 0.05, 6: 0.05, 7: 0.03}  # beats per bar → prior probability, a rough estimate


@dataclass(frozen=True)
class Grid:
    """Decoded beats.

    Attributes
    ----------
    beats : float64 [k], seconds, ascending
    positions : int64 [k], position of each beat in its bar, counted from 1 (the downbeat)
    """

    beats: np.ndarray
    positions: np.ndarray

    @property
    def downbeats(self) -> np.ndarray:
        """The downbeats in seconds, float64 [m], a subset of the beats."""
        return self.beats[self.positions == 1]


def decode(activations: Activations) -> Grid:
    """Decode a grid with the bar-pointer model: metres of `METRES`, tempi from 40 to 250 beats per minute.

    "No beats" is one of the states of the model. So the grid has no beats where beats do not explain the activations
    better than their absence. The time of a beat is interpolated between frames.

    Raises
    ------
    ValueError : the tempo evidence has another number of intervals than the model

    Source
    ------
    Krebs, Böck & Widmer 2015, An efficient state-space model for joint tempo and meter tracking, ISMIR
    """
    from mirflow.dsp.beats import viterbi

    if not len(activations.beat):
        return Grid(np.zeros(0), np.zeros(0, np.int64))
    if activations.frame_rate < LOWEST_FRAME_RATE:
        return decode(_at_double_frame_rate(activations))
    intervals = beat_intervals(activations.frame_rate)
    evidence = activations.tempo if activations.tempo.size else np.zeros((1, len(intervals)), np.float32)
    if evidence.shape[1] != len(intervals):
        raise ValueError(f"tempo evidence must be [window, {len(intervals)}], got {evidence.shape}")
    probability = activations.beat
    if activations.prior:  # what it would be if an average frame had even odds
        probability = probability / (probability + (1 - probability) * np.float32(np.exp(activations.prior)))
    beat = _log_odds(probability)
    # The log odds that a beat is a downbeat, weighted by the probability that there is a beat. The term log(3) cancels
    # the prior odds of a downbeat (1 : 3 in bars of four beats), because the metres of the model already contain them;
    # `_bar_cost` does the rest for shorter bars.
    downbeat = probability * (
        _log_odds(activations.downbeat / np.maximum(activations.beat, FLOOR)) + np.float32(np.log(3))
    )
    frames, positions, _, _ = viterbi.best_path(
        beat,
        downbeat,
        np.ascontiguousarray(evidence / activations.frame_rate, np.float32),
        -(-len(beat) // len(evidence)),
        intervals,
        np.full(len(intervals), -np.log(len(intervals)), np.float32),
        np.array(list(METRES)),
        np.log(np.array(list(METRES.values()), np.float32)),
        np.array([_bar_cost(metre) for metre in METRES], np.float32),
        (TEMPO_CHANGE_COST * np.diff(np.log(intervals))).astype(np.float32),
        np.float32(SEGMENT_COST),
    )
    return Grid(_between_frames(frames, activations.beat) / activations.frame_rate, positions + 1)


def _bar_cost(metre: int) -> float:
    """Return what a bar of so many beats costs, in nats: log(3) less the logarithm of metre - 1, the odds against it.

    Without it, a network that knows that the downbeat is the first or the third beat, but not which of them, would make
    bars of two beats. Longer bars get nothing back, because uncertain downbeats would then make bars of six or seven.
    """
    return max(0.0, float(np.log(3 / (metre - 1))))


def _between_frames(frames: np.ndarray, beat: np.ndarray) -> np.ndarray:
    """Return when beats are, in fractions of a frame: the vertex of a parabola through the log odds around a peak.

    Parameters
    ----------
    frames : int64 [k], frames of the beats
    beat : float32 [frame], probability of a beat

    Returns
    -------
    float64 [k], frames; a beat at most `PEAK_REACH` frames from a peak moves to it, others stay
    """
    if len(beat) < 3:
        return frames.astype(float)
    log_odds = np.log(np.clip(beat, 1e-6, 1 - 1e-6) / np.clip(1 - beat, 1e-6, 1)).astype(float)
    nearby = np.clip(frames[:, None] + np.arange(-PEAK_REACH, PEAK_REACH + 1), 0, len(beat) - 1)
    peaks = nearby[np.arange(len(frames)), log_odds[nearby].argmax(axis=1)]
    middle = np.clip(peaks, 1, len(beat) - 2)
    before, at, after = log_odds[middle - 1], log_odds[middle], log_odds[middle + 1]
    is_peak = (at >= before) & (at >= after) & (2 * at > before + after)
    curvature = np.where(is_peak, 2 * at - before - after, 1)
    return np.where(is_peak, middle + 0.5 * (after - before) / curvature, np.where(peaks == 0, 0, frames))


def _at_double_frame_rate(activations: Activations) -> Activations:
    """Return the activations at twice the frame rate by linear interpolation, without tempo evidence."""
    position = np.arange(2 * len(activations.beat) - 1) / 2
    interpolated = (
        np.interp(position, position[::2], row).astype(np.float32) for row in (activations.beat, activations.downbeat)
    )
    return Activations(*interpolated, 2 * activations.frame_rate, prior=activations.prior)


def pick_peaks(activations: Activations) -> Grid:
    """Take every peak of the activations above 0.5 as a beat. For music without a steady tempo or metre.

    A downbeat peak makes the nearest beat within 70 ms a downbeat. The positions of all other beats are 2.
    """
    beat_peaks = _peaks(activations.beat, activations.frame_rate)
    downbeat_peaks = _peaks(activations.downbeat, activations.frame_rate)
    positions = np.full(len(beat_peaks), 2)
    if len(beat_peaks):
        nearest = np.abs(beat_peaks[:, None] - downbeat_peaks).argmin(axis=0)
        # 70 ms is the usual tolerance in the evaluation of beat tracking
        is_near = np.abs(beat_peaks[nearest] - downbeat_peaks) <= 0.07 * activations.frame_rate
        positions[nearest[is_near]] = 1
    return Grid(beat_peaks / activations.frame_rate, positions)


def _peaks(activation: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return the frames that exceed 0.5 and are the largest within 70 ms on both sides, int64 [k]."""
    from scipy.ndimage import maximum_filter1d

    local_maximum = maximum_filter1d(activation, 2 * round(0.07 * frame_rate) + 1)
    peaks = np.flatnonzero((activation == local_maximum) & (activation > 0.5))
    return peaks[np.diff(peaks, prepend=-len(activation)) > 0.07 * frame_rate]  # of a plateau, the first frame


DECODERS = {"hmm": decode, "peaks": pick_peaks}


def _log_odds(probability: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)) of probabilities, clipped to [FLOOR, 1 - FLOOR], float32."""
    clipped = np.clip(probability, FLOOR, 1 - FLOOR)
    return np.log(clipped / (1 - clipped)).astype(np.float32)
