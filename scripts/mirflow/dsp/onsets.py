"""Onset detection: times and strengths of note onsets.

The onset strength is the SuperFlux of Böck & Widmer (2013). A peak of it locates an onset to within about 20 ms. The
energy of the waveform then locates the attack, with the precision of a sample where the attack is sharp.

The flux is a mean over all bands, in frames of 46 ms. So it is small where a sound has few partials and where its
attack is soft (`mirflow.dsp.soft_onsets`), and it cannot follow fast rolls (`mirflow.dsp.rolls`).
"""

from dataclasses import dataclass

import numpy as np

from mirflow.core.audio import resample
from mirflow.dsp import rolls, soft_onsets, spectrum, superflux
from mirflow.dsp.superflux import FRAME, HOP, LAG_FRAMES, LEAD_FRAMES, RATE

VERSION = 4  # of the onsets; raise it when their times change

PEAK_DISTANCE = 3  # frames; a peak is the largest value within this distance, and peaks are further apart than this
MEAN_BEFORE, MEAN_AFTER = 10, 7  # frames before and after a frame, over which the local mean is taken
THRESHOLD_FACTOR = 1.5  # times the local mean: the flux of noise fluctuates in proportion to its mean
THRESHOLD_OFFSET = 0.25  # dB, added to it

ATTACK_REACH = 0.020  # s before and after the flux peak, where the attack is searched
ATTACK_CONTEXT = 0.040  # s before and after the flux peak, whose energy is used
LEAST_ATTACK_DB = 10.0  # where the energy rises by less, the time of the flux peak is kept
STROKE_REACH = 0.015  # s around a stroke of a roll, whose time is taken
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


def _peaks(flux: np.ndarray) -> np.ndarray:
    """Return the frames of the peaks of an onset strength envelope that exceed the local threshold, int [k]."""
    from scipy.ndimage import maximum_filter1d

    total = np.concatenate([[0.0], np.cumsum(flux)])
    frame = np.arange(len(flux))
    begin, end = np.maximum(frame - MEAN_BEFORE, 0), np.minimum(frame + MEAN_AFTER + 1, len(flux))
    mean = (total[end] - total[begin]) / (end - begin)
    candidates = np.flatnonzero(
        (flux == maximum_filter1d(flux, 2 * PEAK_DISTANCE + 1)) & (flux >= THRESHOLD_FACTOR * mean + THRESHOLD_OFFSET)
    )
    # Of a plateau, only the first frame is a peak.
    return candidates[np.diff(candidates, prepend=-PEAK_DISTANCE - 1) > PEAK_DISTANCE]


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
    nearest = np.round(np.asarray(times) * RATE / HOP + LEAD_FRAMES + LAG_FRAMES / 2).astype(int)
    frames = np.clip(nearest[:, None] + np.arange(-reach, reach + 1), 0, len(flux) - 1)
    return flux[frames].max(axis=1)


def _refine_to_attacks(mono: np.ndarray, rate: int, times: np.ndarray) -> np.ndarray:
    """Move each time to the attack within `ATTACK_REACH`, where there is a clear one.

    The attack is the instant that best divides the signal around the peak into two parts of constant power. This is the
    Akaike information criterion as seismology uses it to pick arrival times. The power is that of the first difference
    of the waveform, because attacks have high frequencies, and a bass note that continues has not.

    Parameters
    ----------
    mono : float32 [n], at its original rate, because resampling would smear the attacks
    rate : Hz
    times : of the peaks of the flux, seconds [k]

    Returns
    -------
    seconds, float64 [k]

    Source
    ------
    Maeda 1985, A method for reading and checking phase times in autoprocessing system of seismic wave data, Zisin 38
    """
    reach, context = round(ATTACK_REACH * rate), round(ATTACK_CONTEXT * rate)
    padding = 2 * context  # peaks of the flux may be up to one frame outside the signal
    difference = np.diff(np.pad(mono, (padding + 1, padding)))  # difference[i] ends at the sample i - padding
    energy = np.concatenate([[0.0], np.cumsum(np.square(difference, dtype=np.float64))])

    centre = np.clip(np.round(times * rate).astype(int), 0, len(mono))[:, None] + padding
    start, end = centre - context, centre + context
    split = np.clip(centre + np.arange(-reach, reach + 1), padding, padding + len(mono))
    floor = 1e-7 * (energy[end] - energy[start]) / (end - start) + 1e-20  # avoids log(0) in silence
    before = (energy[split] - energy[start]) / (split - start) + floor
    after = (energy[end] - energy[split]) / (end - split) + floor
    criterion = (split - start) * np.log(before) + (end - split) * np.log(after)
    best = np.arange(len(times)), criterion.argmin(axis=1)
    has_attack = after[best] >= before[best] * 10 ** (LEAST_ATTACK_DB / 10)
    return np.where(has_attack, (split[best] - padding) / rate, times)


def detect(mono: np.ndarray, rate: int) -> Onsets:
    """Detect note onsets.

    Parameters
    ----------
    mono : float32 [n]
    rate : Hz

    Returns
    -------
    the onsets. Silence has none, and stationary sounds have hardly any. A signal that starts without a fade-in has one
    at 0. Onsets in the last 20 to 40 ms are not detected

    Source
    ------
    Böck & Widmer 2013, Maximum filter vibrato suppression for onset detection, DAFx
    """
    samples = spectrum.centred(resample(mono, rate, RATE)[None])[0]
    levels = superflux.decibels(samples, rate)
    if levels is None:
        return Onsets(np.zeros(0), np.zeros(0))
    flux = superflux.increase(levels).mean(axis=1, dtype=np.float64)
    peaks = _peaks(flux)
    times = superflux.frame_times(np.concatenate([peaks, soft_onsets.frames(levels, samples, peaks)]))
    times = np.clip(_refine_to_attacks(mono, rate, times), 0.0, len(mono) / rate)
    strokes = rolls.times(samples)
    if len(strokes):
        times = times[np.abs(times[:, None] - strokes).min(axis=1) > STROKE_REACH]
    times = np.sort(np.concatenate([times, strokes]))
    times = times[np.diff(times, prepend=-np.inf) >= LEAST_INTERVAL]
    return Onsets(times, strengths(flux, times))
