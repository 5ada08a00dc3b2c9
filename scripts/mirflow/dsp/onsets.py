"""Onset detection: times and strengths of note onsets.

The onset strength is the SuperFlux of Böck & Widmer (2013): spectral flux with a maximum filter over frequency, which
suppresses vibrato. Magnitudes are relative to the level of the signal, so the gain does not matter. A peak of the flux
locates an onset to within about 20 ms. The energy of the waveform then locates the attack, with the precision of a
sample where the attack is sharp.

The flux is a mean over all bands, so it is small where a sound has few partials, and where its attack is soft. Such
onsets are found by two further signs: partials that were not there for a while, and a short gap between two sounds.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from mirflow.core.audio import resample

VERSION = 2  # of the onsets; raise it when their times change
RATE = 44100  # Hz; audio with other rates is resampled
FRAME = 2048  # samples
HOP = 441  # samples: 100 frames/s
LEAD_FRAMES = 5  # frames of silence before time 0, so that an onset at time 0 has a spectrum before it
BANDS_PER_OCTAVE = 24
LOWEST, HIGHEST = 30.0, 16000.0  # Hz
PASSBAND = 0.9  # of the Nyquist frequency: the band that a resampler keeps
GAIN = 100.0  # of relative magnitudes before the logarithm: sounds 40 dB below the signal's level still count
LAG_FRAMES = 2  # frames between the two spectra that are compared
SILENT_DB = -70.0  # dB re full scale (RMS); a signal whose loudest frame is below it has no onsets
ACTIVE_DB = 60.0  # frames further below the loudest one do not count for the signal's level

BACKGROUND_PERCENTILE = 25  # of the frames: the level of a band's stationary sound

PEAK_DISTANCE = 3  # frames; a peak is the largest value within this distance, and peaks are further apart than this
MEAN_BEFORE, MEAN_AFTER = 10, 7  # frames before and after a frame, over which the local mean is taken
THRESHOLD_FACTOR = 1.5  # times the local mean: the flux of noise fluctuates in proportion to its mean
THRESHOLD_OFFSET = 0.25  # dB, added to it

FULL_DB = 15.0  # a band with this level counts as one that sounds, a weaker one in proportion
FEWEST_BANDS = 4.0  # added to the number of bands that sound, so that a few weak ones do not count as much
SOFT_DISTANCE = 8  # frames between onsets with few partials or soft attacks, and to all others
LEAST_RISE = 0.6  # dB, of the flux over the bands that sound
LEAST_NOVELTY = 2.5  # dB, of the bands that sound, over their largest level in `MEMORY_FRAMES`
NOVELTY_AHEAD = 9  # frames after an onset, when its sound is compared with what was there before
MEMORY_FRAMES = 35  # longer than a period of vibrato and of most beats
RISING = 0.4  # of the peak of the flux: a soft attack begins where the flux exceeds this

GAP_FRAME = 1024  # samples
GAP_DB = 8.0  # depth of a gap between two sounds
GAP_RISE_FRAMES, GAP_RISE_DB = 3, 2.5  # after the gap, the level reaches its peak in this time, but for this much
GAP_REACH = 18  # frames before and after a gap, in which the level hardly changes: noise and beats have more gaps
GAP_STEADY_DB = 3.0

ATTACK_REACH = 0.020  # s before and after the flux peak, where the attack is searched
ATTACK_CONTEXT = 0.040  # s before and after the flux peak, whose energy is used
LEAST_ATTACK_DB = 10.0  # where the energy rises by less, the time of the flux peak is kept
LEAST_INTERVAL = 0.020  # s; of two onsets that are closer, the second one is removed
BLOCK = 1024  # frames that are transformed at a time, to limit memory


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


@cache
def _bands(highest: float) -> np.ndarray:
    """Return triangular bands on a logarithmic frequency axis up to `highest` Hz, float32 [bin, band].

    No two bands have the same centre bin.
    """
    octaves = np.arange(0, np.log2(highest / LOWEST), 1 / BANDS_PER_OCTAVE)
    edges = np.unique(np.round(LOWEST * 2**octaves * FRAME / RATE).astype(int))
    bands = np.zeros((FRAME // 2 + 1, len(edges) - 2), dtype=np.float32)
    for band, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        bands[low : centre + 1, band] = np.linspace(0, 1, centre - low + 1)
        bands[centre : high + 1, band] = np.linspace(1, 0, high - centre + 1)
    return bands


def _band_magnitudes(samples: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Return the magnitudes in the bands, float32 [frame, band].

    Frame i is centred on sample (i - LEAD_FRAMES) * HOP.

    Parameters
    ----------
    samples : float32 [n] at `RATE`
    bands : float32 [bin, band], from `_bands`
    """
    from scipy.fft import rfft

    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)
    # No frame extends beyond the end: many tracks end abruptly, and zeros after the end would cause an onset.
    samples = np.pad(samples, (FRAME // 2 + LEAD_FRAMES * HOP, 0))
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    magnitudes = np.empty((len(frames), bands.shape[1]), dtype=np.float32)
    for start in range(0, len(frames), BLOCK):
        magnitudes[start : start + BLOCK] = np.abs(rfft(frames[start : start + BLOCK] * window)) @ bands
    return magnitudes


def _is_silent(mono: np.ndarray) -> bool:
    """Return whether no frame of `mono`, float32 [n] at `RATE`, has an RMS level above `SILENT_DB`."""
    energy = np.add.reduceat(np.square(mono, dtype=np.float64), np.arange(0, len(mono), FRAME)) if len(mono) else [0.0]
    return bool(np.max(energy) / FRAME <= 10 ** (SILENT_DB / 10))


def _decibels(samples: np.ndarray, rate: int) -> np.ndarray | None:
    """Return the level of each band above 40 dB below the level of the signal, float32 [frame, band]; None in silence.

    Parameters
    ----------
    samples : float32 [n] at `RATE`
    rate : of the recording, in Hz
    """
    samples = samples - samples.mean(dtype=np.float64).astype(np.float32) if len(samples) else samples
    if _is_silent(samples):
        return None
    # Bands above the Nyquist frequency of the recording are empty, and would only lower the mean.
    magnitudes = _band_magnitudes(samples, _bands(min(HIGHEST, PASSBAND * rate / 2)))
    energy = np.square(magnitudes, dtype=np.float64).sum(axis=1)
    level = np.sqrt(energy[energy >= energy.max() * 10 ** (-ACTIVE_DB / 10)].mean())
    decibels = 20 * np.log10(1 + magnitudes * np.float32(GAIN / level))
    # Stationary sounds, such as noise, must not cause an onset at the start. So the frames before and at the start get
    # at least the background level of each band.
    first_complete = LEAD_FRAMES + FRAME // 2 // HOP + 1  # the first frame that does not extend before the start
    if len(decibels) > first_complete:
        background = np.percentile(decibels[first_complete:], BACKGROUND_PERCENTILE, axis=0).astype(np.float32)
        decibels[:first_complete] = np.maximum(decibels[:first_complete], background)
    return decibels


def _increase(decibels: np.ndarray) -> np.ndarray:
    """Return the increase of each band over the spectrum `LAG_FRAMES` frames earlier, at least 0 [frame, band]."""
    from scipy.ndimage import maximum_filter1d

    increase = np.zeros_like(decibels)
    increase[LAG_FRAMES:] = np.maximum(decibels[LAG_FRAMES:] - maximum_filter1d(decibels[:-LAG_FRAMES], 3, axis=1), 0)
    return increase


def envelope(mono: np.ndarray, rate: int) -> np.ndarray:
    """Return the onset strength envelope: the mean increase of the bands over the spectrum `LAG_FRAMES` frames earlier.

    It does not depend on the gain of the signal.

    Parameters
    ----------
    mono : float32 [n]
    rate : Hz

    Returns
    -------
    dB, at least 0, float64 [frame]; all zero for a silent signal (`SILENT_DB`). `frame_times` gives the times

    Source
    ------
    Böck & Widmer 2013, Maximum filter vibrato suppression for onset detection, DAFx
    """
    samples = resample(mono, rate, RATE)
    decibels = _decibels(samples, rate)
    if decibels is None:
        return np.zeros((len(samples) - FRAME // 2) // HOP + LEAD_FRAMES + 1)
    return _increase(decibels).mean(axis=1, dtype=np.float64)


def frame_times(frames: np.ndarray) -> np.ndarray:
    """Return the times of frames of `envelope` in seconds, midway between the two spectra that are compared.

    Parameters
    ----------
    frames : indices [k]
    """
    return (np.asarray(frames) - LEAD_FRAMES - LAG_FRAMES / 2) * HOP / RATE


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


def _soft_onsets(decibels: np.ndarray, samples: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the frames of onsets with few partials or soft attacks, int [k].

    They are where partials appear that were not there for a while, and after short gaps.

    Parameters
    ----------
    decibels : from `_decibels` [frame, band]
    samples : float32 [n] at `RATE`
    others : frames of the onsets that are known [k]; none is found near them
    """
    from scipy.ndimage import maximum_filter1d

    sounding = np.clip(decibels / FULL_DB, 0, 1).sum(axis=1, dtype=np.float64) + FEWEST_BANDS
    flux = _increase(decibels).sum(axis=1, dtype=np.float64) / sounding  # of the bands that sound
    novelty = maximum_filter1d(_novelty(decibels, sounding), 2 * PEAK_DISTANCE + 1)
    peaks = np.flatnonzero(
        (flux == maximum_filter1d(flux, 2 * SOFT_DISTANCE - 1)) & (flux > LEAST_RISE) & (novelty > LEAST_NOVELTY)
    )
    starts = []
    for peak in peaks:
        before = flux[max(peak - SOFT_DISTANCE, 0) : peak]
        lower = np.flatnonzero(before < RISING * flux[peak])
        starts.append(peak - len(before) + (lower[-1] + 1 if len(lower) else 0))
    in_gap = _is_gap(samples, len(decibels))
    gaps = np.flatnonzero(in_gap & ~np.append(in_gap[1:], False))  # the last frame of each gap
    # The end of the sound before a gap can look like an onset, so gaps come first.
    found = np.asarray(others)
    for frame in (*gaps, *starts):
        if not len(found) or np.abs(found - frame).min() > SOFT_DISTANCE:
            found = np.append(found, frame)
    return found[len(others) :].astype(int)


def _novelty(decibels: np.ndarray, sounding: np.ndarray) -> np.ndarray:
    """Return by how much the bands after each frame exceed their largest level before it, dB [frame].

    Vibrato, tremolo and beats return to levels that they had before, and noise exceeds them rarely.

    Parameters
    ----------
    decibels : from `_decibels` [frame, band]
    sounding : number of bands that sound [frame]
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    frames = np.arange(len(decibels))
    ahead = np.minimum(frames + NOVELTY_AHEAD, len(frames) - 1)
    lasting = minimum_filter1d(decibels, 5, axis=0)[ahead]
    largest = maximum_filter1d(maximum_filter1d(decibels, 3, axis=1), MEMORY_FRAMES, axis=0, origin=MEMORY_FRAMES // 2)[
        np.maximum(frames - LAG_FRAMES - 1, 0)
    ]
    return np.maximum(lasting - largest, 0).sum(axis=1, dtype=np.float64) / sounding[ahead]


def _is_gap(samples: np.ndarray, count: int) -> np.ndarray:
    """Return which frames are in a short gap between two sounds whose levels are steady, bool [frame].

    Parameters
    ----------
    samples : float32 [n] at `RATE`
    count : number of frames
    """
    window = np.hanning(GAP_FRAME).astype(np.float32) ** 2
    padded = np.pad(np.square(samples), (GAP_FRAME // 2 + LEAD_FRAMES * HOP, FRAME))
    frames = np.lib.stride_tricks.sliding_window_view(padded, GAP_FRAME)[::HOP][:count]
    window /= window.sum()
    energy = np.concatenate([frames[start : start + BLOCK] @ window for start in range(0, count, BLOCK)])
    level = 10 * np.log10(energy / max(energy.max(initial=0), 1e-30) + 1e-9)

    def around(first: int, last: int) -> np.ndarray:
        """Return the levels of the frames from `first` to `last`, relative to each frame [frame, last - first + 1]."""
        return level[np.clip(np.arange(len(level))[:, None] + np.arange(first, last + 1), 0, len(level) - 1)]

    bottom, before, after = around(-1, 0).min(axis=1), around(-8, -2).max(axis=1), around(2, 6).max(axis=1)
    return (
        (bottom < np.minimum(before, after) - GAP_DB)
        & (around(GAP_RISE_FRAMES, GAP_RISE_FRAMES)[:, 0] > after - GAP_RISE_DB)
        & (around(-GAP_REACH, -4).min(axis=1) > before - GAP_STEADY_DB)
        & (around(4, GAP_REACH).min(axis=1) > after - GAP_STEADY_DB)
    )


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
    samples = resample(mono, rate, RATE)
    decibels = _decibels(samples, rate)
    if decibels is None:
        return Onsets(np.zeros(0), np.zeros(0))
    flux = _increase(decibels).mean(axis=1, dtype=np.float64)
    peaks = _peaks(flux)
    times = frame_times(np.concatenate([peaks, _soft_onsets(decibels, samples, peaks)]))
    if len(times):
        times = np.sort(np.clip(_refine_to_attacks(mono, rate, times), 0.0, len(mono) / rate))
        times = times[np.diff(times, prepend=-np.inf) >= LEAST_INTERVAL]
    return Onsets(times, strengths(flux, times))
