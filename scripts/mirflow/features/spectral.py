"""Spectral shape of the full mix: flatness, flux, skewness and kurtosis."""

import numpy as np

from mirflow.core.audio import Audio
from mirflow.core.feature import Feature, Field
from mirflow.dsp import spectrum

FRAME = 2048  # samples at 44.1 kHz
HOP = 512  # samples at 44.1 kHz
ACTIVE_DB = 60  # frames further below the loudest one are silent
# Below 40 Hz are the two lowest bins, which contain offset and drift. Above 16 kHz, the upper limit of MPEG-7 as well,
# codecs and resamplers leave bins near zero, which would dominate the geometric mean.
LOWEST, HIGHEST = 40.0, 16000.0  # Hz
NYQUIST_SHARE = 0.9  # upper limit at low sampling rates, where the filter of a resampler starts to attenuate

_SILENCE = "the track is silent, or shorter than one frame (46 ms)"
# The largest moments that a spectrum can have: under a Hann window, the narrowest peak has a standard deviation of half
# a bin, and the bins of the band are at most 740 bins away from it.
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
            meaning="geometric over arithmetic mean of the power spectrum: 0 for a sine, 0.56 for white noise; median "
            "over frames",
            undefined=_SILENCE,
        ),
        Field(
            "spectral_flux",
            "distance",
            bounds=(0, float(np.sqrt(2))),
            range=(0, 0.7),
            meaning="L2 distance of the normalised magnitude spectra of consecutive frames (12 ms); median over frames",
            undefined="the track is silent, or shorter than two frames (58 ms)",
        ),
        Field(
            "spectral_skewness",
            "1",
            bounds=(-_LARGEST_SKEWNESS, _LARGEST_SKEWNESS),
            range=(-1, 10),
            meaning="asymmetry of the magnitude spectrum about its centroid, positive for dark sounds; median over "
            "frames",
            undefined=_SILENCE,
        ),
        Field(
            "spectral_kurtosis",
            "1",
            bounds=(1, _LARGEST_KURTOSIS),
            range=(1, 100),
            meaning="kurtosis of the magnitude spectrum (not excess kurtosis), 1.8 for a flat spectrum; median over "
            "frames",
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
    spectral_flux : L2 distance of consecutive L2-normalised magnitude spectra, in [0, sqrt(2)]
    spectral_skewness, spectral_kurtosis : standardised moments of the magnitude spectrum over frequency

    All are medians over the frames that are not silent. Undefined values are None.
    """
    values = dict.fromkeys(field.key for field in FEATURE.fields)
    signal = full_mix.mono()
    if len(signal) < spectrum.transform_length(full_mix.rate, FRAME):
        return values
    signal = signal - signal.mean(dtype=np.float64).astype(np.float32)  # without the DC offset
    frequency = spectrum.frequencies(full_mix.rate, FRAME)
    band = slice(*np.searchsorted(frequency, [LOWEST, min(HIGHEST, NYQUIST_SHARE * full_mix.rate / 2)]))
    shapes, previous = [], None
    for magnitude in spectrum.magnitudes(signal[None], full_mix.rate, frame=FRAME, hop=HOP):
        shape, previous = frame_shapes(magnitude[:, band], frequency[band], previous)
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


def frame_shapes(
    magnitude: np.ndarray, frequency: np.ndarray, previous_block: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the spectral shape of a block of frames.

    Parameters
    ----------
    magnitude : float32 [frame, bin]
    frequency : of the bins in Hz [bin]
    previous_block : the second result for the previous block, for the flux of the first frame; None for the first block

    Returns
    -------
    energy, flatness, flux, skewness and kurtosis of each frame, float64 [5, frame]; arbitrary in frames without energy
    normalised spectrum of the last frame, float64 [1, bin]
    """
    magnitude = magnitude.astype(np.float64)
    power = magnitude**2
    energy = power.sum(axis=1)
    positive_energy = np.where(energy > 0, energy, 1)
    # Zeros are replaced by the smallest positive float, because their logarithm is infinite.
    flatness = np.exp(np.log(np.maximum(power, np.finfo(float).tiny)).mean(axis=1)) / (positive_energy / power.shape[1])
    flatness = np.minimum(flatness, 1)  # rounding may exceed 1, the value of an impulse

    unit = magnitude / np.sqrt(positive_energy)[:, None]
    previous = np.concatenate([unit[:1] if previous_block is None else previous_block, unit[:-1]])
    flux = np.minimum(np.linalg.norm(unit - previous, axis=1), np.sqrt(2))  # rounding may exceed sqrt(2)

    normalised = magnitude / np.where(energy > 0, magnitude.sum(axis=1), 1)[:, None]
    distance = frequency - (normalised @ frequency)[:, None]
    weighted = normalised * distance**2
    variance = weighted.sum(axis=1)
    positive_variance = np.where(variance > 0, variance, 1)
    weighted *= distance
    skewness = weighted.sum(axis=1) / positive_variance**1.5
    weighted *= distance
    kurtosis = np.maximum(weighted.sum(axis=1) / positive_variance**2, 1)
    return np.stack([energy, np.where(energy > 0, flatness, 0), flux, skewness, kurtosis]), unit[-1:]
