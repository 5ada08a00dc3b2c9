"""How close estimated stems are to true ones."""

import numpy as np


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


def _ratio_db(target: np.ndarray, estimate: np.ndarray) -> float | None:
    numerator, denominator = _energy(target), _energy(target.astype(np.float64) - estimate)
    if numerator == 0:
        return None
    return 10 * float(np.log10(numerator / denominator)) if denominator else float("inf")


def _energy(signal: np.ndarray) -> float:
    return float(np.sum(np.square(signal, dtype=np.float64)))
