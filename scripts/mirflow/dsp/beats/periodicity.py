"""Tempo estimation: the probability of each beat interval, from the periodicity of onset strength and harmony."""

import numpy as np

WINDOWS = ((12.0, 8.0), (5.0, 3.0))  # s, (length, longest lag): long for bars of slow music, short for tempo changes
STEP = 1.0  # s between the moments at which the periodicity is measured
FASTEST_BPM, SLOWEST_BPM = 250, 40  # beats per minute
LAG_RATIOS = np.array([1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 2, 3, 4, 5, 6])  # lags in beats
# Indices of the envelopes (see `envelopes`) that are correlated with themselves and with each other.
ENVELOPE_PAIRS = ((0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (0, 1), (0, 2), (1, 2), (3, 5))


def intervals(frame_rate: float) -> np.ndarray:
    """Return all beat intervals in whole frames between `FASTEST_BPM` and `SLOWEST_BPM`, ascending, int64 [interval].

    Parameters
    ----------
    frame_rate : frames/s
    """
    return np.arange(int(np.floor(60 * frame_rate / FASTEST_BPM)), int(np.ceil(60 * frame_rate / SLOWEST_BPM)) + 1)


def novelty(levels: np.ndarray, width: int) -> np.ndarray:
    """Return the novelty of each frame: the cosine distance between the mean spectra before and after it.

    Parameters
    ----------
    levels : spectra [frame, bin]
    width : number of frames in each of the two means

    Returns
    -------
    float64 [frame]; 0 where one of the means is zero
    """
    total = np.concatenate([np.zeros((1, levels.shape[1])), np.cumsum(levels, axis=0, dtype=np.float64)])
    frame = np.arange(len(levels))
    before = total[frame] - total[np.maximum(frame - width, 0)]
    after = total[np.minimum(frame + width, len(levels))] - total[frame]
    norm = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return (1 - (before * after).sum(axis=1) / np.maximum(norm, 1e-9)) * (norm > 1e-9)


def envelopes(flux: np.ndarray, semitones: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return six envelopes for periodicity analysis, smoothed and without their slow variation.

    They are: onset strength in the low, middle, high and in all bands; novelty of the bass; novelty of the chord.

    Parameters
    ----------
    flux : onset strength, float32 [frame, 6], from `onsets.band_flux`
    semitones : levels of the semitones, float32 [frame / 4, semitone], from `onsets.semitones`
    frame_rate : frames/s of `flux`

    Returns
    -------
    float32 [frame, 6]
    """
    from scipy.ndimage import uniform_filter1d

    scaled = flux / np.maximum(np.sqrt((flux**2).mean(axis=0)), 1e-6)
    low, middle, high = scaled[:, :2].sum(axis=1), scaled[:, 2:4].sum(axis=1), scaled[:, 4:].sum(axis=1)
    notes = semitones.shape[1]
    chroma = sum(np.pad(semitones[:, i : i + 12], ((0, 0), (0, 12 - min(12, notes - i)))) for i in range(8, notes, 12))
    width = round(0.4 * frame_rate / 4)
    coarse = np.stack([novelty(semitones[:, :24], width), novelty(chroma, width)], axis=1)
    position = np.arange(len(flux)) / 4
    harmonic_novelty = np.stack([np.interp(position, np.arange(len(coarse)), column) for column in coarse.T], axis=1)
    stacked = np.column_stack([low, middle, high, low + middle + high, harmonic_novelty]).astype(np.float32)
    smoothed = np.apply_along_axis(np.convolve, 0, stacked, np.hanning(7) / np.hanning(7).sum(), "same")
    return (smoothed - uniform_filter1d(smoothed, round(1.5 * frame_rate), axis=0)).astype(np.float32)


def correlations(envelopes: np.ndarray, frame_rate: float, window: float, reach: float) -> np.ndarray:
    """Return the correlations of the `ENVELOPE_PAIRS` in windows that are centred on one moment every `STEP` seconds.

    They are normalised by the energies of both envelopes, and corrected for the bias that the window's taper causes.

    Parameters
    ----------
    envelopes : float32 [frame, envelope], from `envelopes`
    frame_rate : frames/s
    window : length of the windows in seconds
    reach : longest lag in seconds

    Returns
    -------
    float32 [moment, lag, pair], lags in frames from 0
    """
    from scipy.fft import irfft, next_fast_len, rfft

    size, step, lags = round(window * frame_rate), round(STEP * frame_rate), round(reach * frame_rate)
    padded = np.pad(envelopes, ((size // 2, size // 2 + step), (0, 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0)[::step]  # [moment, envelope, frame]
    frames = frames[: len(envelopes) // step + 1]
    taper = np.hanning(size + 2)[1:-1].astype(np.float32)
    length = next_fast_len(size + lags)
    spectrum = rfft(frames * taper, length, axis=2)
    energy = np.sqrt(((frames * taper) ** 2).sum(axis=2))
    bias = irfft(np.abs(rfft(taper, length)) ** 2, length)[:lags]
    out = np.empty((len(frames), lags, len(ENVELOPE_PAIRS)), np.float32)
    for k, (a, b) in enumerate(ENVELOPE_PAIRS):
        # The real part gives the mean of positive and negative lags.
        power = irfft((spectrum[:, a] * spectrum[:, b].conj()).real, length, axis=1)[:, :lags]
        out[:, :, k] = power / np.maximum(energy[:, a] * energy[:, b], 1e-6)[:, None] * (bias[0] / bias)
    return out


def interval_features(envelopes: np.ndarray, intervals: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return the correlations at `LAG_RATIOS` of each beat interval, and its tempo in octaves, also squared.

    Parameters
    ----------
    envelopes : float32 [frame, envelope], from `envelopes`
    intervals : beat intervals in frames, int64 [interval]
    frame_rate : frames/s

    Returns
    -------
    float32 [moment, interval, feature], one moment every `STEP` seconds
    """
    lags = intervals[:, None] * LAG_RATIOS
    blocks = []
    for window, reach in WINDOWS:
        correlation = correlations(envelopes, frame_rate, window, reach)
        low = np.minimum(lags.astype(int), correlation.shape[1] - 2)
        fraction = (lags - low).astype(np.float32)[..., None]
        # [moment, interval, ratio, pair], interpolated linearly between lags
        value = correlation[:, low] * (1 - fraction) + correlation[:, low + 1] * fraction
        value *= (lags <= correlation.shape[1] - 1)[..., None]
        blocks.append(value.reshape(*value.shape[:2], -1))
    octaves = np.log2(60 * frame_rate / intervals / 110)
    tempo = np.broadcast_to(np.stack([octaves, octaves**2], axis=1), (len(value), len(intervals), 2))
    return np.concatenate([*blocks, tempo], axis=2).astype(np.float32)


def pulse_clarity(features: np.ndarray, moments: np.ndarray, columns: np.ndarray) -> float:
    """Return the pulse clarity: the mean autocorrelation of the onset strength after one and after two beats.

    It is at most 1, and about 0 for noise.

    Parameters
    ----------
    features : float32 [moment, interval, feature], from `interval_features`
    moments, columns : int64 [beat], indices of the moment and of the interval of each beat
    """
    repeats = [list(LAG_RATIOS).index(beats) * len(ENVELOPE_PAIRS) + ENVELOPE_PAIRS.index((3, 3)) for beats in (1, 2)]
    adjacent = np.clip(columns[:, None] + np.arange(-1, 2), 0, features.shape[1] - 1)
    return float(features[moments[:, None], adjacent][:, :, repeats].max(axis=1).mean())


def nearest_interval(intervals: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Return the index of the interval that is nearest to each duration on a logarithmic scale, int64 [k].

    Parameters
    ----------
    intervals : beat intervals in frames [interval]
    durations : frames [k]
    """
    return np.abs(np.log(intervals) - np.log(durations)[..., None]).argmin(axis=-1)
