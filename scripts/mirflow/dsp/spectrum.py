"""Short-time spectra whose frames last equally long at every sampling rate."""

from collections.abc import Iterator

import numpy as np

REFERENCE_RATE = 44100  # Hz: frame and hop sizes are given in samples at this rate
BLOCK = 1 << 22  # samples that are transformed at a time, which bounds memory


def frame_length(rate: int, frame: int) -> int:
    """Return the samples that a frame of `frame` samples at 44.1 kHz has at `rate`."""
    return max(2, round(frame * rate / REFERENCE_RATE))


def transform_length(rate: int, frame: int) -> int:
    """Return the samples of a frame that is transformed: even, so that the last bin is the Nyquist frequency.

    It is not rounded to a length that transforms fast, nor filled up with zeros: both would shift the bins, and peaks
    and band edges with them (by 0.1 in a pitch class profile). Long frames should have small factors at usual rates.
    """
    return max(2, 2 * round(frame * rate / REFERENCE_RATE / 2))


def frequencies(rate: int, frame: int) -> np.ndarray:
    """Return the frequency of each bin of `magnitudes` in Hz, float64 [bin]."""
    return np.fft.rfftfreq(transform_length(rate, frame), 1 / rate)


def magnitudes(samples: np.ndarray, rate: int, *, frame: int, hop: int) -> Iterator[np.ndarray]:
    """Yield the magnitude spectra of Hann-windowed frames, block by block: float32 [channel, n] → float32 [frame, bin].

    Of several channels the root mean square is taken bin by bin, so that what is in anti-phase is not lost. A steady
    tone of amplitude 1 reads 1. Frames start at 0 and are whole; a signal shorter than one frame is filled up with
    zeros to one. Other rates than 44.1 kHz get longer or shorter frames instead of being resampled: the same time and
    frequency grid, without a resampler's edge in the spectrum.

    Parameters
    ----------
    frame, hop : samples at 44.1 kHz
    """
    from scipy.fft import rfft
    from scipy.signal import get_window

    samples = samples.astype(np.float32, copy=False)
    length = transform_length(rate, frame)
    if samples.shape[1] < length:
        samples = np.pad(samples, ((0, 0), (0, length - samples.shape[1])))
    window = get_window("hann", length)
    window = (window * 2 / window.sum()).astype(np.float32)
    hop_samples = hop * rate / REFERENCE_RATE  # stays fractional, so that the grid does not drift
    starts = np.round(np.arange(int((samples.shape[1] - length) / hop_samples + 1e-9) + 1) * hop_samples).astype(int)
    step = max(1, BLOCK // length)
    for first in range(0, len(starts), step):
        block = []
        for channel in samples:
            frames = np.lib.stride_tricks.sliding_window_view(channel, length)[starts[first : first + step]]
            block.append(np.abs(rfft(frames * window, axis=-1)))
        yield block[0] if len(block) == 1 else np.sqrt(np.mean(np.square(block), axis=0))


def power_spectrum(samples: np.ndarray, rate: int, *, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (Hz) and powers, both float64 [bin], of [channel, n]: the powers sum to the mean square.

    The mean square is that of all samples of all channels. Sine windows that overlap by half weigh each sample once,
    the first and the last too, so that by Parseval's theorem no energy is lost or counted twice.

    Parameters
    ----------
    frame : samples at 44.1 kHz
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
        for first in range(0, len(frames), step):
            spectra = rfft(frames[first : first + step] * window, axis=-1)
            power += np.square(spectra.real).sum(axis=0, dtype=np.float64)
            power += np.square(spectra.imag).sum(axis=0, dtype=np.float64)
    power[1:-1] *= 2  # the negative frequencies; the length is even
    return frequency, power / (length * count * max(len(samples), 1))
