"""How close estimated stems are to true ones, and a simple split to compare with."""

import numpy as np

from benchmarks.hand_made_masks import HARMONIC_FRAMES, running_median
from mirflow.core.layout import STEMS
from mirflow.dsp.separation import split


def sdr(truth: np.ndarray, estimate: np.ndarray) -> float | None:
    """Return the signal-to-distortion ratio 10 log10(|s|² / |s - e|²) in dB, None for a silent truth.

    Parameters
    ----------
    truth, estimate : float32 [channel, n]; all channels count, the level counts (Vincent et al. 2007 without allowed
        distortions; the definition of the Music Demixing Challenge 2021)
    """
    return _ratio_db(truth, estimate)


def si_sdr(truth: np.ndarray, estimate: np.ndarray) -> float | None:
    """Return the scale-invariant SDR in dB (Le Roux et al. 2019), None when truth or estimate is silent."""
    reference = truth.astype(np.float64).ravel()
    power = reference @ reference
    if power == 0 or not estimate.any():
        return None
    target = truth * (reference @ estimate.astype(np.float64).ravel() / power)
    return _ratio_db(target, estimate)


def level_against(mix: np.ndarray, estimate: np.ndarray) -> float | None:
    """Return the power of an estimate over the power of the mix in dB: what leaked where truth is silent."""
    numerator, denominator = _energy(estimate), _energy(mix)
    return 10 * float(np.log10(numerator / denominator)) if numerator and denominator else None


def simple_split(samples: np.ndarray, rate: int) -> dict[str, np.ndarray]:
    """Split into percussive, harmonic below 160 Hz and harmonic above: what any separator has to beat.

    Parameters
    ----------
    samples : float32 [channel, n]
    rate : Hz

    Returns
    -------
    drums, bass, other, vocals : float32 [channel, n]; vocals are zero; the sum is the mix
    """
    hop = max(round(split.FRAME_SECONDS * rate / 4), 8)
    spectra = [split.stft(signal, 4 * hop, hop) for signal in samples]
    magnitude = np.mean([np.abs(spectrum) for spectrum in spectra], axis=0)
    tone = np.square(running_median(magnitude.T, HARMONIC_FRAMES).T)
    hit = np.square(running_median(magnitude, HARMONIC_FRAMES))
    drums = hit / (hit + tone + np.float32(1e-20))
    bass = (1 - drums) * (np.arange(magnitude.shape[1]) * rate / (4 * hop) < 160)
    n = samples.shape[1]
    stems = {
        name: np.stack([split.istft(spectrum * gain, hop, n) for spectrum in spectra])
        for name, gain in (("drums", drums), ("bass", bass))
    }
    stems["other"] = samples - stems["drums"] - stems["bass"]
    stems["vocals"] = np.zeros_like(samples)
    return {name: stems[name] for name in STEMS}


def _ratio_db(target: np.ndarray, estimate: np.ndarray) -> float | None:
    numerator, denominator = _energy(target), _energy(target.astype(np.float64) - estimate)
    if numerator == 0:
        return None
    return 10 * float(np.log10(numerator / denominator)) if denominator else float("inf")


def _energy(signal: np.ndarray) -> float:
    return float(np.sum(np.square(signal, dtype=np.float64)))
