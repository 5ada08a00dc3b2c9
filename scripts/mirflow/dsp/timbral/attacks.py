"""Envelope and onset detection of the timbral models.

Source: Pearce, Brookes & Mason 2019, Audio Commons deliverable D5.8, and the package ``timbral_models`` 0.4.0.
"""

from functools import cache

import numpy as np

RATE = 44100  # Hz
HOP = 512  # samples
FFT = 2048  # samples
HIGHEST_HZ = 11025  # upper limit of the mel bands in librosa 0.6, with which the models were fitted (now 22050)
MINIMUM_SEARCH = 882  # samples, 20 ms: backtracking looks for a minimum in this range
HISTORY = 13230  # samples, 300 ms: backtracking ignores small peaks in this range
LEAST_INTERVAL = 4410  # samples, 100 ms, between onsets
LEAST_RISE = 0.1  # of the envelope's dynamic range; smaller increases are noise
LEAST_STRENGTH = 3  # dB, of an onset


def envelope(samples: np.ndarray, decay_seconds: float) -> np.ndarray:
    """Return the sample-and-hold envelope: without attack time, with a hold of 10 ms and a linear decay.

    Parameters
    ----------
    samples : float64 [n] at `RATE`
    decay_seconds : time of the decay from the largest absolute sample to 0

    Returns
    -------
    float64 [n]
    """
    from mirflow.dsp.timbral.kernels import sample_and_hold

    return sample_and_hold(samples, max(samples.max(), -samples.min()) / (decay_seconds * RATE), RATE // 100)


def frames(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames of the signal and the Hann window.

    Parameters
    ----------
    samples : [n] at `RATE`

    Returns
    -------
    frames, float32 [frame, 2048], a view: frame k is centred on sample 512 k, and the ends of the signal are mirrored
    window, float32 [2048]
    """
    from scipy.signal.windows import hann

    padded = np.pad(samples.astype(np.float32), FFT // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP], hann(FFT, sym=False).astype(np.float32)


def strength(samples: np.ndarray) -> np.ndarray:
    """Return the onset strength: the mean increase in dB of 128 mel bands up to 11025 Hz, from frame to frame.

    Parameters
    ----------
    samples : [n] at `RATE`

    Returns
    -------
    dB, float64 [1 + n // 512], one frame every 512 samples
    """
    from scipy.fft import rfft

    views, window = frames(samples)
    parts = []
    for begin in range(0, len(views), 512):
        spectra = rfft(views[begin : begin + 512] * window)
        parts.append((spectra.real**2 + spectra.imag**2) @ _mel_bands())
    bands = np.concatenate(parts)
    decibels = 10 * np.log10(np.maximum(bands.astype(float), 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 80)
    increase = np.maximum(np.diff(decibels, axis=0), 0).mean(axis=1)
    # A frame extends FFT / 2 samples beyond its centre, so it contains an onset two frames early.
    return np.concatenate([np.zeros(1 + FFT // (2 * HOP)), increase])[: len(decibels)]


@cache
def _mel_bands() -> np.ndarray:
    """Return the weights of Slaney's mel bands, float32 [bin, band]."""
    import librosa

    return np.ascontiguousarray(librosa.filters.mel(sr=RATE, n_fft=FFT, n_mels=128, fmax=HIGHEST_HZ).T)


def onsets(envelope: np.ndarray, strength: np.ndarray, earliest: int) -> list[int]:
    """Detect the onsets of notes.

    Each peak of the onset strength is moved back to where the envelope starts to rise. Then these onsets are removed:
    those after which the envelope rises by less than a tenth of its range, those less than 100 ms after another one,
    and those with a strength below 3 dB.

    Parameters
    ----------
    envelope : float64 [n], from `envelope`
    strength : dB, float64 [1 + n // 512], from `strength`
    earliest : samples; an onset that is moved back beyond this position is set to 0

    Returns
    -------
    samples, ascending; [0] when there are none
    """
    import librosa

    peaks = librosa.onset.onset_detect(onset_envelope=strength, sr=RATE, hop_length=HOP, backtrack=True)
    span = envelope.max() - envelope.min()
    onset_samples: list[int] = []
    for peak in peaks * HOP:
        if peak == 0:
            start = 0
        elif onset_samples and peak + 511 >= len(envelope):
            continue
        else:
            start = _backtrack(envelope, int(peak), LEAST_RISE * span, earliest)
        if start not in onset_samples and (start > 0 or not onset_samples):
            onset_samples.append(start)
    if len(onset_samples) > 1:
        onset_samples = _without_noise(envelope, onset_samples, LEAST_RISE * span)
    while len(onset_samples) > 1 and np.diff(onset_samples).min() < LEAST_INTERVAL:
        is_close = np.abs(np.diff(onset_samples)) < LEAST_INTERVAL
        onset_samples = [
            onset_samples[0],
            *(onset for onset, remove in zip(onset_samples[1:], is_close, strict=True) if not remove),
        ]
    return sorted(_strong(strength, onset_samples)) or [0]


def _backtrack(envelope: np.ndarray, position: int, span: float, earliest: int) -> int:
    """Return the sample where the envelope starts to rise towards `position`, and 0 if that is before `earliest`.

    The search goes back as long as the envelope decreases. It continues over local peaks that are less than 300 ms
    away and lower than `span`.
    """
    while True:
        window = (
            envelope[position - MINIMUM_SEARCH - 1 : position]
            if position > MINIMUM_SEARCH
            else envelope[: position - 1]
        )
        lowest = int(np.argmin(window))
        if window[lowest] <= envelope[position]:
            position += lowest - MINIMUM_SEARCH - 1
            if position <= earliest:
                return 0
            continue
        history = envelope[position - HISTORY - 1 : position] if position > HISTORY + 1 else envelope[:position]
        lower_samples = np.flatnonzero(history < envelope[position])
        if len(lower_samples) == 0:
            return position
        bump = history[lower_samples[-1] :]
        if bump.max() - bump.min() >= span:
            return position
        position += int(lower_samples[-1]) - len(history)
        if position < earliest:
            return 0


def _without_noise(envelope: np.ndarray, onset_samples: list[int], span: float) -> list[int]:
    """Remove the onsets after which the envelope rises by less than `span` before the next onset.

    The onsets are examined from the last one to the first one.
    """
    kept: list[int] = []  # descending
    for onset in reversed(onset_samples):
        segment = envelope[onset : kept[-1]] if kept else envelope[onset:]
        peak = int(np.argmax(segment)) if len(segment) > 1 else 0
        if peak > 0 and segment[peak] - segment[:peak].min() >= span:
            kept.append(onset)
    return kept[::-1]


def _strong(strength: np.ndarray, onset_samples: list[int]) -> list[int]:
    """Remove the onsets with an onset strength below `LEAST_STRENGTH` up to the next onset. Returns them descending.

    The onsets are examined from the last one to the first one.
    """
    kept: list[int] = []
    end = len(strength)
    for onset in reversed(onset_samples):
        frame = onset // HOP
        if strength[frame:end].max(initial=0) >= LEAST_STRENGTH:
            kept.append(onset)
            end = frame
    return kept
