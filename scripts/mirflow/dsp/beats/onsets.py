"""Onset strength in frequency bands and levels of semitones, the input of beat tracking."""

import numpy as np

RATE = 22050  # Hz; beat tracking does not need frequencies above 11 kHz
FRAME = 1024  # samples, 46 ms
HOP = 256  # samples
FRAME_RATE = RATE / HOP  # frames/s
EDGES = (30, 120, 300, 900, 2500, 6000, 10000)  # Hz: bands of kick, bass, tenor, melody and snare, attacks, cymbals
BANDS = 40  # triangular bands on the mel scale


def _filters(rate: int, size: int, low: float, high: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return triangular mel filters, float32 [bin, band], each with the sum 1, and their centres in Hz [band].

    Parameters
    ----------
    rate : sampling rate in Hz
    size : frame length in samples
    low, high : Hz, the lower limit of the first filter and the upper limit of the last one
    count : number of filters
    """
    mel = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + high / 700), count + 2)
    hertz = 700 * (10 ** (mel / 2595) - 1)
    grid = np.fft.rfftfreq(size, 1 / rate)[:, None]
    rising = (grid - hertz[:-2]) / (hertz[1:-1] - hertz[:-2])
    falling = (hertz[2:] - grid) / (hertz[2:] - hertz[1:-1])
    weights = np.clip(np.minimum(rising, falling), 0, None)
    weights[np.abs(grid - hertz[1:-1]).argmin(axis=0), np.arange(count)] += 1e-3  # no filter is empty
    return (weights / weights.sum(axis=0)).astype(np.float32), hertz[1:-1]


def spectrogram(samples: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Return the magnitude spectrogram with a Hann window, float32 [frame, bin]. Frame k is centred on sample k * hop.

    Parameters
    ----------
    samples : float32 [n]
    size, hop : samples
    """
    from scipy.fft import rfft

    padded = np.pad(samples, (size // 2, size // 2 + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][: len(samples) // hop + 1]
    window = np.hanning(size + 1)[:-1].astype(np.float32) * (2 / size)
    out = np.empty((len(frames), size // 2 + 1), np.float32)
    for begin in range(0, len(frames), 1024):
        out[begin : begin + 1024] = np.abs(rfft(frames[begin : begin + 1024] * window, axis=1))
    return out


def band_flux(samples: np.ndarray) -> np.ndarray:
    """Return the onset strength in the bands between `EDGES`.

    It is the SuperFlux: the increase of the log spectrum over the maximum of three neighbouring mel bands two frames
    earlier. Vibrato moves energy between neighbouring bands only, so it causes little onset strength.

    Parameters
    ----------
    samples : float32 [n] at `RATE`

    Returns
    -------
    float32 [frame, 6], frame k is at k / `FRAME_RATE` seconds

    Source
    ------
    Böck & Widmer 2013, Maximum filter vibrato suppression for onset detection, DAFx
    """
    from scipy.ndimage import maximum_filter1d

    weights, centres = _filters(RATE, FRAME, EDGES[0], EDGES[-1], BANDS)
    level = np.log10(1 + 1000 * (spectrogram(samples, FRAME, HOP) @ weights))
    previous = maximum_filter1d(level, 3, axis=1)
    increase = np.zeros_like(level)
    increase[2:] = np.maximum(level[2:] - previous[:-2], 0)
    band = np.searchsorted(EDGES[1:-1], centres)
    return np.stack([increase[:, band == b].mean(axis=1) for b in range(len(EDGES) - 1)], axis=1)


PITCH_FRAME = 8192  # samples: resolves semitones above 80 Hz
PITCH_HOP = 4 * HOP
LOWEST, HIGHEST = 28, 96  # MIDI notes E1 to C7


def semitones(samples: np.ndarray) -> np.ndarray:
    """Return the level of each semitone from `LOWEST` to `HIGHEST`, every `PITCH_HOP` samples.

    Levels are compressed by a logarithm, with a floor 60 dB below the largest level, so that quiet chords count nearly
    as much as loud ones.

    Parameters
    ----------
    samples : float32 [n] at `RATE`

    Returns
    -------
    float32 [frame, semitone]
    """
    size = PITCH_FRAME
    magnitude = spectrogram(samples, size, PITCH_HOP)
    centres = 440 * 2 ** ((np.arange(LOWEST, HIGHEST + 1) - 69) / 12)
    grid = np.fft.rfftfreq(size, 1 / RATE)[:, None]
    distance = np.abs(12 * np.log2(np.maximum(grid, 1) / centres))
    width = np.maximum(0.5, 12 * np.log2(1 + RATE / size / centres))  # in semitones; at least one bin
    weights = np.clip(1 - distance / (2 * width), 0, None).astype(np.float32)
    level = magnitude @ (weights / weights.sum(axis=0))
    return np.log1p(1000 * level / max(level.max(), 1e-9)).astype(np.float32)
