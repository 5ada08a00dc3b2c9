"""Loudness and peak level of multi-channel audio: ITU-R BS.1770-4, EBU Tech 3341 and 3342."""

from collections.abc import Sequence

import numpy as np

from mirflow.core import channels
from mirflow.core.audio import resample
from mirflow.core.channels import LOW_FREQUENCY

STEP_SECONDS = 0.1  # hop of all windows: gating blocks overlap by 75 %, short-term loudness is updated at 10 Hz
GATING_STEPS = 4  # steps in a gating block of 400 ms
SHORT_TERM_STEPS = 30  # steps in a window of 3 s, for short-term loudness
ABSOLUTE_GATE = -70.0  # LUFS
TARGET = -23.0  # LUFS, of programmes by EBU R 128: the level of a mix for which the absolute gate was meant
INTEGRATED_GATE = -10.0  # LU, relative gate of integrated loudness: below the loudness of the blocks above -70 LUFS
RANGE_GATE = -20.0  # LU, relative gate of the loudness range
RANGE_PERCENTILES = (10, 95)
OVERSAMPLING = 4  # for the true peak
# Hz. The filter bends towards its end at half the rate: a tone of 1 kHz reads 0.2 LU too low at 8 kHz, 0.02 at 22.05.
LEAST_RATE = 32000
FILTER_RATE = 48000  # Hz, of the filter for sound with a lower rate
FILTER_STEPS = 100  # steps that are filtered at a time, to limit memory
CHUNK = 1 << 18  # samples that are oversampled at a time, to limit memory

SURROUND_WEIGHT = 1.41  # +1.5 dB, of loudspeakers at 60 to 120 degrees (BS.1770-4, annex 3)
SURROUND = ("SL", "SR", "SDL", "SDR", "WL", "WR")
BACK = ("BL", "BR")  # these too, unless there are side channels: then they are behind the listener


def channel_weights(positions: Sequence[str]) -> np.ndarray:
    """Return the weight of the power of each channel, float64 [channel]: 0 for LFE, 1.41 for surround, otherwise 1.

    Parameters
    ----------
    positions : of the channels (`mirflow.core.channels`)
    """
    surround = SURROUND if "SL" in positions or "SR" in positions else (*SURROUND, *BACK)
    weights = [0 if p in LOW_FREQUENCY else SURROUND_WEIGHT if p in surround else 1 for p in positions]
    return np.array(weights, dtype=np.float64)


def k_weighting(rate: int) -> np.ndarray:
    """Return the K-weighting filter for a sampling rate in Hz: second-order sections, float64 [2, 6].

    The filter is derived from the analogue prototypes of De Man (2018), which give the coefficients of BS.1770-4 at
    48 kHz. In the standard the numerator of the high-pass is 1 -2 1, so its gain is +0.04 dB at high frequencies. The
    same gain is used at all rates, so that the loudness of a recording does not depend on its sampling rate.

    Source
    ------
    ITU-R BS.1770-4 (2015), annex 1
    De Man 2018, Evaluation of implementations of the EBU R128 loudness measurement, 145th AES Convention
    """
    shelf_gain, shelf_slope = 10 ** (3.99984385397 / 20), 0.499666774155

    def denominator(k: float, q: float) -> np.ndarray:
        return np.array([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k])

    frequency, q = 1681.9744509555319, 0.7071752369554193
    k = np.tan(np.pi * frequency / rate)
    middle = shelf_gain**shelf_slope * k / q
    shelf = np.array([shelf_gain + middle + k * k, 2 * (k * k - shelf_gain), shelf_gain - middle + k * k])
    shelf_denominator = denominator(k, q)

    frequency, q = 38.13547087613982, 0.5003270373253953
    high_pass_denominator = denominator(np.tan(np.pi * frequency / rate), q)
    gain = denominator(np.tan(np.pi * frequency / 48000), q)[0]
    high_pass = gain * np.array([1.0, -2.0, 1.0])
    return np.array(
        [
            np.concatenate([shelf, shelf_denominator]) / shelf_denominator[0],
            np.concatenate([high_pass, high_pass_denominator]) / high_pass_denominator[0],
        ]
    )


def step_powers(samples: np.ndarray, rate: int, layout: Sequence[str] = (), step: float = STEP_SECONDS) -> np.ndarray:
    """Return the K-weighted power of each complete step, summed over the channels with their weights.

    Windows of 0.4 s and of 3 s are means over 4 and over 30 steps, so the signal is filtered only once for both.

    Parameters
    ----------
    samples : [channel, n]
    rate : Hz
    layout : the positions of the channels (`mirflow.core.channels`); empty: the default for that number of channels
    step : s

    Returns
    -------
    float64 [step]
    """
    from scipy.signal import sosfilt

    steps = int(samples.shape[1] / rate / step + 1e-9)
    if steps == 0:
        return np.zeros(0)
    if rate < LEAST_RATE:
        length = round(steps * step * FILTER_RATE)
        samples = resample(samples.astype(np.float32, copy=False), rate, FILTER_RATE)[:, :length]
        samples, rate = np.pad(samples, ((0, 0), (0, length - samples.shape[1]))), FILTER_RATE
    edges = np.round(np.arange(steps + 1) * rate * step).astype(int)
    sections = k_weighting(rate)
    powers = np.zeros(steps)
    positions = channels.positions(len(samples), layout) or ("FC",) * len(samples)
    for weight, channel in zip(channel_weights(positions), samples, strict=True):
        if not weight:
            continue
        state = np.zeros((len(sections), 2))
        for begin in range(0, steps, FILTER_STEPS):
            part = edges[begin : begin + FILTER_STEPS + 1]
            filtered, state = sosfilt(sections, channel[part[0] : part[-1]].astype(np.float64), zi=state)
            sums = np.add.reduceat(np.square(filtered, out=filtered), part[:-1] - part[0])
            powers[begin : begin + FILTER_STEPS] += weight * sums / np.diff(part)
    return powers


def power_to_loudness(power: np.ndarray | float) -> np.ndarray | float:
    """Convert K-weighted power to loudness in LUFS."""
    return -0.691 + 10 * np.log10(power)


def loudness_to_power(loudness: float) -> float:
    """Convert loudness in LUFS to K-weighted power."""
    return 10 ** ((loudness + 0.691) / 10)


def gate_of_stems(mix: float | None) -> float:
    """Return the gate in LUFS that stands for the absolute gate where a stem is measured.

    What is silence in a stem does not depend on the level of the mix, so stems are gated as if their mix were at
    `TARGET`: 47 LU below the mix.

    Parameters
    ----------
    mix : integrated loudness of the mix in LUFS; None where it has none: then the gate is the absolute one
    """
    return ABSOLUTE_GATE if mix is None else ABSOLUTE_GATE - TARGET + mix


def window_powers(powers: np.ndarray, steps: int, gate: float) -> np.ndarray:
    """Return the mean powers of all windows of `steps` steps that are louder than the gate in LUFS, float64 [window].

    `powers` are the powers of all steps [step], from `step_powers`.
    """
    if len(powers) < steps:
        return np.zeros(0)
    sums = np.concatenate([[0.0], np.cumsum(powers)])
    windows = (sums[steps:] - sums[:-steps]) / steps
    return windows[windows > loudness_to_power(gate)]


def integrated_loudness(powers: np.ndarray, gate: float = ABSOLUTE_GATE) -> float | None:
    """Return the integrated loudness in LUFS; None when no gating block is louder than the absolute gate.

    Parameters
    ----------
    powers : of all steps [step], from `step_powers`
    gate : the absolute gate in LUFS; for a stem `gate_of_stems`
    """
    blocks = window_powers(powers, GATING_STEPS, gate)
    if not len(blocks):
        return None
    return float(power_to_loudness(blocks[blocks > blocks.mean() * 10 ** (INTEGRATED_GATE / 10)].mean()))


def loudness_range(powers: np.ndarray, gate: float = ABSOLUTE_GATE) -> float | None:
    """Return the loudness range in LU (EBU Tech 3342); None when no 3 s window is louder than the absolute gate.

    Parameters
    ----------
    powers : of all steps [step], from `step_powers`
    gate : the absolute gate in LUFS; for a stem `gate_of_stems`
    """
    windows = window_powers(powers, SHORT_TERM_STEPS, gate)
    if not len(windows):
        return None
    gated = power_to_loudness(windows[windows >= windows.mean() * 10 ** (RANGE_GATE / 10)])
    low, high = np.percentile(gated, RANGE_PERCENTILES)
    return float(high - low)


def true_peak(samples: np.ndarray, rate: int) -> float | None:
    """Return the true peak in dBTP by four-fold oversampling (BS.1770-4, annex 2); None in digital silence.

    The interpolation filter is that of soxr. It is flat up to 0.9 of the Nyquist frequency, unlike the example in the
    standard, which has 12 taps per phase.

    Parameters
    ----------
    samples : [channel, n]
    rate : Hz
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
