"""Triangular filters on the mel scale, for the spectrograms that mirflow's own networks read."""

import numpy as np


def triangles(rate: int, frame: int, bands: int, lowest: float, highest: float) -> tuple[np.ndarray, np.ndarray]:
    """Return filters whose centres are equally far apart in mel, each 1 at its centre and 0 at those beside it.

    Parameters
    ----------
    rate : Hz
    frame : samples of the Fourier transform
    bands : number of filters
    lowest, highest : Hz, where the first filter begins and the last one ends

    Returns
    -------
    filters : float64 [bin, band]
    nearest : int64 [band], the bin that is nearest to the centre of each

    Source: D. O'Shaughnessy 1987, Speech Communication: mel = 2595 log10(1 + hertz / 700)
    """
    mel = np.linspace(2595 * np.log10(1 + lowest / 700), 2595 * np.log10(1 + highest / 700), bands + 2)
    hertz = 700 * (10 ** (mel / 2595) - 1)
    grid = np.fft.rfftfreq(frame, 1 / rate)[:, None]
    rising = (grid - hertz[:-2]) / (hertz[1:-1] - hertz[:-2])
    falling = (hertz[2:] - grid) / (hertz[2:] - hertz[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None), np.abs(grid - hertz[1:-1]).argmin(axis=0)
