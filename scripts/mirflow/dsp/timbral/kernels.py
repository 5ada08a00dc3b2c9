"""Loops of the timbral models that numpy cannot express. numba compiles them on first use and caches them on disk.

Import this module inside functions only, because the import of numba takes long.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def sample_and_hold(samples: np.ndarray, decay: float, hold: int) -> np.ndarray:
    """Return the sample-and-hold envelope of samples [n], float64 [n].

    It follows a rising absolute value immediately, stays constant for `hold` samples, and then falls by `decay` per
    sample.
    """
    envelope = np.empty(len(samples))
    level = 0.0
    held = 0
    for i in range(len(samples)):
        sample = abs(samples[i])
        if sample >= level:
            level = sample
            held = 0
        elif held < hold:
            held += 1
        else:
            level = max(level - decay, sample)
        envelope[i] = level
    return envelope


@njit(cache=True)
def filter_three_times(b: np.ndarray, a: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Filter samples [n] three times with the second-order section b [3], a [3], with zero initial state: float64 [n].

    One loop over the samples computes all three filters, so that the processor can overlap their operations. This is
    faster than three calls of scipy's filter.
    """
    b0, b1, b2 = b
    _, a1, a2 = a
    filtered = np.empty(len(samples))
    p1 = p2 = q1 = q2 = r1 = r2 = 0.0
    for i in range(len(samples)):
        x = samples[i]
        y = b0 * x + p1
        p1 = b1 * x - a1 * y + p2
        p2 = b2 * x - a2 * y
        z = b0 * y + q1
        q1 = b1 * y - a1 * z + q2
        q2 = b2 * y - a2 * z
        filtered[i] = b0 * z + r1
        r1 = b1 * z - a1 * filtered[i] + r2
        r2 = b2 * z - a2 * filtered[i]
    return filtered


@njit(cache=True, fastmath={"nnan", "nsz", "reassoc"})  # so that the compiler can vectorise the loops over the window
def median_of_31(values: np.ndarray) -> np.ndarray:
    """Return the running median of 31 values along the last axis: float32 [row, n], not negative → [row, n - 30].

    From one window to the next, one value leaves and one enters. So the median stays the same, or becomes the next
    smaller or the next larger value.
    """
    rows, n = values.shape
    medians = np.empty((rows, n - 30), np.float32)
    below_all, above_all = np.float32(-1), np.float32(3.4e38)
    window = np.empty(
        32, np.float32
    )  # unordered; the last element is padding, so that the length is a multiple of a vector
    window[31] = above_all
    for row in range(rows):
        for k in range(31):
            window[k] = values[row, k]
        median = above_all
        below = upto = np.int32(31)  # number of values less than, and at most equal to, the median
        slot = 30
        for i in range(30, n):
            leaves, enters = window[slot], values[row, i]
            window[slot] = enters
            slot = slot + 1 if slot < 30 else 0
            below += np.int32(enters < median) - np.int32(leaves < median)
            upto += np.int32(enters <= median) - np.int32(leaves <= median)
            while below > 15:
                nearest = below_all
                for k in range(32):
                    nearest = max(nearest, window[k] if window[k] < median else below_all)
                median = nearest
                upto = below
                for k in range(32):
                    below -= np.int32(window[k] == median)
            while upto <= 15:
                nearest = above_all
                for k in range(32):
                    nearest = min(nearest, window[k] if window[k] > median else above_all)
                median = nearest
                below = upto
                for k in range(32):
                    upto += np.int32(window[k] == median)
            medians[row, i - 30] = median
    return medians


@njit(cache=True)
def loudness_pattern(
    main: np.ndarray, upper: np.ndarray, steps: np.ndarray, slopes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the specific loudness over 24 Bark from the main loudness of the critical bands (ISO 532 B).

    It is constant within a critical band, and falls with the upper slopes above it.

    Parameters
    ----------
    main : main loudness in sone/Bark [window, 21]; the last column is 0
    upper : upper limit of each critical band in tenths of a Bark, int [21]
    steps : specific loudness at which the steepness of the upper slope changes, descending to 0 [18]
    slopes : steepness in sone/Bark per Bark [18, 8]

    Returns
    -------
    specific loudness in sone/Bark [window, 240], at 0.1, 0.2 ... 24 Bark
    loudness in sone [window]
    """
    specific = np.zeros((len(main), 240))
    total = np.zeros(len(main))
    for w in range(len(main)):
        level = 0.0  # specific loudness at `position`
        position = 0  # tenths of a Bark
        slope = 17
        for band in range(21):
            target = main[w, band]
            column = min(band - 1, 7)
            while position < upper[band]:
                begin = max(position, 1) - 1
                if level < target:
                    slope = 0
                    while steps[slope] > target:
                        slope += 1
                if level <= target:
                    end, reached = upper[band], target
                    total[w] += target * (end - position) / 10
                    specific[w, begin:end] = target
                else:
                    steepness = slopes[slope, column]
                    reached = max(steps[slope], target)
                    end = position + max(int(np.round((level - reached) / steepness * 10)), 1)
                    if end > upper[band]:
                        end = upper[band]
                        reached = level - (end - position) / 10 * steepness
                    total[w] += (end - position) / 10 * (level + reached) / 2
                    for i in range(begin, end):
                        specific[w, i] = level - (i + 1 - position) / 10 * steepness
                if reached == steps[slope]:
                    slope = min(slope + 1, 17)
                level, position = reached, end
    return specific, total


@njit(cache=True)
def bandwidths(spectra: np.ndarray, threshold: float, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Measure the bandwidth of spectra, complex [frame, bin], without the first bin.

    It extends from the bin where the cumulative magnitude reaches `share` of the total, to the last bin whose magnitude
    is at least `threshold`. It is 0 if there is no such bin.

    Returns
    -------
    bandwidth in bins [frame]
    summed magnitude [frame]
    """
    frames, bins = spectra.shape
    width = np.zeros(frames)
    power = np.zeros(frames)
    magnitude = np.zeros(bins, np.float32)
    for t in range(frames):
        for k in range(1, bins):
            value = spectra[t, k]
            magnitude[k] = np.sqrt(value.real * value.real + value.imag * value.imag)
        total = 0.0
        for k in range(bins):
            total += magnitude[k]
        power[t] = total
        top = bins - 1
        while top >= 0 and magnitude[top] < threshold:
            top -= 1
        if top < 0:
            continue
        bottom = 0
        reached = float(magnitude[0])
        while reached < total * share and bottom < bins - 1:
            bottom += 1
            reached += magnitude[bottom]
        width[t] = top - bottom
    return width, power


@njit(cache=True)
def contrasting_peaks(curve: np.ndarray, contrast: float) -> np.ndarray:
    """Return the bins of the peaks of a curve [n], ascending, as the peak picker of MIRtoolbox finds them.

    The maximum of the curve is at most 1. A peak has a height of at least `contrast`, and between two peaks the curve
    falls by at least `contrast`. As in the original, the minimum between two local maxima is searched from the first of
    them (inclusive) to two bins before the second.
    """
    n = len(curve)
    peaks = np.empty(n, np.int64)
    count = 0
    current = -1
    previous = -1
    highest = 0.0
    lowest = 2.0  # minimum since the current peak
    lowest_before = -2.0  # minimum between the previous peak and the current one
    for i in range(n):
        value = curve[i]
        if value < contrast or (i > 0 and curve[i - 1] >= value) or (i < n - 1 and curve[i + 1] > value):
            continue
        if current < 0:
            current, previous, highest = i, i, value
            continue
        for k in range(previous, i - 1):
            lowest = min(lowest, curve[k])
        if highest - lowest < contrast:
            lowest_before = min(lowest_before, lowest)
            if value > highest:
                current, highest, lowest = i, value, 2.0
        else:
            if highest - lowest_before < contrast:
                lowest_before = min(lowest_before, lowest)
            else:
                peaks[count] = current
                count += 1
                lowest_before = lowest
            current, highest, lowest = i, value, 2.0
        previous = i
    if current >= 0 and highest - lowest_before >= contrast:
        peaks[count] = current
        count += 1
    return peaks[:count]


@njit(cache=True)
def interpolated_peak(curve: np.ndarray, k: int) -> tuple[float, float]:
    """Return the position in bins and the height of the vertex of the parabola through bin k and its two neighbours."""
    if k < 1 or k > len(curve) - 2:
        return float(k), float(curve[k])
    left, middle, right = float(curve[k - 1]), float(curve[k]), float(curve[k + 1])
    offset = (right - left) / (2 * (2 * middle - right - left))
    return k + offset, middle - 0.25 * (left - right) * offset


@njit(cache=True)
def frame_roughness(spectra: np.ndarray, loudest: float, contrast: float, bin_hz: float) -> np.ndarray:
    """Return the roughness [frame] of magnitude spectra [frame, bin] after Vassilakis: the sum over all pairs of peaks.

    Parameters
    ----------
    spectra : magnitudes [frame, bin]
    loudest : largest magnitude of all frames
    contrast : of the peaks, relative to `loudest`; see `contrasting_peaks`
    bin_hz : Hz between bins
    """
    roughness = np.zeros(len(spectra))
    for t in range(len(spectra)):
        spectrum = spectra[t]
        bins = contrasting_peaks(spectrum / loudest, contrast)
        frequency = np.empty(len(bins))
        height = np.empty(len(bins))
        for i in range(len(bins)):
            position, height[i] = interpolated_peak(spectrum, bins[i])
            frequency[i] = position * bin_hz
        tenth = height**0.1
        total = 0.0
        for i in range(len(bins)):
            steepness = 0.24 / (0.0207 * frequency[i] + 18.96)
            for j in range(i + 1, len(bins)):
                distance = steepness * (frequency[j] - frequency[i])
                if distance > 6:  # below exp(-21), which is negligible
                    break
                beating = np.exp(-3.51 * distance) - np.exp(-5.75 * distance)
                louder = i if spectrum[bins[i]] > spectrum[bins[j]] else j
                balance = 2 * height[louder] / (height[i] + height[j])
                total += tenth[i] * tenth[j] * 0.5 * balance**3.11 * beating
        roughness[t] = total
    return roughness


@njit(cache=True)
def decays(
    samples: np.ndarray, length: int, hop: int, least_steps: int, most_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find segments of free decay in samples [n].

    In a free decay, the variance, the maximum and the negative minimum all decrease from one sub-frame to the next.
    Frames of 7 sub-frames of `length` samples start every `hop` samples. A frame is a segment if it decays for at least
    `least_steps` and at most `most_steps` steps from its start.

    Returns
    -------
    index of the frame [segment]
    number of steps [segment]
    """
    frames = (len(samples) - 7 * length) // hop + 1
    frame_indices = np.empty(max(frames, 0), np.int64)
    steps = np.empty(max(frames, 0), np.int64)
    count = 0
    for frame in range(frames):
        start = frame * hop
        decay_steps = -1
        variance, highest, lowest = np.inf, np.inf, -np.inf
        for k in range(6):
            # as in the original, all sub-frames except the first one are one sample longer
            part = samples[start + k * length : start + (k + 1) * length + (k > 0)]
            part_highest, part_lowest, mean = part[0], part[0], 0.0
            for value in part:
                part_highest = max(part_highest, value)
                part_lowest = min(part_lowest, value)
                mean += value
            if not (part_highest < highest and part_lowest > lowest):
                break
            mean /= len(part)
            part_variance = 0.0
            for value in part:
                part_variance += (value - mean) ** 2
            part_variance /= len(part)
            if not part_variance < variance:
                break
            decay_steps += 1
            variance, highest, lowest = part_variance, part_highest, part_lowest
        if least_steps <= decay_steps <= most_steps:
            frame_indices[count], steps[count] = frame, decay_steps
            count += 1
    return frame_indices[:count], steps[:count]
