"""Pitch classes: what sounds tonal, how it is tuned, and its constant-Q chroma."""

from functools import lru_cache
from itertools import pairwise

import numpy as np

from mirflow import audio
from mirflow.audio import Audio
from mirflow.dsp import spectrum

NAMES = ("C", "C sharp", "D", "D sharp", "E", "F", "F sharp", "G", "G sharp", "A", "A sharp", "B")

FRAME = 70560  # samples at 44.1 kHz: 1.6 s, which resolves semitones from E1 on, and has small factors at usual rates
HOP = FRAME // 4
ACTIVE_DB = 60  # what is further below the loudest is silence
LOWEST_NOTE, HIGHEST_NOTE = 24, 107  # MIDI: C1 to B7, seven octaves
A4_NOTE, A4_HZ = 69, 440.0

TUNING_HZ = (65.0, 2100.0)  # partials that are looked at
TUNING_PEAK_DB = 40  # below the strongest of their frame
TUNING_PRIOR = 0.1  # share of all peaks' weight that is added at 440 Hz: noise has no tuning, and reads none


def is_silent(stem: Audio, full_mix: Audio) -> bool:
    """Return whether a stem holds nothing but a separator's or a codec's residue: 60 dB below the mix, or zeros."""
    return mean_square(stem) <= mean_square(full_mix) * 10 ** (-ACTIVE_DB / 10)


def mean_square(sound: Audio) -> float:
    """Return the mean square over all samples of all channels; 0 without samples."""
    return float(np.square(sound.samples, dtype=np.float64).mean()) if sound.samples.size else 0.0


def tonal_mix(full_mix: Audio, bass: Audio, other: Audio) -> Audio | None:
    """Return bass + other; the full mix when one of the two is silent; None when that is silent too."""
    if is_silent(bass, full_mix) or is_silent(other, full_mix):
        return None if full_mix.is_silent else full_mix
    low, high = bass.samples, audio.resample(other.samples, other.rate, bass.rate)
    if len(low) != len(high):  # a layout that both can have
        low, high = low.mean(axis=0, keepdims=True), high.mean(axis=0, keepdims=True)
    length = min(low.shape[1], high.shape[1])
    return Audio(low[:, :length] + high[:, :length], bass.rate)


def note_of(frequency: np.ndarray, tuning: float = 0.0) -> np.ndarray:
    """Return the fractional MIDI note of frequencies above 0 Hz; `tuning` (semitones) is that of the instruments."""
    return A4_NOTE - tuning + 12 * np.log2(frequency / A4_HZ)


def tuning_of(sound: Audio) -> float:
    """Return how far the music is tuned off 440 Hz, in semitones, -0.5 to 0.5.

    The circular mean of the deviations of spectral peaks from equal temperament, weighted by magnitude. It moves with
    the music continuously, where the mode of a histogram jumps.
    """
    frequency = spectrum.frequencies(sound.rate, FRAME)
    first, last = np.searchsorted(frequency, TUNING_HZ)
    last = min(last, len(frequency) - 1)
    total, weight = 0j, 0.0
    for magnitude in spectrum.magnitudes(sound.samples, sound.rate, frame=FRAME, hop=HOP):
        below, here, above = (magnitude[:, first + shift : last + shift] for shift in (-1, 0, 1))
        strongest = here.max(axis=1, keepdims=True, initial=0)
        peaks = (here > below) & (here >= above) & (here > strongest * 10 ** (-TUNING_PEAK_DB / 20))
        left, middle, right = (np.log(np.maximum(part[peaks], 1e-30)) for part in (below, here, above))
        offset = 0.5 * (left - right) / np.minimum(left - 2 * middle + right, -1e-12)  # of the parabola's top, in bins
        peak_frequency = (np.nonzero(peaks)[1] + first + offset) * frequency[1]
        total += (here[peaks] * np.exp(2j * np.pi * note_of(peak_frequency))).sum(dtype=complex)
        weight += float(here[peaks].sum(dtype=np.float64))
    return float(np.angle(total + TUNING_PRIOR * weight) / (2 * np.pi)) if weight else 0.0


def chroma_of(power: np.ndarray, frequency: np.ndarray, tuning: float) -> np.ndarray:
    """Fold power spectra [frame, bin] into constant-Q chroma, float64 [frame, 12], C first, each of L2 norm 1 or zero.

    Each semitone from C1 to B7 takes the energy under the fourth power of a cosine over the logarithm of frequency, a
    semitone to either side (half a semitone off: a quarter); chroma sums the amplitudes of its octaves. The energy of a
    constant-Q transform over the frame is that of its kernels' squared responses on the power spectrum (Parseval), so
    no transform per kernel is needed.

    Parameters
    ----------
    power : squared magnitudes
    frequency : of the bins, in Hz
    tuning : in semitones, as `tuning_of` gives it
    """
    weights, first, last = _semitone_weights(len(frequency), float(frequency[1]), tuning)
    amplitude = np.sqrt(np.maximum((weights @ power[:, first:last].T).T, 0))
    chroma = amplitude.reshape(len(power), -1, 12).sum(axis=1)  # the lowest note is a C
    norm = np.linalg.norm(chroma, axis=1, keepdims=True)
    return chroma / np.where(norm > 0, norm, 1)


@lru_cache(maxsize=4)
def _semitone_weights(bins: int, spacing: float, tuning: float):
    """Return the weights [semitone, bin] as a sparse matrix, and the first and last bin that they cover."""
    from scipy.sparse import csr_array

    position = note_of(np.arange(1, bins) * spacing, tuning) - LOWEST_NOTE
    inside = np.flatnonzero((position > -1) & (position < HIGHEST_NOTE - LOWEST_NOTE + 1))
    first, last = (int(inside[0]) + 1, int(inside[-1]) + 2) if len(inside) else (0, 0)
    distance = position[inside] - np.arange(HIGHEST_NOTE - LOWEST_NOTE + 1)[:, None]
    return csr_array(np.where(np.abs(distance) < 1, np.cos(np.pi / 2 * distance) ** 4, 0)), first, last


def chroma_frames(sound: Audio, tuning: float) -> np.ndarray:
    """Return the chroma of the frames that are not silent, float64 [frame, 12], each of L2 norm 1."""
    frequency = spectrum.frequencies(sound.rate, FRAME)
    half = spectrum.transform_length(sound.rate, FRAME) // 2
    padded = np.pad(sound.samples, ((0, 0), (half, half)))  # the ends count as much as the middle
    chromas, energies = [], []
    for magnitude in spectrum.magnitudes(padded, sound.rate, frame=FRAME, hop=HOP):
        power = np.square(magnitude, dtype=np.float64)
        chromas.append(chroma_of(power, frequency, tuning))
        energies.append(power.sum(axis=1))
    return np.concatenate(chromas)[active(np.concatenate(energies))]


def chroma_between(sound: Audio, edges: np.ndarray, tuning: float) -> np.ndarray:
    """Return the chroma between consecutive edges, without the intervals that are silent: float64 [interval, 12].

    Each interval is one Hann-windowed frame of its own length, so that what sounds before and after stays out of it;
    one longer than `FRAME` is the mean of equal parts.

    Parameters
    ----------
    edges : times in seconds, ascending [k]
    """
    from scipy.fft import rfft
    from scipy.signal import get_window

    longest = spectrum.transform_length(sound.rate, FRAME)
    frequency = spectrum.frequencies(sound.rate, FRAME)
    chromas, energies = [], []
    for start, end in pairwise(np.clip(np.round(edges * sound.rate).astype(int), 0, sound.samples.shape[1])):
        if end - start < 2:
            continue
        power = np.zeros(len(frequency))
        parts = np.array_split(sound.samples[:, start:end], -(-(end - start) // longest), axis=1)
        for part in parts:
            window = get_window("hann", part.shape[1])
            window = (window / np.sqrt(np.square(window).sum())).astype(np.float32)
            power += np.square(np.abs(rfft(part * window, longest, axis=1))).sum(axis=0, dtype=np.float64)
        chromas.append(chroma_of(power[None], frequency, tuning)[0])
        energies.append(power.sum() / len(parts))
    return np.reshape(chromas, (-1, 12))[active(np.array(energies))]


def active(energy: np.ndarray) -> np.ndarray:
    """Return which frames are no silence, bool [frame]."""
    return (energy > 0) & (energy >= energy.max(initial=0) * 10 ** (-ACTIVE_DB / 10))
