"""Note onsets: where they are and how strong.

Spectral flux with a maximum filter over frequency (SuperFlux, Böck & Widmer 2013), which a vibrato does not trigger, on
band magnitudes relative to the signal's own level, so that loudness does not matter. A peak of the flux says that
something begins within some 20 ms; the waveform's energy then says when, to the sample where the attack is sharp.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from mirflow.audio import resample

RATE = 44100  # Hz, of the analysis; other rates are resampled
FRAME = 2048  # samples
HOP = 441  # samples: 100 frames a second
LEAD = 5  # frames before time 0, so that an onset at 0 rises out of silence like any other
BANDS_PER_OCTAVE = 24
LOWEST, HIGHEST = 30.0, 16000.0  # Hz
PASSBAND = 0.9  # of the Nyquist frequency, what resampling keeps
GAIN = 100.0  # of magnitudes before the logarithm: what lies 40 dB below the signal's level still counts
LAG = 2  # frames between the two spectra that are compared
SILENT_DB = -70.0  # dB re full scale (RMS): a signal whose loudest frame is below has no onsets
ACTIVE_DB = 60.0  # frames further below the loudest one do not count towards the signal's level

ALWAYS_PERCENT = 25  # of the frames may be lower than what counts as sounding all the time

PEAK = 3  # frames to each side: a peak is the largest of them, and peaks are further apart than this
BEFORE, AFTER = 10, 7  # frames of the local mean
STEADY_EXCESS = 1.5  # a peak is this many times the local mean (noise fluctuates in proportion to its flux) ...
LEAST_RISE = 0.25  # dB ... and this much on top

REACH = 0.020  # s, around the flux peak, searched for the attack
CONTEXT = 0.040  # s, around the flux peak, whose energy is compared before and after an instant
CLEAR_ATTACK_DB = 10.0  # where the energy rises by less, the time of the flux peak is the better one
LEAST_GAP = 0.020  # s: attacks closer than this are one
BLOCK = 1024  # frames transformed at once: bounds the memory that long tracks need


@dataclass(frozen=True)
class Onsets:
    """Detected onsets.

    Attributes
    ----------
    times : s, float64 [k], ascending: where the energy rises (not back-tracked to the valley before it: beats, notes
        and listeners mark the attack itself)
    strengths : dB, float64 [k]: see `strengths`
    """

    times: np.ndarray
    strengths: np.ndarray


@cache
def _bands(highest: float) -> np.ndarray:
    """Return triangular bands on a logarithmic axis up to `highest` Hz, float32 [bin, band], sharing no centre bin."""
    octaves = np.arange(0, np.log2(highest / LOWEST), 1 / BANDS_PER_OCTAVE)
    edges = np.unique(np.round(LOWEST * 2**octaves * FRAME / RATE).astype(int))
    bands = np.zeros((FRAME // 2 + 1, len(edges) - 2), dtype=np.float32)
    for band, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        bands[low : centre + 1, band] = np.linspace(0, 1, centre - low + 1)
        bands[centre : high + 1, band] = np.linspace(1, 0, high - centre + 1)
    return bands


def _band_magnitudes(samples: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Return magnitudes, float32 [frame, band], of float32 [n] at `RATE`; frame i is centred at (i - LEAD) * HOP."""
    from scipy.fft import rfft

    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)
    samples = np.pad(
        samples, (FRAME // 2 + LEAD * HOP, 0)
    )  # no frame reaches over the end: often a cut, it would click
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    magnitudes = np.empty((len(frames), bands.shape[1]), dtype=np.float32)
    for start in range(0, len(frames), BLOCK):
        magnitudes[start : start + BLOCK] = np.abs(rfft(frames[start : start + BLOCK] * window)) @ bands
    return magnitudes


def _is_silent(mono: np.ndarray) -> bool:
    """Whether no `FRAME` of float32 [n] at `RATE` has an RMS above `SILENT_DB`."""
    energy = np.add.reduceat(np.square(mono, dtype=np.float64), np.arange(0, len(mono), FRAME)) if len(mono) else [0.0]
    return bool(np.max(energy) / FRAME <= 10 ** (SILENT_DB / 10))


def envelope(mono: np.ndarray, rate: int) -> np.ndarray:
    """Return the onset strength: how far the bands rise, on average, above what they were `LAG` frames ago.

    Parameters
    ----------
    mono : float32 [n]
    rate : Hz

    Returns
    -------
    float64 [frame] in dB, >= 0. Frame i belongs to the time (i - LEAD) * HOP / RATE; see `frame_times`. All zero where
    the signal is silent (`SILENT_DB`). A gain changes nothing.
    """
    from scipy.ndimage import maximum_filter1d

    samples = resample(mono, rate, RATE)
    samples = samples - samples.mean(dtype=np.float64).astype(np.float32) if len(samples) else samples
    if _is_silent(samples):
        return np.zeros((len(samples) - FRAME // 2) // HOP + LEAD + 1)
    # bands that the recording's own rate cannot fill would only dilute the mean
    magnitudes = _band_magnitudes(samples, _bands(min(HIGHEST, PASSBAND * rate / 2)))
    energy = np.square(magnitudes, dtype=np.float64).sum(axis=1)
    level = np.sqrt(energy[energy >= energy.max() * 10 ** (-ACTIVE_DB / 10)].mean())
    decibels = 20 * np.log10(1 + magnitudes * np.float32(GAIN / level))
    # what sounds all the time, noise above all, is taken to have sounded before the start: it does not begin there
    inside = LEAD + FRAME // 2 // HOP + 1  # the first frame that does not reach over the start
    if len(decibels) > inside:
        always = np.percentile(decibels[inside:], ALWAYS_PERCENT, axis=0).astype(np.float32)
        decibels[:inside] = np.maximum(decibels[:inside], always)
    before = maximum_filter1d(decibels[:-LAG], 3, axis=1)
    flux = np.zeros(len(decibels))
    flux[LAG:] = np.maximum(decibels[LAG:] - before, 0).mean(axis=1, dtype=np.float64)
    return flux


def frame_times(frames: np.ndarray) -> np.ndarray:
    """Return the times in s of the rise that `envelope` shows at these frames: midway between the spectra compared."""
    return (np.asarray(frames) - LEAD - LAG / 2) * HOP / RATE


def _peaks(flux: np.ndarray) -> np.ndarray:
    """Return the frames of the onsets in an `envelope`, int [k]."""
    from scipy.ndimage import maximum_filter1d

    total = np.concatenate([[0.0], np.cumsum(flux)])
    frame = np.arange(len(flux))
    first, last = np.maximum(frame - BEFORE, 0), np.minimum(frame + AFTER + 1, len(flux))
    mean = (total[last] - total[first]) / (last - first)
    candidates = np.flatnonzero(
        (flux == maximum_filter1d(flux, 2 * PEAK + 1)) & (flux >= STEADY_EXCESS * mean + LEAST_RISE)
    )
    # equal neighbours are one peak, its first frame
    return candidates[np.diff(candidates, prepend=-PEAK - 1) > PEAK]


def strengths(flux: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Read an `envelope` at onsets: its peak within `REACH` (and half a frame) of each time.

    Parameters
    ----------
    flux : float64 [frame], of `envelope`
    times : s [k], of `detect` on the same signal

    Returns
    -------
    dB, float64 [k]
    """
    reach = round(REACH * RATE / HOP)
    nearest = np.round(np.asarray(times) * RATE / HOP + LEAD + LAG / 2).astype(int)
    frames = np.clip(nearest[:, None] + np.arange(-reach, reach + 1), 0, len(flux) - 1)
    return flux[frames].max(axis=1)


def _attacks(mono: np.ndarray, rate: int, times: np.ndarray) -> np.ndarray:
    """Move each time to the attack within `REACH`, where there is a clear one.

    The attack is the instant that best splits the surroundings into two parts of constant power (the Akaike criterion
    of seismology's pickers, Maeda 1985). The power is that of the waveform's first difference: attacks are bright, a
    bass note that sounds on below them is not.

    Parameters
    ----------
    mono : float32 [n], at its own rate: resampling would smear an attack
    times : s [k]
    """
    reach, context = round(REACH * rate), round(CONTEXT * rate)
    padding = 2 * context  # flux peaks may lie a frame outside the signal
    difference = np.diff(np.pad(mono, (padding + 1, padding)))  # [i] leads to the sample i - padding
    energy = np.concatenate([[0.0], np.cumsum(np.square(difference, dtype=np.float64))])

    centre = np.clip(np.round(times * rate).astype(int), 0, len(mono))[:, None] + padding
    start, end = centre - context, centre + context
    split = np.clip(centre + np.arange(-reach, reach + 1), padding, padding + len(mono))
    floor = 1e-7 * (energy[end] - energy[start]) / (end - start) + 1e-20  # after digital silence any split would do
    before = (energy[split] - energy[start]) / (split - start) + floor
    after = (energy[end] - energy[split]) / (end - split) + floor
    criterion = (split - start) * np.log(before) + (end - split) * np.log(after)
    best = np.arange(len(times)), criterion.argmin(axis=1)
    clear = after[best] >= before[best] * 10 ** (CLEAR_ATTACK_DB / 10)
    return np.where(clear, (split[best] - padding) / rate, times)


def detect(mono: np.ndarray, rate: int) -> Onsets:
    """Find the onsets.

    Parameters
    ----------
    mono : float32 [n]
    rate : Hz

    Returns
    -------
    none in silence and hardly any in steady sound; a signal that starts at once has one at 0; the last 20 to 40 ms are
    not judged

    Source
    ------
    Böck & Widmer 2013, Maximum filter vibrato suppression for onset detection, DAFx
    """
    flux = envelope(mono, rate)
    times = frame_times(_peaks(flux))
    if len(times):
        times = np.sort(np.clip(_attacks(mono, rate, times), 0.0, len(mono) / rate))
        times = times[np.diff(times, prepend=-np.inf) >= LEAST_GAP]
    return Onsets(times, strengths(flux, times))
