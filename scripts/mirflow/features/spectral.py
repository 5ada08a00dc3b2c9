"""Spectral shape of the full mix: flatness, flux, skewness, kurtosis."""

import numpy as np

from mirflow.audio import Audio
from mirflow.dsp import spectrum
from mirflow.registry import Feature, Field

FRAME = 2048  # samples at 44.1 kHz
HOP = 512  # samples at 44.1 kHz
ACTIVE_DB = 60  # frames further below the loudest one are silence
# Above 16 kHz (also MPEG-7's upper edge) stands what a codec or a resampler left: it would rule the geometric mean.
# Files with a lower sampling rate are measured up to where a resampler begins to cut. The two lowest bins hold offset
# and drift.
LOWEST, HIGHEST = 40.0, 16000.0  # Hz
NYQUIST_SHARE = 0.9

_SILENCE = "in silence, or shorter than one frame (46 ms)"
# The largest moments that any spectrum under a Hann window can have: its narrowest peak is half a bin wide (standard
# deviation), and the furthest bin is 740 bins away.
_LARGEST_SKEWNESS, _LARGEST_KURTOSIS = 1000, 1e6

FEATURE = Feature(
    name="spectral",
    version=1,
    inputs=("full_mix",),
    fields=(
        Field(
            "spectral_flatness",
            "ratio",
            bounds=(0, 1),
            range=(0, 0.2),
            meaning="geometric over arithmetic mean of the power spectrum: tone 0, white noise 0.56; median",
            undefined=_SILENCE,
        ),
        Field(
            "spectral_flux",
            "distance",
            bounds=(0, float(np.sqrt(2))),
            range=(0, 0.7),
            meaning="change of the normalised magnitude spectrum from frame to frame (12 ms), level apart; median",
            undefined="in silence, or shorter than two frames (58 ms)",
        ),
        Field(
            "spectral_skewness",
            "1",
            bounds=(-_LARGEST_SKEWNESS, _LARGEST_SKEWNESS),
            range=(-1, 10),
            meaning="asymmetry of the magnitude spectrum about its centroid, low sounds > 0; median over frames",
            undefined=_SILENCE,
        ),
        Field(
            "spectral_kurtosis",
            "1",
            bounds=(1, _LARGEST_KURTOSIS),
            range=(1, 100),
            meaning="peakedness of the magnitude spectrum, a flat one 1.8, not excess; median over frames",
            undefined=_SILENCE,
        ),
    ),
    cite="Dubnov 2004, IEEE SPL 11(8); Peeters 2004, CUIDADO",
)


def measure(full_mix: Audio) -> dict[str, float | None]:
    """Measure the spectral shape between 40 Hz and 16 kHz (or 0.9 of the Nyquist frequency).

    Parameters
    ----------
    full_mix : samples float32 [channel, n], rate in Hz

    Returns
    -------
    spectral_flatness : geometric over arithmetic mean of the power spectrum, in [0, 1]
    spectral_flux : L2 distance of consecutive L2-normalised magnitude spectra, in [0, sqrt 2]
    spectral_skewness, spectral_kurtosis : standardised moments of the magnitude spectrum over frequency
    """
    values = dict.fromkeys(field.key for field in FEATURE.fields)
    signal = full_mix.mono()
    if len(signal) < spectrum.transform_length(full_mix.rate, FRAME):
        return values
    signal = signal - signal.mean(dtype=np.float64).astype(np.float32)  # a constant offset is no sound
    frequency = spectrum.frequencies(full_mix.rate, FRAME)
    band = slice(*np.searchsorted(frequency, [LOWEST, min(HIGHEST, NYQUIST_SHARE * full_mix.rate / 2)]))
    shapes, last = [], None
    for magnitude in spectrum.magnitudes(signal[None], full_mix.rate, frame=FRAME, hop=HOP):
        shape, last = _shapes(magnitude[:, band], frequency[band], last)
        shapes.append(shape)
    energy, flatness, flux, skewness, kurtosis = np.concatenate(shapes, axis=1)
    if energy.max() == 0:
        return values
    active = energy >= energy.max() * 10 ** (-ACTIVE_DB / 10)
    changes = active & np.concatenate([[False], active[:-1]])
    values["spectral_flatness"] = float(np.median(flatness[active]))
    values["spectral_skewness"] = float(np.median(skewness[active]))
    values["spectral_kurtosis"] = float(np.median(kurtosis[active]))
    if changes.any():
        values["spectral_flux"] = float(np.median(flux[changes]))
    return values


def _shapes(magnitude: np.ndarray, frequency: np.ndarray, before: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return energy, flatness, flux, skewness and kurtosis of a block [frame, bin] as [5, frame], and its last one.

    The last one is its normalised spectrum, which the next block gets as `before`, for its flux. Frames without energy
    get zeros, which the caller leaves out.
    """
    magnitude = magnitude.astype(np.float64)
    power = magnitude**2
    energy = power.sum(axis=1)
    sounding = np.where(energy > 0, energy, 1)
    # a bin of exactly zero makes the geometric mean zero; the smallest float stands for it in the logarithm
    flatness = np.exp(np.log(np.maximum(power, np.finfo(float).tiny)).mean(axis=1)) / (sounding / power.shape[1])
    flatness = np.minimum(flatness, 1)  # rounding: an impulse's spectrum is flat exactly

    unit = magnitude / np.sqrt(sounding)[:, None]
    previous = np.concatenate([unit[:1] if before is None else before, unit[:-1]])
    flux = np.minimum(np.linalg.norm(unit - previous, axis=1), np.sqrt(2))  # rounding, again

    share = magnitude / np.where(energy > 0, magnitude.sum(axis=1), 1)[:, None]
    distance = frequency - (share @ frequency)[:, None]
    weighted = share * distance**2
    variance = weighted.sum(axis=1)
    spread = np.where(variance > 0, variance, 1)
    weighted *= distance
    skewness = weighted.sum(axis=1) / spread**1.5
    weighted *= distance
    kurtosis = np.maximum(weighted.sum(axis=1) / spread**2, 1)
    return np.stack([energy, np.where(energy > 0, flatness, 0), flux, skewness, kurtosis]), unit[-1:]
