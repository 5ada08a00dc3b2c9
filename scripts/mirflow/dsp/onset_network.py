"""The onset network: log odds of a note onset in each frame, from log-mel spectra of a short and of a long window.

The programs in training/ made its weights (onset_network.npz); training/README.md says from what.
"""

from functools import cache
from pathlib import Path

import numpy as np

from mirflow.dsp import layers, mel

RATE = 44100  # Hz; audio with other rates is resampled
HOP = 441  # samples: 100 frames/s
GROUP = 2  # frames that the network reads at once: its layers have half of the frame rate
SHORT, LONG = 1024, 4096  # samples: windows that follow fast strokes, and that tell low or neighbouring notes apart
BANDS = 80
LOWEST, HIGHEST = 30.0, 16000.0  # Hz
LEAD = 20  # frames of silence before time 0, so that an onset at time 0 has something before it
LOUD_SHARE = 0.9  # the level is normalised by the frame that is louder than this share of the audible frames
AUDIBLE_DB = 60.0  # frames further below the loudest one are not audible
GAIN = 300.0  # of the magnitude in log10(1 + gain * magnitude): sounds 50 dB below the level still count
SOON = 7  # frames: in this time after an onset, some band must be louder than the level / `GAIN`
NEVER = -20.0  # the log odds where it is not
BLOCK = 512  # frames that are transformed at a time, to limit memory


@cache
def filters(frame: int) -> np.ndarray:
    """Return triangular mel filters, float32 [bin, band], each with the sum 1."""
    weights, nearest = mel.triangles(RATE, frame, BANDS, LOWEST, HIGHEST)
    weights[nearest, np.arange(BANDS)] += 1e-3  # no filter is empty
    return (weights / weights.sum(axis=0)).astype(np.float32)


def _magnitudes(samples: np.ndarray, frame: int, hop: int, count: int) -> np.ndarray:
    """Return the magnitude of each mel band in `count` frames, float32 [frame, band].

    Frame k is centred on sample k * hop - LEAD * HOP.

    Parameters
    ----------
    samples : float32 [n] at `RATE`
    frame, hop : samples
    """
    from scipy.fft import rfft

    before = LEAD * HOP + frame // 2
    padded = np.pad(samples, (before, max(0, (count - 1) * hop + frame - before - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop][:count]
    window = np.hanning(frame + 1)[:-1].astype(np.float32) * (2 / frame)
    used = int(HIGHEST / RATE * frame) + 2  # bins
    bands = filters(frame)[:used]
    out = np.empty((count, BANDS), np.float32)
    for begin in range(0, count, BLOCK):
        out[begin : begin + BLOCK] = np.abs(rfft(frames[begin : begin + BLOCK] * window)[:, :used]) @ bands
    return out


def spectra(samples: np.ndarray) -> np.ndarray:
    """Return what the network reads, float32 [group, 3, band]: two frames of the short window, one of the long one.

    The values are log10(1 + `GAIN` * magnitude), independent of the gain of the track; all zero in digital silence.
    Short frame k, in group k // 2, is centred on the time (k - `LEAD`) * `HOP` / `RATE`; the long frame of a group has
    the centre of its first short one.

    Parameters
    ----------
    samples : float32 [n] at `RATE`
    """
    count = -(-(LEAD + len(samples) // HOP + 1) // GROUP)
    short = _magnitudes(samples, SHORT, HOP, GROUP * count)
    long = _magnitudes(samples, LONG, GROUP * HOP, count)
    level = long.max(axis=1, initial=0)
    audible = level[level > level.max(initial=0) * 10 ** (-AUDIBLE_DB / 20)]
    if not len(audible):
        return np.zeros((count, GROUP + 1, BANDS), np.float32)
    both = np.concatenate([short.reshape(count, GROUP, BANDS), long[:, None]], axis=1)
    return np.log10(1 + np.float32(GAIN) * (both / np.quantile(audible, LOUD_SHARE).astype(np.float32)))


@cache
def weights() -> dict[str, np.ndarray]:
    """Return the weights, name → float32. Names are those of the layers in training/onset_net.py."""
    return layers.load(Path(__file__).with_suffix(".npz"))


def run(samples: np.ndarray) -> np.ndarray:
    """Return the log odds of an onset in each frame, float32 [frame]. Frame k is at (k - `LEAD`) * `HOP` / `RATE`.

    They are `NEVER` where nothing sounds: the network has no other sense of silence at the start of a track.

    Parameters
    ----------
    samples : float32 [n] at `RATE`
    """
    from scipy.ndimage import maximum_filter1d

    x = spectra(samples)
    odds = layers.outputs(layers.residual(layers.front(x, weights()), weights()), weights()).reshape(-1)
    loudest = x[:, :GROUP].max(axis=2).reshape(-1)
    soon = maximum_filter1d(loudest, SOON, origin=-(SOON // 2))
    return np.where(soon > np.log10(2), odds, np.float32(NEVER))
