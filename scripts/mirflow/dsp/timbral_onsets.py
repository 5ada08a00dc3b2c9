"""Envelope and onsets as the timbral models find them (Pearce, Brookes & Mason 2019, Audio Commons D5.8)."""

from functools import cache

import numpy as np

RATE = 44100  # Hz
HOP = 512  # samples
FFT = 2048  # samples
TOP_HZ = 11025  # of the mel bands, as in librosa 0.6, with which the models were fitted; today it is 22050
LOOK_BACK = 882  # samples, 20 ms
HYSTERESIS = 13230  # samples, 300 ms
SEPARATION = 4410  # samples, 100 ms
DYNAMIC_SHARE = 0.1  # of the envelope's dynamic range: smaller rises are noise
MIN_STRENGTH = 3  # dB


def envelope(samples: np.ndarray, decay_seconds: float) -> np.ndarray:
    """Return the sample-and-hold envelope [n]: no attack time, 10 ms hold, peak to 0 in `decay_seconds`."""
    from mirflow.dsp.timbral_kernels import sample_and_hold

    return sample_and_hold(samples, max(samples.max(), -samples.min()) / (decay_seconds * RATE), RATE // 100)


def frames(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a view of frames float32 [frame, 2048], frame t centred at 512 t, ends mirrored, and the Hann window."""
    from scipy.signal.windows import hann

    padded = np.pad(samples.astype(np.float32), FFT // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP], hann(FFT, sym=False).astype(np.float32)


def strength(samples: np.ndarray) -> np.ndarray:
    """Return the onset strength [frame], hop 512: the mean rise in dB of 128 mel bands up to 11025 Hz."""
    from scipy.fft import rfft

    views, window = frames(samples)
    parts = []
    for at in range(0, len(views), 512):
        spectra = rfft(views[at : at + 512] * window)
        parts.append((spectra.real**2 + spectra.imag**2) @ _mel_bands())
    bands = np.concatenate(parts)
    decibels = 10 * np.log10(np.maximum(bands.astype(float), 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 80)
    rise = np.maximum(np.diff(decibels, axis=0), 0).mean(axis=1)
    # a frame reaches FFT / 2 beyond its centre: it sees an onset two frames early
    return np.concatenate([np.zeros(1 + FFT // (2 * HOP)), rise])[: len(decibels)]


@cache
def _mel_bands() -> np.ndarray:
    """Return the weights [1025, 128] of the mel bands (Slaney)."""
    import librosa

    return np.ascontiguousarray(librosa.filters.mel(sr=RATE, n_fft=FFT, n_mels=128, fmax=TOP_HZ).T)


def onsets(envelope: np.ndarray, strength: np.ndarray, earliest: int) -> list[int]:
    """Find where notes begin.

    Peaks of the onset strength are followed back to where the envelope starts to rise; those that rise by less than a
    tenth of the envelope's range, come less than 100 ms after another or have a strength below 3 dB are dropped.

    Parameters
    ----------
    envelope : [n], from `envelope`
    strength : [1 + n // 512], from `strength`
    earliest : samples; an onset that leads back to before it is at the start, 0

    Returns
    -------
    samples, ascending; [0] when there is none
    """
    import librosa

    peaks = librosa.onset.onset_detect(onset_envelope=strength, sr=RATE, hop_length=HOP, backtrack=True)
    span = envelope.max() - envelope.min()
    found: list[int] = []
    for peak in peaks * HOP:
        if peak == 0:
            begin = 0
        elif found and peak + 511 >= len(envelope):
            continue
        else:
            begin = _start_of_rise(envelope, int(peak), DYNAMIC_SHARE * span, earliest)
        if begin not in found and (begin > 0 or not found):
            found.append(begin)
    if len(found) > 1:
        found = _without_noise(envelope, found, DYNAMIC_SHARE * span)
    while len(found) > 1 and np.diff(found).min() < SEPARATION:
        close = np.abs(np.diff(found)) < SEPARATION
        found = [found[0], *(onset for onset, drop in zip(found[1:], close, strict=True) if not drop)]
    return sorted(_strong(strength, found)) or [0]


def _start_of_rise(envelope: np.ndarray, at: int, span: float, earliest: int) -> int:
    """Go back from `at` while the envelope falls, across bumps smaller than `span` within 300 ms."""
    while True:
        back = envelope[at - LOOK_BACK - 1 : at] if at > LOOK_BACK else envelope[: at - 1]
        lowest = int(np.argmin(back))
        if back[lowest] <= envelope[at]:
            at += lowest - LOOK_BACK - 1
            if at <= earliest:
                return 0
            continue
        history = envelope[at - HYSTERESIS - 1 : at] if at > HYSTERESIS + 1 else envelope[:at]
        lower = np.flatnonzero(history < envelope[at])
        if len(lower) == 0:
            return at
        bump = history[lower[-1] :]
        if bump.max() - bump.min() >= span:
            return at
        at += int(lower[-1]) - len(history)
        if at < earliest:
            return 0


def _without_noise(envelope: np.ndarray, found: list[int], span: float) -> list[int]:
    """Drop, from the last to the first, the onsets after which the envelope does not rise by `span` before the next."""
    kept: list[int] = []  # from the last to the first
    for onset in reversed(found):
        part = envelope[onset : kept[-1]] if kept else envelope[onset:]
        top = int(np.argmax(part)) if len(part) > 1 else 0
        if top > 0 and part[top] - part[:top].min() >= span:
            kept.append(onset)
    return kept[::-1]


def _strong(strength: np.ndarray, found: list[int]) -> list[int]:
    """Drop, from the last to the first, the onsets with less than `MIN_STRENGTH` up to the next."""
    kept: list[int] = []
    end = len(strength)
    for onset in reversed(found):
        frame = onset // HOP
        if strength[frame:end].max(initial=0) >= MIN_STRENGTH:
            kept.append(onset)
            end = frame
    return kept
