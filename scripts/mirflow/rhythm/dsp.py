"""Backend `dsp`: beat activations by signal processing, without an external trained network."""

from dataclasses import replace

import numpy as np

from mirflow.core import audio
from mirflow.core.audio import Audio
from mirflow.dsp.beats import metre, onsets, periodicity
from mirflow.rhythm.activations import FLOOR, Activations

FEWEST_BEATS = 8  # two bars: with fewer beats, a metre cannot be distinguished from chance
# Beat interval over that of the initial grid → nats by which this metrical level must explain the tempo better than the
# level of the initial grid does. Half and double tempo are the usual errors of beat trackers; factors of 3 are rare.
LEVEL_PENALTY = {1: 0.0, 1 / 2: 0.4, 2: 0.4, 1 / 3: 1.2, 3: 1.2, 2 / 3: 1.2, 3 / 2: 1.2}
INITIAL_GRID_WEIGHT = 2.0  # nats added at the beats of the initial grid
ONSET_WEIGHT = 0.5  # nats added at an onset of average strength: small, so that it only decides between adjacent ticks
SILENCE_DB = 60  # frames further below the loudest one are silent
# Threshold for `periodicity.pulse_clarity`. Noise, speech and random clicks reach 0.08; music with rubato has 0.13.
LEAST_PULSE_CLARITY = 0.1
# Threshold for the root mean square of the onset strength, at a peak level of `NORMALISED_PEAK`. A stationary sound has
# 0.006; sustained strings have 0.03.
LEAST_ONSET_STRENGTH = 0.015
NORMALISED_PEAK = 0.7  # full scale is 1
VERSION = 1  # of the activations; raise it when their values change
MEDIAN_BEATS = 8  # the median interval of this many beats continues the grid after the last onset
LONGEST_BREAK = 2.0  # s; beats continue through a silence up to this duration, and stop at a longer one


def activations(full_mix: Audio) -> Activations:
    """Estimate beat and downbeat activations by signal processing.

    1. Essentia's multi-feature beat tracker gives an initial grid.
    2. A log-linear model of the autocorrelation of onset strength and harmony chooses the metrical level.
    3. A small convolutional network in beat-relative time estimates where in the beat period the beat is, and which
       beats are downbeats.

    The model (262 parameters) and the network (16 000 parameters) were fitted to about 1100 synthetic pieces, rendered
    from random and from written scores, without any recording. `dsp/beats/metre.npz` stores the parameters.

    Parameters
    ----------
    full_mix : the whole track, samples float32 [channel, n]

    Returns
    -------
    activations at `onsets.FRAME_RATE`, with tempo evidence; without any beat where no pulse is found

    Source
    ------
    Zapata, Davies & Gómez 2014, Multi-feature beat tracking, IEEE/ACM TASLP 22(4)
    """
    mono = full_mix.mono()
    samples = audio.resample(mono, full_mix.rate, onsets.RATE)
    # Normalised, so that the gain of the track does not matter.
    samples = samples * (NORMALISED_PEAK / max(np.abs(samples).max(initial=0), 1e-9))
    flux = onsets.band_flux(samples)
    initial_grid = _initial_grid(audio.resample(mono, full_mix.rate, 44100))
    if len(initial_grid) < FEWEST_BEATS or np.sqrt((flux**2).mean()) < LEAST_ONSET_STRENGTH:
        return _without_beats(len(flux))
    flux = flux / np.maximum(np.sqrt((flux**2).mean(axis=0)), 1e-6)
    initial_grid = _steady_end(initial_grid, flux.sum(axis=1))
    estimate = refine(initial_grid, flux, onsets.semitones(samples))
    beat = np.where(_is_music(samples, len(flux)), estimate.beat, np.float32(FLOOR))
    return replace(estimate, beat=beat, downbeat=np.minimum(estimate.downbeat, beat))


def refine(initial_grid: np.ndarray, flux: np.ndarray, semitones: np.ndarray) -> Activations:
    """Choose the metrical level of an initial grid, and estimate activations from it.

    Parameters
    ----------
    initial_grid : beats in seconds, ascending [k], at least `FEWEST_BEATS`
    flux : onset strength in bands, each divided by its root mean square, float32 [frame, band] at `onsets.FRAME_RATE`
    semitones : levels of the semitones, float32 [frame / 4, semitone], from `onsets.semitones`

    Returns
    -------
    activations [frame] with tempo evidence; without any beat where the pulse clarity is below `LEAST_PULSE_CLARITY`
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    rate = onsets.FRAME_RATE
    weights = metre.weights()
    intervals, step = periodicity.intervals(rate), round(periodicity.STEP * rate) / rate
    interval_features = periodicity.interval_features(periodicity.envelopes(flux, semitones, rate), intervals, rate)
    log_probability = periodicity.interval_log_probability(interval_features, weights["tempo"])

    def moments_and_intervals(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the index of the moment and of the interval that are nearest to each beat, int64 [k] both."""
        beat_intervals = np.append(np.diff(grid), grid[-1] - grid[-2])
        moments = np.clip(np.round(grid / step).astype(int), 0, len(log_probability) - 1)
        return moments, periodicity.nearest_interval(intervals, beat_intervals * rate)

    if periodicity.pulse_clarity(interval_features, *moments_and_intervals(initial_grid)) < LEAST_PULSE_CLARITY:
        return _without_beats(len(flux))
    grids = metre.metrical_levels(initial_grid, intervals[0] / rate, intervals[-1] / rate)
    scores = {
        ratio: log_probability[moments_and_intervals(level_grid)].clip(-12).mean() - LEVEL_PENALTY[ratio]
        for ratio, level_grid in grids.items()
    }
    grid = grids[max(scores, key=scores.__getitem__)]

    times = np.arange(len(flux)) / rate
    ticks = metre.tick_times(grid, len(flux) / rate)
    tick_features = metre.tick_features(ticks, flux, semitones, rate, log_probability, intervals, step)
    tick_log_odds = metre.tick_log_odds(tick_features, weights)
    beat_position, downbeat_log_odds = (np.interp(times, ticks, log_odds) for log_odds in tick_log_odds)
    strength = flux.sum(axis=1)
    local_level = 2 * np.sqrt(np.maximum(uniform_filter1d(strength**2, round(8 * rate)), 1e-12))
    onset_evidence = np.clip(4 * maximum_filter1d(strength, 3) / local_level - 1, -1.5, 3)
    period = np.interp(times, grid[:-1], np.diff(grid))
    last = len(initial_grid) - 1
    distance = np.abs(times - initial_grid[np.clip(np.searchsorted(initial_grid, times), 0, last)])
    distance_before = np.abs(times - initial_grid[np.clip(np.searchsorted(initial_grid, times) - 1, 0, last)])
    distance = np.minimum(distance, distance_before)
    initial_evidence = INITIAL_GRID_WEIGHT * np.clip(1 - distance / (period / 8), 0, None)
    beat_log_odds = beat_position + initial_evidence + ONSET_WEIGHT * onset_evidence
    beat = 1 / (1 + np.exp(-beat_log_odds))
    period_curve = period[:: round(periodicity.STEP * rate)]
    tempo = -0.5 * (np.log(intervals[None] / rate / period_curve[:, None]) / 0.1) ** 2
    downbeat = np.clip(beat, FLOOR, 1 - FLOOR) / (1 + np.exp(-np.clip(downbeat_log_odds, -4, 4)))
    return Activations(
        beat=np.clip(beat, FLOOR, 1 - FLOOR).astype(np.float32),
        downbeat=downbeat.astype(np.float32),
        frame_rate=rate,
        tempo=np.maximum(tempo, -8).astype(np.float32),
    )


def _without_beats(count: int) -> Activations:
    """Return activations of `count` frames without a beat."""
    return Activations(np.full(count, FLOOR, np.float32), np.full(count, FLOOR / 2, np.float32), onsets.FRAME_RATE)


def _steady_end(grid: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Replace the beats after the last strong onset by beats at a constant tempo, because trackers drift there.

    Parameters
    ----------
    grid : beats in seconds, ascending [k]
    strength : onset strength, float32 [frame] at `onsets.FRAME_RATE`

    Returns
    -------
    beats in seconds; those after the onset follow in the median interval of the `MEDIAN_BEATS` beats before it
    """
    strong_frames = np.flatnonzero(strength > np.sqrt((strength**2).mean()))
    kept = np.searchsorted(grid, strong_frames[-1] / onsets.FRAME_RATE + 0.07) if len(strong_frames) else len(grid)
    if kept <= MEDIAN_BEATS or kept == len(grid):
        return grid
    interval = np.median(np.diff(grid[kept - MEDIAN_BEATS - 1 : kept]))
    return np.concatenate([grid[:kept], np.arange(grid[kept - 1] + interval, grid[-1] + interval / 2, interval)])


def _initial_grid(samples: np.ndarray) -> np.ndarray:
    """Return the beats of Essentia's RhythmExtractor2013 (multifeature) in seconds, float64 [k].

    `samples` is float32 [n] at 44.1 kHz. Shorter than 3 s or silent, it has no beats.
    """
    # In less than 3 s the tracker cannot find `FEWEST_BEATS` beats, even at its fastest tempo.
    if len(samples) < 3 * 44100 or not samples.any():
        return np.zeros(0)
    from mirflow.dsp import essentia_algorithms

    beats = essentia_algorithms.standard().RhythmExtractor2013(method="multifeature")(samples)[1].astype(np.float64)
    return beats[np.diff(beats, prepend=-1) > 0.1]


def _is_music(samples: np.ndarray, count: int) -> np.ndarray:
    """Return which frames belong to the music, bool [count]: audible frames, and breaks up to `LONGEST_BREAK`.

    Parameters
    ----------
    samples : float32 [n] at `onsets.RATE`
    count : number of frames
    """
    from scipy.ndimage import binary_closing, binary_dilation

    rate, hop = onsets.FRAME_RATE, onsets.HOP
    padded = np.pad(samples, (hop // 2, count * hop))[: count * hop]  # frame k is centred on sample k * hop
    peak = np.abs(padded.reshape(count, hop)).max(axis=1)
    is_audible = (peak > peak.max() * 10 ** (-SILENCE_DB / 20)) & (peak > 0)
    half_break = round(LONGEST_BREAK * rate / 2)
    closed = binary_closing(np.pad(is_audible, half_break), np.ones(2 * half_break + 1))
    closed = closed[half_break : half_break + count]
    # 70 ms on both sides: the usual tolerance in the evaluation of beat tracking
    return binary_dilation(closed, np.ones(2 * round(0.07 * rate) + 1))
