"""Loudness and peak level of multi-channel audio: ITU-R BS.1770-4, EBU Tech 3341 and 3342."""

import numpy as np

STEP_SECONDS = 0.1  # hop of both kinds of window: 75 % overlap of gating blocks, 10 Hz short-term loudness
GATING_STEPS = 4  # gating blocks of 400 ms
SHORT_TERM_STEPS = 30  # short-term loudness over 3 s
ABSOLUTE_GATE = -70.0  # LUFS
INTEGRATED_GATE = -10.0  # LU below the loudness of what passes the absolute gate
RANGE_GATE = -20.0  # LU
RANGE_PERCENTILES = (10, 95)
OVERSAMPLING = 4
FILTER_STEPS = 100  # that are filtered at a time, which bounds memory
CHUNK = 1 << 18  # samples that are oversampled at a time, likewise

SURROUND = 1.41  # +1.5 dB
# Channel orders of WAV and FLAC. Surrounds between 60 and 120 degrees count more, rear ones do not (BS.1770-4,
# annex 3), LFE not at all.
CHANNEL_WEIGHTS = {
    4: (1, 1, SURROUND, SURROUND),  # L R Ls Rs
    5: (1, 1, 1, SURROUND, SURROUND),  # L R C Ls Rs
    6: (1, 1, 1, 0, SURROUND, SURROUND),  # L R C LFE Ls Rs
    7: (1, 1, 1, 0, 1, SURROUND, SURROUND),  # L R C LFE Cs Ls Rs
    8: (1, 1, 1, 0, 1, 1, SURROUND, SURROUND),  # L R C LFE Lb Rb Ls Rs
}


def channel_weights(channels: int) -> np.ndarray:
    """Return the weight of each channel's power, float64 [channel]; layouts without a convention count all as 1."""
    return np.array(CHANNEL_WEIGHTS.get(channels, (1,) * channels), dtype=np.float64)


def k_weighting(rate: int) -> np.ndarray:
    """Return the K-weighting filter for a rate in Hz: second-order sections, float64 [2, 6].

    The analogue prototypes of De Man (2014), which give the coefficients of BS.1770-4 at 48 kHz. Those have a high-pass
    with the numerator 1 -2 1, that is a gain of +0.04 dB at high frequencies: it is kept at every rate, so that one
    piece reads the same at all of them.
    """
    shelf_gain, shelf_slope = 10 ** (3.99984385397 / 20), 0.499666774155

    def denominator(k: float, q: float) -> np.ndarray:
        return np.array([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k])

    frequency, q = 1681.9744509555319, 0.7071752369554193
    k = np.tan(np.pi * frequency / rate)
    middle = shelf_gain**shelf_slope * k / q
    shelf = np.array([shelf_gain + middle + k * k, 2 * (k * k - shelf_gain), shelf_gain - middle + k * k])
    shelf_below = denominator(k, q)

    frequency, q = 38.13547087613982, 0.5003270373253953
    high_pass_below = denominator(np.tan(np.pi * frequency / rate), q)
    gain = denominator(np.tan(np.pi * frequency / 48000), q)[0]
    high_pass = gain * np.array([1.0, -2.0, 1.0])
    return np.array(
        [
            np.concatenate([shelf, shelf_below]) / shelf_below[0],
            np.concatenate([high_pass, high_pass_below]) / high_pass_below[0],
        ]
    )


def step_powers(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return the K-weighted power of each whole step of 100 ms: [channel, n] → float64 [step].

    It is the sum over the channels, each with its weight. Windows of 0.4 and 3 s are means over 4 and 30 steps, so that
    one filtering pass serves both.
    """
    from scipy.signal import sosfilt

    steps = int(samples.shape[1] / rate / STEP_SECONDS + 1e-9)
    if steps == 0:
        return np.zeros(0)
    edges = np.round(np.arange(steps + 1) * rate * STEP_SECONDS).astype(int)
    sections = k_weighting(rate)
    powers = np.zeros(steps)
    for weight, channel in zip(channel_weights(len(samples)), samples, strict=True):
        if not weight:
            continue
        state = np.zeros((len(sections), 2))
        for first in range(0, steps, FILTER_STEPS):
            part = edges[first : first + FILTER_STEPS + 1]
            filtered, state = sosfilt(sections, channel[part[0] : part[-1]].astype(np.float64), zi=state)
            sums = np.add.reduceat(np.square(filtered, out=filtered), part[:-1] - part[0])
            powers[first : first + FILTER_STEPS] += weight * sums / np.diff(part)
    return powers


def loudness_of(power: np.ndarray | float) -> np.ndarray | float:
    """Turn K-weighted power into LUFS."""
    return -0.691 + 10 * np.log10(power)


def power_of(loudness: float) -> float:
    """Turn LUFS into K-weighted power."""
    return 10 ** ((loudness + 0.691) / 10)


def window_powers(powers: np.ndarray, steps: int) -> np.ndarray:
    """Return the mean power of every window of `steps` steps that passes the absolute gate, float64 [window]."""
    if len(powers) < steps:
        return np.zeros(0)
    sums = np.concatenate([[0.0], np.cumsum(powers)])
    windows = (sums[steps:] - sums[:-steps]) / steps
    return windows[windows > power_of(ABSOLUTE_GATE)]


def integrated_loudness(powers: np.ndarray) -> float | None:
    """Return the integrated loudness (LUFS) from the powers of `step_powers`; None without a block above the gate."""
    blocks = window_powers(powers, GATING_STEPS)
    if not len(blocks):
        return None
    return float(loudness_of(blocks[blocks > blocks.mean() * 10 ** (INTEGRATED_GATE / 10)].mean()))


def loudness_range(powers: np.ndarray) -> float | None:
    """Return the loudness range (LU) from the powers of `step_powers`; None without a 3 s window above the gate."""
    windows = window_powers(powers, SHORT_TERM_STEPS)
    if not len(windows):
        return None
    gated = loudness_of(windows[windows >= windows.mean() * 10 ** (RANGE_GATE / 10)])
    low, high = np.percentile(gated, RANGE_PERCENTILES)
    return float(high - low)


def true_peak(samples: np.ndarray, rate: int) -> float | None:
    """Return the true peak (dBTP) of [channel, n] by four-fold oversampling; None in digital silence.

    BS.1770-4, annex 2. The filter is soxr's, which is flat to 0.9 of the Nyquist frequency; the standard's example of
    12 taps a phase is not.
    """
    import soxr

    peak = float(np.abs(samples).max(initial=0.0))
    if peak == 0:
        return None
    stream = soxr.ResampleStream(rate, OVERSAMPLING * rate, len(samples), dtype="float32", quality="HQ")
    frames = np.ascontiguousarray(samples.T, dtype=np.float32)
    for start in range(0, len(frames), CHUNK):
        chunk = stream.resample_chunk(frames[start : start + CHUNK], last=start + CHUNK >= len(frames))
        peak = max(peak, float(np.abs(chunk).max(initial=0.0)))
    return 20 * float(np.log10(peak))
