"""Short-time spectra with frames of the same duration at every sampling rate."""

import math
from collections.abc import Iterator

import numpy as np

REFERENCE_RATE = 44100  # Hz: frame and hop sizes are given in samples at this rate
BLOCK = 1 << 22  # samples that are transformed at a time, to limit memory

# Of the peak of a sine in a Hann window: when its frequency is midway between two bins, and when it is that of a bin.
STEADY_CURVATURE = (-np.log(5), -2 * np.log(2))


def centred(samples: np.ndarray) -> np.ndarray:
    """Return [channel, n] without the mean of each channel: an offset is no sound, and some formats remove it."""
    return (
        samples - samples.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32) if samples.size else samples
    )


def frame_length(rate: int, frame: int) -> int:
    """Return the length in samples, at a rate in Hz, of a frame that has `frame` samples at 44.1 kHz."""
    return max(2, round(frame * rate / REFERENCE_RATE))


def transform_length(rate: int, frame: int) -> int:
    """Return the length in samples of the frames that are transformed: even, so the last bin is the Nyquist frequency.

    It is not rounded to a length with a fast transform, and frames are not zero-padded. Both would shift the bins, and
    with them peaks and band edges (by up to 0.1 in a pitch class profile). For a fast transform, choose lengths with
    small prime factors at the usual rates.

    Parameters
    ----------
    rate : Hz
    frame : samples at 44.1 kHz
    """
    return max(2, 2 * round(frame * rate / REFERENCE_RATE / 2))


def frequencies(rate: int, frame: int) -> np.ndarray:
    """Return the frequency in Hz of each bin of `magnitudes`, float64 [bin].

    Parameters
    ----------
    rate : Hz
    frame : samples at 44.1 kHz
    """
    return np.fft.rfftfreq(transform_length(rate, frame), 1 / rate)


def magnitudes(samples: np.ndarray, rate: int, *, frame: int, hop: int) -> Iterator[np.ndarray]:
    """Yield the magnitude spectra of Hann-windowed frames, in blocks.

    The spectrum of several channels is the root mean square over the channels, bin by bin, so signals in anti-phase do
    not cancel. A stationary sine of amplitude 1 has a peak of 1. The first frame starts at sample 0. There are no
    incomplete frames, but a signal shorter than one frame is zero-padded to one frame. At other rates than 44.1 kHz the
    signal is not resampled, which would leave an edge in the spectrum. Instead the frames have more or fewer samples,
    so that the frame times and the bin frequencies are the same.

    Parameters
    ----------
    samples : [channel, n]
    rate : Hz
    frame, hop : samples at 44.1 kHz

    Yields
    ------
    float32 [frame, bin]
    """
    from scipy.fft import rfft
    from scipy.signal import get_window

    samples = samples.astype(np.float32, copy=False)
    length = transform_length(rate, frame)
    if samples.shape[1] < length:
        samples = np.pad(samples, ((0, 0), (0, length - samples.shape[1])))
    window = get_window("hann", length)
    window = (window * 2 / window.sum()).astype(np.float32)
    hop_samples = hop * rate / REFERENCE_RATE  # not rounded, so that frame times do not drift
    starts = np.round(np.arange(int((samples.shape[1] - length) / hop_samples + 1e-9) + 1) * hop_samples).astype(int)
    step = max(1, BLOCK // length)
    for begin in range(0, len(starts), step):
        block = []
        for channel in samples:
            frames = np.lib.stride_tricks.sliding_window_view(channel, length)[starts[begin : begin + step]]
            block.append(np.abs(rfft(frames * window, axis=-1)))
        yield block[0] if len(block) == 1 else np.sqrt(np.mean(np.square(block), axis=0))


def peaks(
    magnitude: np.ndarray, spacing: float, *, lowest: float, highest: float, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the spectral peaks, with the frequency and magnitude at the vertex of a parabola through three bins.

    Parameters
    ----------
    magnitude : from `magnitudes` [frame, bin]
    spacing : Hz between bins
    lowest, highest : Hz; bins outside are no peaks
    threshold : peaks are larger than this, relative to the largest magnitude in that range of their frame

    Returns
    -------
    frame, int [k], ascending; frequency in Hz, float64 [k]; magnitude, float64 [k]; curvature, the second difference of
    the logarithmic magnitude, float64 [k]: between `STEADY_CURVATURE` for a sine that does not change within the frame
    """
    begin = max(1, math.ceil(lowest / spacing))
    end = max(begin, min(math.ceil(highest / spacing), magnitude.shape[1] - 1))
    below, centre, above = (magnitude[:, begin + shift : end + shift] for shift in (-1, 0, 1))
    largest = centre.max(axis=1, keepdims=True, initial=0)
    is_peak = (centre > below) & (centre >= above) & (centre > largest * threshold)
    left, middle, right = (
        np.log(np.maximum(part[is_peak], 1e-30, dtype=np.float64)) for part in (below, centre, above)
    )
    curvature = np.minimum(left - 2 * middle + right, -1e-12)
    offset = 0.5 * (left - right) / curvature  # of the vertex, in bins
    frame, index = np.nonzero(is_peak)
    return frame, (index + begin + offset) * spacing, np.exp(middle - 0.25 * (left - right) * offset), curvature


def power_spectrum(samples: np.ndarray, rate: int, *, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the power spectrum of the whole signal. The sum over its bins is the mean square of the signal.

    The mean square is over all samples of all channels. Squared sine windows with an overlap of one half sum to 1 at
    every sample, also at the first and the last one. So, by Parseval's theorem, the spectrum contains all energy once.

    Parameters
    ----------
    samples : [channel, n]
    rate : Hz
    frame : samples at 44.1 kHz

    Returns
    -------
    frequencies in Hz, float64 [bin]; powers, float64 [bin]
    """
    from scipy.fft import rfft

    length = transform_length(rate, frame)
    half = length // 2
    window = np.sin(np.pi * (np.arange(length) + 0.5) / length).astype(np.float32)
    frequency = np.fft.rfftfreq(length, 1 / rate)
    power = np.zeros(len(frequency))
    count = max(samples.shape[1], 1)
    step = max(1, BLOCK // length)
    for channel in samples:
        padded = np.pad(channel, (half, length))
        frames = np.lib.stride_tricks.sliding_window_view(padded, length)[: half + count : half]
        for begin in range(0, len(frames), step):
            spectra = rfft(frames[begin : begin + step] * window, axis=-1)
            power += np.square(spectra.real).sum(axis=0, dtype=np.float64)
            power += np.square(spectra.imag).sum(axis=0, dtype=np.float64)
    power[1:-1] *= 2  # the negative frequencies; the last bin has none, because the length is even
    return frequency, power / (length * count * max(len(samples), 1))
