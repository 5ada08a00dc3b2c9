"""Pitch classes: the pitched part of the music, its tuning, and its constant-Q chroma."""

from dataclasses import replace
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
LOWEST_NOTE, SEMITONES = 24, 84  # from MIDI note 24, C1, to B7: seven octaves
A4_NOTE, A4_HZ = 69, 440.0

TUNING_FRAME = 8820  # samples at 44.1 kHz: 0.2 s. Notes of a bass line often last no longer
LOWEST_TUNED, HIGHEST_TUNED = 26.0, 2100.0  # Hz, of the spectral peaks that are used
FULL_TUNED = 65.0  # Hz; lower peaks count less, because the pitch of drums is often there
TUNING_PEAK_DB = 40  # peaks further below the strongest peak of their frame are not used
TOLERANCE = 0.2  # of the curvature of spectral peaks of steady tones
TUNING_PRIOR = 0.1  # weight at 440 Hz, relative to that of all peaks, so that noise gets a deviation near 0


def is_silent(stem: Audio, full_mix: Audio) -> bool:
    """Return whether a stem is silent: at least 60 dB below the mix, as residues of the separator and the codec are."""
    return mean_square(stem) <= mean_square(full_mix) * 10 ** (-ACTIVE_DB / 10)


def mean_square(sound: Audio) -> float:
    """Return the mean square over all samples of all channels, without their offsets; 0 without samples."""
    return float(np.square(spectrum.centred(sound.samples), dtype=np.float64).mean()) if sound.samples.size else 0.0


def tonal_mix(full_mix: Audio, bass: Audio, other: Audio) -> Audio | None:
    """Return the pitched part of the music without its offset: bass + other, or the full mix when one is silent.

    It is at the rate of `bass`. When the numbers of channels differ, both stems are mixed to mono first. Returns None
    when one of the two and the full mix are silent.
    """
    if is_silent(bass, full_mix) or is_silent(other, full_mix):
        return None if full_mix.is_silent else replace(full_mix, samples=spectrum.centred(full_mix.samples))
    low, high = bass.samples, audio.resample(other.samples, other.rate, bass.rate)
    if len(low) != len(high):  # different numbers of channels: both are mixed to mono
        low, high = low.mean(axis=0, keepdims=True), high.mean(axis=0, keepdims=True)
    length = min(low.shape[1], high.shape[1])
    return Audio(spectrum.centred(low[:, :length] + high[:, :length]), bass.rate)


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
    spacing = spectrum.frequencies(sound.rate, TUNING_FRAME)[1]
    narrowest, widest = spectrum.STEADY_CURVATURE
    vector_sum, weight_sum = 0j, 0.0
    for magnitude in spectrum.magnitudes(sound.samples, sound.rate, frame=TUNING_FRAME, hop=TUNING_FRAME // 2):
        _, frequency, peak, curvature = spectrum.peaks(
            magnitude, spacing, lowest=LOWEST_TUNED, highest=HIGHEST_TUNED, threshold=10 ** (-TUNING_PEAK_DB / 20)
        )
        # Where a note begins, ends or glides, the peak is wider or narrower, and its frequency is not that of a note.
        steady = (curvature > narrowest - TOLERANCE) & (curvature < widest + TOLERANCE)
        weight = steady * peak * np.minimum(frequency / FULL_TUNED, 1) ** 2
        vector_sum += (weight * np.exp(2j * np.pi * frequency_to_note(frequency))).sum()
        weight_sum += weight.sum()
    return float(np.angle(vector_sum + TUNING_PRIOR * weight_sum) / (2 * np.pi)) if weight_sum else 0.0


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
    return _sum_octaves((weights @ power[:, begin:end].T).T)


def _sum_octaves(energy: np.ndarray) -> np.ndarray:
    """Return the chroma of the energies of the semitones from C1 to B7 [frame, semitone], see `fold_to_chroma`."""
    chroma = np.sqrt(np.maximum(energy, 0)).reshape(len(energy), -1, 12).sum(axis=1)  # the lowest semitone is a C
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
    inside = np.flatnonzero((note > -1) & (note < SEMITONES))
    begin, end = (int(inside[0]) + 1, int(inside[-1]) + 2) if len(inside) else (0, 0)
    distance = note[inside] - np.arange(SEMITONES)[:, None]
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
    interval longer than `FRAME` is divided into equal parts, whose energies are added.

    The frames are too short to resolve low semitones, so the energy of each bin counts for its instantaneous frequency
    instead of its own: that of one note is the same in all bins that its energy is spread over.

    Parameters
    ----------
    sound : samples [channel, n]
    edges : seconds, ascending [k]
    tuning : semitones, from `tuning_of`

    Returns
    -------
    float64 [interval, 12], each interval with the L2 norm 1

    Source
    ------
    Auger & Flandrin 1995, Improving the readability of time-frequency and time-scale representations by the
    reassignment method, IEEE TSP 43(5)
    """
    longest = spectrum.transform_length(sound.rate, FRAME)
    chromas, energies = [], []
    samples = spectrum.centred(sound.samples)
    for start, end in pairwise(np.clip(np.round(edges * sound.rate).astype(int), 0, sound.samples.shape[1])):
        if end - start < 2:
            continue
        parts = np.array_split(samples[:, start:end], -(-(end - start) // longest), axis=1)
        found = [_reassigned_energies(part, sound.rate, longest, tuning) for part in parts]
        chromas.append(_sum_octaves(np.sum([semitones for semitones, _ in found], axis=0)[None])[0])
        energies.append(np.mean([energy for _, energy in found]))
    return np.reshape(chromas, (-1, 12))[active(np.array(energies))]


def _reassigned_energies(samples: np.ndarray, rate: int, length: int, tuning: float) -> tuple[np.ndarray, float]:
    """Return the energy of each semitone from C1 to B7 in one Hann-windowed frame, and the energy of the whole frame.

    Parameters
    ----------
    samples : the frame [channel, n]
    rate : Hz
    length : of the transform, in samples
    tuning : semitones, from `tuning_of`

    Returns
    -------
    float64 [semitone]; energy
    """
    from scipy.fft import rfft

    phase = 2 * np.pi * np.arange(samples.shape[1]) / samples.shape[1]
    window = 0.5 - 0.5 * np.cos(phase)
    scale = 1 / np.sqrt(np.square(window).sum())
    slope = np.pi / samples.shape[1] * np.sin(phase)  # of the window, per sample
    spectra = rfft(samples * (window * scale), length, axis=1)
    slopes = rfft(samples * (slope * scale), length, axis=1)
    power = np.square(np.abs(spectra))
    shift = -(slopes * spectra.conj()).imag / np.maximum(power, 1e-30)  # of the frequency, in radians per sample
    frequency = np.fft.rfftfreq(length, 1 / rate) + shift * rate / (2 * np.pi)
    note = frequency_to_note(np.maximum(frequency, 1e-3), tuning) - LOWEST_NOTE
    inside = (note > -1) & (note < SEMITONES)
    below = np.floor(note[inside]).astype(int)
    energies = np.zeros(SEMITONES + 2)  # with one semitone more at both ends
    for semitone in (below, below + 1):
        weight = np.cos(np.pi / 2 * (note[inside] - semitone)) ** 4
        energies += np.bincount(semitone + 1, weight * power[inside], minlength=len(energies))
    return energies[1:-1], float(power.sum())


def active(energy: np.ndarray) -> np.ndarray:
    """Return which frames are not silent, bool [frame]: those at most `ACTIVE_DB` below the loudest one.

    `energy` is the energy of each frame [frame].
    """
    return (energy > 0) & (energy >= energy.max(initial=0) * 10 ** (-ACTIVE_DB / 10))
