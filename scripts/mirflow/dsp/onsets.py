"""Onset detection: times and strengths of note onsets.

A small network finds the onsets (`mirflow.dsp.onset_network`), to within about 10 ms. Where it is not sure, the levels
of bands help (`mirflow.dsp.soft_onsets`), and how even the strokes of a roll are (`mirflow.dsp.rolls`). The energy of
the waveform then locates the attack, with the precision of a sample where the attack is sharp. The strength of an onset
is the SuperFlux of Böck & Widmer (2013).
"""

from dataclasses import dataclass

import numpy as np

from mirflow.core.audio import resample
from mirflow.dsp import onset_network, rolls, soft_onsets, superflux
from mirflow.dsp.superflux import FRAME, HOP, LAG_FRAMES, LEAD_FRAMES, RATE

VERSION = 6  # of the onsets; raise it when their times change

LEAST_PROBABILITY = 0.65  # of an onset, by the network
LEAST_STRENGTH = 0.4  # dB, of such an onset: the network also finds loops of sampled sounds, which hardly change levels
POSSIBLE, POSSIBLE_REACH = 0.2, 8  # a smaller probability, within so many frames, is enough where levels show an onset
PEAK_DISTANCE = 2  # frames; a peak is the largest value within this distance
LAST = 0.03  # s before the end, in which there are no onsets: an end that cuts a sound looks like one

ATTACK_REACH = 0.020  # s before and after the time by the network, where the attack is searched
ATTACK_CONTEXT = 0.040  # s before and after it, whose energy is used, but not beyond the onsets beside it
LEAST_ATTACK_DB = 10.0  # where the energy rises by less, the time by the network is kept
LEAST_EXPLAINED = 0.5  # of the gain in log likelihood by the best division
STROKE_REACH = 0.015  # s around an onset, in which a stroke of a roll is the same one
LEAST_INTERVAL = 0.020  # s; of two onsets that are closer, the second one is removed


@dataclass(frozen=True)
class Onsets:
    """Detected onsets.

    Attributes
    ----------
    times : seconds, ascending, float64 [k]: the attacks, without backtracking to the preceding energy minimum, because
        annotated beats and notes are at the attack
    strengths : dB, float64 [k], see `strengths`
    """

    times: np.ndarray
    strengths: np.ndarray


def envelope(mono: np.ndarray, rate: int) -> np.ndarray:
    """Return the onset strength envelope: the mean increase of the bands over the spectrum `LAG_FRAMES` frames earlier.

    It does not depend on the gain of the signal.

    Parameters
    ----------
    mono : float32 [n]
    rate : Hz

    Returns
    -------
    dB, at least 0, float64 [frame], at `superflux.frame_times`; all zero for a silent signal (`superflux.SILENT_DB`)

    Source
    ------
    Böck & Widmer 2013, Maximum filter vibrato suppression for onset detection, DAFx
    """
    samples = resample(mono, rate, RATE)
    levels = superflux.decibels(samples, rate)
    if levels is None:
        return np.zeros((len(samples) - FRAME // 2) // HOP + LEAD_FRAMES + 1)
    return superflux.increase(levels).mean(axis=1, dtype=np.float64)


def _peaks(odds: np.ndarray) -> np.ndarray:
    """Return the times of the peaks of the network's output in seconds, float64 [k].

    Between frames, a peak is at the vertex of a parabola through three of them.

    Parameters
    ----------
    odds : log odds [frame], from `onset_network.run`
    """
    from scipy.ndimage import maximum_filter1d

    largest = maximum_filter1d(odds, 2 * PEAK_DISTANCE + 1)
    peaks = np.flatnonzero((odds == largest) & (odds > _log_odds(LEAST_PROBABILITY)))
    peaks = peaks[(peaks > 0) & (peaks < len(odds) - 1)]
    peaks = peaks[np.diff(peaks, prepend=-PEAK_DISTANCE - 1) > PEAK_DISTANCE]  # the first one of a plateau
    before, at, after = (odds[peaks + shift].astype(np.float64) for shift in (-1, 0, 1))
    curvature = np.minimum(before - 2 * at + after, -1e-9)
    offset = np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)
    return np.maximum((peaks + offset - onset_network.LEAD) * onset_network.HOP / RATE, 0.0)


def _possible(odds: np.ndarray, count: int) -> np.ndarray:
    """Return for `count` frames of `envelope` whether the network finds an onset near them possible, bool [frame].

    Parameters
    ----------
    odds : log odds [frame], from `onset_network.run`
    """
    from scipy.ndimage import maximum_filter1d

    near = maximum_filter1d(odds, 2 * POSSIBLE_REACH + 1) > _log_odds(POSSIBLE)
    times = superflux.frame_times(np.arange(count))
    return near[np.clip(np.round(times * RATE / onset_network.HOP).astype(int) + onset_network.LEAD, 0, len(odds) - 1)]


def _log_odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def _flux_frames(times: np.ndarray) -> np.ndarray:
    """Return the frames of `envelope` that are nearest to times in seconds, int [k]."""
    return np.round(np.asarray(times) * RATE / HOP + LEAD_FRAMES + LAG_FRAMES / 2).astype(int)


def strengths(flux: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the strength of onsets: the maximum of the onset strength envelope within `ATTACK_REACH` of each time.

    Parameters
    ----------
    flux : dB, float64 [frame], from `envelope`
    times : seconds [k], from `detect` on the same signal

    Returns
    -------
    dB, float64 [k]
    """
    reach = round(ATTACK_REACH * RATE / HOP)
    frames = np.clip(_flux_frames(times)[:, None] + np.arange(-reach, reach + 1), 0, len(flux) - 1)
    return flux[frames].max(axis=1)


def _refine_to_attacks(mono: np.ndarray, rate: int, times: np.ndarray) -> np.ndarray:
    """Move each time to the attack within `ATTACK_REACH`, where there is a clear one.

    The attack is the instant that best divides the signal around the peak into a softer and a louder part of constant
    power. This is the Akaike information criterion as seismology uses it to pick arrival times. The power is that of
    the first difference of the waveform, because attacks have high frequencies, and a bass note that continues has not.
    The end of a click can divide the signal better than its beginning, so that alone does not keep an attack from being
    taken; it must explain at least `LEAST_EXPLAINED` of what the best division does.

    Parameters
    ----------
    mono : float32 [n], at its original rate, because resampling would smear the attacks
    rate : Hz
    times : by the network, seconds, ascending [k]

    Returns
    -------
    seconds, float64 [k]

    Source
    ------
    Maeda 1985, A method for reading and checking phase times in autoprocessing system of seismic wave data, Zisin 38
    """
    reach, context = round(ATTACK_REACH * rate), round(ATTACK_CONTEXT * rate)
    difference = np.diff(np.pad(mono, (context + 1, context)))  # difference[i] ends at the sample i - context
    energy = np.concatenate([[0.0], np.cumsum(np.square(difference, dtype=np.float64))])

    centre = np.clip(np.round(times * rate).astype(int), 0, len(mono)) + context
    gap = np.diff(centre, prepend=-context, append=len(mono) + 3 * context)
    start = (centre - np.clip(gap[:-1] // 2, 2, context))[:, None]
    end = (centre + np.clip(gap[1:] // 2, 2, context))[:, None]
    split = np.clip(
        centre[:, None] + np.arange(-reach, reach + 1),
        np.maximum(start + 1, context),
        np.minimum(end - 1, context + len(mono)),
    )
    floor = 1e-7 * (energy[end] - energy[start]) / (end - start) + 1e-20  # avoids log(0) in silence
    before = (energy[split] - energy[start]) / (split - start) + floor
    after = (energy[end] - energy[split]) / (end - split) + floor
    undivided = (end - start) * np.log((energy[end] - energy[start]) / (end - start) + floor)
    explained = undivided - (split - start) * np.log(before) - (end - split) * np.log(after)
    rising = np.where(after >= before * 10 ** (LEAST_ATTACK_DB / 10), explained, 0.0)
    best = np.arange(len(times)), rising.argmax(axis=1)
    has_attack = (rising[best] > 0) & (rising[best] >= LEAST_EXPLAINED * explained.max(axis=1, initial=0.0))
    return np.where(has_attack, (split[best] - context) / rate, times)


def detect(mono: np.ndarray, rate: int) -> Onsets:
    """Detect note onsets.

    Parameters
    ----------
    mono : float32 [n]
    rate : Hz

    Returns
    -------
    the onsets. Silence has none, and stationary sounds have hardly any. A signal that starts without a fade-in has one
    at 0. Onsets in the last 30 ms are not detected
    """
    samples = resample(mono, rate, RATE)
    if len(samples):
        # An offset is no sound. The median is the offset of silence too, where sounds are few and all of one sign.
        samples = samples - np.median(samples)
    levels = superflux.decibels(samples, rate)
    if levels is None:
        return Onsets(np.zeros(0), np.zeros(0))
    odds = onset_network.run(samples)
    flux = superflux.increase(levels).mean(axis=1, dtype=np.float64)
    times = _peaks(odds)
    times = times[strengths(flux, times) >= LEAST_STRENGTH]
    possible = _possible(odds, len(levels))
    strokes = rolls.times(samples)
    strokes = strokes[possible[np.clip(_flux_frames(strokes), 0, len(levels) - 1)]]
    if len(times) and len(strokes):
        strokes = strokes[np.abs(strokes[:, None] - times).min(axis=1) > STROKE_REACH]
    times = np.sort(np.concatenate([times, strokes]))
    soft = soft_onsets.frames(levels, flux, samples, _flux_frames(times), possible)
    times = np.sort(np.concatenate([times, np.maximum(superflux.frame_times(soft), 0.0)]))
    times = _refine_to_attacks(mono, rate, times[times <= len(mono) / rate - LAST])
    times = times[np.diff(times, prepend=-np.inf) >= LEAST_INTERVAL]
    return Onsets(times, strengths(flux, times))
