"""Specific loudness after Zwicker (ISO 532 B, DIN 45631), as the timbral models use it.

The tables are those of the program in Zwicker, Fastl, Widmann, Kurakata, Kuwano & Namba 1991, J. Acoust. Soc. Jpn (E)
12.
"""

from functools import cache

import numpy as np

RATE = 44100  # Hz
WINDOW = 4096  # samples
FULL_SCALE_DB = 100  # dB SPL of a signal with an RMS of 1
BARKS = 240  # steps of the critical band rate: 0.1, 0.2 ... 24 Bark

# Correction of the 11 third-octave bands up to 250 Hz by ranges of their level, from equal-loudness contours.
LOW_RANGES = np.array([45, 55, 65, 71, 80, 90, 100, 120])  # dB
LOW_WEIGHTS = np.array(
    [
        [-32, -24, -16, -10, -5, 0, -7, -3, 0, -2, 0],
        [-29, -22, -15, -10, -4, 0, -7, -2, 0, -2, 0],
        [-27, -19, -14, -9, -4, 0, -6, -2, 0, -2, 0],
        [-25, -17, -12, -9, -3, 0, -5, -2, 0, -2, 0],
        [-23, -16, -11, -7, -3, 0, -4, -1, 0, -1, 0],
        [-20, -14, -10, -6, -3, 0, -4, -1, 0, -1, 0],
        [-18, -12, -9, -6, -2, 0, -3, -1, 0, -1, 0],
        [-15, -10, -8, -4, -2, 0, -3, -1, 0, -1, 0],
    ]
)
# For each critical band in dB: threshold in quiet; attenuation of the ear in a free field; correction from third-octave
# to critical band levels.
QUIET = np.array([30, 18, 12, 8, 7, 6, 5, 4, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3])
EAR = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -0.5, -1.6, -3.2, -5.4, -5.6, -4, -1.5, 2, 5, 12])
BAND_WIDTH = np.array(
    [-0.25, -0.6, -0.8, -0.8, -0.5, 0, 0.5, 1.1, 1.5, 1.7, 1.8, 1.8, 1.7, 1.6, 1.4, 1.2, 0.8, 0.5, 0, -0.5]
)
# Upper limits of the critical bands in tenths of a Bark.
UPPER = np.array([9, 18, 28, 35, 44, 54, 66, 79, 92, 106, 123, 138, 152, 167, 181, 193, 206, 218, 227, 236, 240])
# Steepness of the upper slopes, by specific loudness (rows, from STEPS) and critical band (columns).
STEPS = np.array([21.5, 18, 15.1, 11.5, 9, 6.1, 4.4, 3.1, 2.13, 1.36, 0.82, 0.42, 0.30, 0.22, 0.15, 0.10, 0.035, 0])
SLOPES = np.array(
    [
        [13.0, 8.2, 6.3, 5.5, 5.5, 5.5, 5.5, 5.5],
        [9.0, 7.5, 6.0, 5.1, 4.5, 4.5, 4.5, 4.5],
        [7.8, 6.7, 5.6, 4.9, 4.4, 3.9, 3.9, 3.9],
        [6.2, 5.4, 4.6, 4.0, 3.5, 3.2, 3.2, 3.2],
        [4.5, 3.8, 3.6, 3.2, 2.9, 2.7, 2.7, 2.7],
        [3.7, 3.0, 2.8, 2.35, 2.2, 2.2, 2.2, 2.2],
        [2.9, 2.3, 2.1, 1.9, 1.8, 1.7, 1.7, 1.7],
        [2.4, 1.7, 1.5, 1.35, 1.3, 1.3, 1.3, 1.3],
        [1.95, 1.45, 1.3, 1.15, 1.1, 1.1, 1.1, 1.1],
        [1.5, 1.2, 0.94, 0.86, 0.82, 0.82, 0.82, 0.82],
        [0.72, 0.67, 0.64, 0.63, 0.62, 0.62, 0.62, 0.62],
        [0.59, 0.53, 0.51, 0.50, 0.42, 0.42, 0.42, 0.42],
        [0.40, 0.33, 0.26, 0.24, 0.24, 0.22, 0.22, 0.22],
        [0.27, 0.21, 0.20, 0.18, 0.17, 0.17, 0.17, 0.17],
        [0.16, 0.15, 0.14, 0.12, 0.11, 0.11, 0.11, 0.11],
        [0.12, 0.11, 0.10, 0.08, 0.08, 0.08, 0.08, 0.08],
        [0.09, 0.08, 0.07, 0.06, 0.06, 0.06, 0.06, 0.05],
        [0.06, 0.05, 0.03, 0.02, 0.02, 0.02, 0.02, 0.02],
    ]
)


def third_octave_levels(windows: np.ndarray) -> np.ndarray:
    """Return the levels of the 28 third-octave bands from 25 Hz to 12.5 kHz.

    The filters are Butterworth band-passes of order 4, with zero initial state in each window. From 5 kHz downwards,
    each octave uses the filters of the octave above, on a signal at half the rate after a low-pass. A band without
    energy has a level of -300 dB.

    Parameters
    ----------
    windows : [window, n] at 44.1 kHz

    Returns
    -------
    dB [window, 28]
    """
    from scipy.signal import cheby1, lfilter

    def energy(band: int, signal: np.ndarray) -> np.ndarray:
        filtered = lfilter(*_band_filter(band), signal)
        return np.einsum("wn,wn->w", filtered, filtered) / signal.shape[1]

    energies = np.empty((len(windows), 28))
    for band in range(24, 28):
        energies[:, band] = energy(band, windows)
    halving = cheby1(2, 0.1, 0.4)
    signal = windows
    for top in range(23, 1, -3):
        signal = np.ascontiguousarray(lfilter(*halving, signal)[:, 1::2])
        for lower in range(3):
            energies[:, top - lower] = energy(26 - lower, signal)
    return 10 * np.log10(np.maximum(energies, 1e-40)) + FULL_SCALE_DB


@cache
def _band_filter(band: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients b, a of a third-octave filter at 44.1 kHz. Band 0 is at 25 Hz, band 16 is at 1 kHz."""
    from scipy.signal import butter

    centre = 1000 * 2 ** ((band - 16) / 3)
    return butter(4, [centre * 2 ** (-1 / 6), centre * 2 ** (1 / 6)], "bandpass", fs=RATE)


def specific_loudness(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the specific loudness and the loudness in a free field.

    Parameters
    ----------
    levels : third-octave levels in dB [window, 28], from `third_octave_levels`

    Returns
    -------
    specific loudness in sone/Bark [window, 240], at 0.1, 0.2 ... 24 Bark
    loudness in sone [window]
    """
    from mirflow.dsp.timbral.kernels import loudness_pattern

    low = levels[:, :11]
    ranges = np.zeros(low.shape, int)
    for step in range(7):
        above = low > LOW_RANGES[step] - LOW_WEIGHTS[step]
        ranges += above & (ranges == step)
    power = 10 ** ((low + LOW_WEIGHTS[ranges, np.arange(11)]) / 10)
    # the lowest three critical bands contain the third octaves 25-80, 100-160 and 200-250 Hz
    merged = np.stack([power[:, :6].sum(1), power[:, 6:9].sum(1), power[:, 9:].sum(1)], axis=1)
    bands = np.concatenate([10 * np.log10(merged), levels[:, 11:]], axis=1)  # [window, 20]

    excitation = bands - EAR - BAND_WIDTH
    main = 0.0635 * 10 ** (0.025 * QUIET) * ((0.75 + 0.25 * 10 ** (0.1 * (excitation - QUIET))) ** 0.25 - 1)
    main = np.where(bands > QUIET, np.maximum(main, 0), 0)
    main[:, 0] *= np.minimum(1, 0.4 + 0.32 * main[:, 0] ** 0.2)
    main = np.concatenate([main, np.zeros((len(main), 1))], axis=1)
    return loudness_pattern(main, UPPER, STEPS, SLOPES)
