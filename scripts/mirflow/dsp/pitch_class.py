"""Pitch classes: the pitched part of the music, its tuning, and its constant-Q chroma."""

from functools import lru_cache
from itertools import pairwise

import numpy as np

from mirflow.core import audio
from mirflow.core.audio import Audio
from mirflow.dsp import spectrum

NAMES = ("C", "C sharp", "D", "D sharp", "E", "F", "F sharp", "G", "G sharp", "A", "A sharp", "B")

FRAME = 70560  # samples at 44.1 kHz: 1.6 s. Resolves semitones above E1; has small prime factors at the usual rates
HOP = FRAME // 4
ACTIVE_DB = 60  # frames further below the loudest one are silent; so are stems further below the mix
LOWEST_NOTE, HIGHEST_NOTE = 24, 107  # MIDI: C1 to B7, seven octaves
A4_NOTE, A4_HZ = 69, 440.0

TUNING_HZ = (65.0, 2100.0)  # range of the spectral peaks that are used
TUNING_PEAK_DB = 40  # peaks further below the strongest peak of their frame are not used
TUNING_PRIOR = 0.1  # weight at 440 Hz, relative to that of all peaks, so that noise gets a deviation near 0


def is_silent(stem: Audio, full_mix: Audio) -> bool:
    """Return whether a stem is silent: at least 60 dB below the mix, as residues of the separator and the codec are."""
    return mean_square(stem) <= mean_square(full_mix) * 10 ** (-ACTIVE_DB / 10)


def mean_square(sound: Audio) -> float:
    """Return the mean square over all samples of all channels; 0 without samples."""
    return float(np.square(sound.samples, dtype=np.float64).mean()) if sound.samples.size else 0.0


def tonal_mix(full_mix: Audio, bass: Audio, other: Audio) -> Audio | None:
    """Return the pitched part of the music: bass + other, or the full mix when one of the two is silent.

    It is at the rate of `bass`. When the numbers of channels differ, both stems are mixed to mono first. Returns None
    when one of the two and the full mix are silent.
    """
    if is_silent(bass, full_mix) or is_silent(other, full_mix):
        return None if full_mix.is_silent else full_mix
    low, high = bass.samples, audio.resample(other.samples, other.rate, bass.rate)
    if len(low) != len(high):  # different numbers of channels: both are mixed to mono
        low, high = low.mean(axis=0, keepdims=True), high.mean(axis=0, keepdims=True)
    length = min(low.shape[1], high.shape[1])
    return Audio(low[:, :length] + high[:, :length], bass.rate)


def frequency_to_note(frequency: np.ndarray, tuning: float = 0.0) -> np.ndarray:
    """Convert frequencies to fractional MIDI notes.

    Parameters
    ----------
    frequency : Hz, above 0 [k]
    tuning : of the instruments, in semitones above 440 Hz, from `tuning_of`
    """
    return A4_NOTE - tuning + 12 * np.log2(frequency / A4_HZ)


def tuning_of(sound: Audio) -> float:
    """Return the deviation of the tuning from A4 = 440 Hz in semitones, in [-0.5, 0.5].

    It is the circular mean, weighted by magnitude, of the deviations of spectral peaks from equal temperament. Unlike
    the mode of a histogram, it is a continuous function of the audio.
    """
    frequency = spectrum.frequencies(sound.rate, FRAME)
    begin, end = np.searchsorted(frequency, TUNING_HZ)
    end = min(end, len(frequency) - 1)
    vector_sum, weight = 0j, 0.0
    for magnitude in spectrum.magnitudes(sound.samples, sound.rate, frame=FRAME, hop=HOP):
        below, centre, above = (magnitude[:, begin + shift : end + shift] for shift in (-1, 0, 1))
        strongest = centre.max(axis=1, keepdims=True, initial=0)
        peaks = (centre > below) & (centre >= above) & (centre > strongest * 10 ** (-TUNING_PEAK_DB / 20))
        left, middle, right = (np.log(np.maximum(part[peaks], 1e-30)) for part in (below, centre, above))
        offset = (
            0.5 * (left - right) / np.minimum(left - 2 * middle + right, -1e-12)
        )  # of the vertex of the parabola, in bins
        peak_frequency = (np.nonzero(peaks)[1] + begin + offset) * frequency[1]
        vector_sum += (centre[peaks] * np.exp(2j * np.pi * frequency_to_note(peak_frequency))).sum(dtype=complex)
        weight += float(centre[peaks].sum(dtype=np.float64))
    return float(np.angle(vector_sum + TUNING_PRIOR * weight) / (2 * np.pi)) if weight else 0.0


def fold_to_chroma(power: np.ndarray, frequency: np.ndarray, tuning: float) -> np.ndarray:
    """Fold power spectra into constant-Q chroma.

    The energy of each semitone from C1 to B7 is the power spectrum, weighted by the fourth power of a cosine on a
    logarithmic frequency axis. The weight falls to 0 at one semitone on both sides, and is 1/4 at half a semitone. The
    chroma is the sum of the amplitudes over all octaves.

    The energy of a constant-Q transform within the frame equals the power spectrum weighted by the squared frequency
    responses of its kernels (Parseval's theorem). So no separate transform for each kernel is needed.

    Parameters
    ----------
    power : squared magnitudes [frame, bin]
    frequency : of the bins in Hz [bin]
    tuning : semitones, from `tuning_of`

    Returns
    -------
    float64 [frame, 12], C first; each frame has the L2 norm 1, or is zero

    Source
    ------
    Brown 1991, Calculation of a constant Q spectral transform, JASA 89(1)
    """
    weights, begin, end = _semitone_weights(len(frequency), float(frequency[1]), tuning)
    amplitude = np.sqrt(np.maximum((weights @ power[:, begin:end].T).T, 0))
    chroma = amplitude.reshape(len(power), -1, 12).sum(axis=1)  # the lowest semitone is a C
    norm = np.linalg.norm(chroma, axis=1, keepdims=True)
    return chroma / np.where(norm > 0, norm, 1)


@lru_cache(maxsize=4)
def _semitone_weights(bins: int, spacing: float, tuning: float):
    """Return the weights of semitones as a sparse matrix [semitone, bin], and the range of bins that it covers.

    Parameters
    ----------
    bins : number of bins of the spectrum
    spacing : Hz between bins
    tuning : semitones

    Returns
    -------
    weights [semitone, end - begin]; begin; end
    """
    from scipy.sparse import csr_array

    note = frequency_to_note(np.arange(1, bins) * spacing, tuning) - LOWEST_NOTE
    inside = np.flatnonzero((note > -1) & (note < HIGHEST_NOTE - LOWEST_NOTE + 1))
    begin, end = (int(inside[0]) + 1, int(inside[-1]) + 2) if len(inside) else (0, 0)
    distance = note[inside] - np.arange(HIGHEST_NOTE - LOWEST_NOTE + 1)[:, None]
    return csr_array(np.where(np.abs(distance) < 1, np.cos(np.pi / 2 * distance) ** 4, 0)), begin, end


def chroma_frames(sound: Audio, tuning: float) -> np.ndarray:
    """Return the chroma of all frames that are not silent.

    Parameters
    ----------
    sound : samples [channel, n]
    tuning : semitones, from `tuning_of`

    Returns
    -------
    float64 [frame, 12], each frame with the L2 norm 1
    """
    frequency = spectrum.frequencies(sound.rate, FRAME)
    half = spectrum.transform_length(sound.rate, FRAME) // 2
    padded = np.pad(sound.samples, ((0, 0), (half, half)))  # so that both ends have the same weight as the middle
    chromas, energies = [], []
    for magnitude in spectrum.magnitudes(padded, sound.rate, frame=FRAME, hop=HOP):
        power = np.square(magnitude, dtype=np.float64)
        chromas.append(fold_to_chroma(power, frequency, tuning))
        energies.append(power.sum(axis=1))
    return np.concatenate(chromas)[active(np.concatenate(energies))]


def chroma_between(sound: Audio, edges: np.ndarray, tuning: float) -> np.ndarray:
    """Return the chroma of the intervals between consecutive times, such as beats, without silent intervals.

    Each interval is one Hann-windowed frame of the same length, so that adjacent intervals do not contribute. An
    interval longer than `FRAME` is divided into equal parts, whose power spectra are averaged.

    Parameters
    ----------
    sound : samples [channel, n]
    edges : seconds, ascending [k]
    tuning : semitones, from `tuning_of`

    Returns
    -------
    float64 [interval, 12], each interval with the L2 norm 1
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
        chromas.append(fold_to_chroma(power[None], frequency, tuning)[0])
        energies.append(power.sum() / len(parts))
    return np.reshape(chromas, (-1, 12))[active(np.array(energies))]


def active(energy: np.ndarray) -> np.ndarray:
    """Return which frames are not silent, bool [frame]: those at most `ACTIVE_DB` below the loudest one.

    `energy` is the energy of each frame [frame].
    """
    return (energy > 0) & (energy >= energy.max(initial=0) * 10 ** (-ACTIVE_DB / 10))
