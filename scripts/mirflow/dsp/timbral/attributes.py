"""The Audio Commons timbral models: regressions on signal features, fitted to listening tests.

The formulas and coefficients are those of Pearce, Brookes & Mason 2019, Audio Commons deliverable D5.8, and of their
package ``timbral_models`` 0.4.0. The regressions were fitted to the output of that package, so its errors are kept; a
comment marks each of them.

Unless stated otherwise, the input is a mono mix, float64 [n] at 44.1 kHz, normalised to -24 LUFS and at least 4096
samples long, or a quantity derived from it. The result is a score, or None where the logarithm of 0 would be needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mirflow.dsp.timbral import attacks, zwicker

RATE = 44100  # Hz
LOUDNESS = -24  # LUFS
PADDING = 4097  # samples of silence before the mix, so that onsets in its first frame can be detected
CHUNK = 512  # frames that are analysed at a time, to limit memory


@dataclass(frozen=True)
class Loudness:
    """Specific loudness of the mix in windows of 4096 samples.

    Attributes
    ----------
    specific : specific loudness in sone/Bark [window, 240], at 0.1, 0.2 ... 24 Bark
    is_audible : whether the loudness of the window is at least 0.0005 sone, bool [window]
    rms : root mean square of the samples of the window [window]
    """

    specific: np.ndarray
    is_audible: np.ndarray
    rms: np.ndarray


def without_offset(samples: np.ndarray) -> np.ndarray:
    """Return a signal, float32 [n], without its offset: the median of the means of frames of 0.2 s.

    Where the means of these frames differ from each other by more than from 0, there is no offset: removing one would
    add one to the silence between sounds.
    """
    size = RATE // 5
    means = samples[: len(samples) // size * size].reshape(-1, size).mean(axis=1, dtype=np.float64)
    offset = np.median(means) if len(means) else 0.0
    is_one = len(means) and np.median(np.abs(means - offset)) < abs(offset)
    return samples - np.float32(offset) if is_one else samples


def normalised(mono: np.ndarray) -> np.ndarray | None:
    """Return a signal [n] at -24 LUFS, or with a peak of 1 if that is quieter; None at or below -70 LUFS."""
    import pyloudnorm

    missing_samples = int(0.4 * RATE) - len(mono)  # the meter needs one gating block
    loudness = pyloudnorm.Meter(RATE).integrated_loudness(
        np.pad(mono, (0, missing_samples)) if missing_samples > 0 else mono
    )
    if not np.isfinite(loudness):
        return None
    gain = 10 ** ((LOUDNESS - loudness) / 20)
    return mono * min(gain, 1 / max(mono.max(), -mono.min()))


def highpass(samples: np.ndarray, hertz: float) -> np.ndarray:
    """Filter a signal [n] with a cascade of three second-order Butterworth high-pass filters."""
    return _filter_three_times(samples, hertz, "highpass")


def loudness(samples: np.ndarray) -> Loudness:
    """Measure the specific loudness of a signal [n] in windows of 4096 samples.

    The last window is zero-padded. If n is a multiple of 4096, it contains only zeros.
    """
    size = zwicker.WINDOW
    windows = np.pad(samples, (0, size - len(samples) % size)).reshape(-1, size)
    parts = [
        zwicker.specific_loudness(zwicker.third_octave_levels(windows[begin : begin + CHUNK]))
        for begin in range(0, len(windows), CHUNK)
    ]
    return Loudness(
        specific=np.concatenate([specific for specific, _ in parts]),
        is_audible=np.concatenate([total for _, total in parts]) >= 0.0005,  # sone
        rms=np.sqrt(np.einsum("wn,wn->w", windows, windows) / size),
    )


# --- The eight models -------------------------------------------------------------------------------------------------


def brightness(high: np.ndarray) -> float | None:
    """Predict brightness from the share of energy above 2 kHz and the spectral centroid above 100 Hz.

    Parameters
    ----------
    high : the mix after a high-pass at 20 Hz. With fewer than 2048 samples, brightness is undefined
    """
    if len(high) < 2048:
        return None
    window = _hamming(2048)
    power = _frame_power(high, window, 512).sum()
    above_2000 = _frame_power(highpass(high, 2000), window, 512).sum()
    spectrum = sum(part.sum(axis=0) for part in _power_spectra(highpass(high, 100), window, 512))
    if min(power, above_2000, spectrum.sum()) <= 0:
        return None
    centroid = spectrum @ np.fft.rfftfreq(2048, 1 / RATE) / spectrum.sum()
    return _score([4.613128018020465, 17.378889309312974, 17.434733750553022],
                  [np.log10(above_2000 / power), np.log10(centroid)])  # fmt: skip


def hardness(padded: np.ndarray, envelope: np.ndarray, pattern: Loudness) -> float | None:
    """Predict hardness from the attacks and from the whole mix.

    The features of the attacks are bandwidth, spectral centroid, onset strength and attack time. Those of the mix are
    the loudness at 7 to 14 Bark and the share of percussive energy.

    Parameters
    ----------
    padded : the mix after `PADDING` samples of silence
    envelope : `attacks.envelope` of `padded`, with a decay of 0.1 s
    pattern : loudness pattern of the mix, from `loudness`
    """
    level = _average(pattern.specific @ _bark_window(70, 140), pattern.rms)
    share = percussive_share(padded[PADDING:])
    strength = attacks.strength(padded)
    onsets = attacks.onsets(envelope, strength, earliest=4096)
    if len(onsets) == 1:
        onsets = [0]
    bandwidth = _bandwidth(padded)

    widths, width_weights, times, strengths, centroids = [], [], [], [], []
    for begin, end in zip(onsets, [*onsets[1:], None], strict=True):
        strengths.append(strength[begin // 512 : end and end // 512].max())
        width = _attack_bandwidth(bandwidth[_bandwidth_frame(begin) : end and _bandwidth_frame(end)])
        if width is not None:
            widths.append(width)
            width_weights.append(strengths[-1])
        seconds, start = _attack(envelope[begin:end])
        times.append(np.log10(seconds))
        centroid = _attack_centroid(padded[begin:end][start : start + RATE // 8])
        if centroid is not None:
            centroids.append(centroid)

    if min(level, share, np.mean(strengths)) <= 0:
        return None
    width = _average(widths, width_weights) if widths else 0
    if width <= 512:  # as in the original: bandwidths up to 512 Hz count as 86 Hz
        width = RATE / 512
    centroid = max(np.mean(centroids), 200) if centroids else 200
    return _score(
        [12.079781720638145, 18.52100377170042, 14.139883645260355, 5.567690321917516, 3.9346817690405635,
         -4.326890461087848, -85.60352209068202],
        [*np.log10([width, centroid, level, share, np.mean(strengths)]), np.mean(times)],
    )  # fmt: skip


def depth(high: np.ndarray) -> float | None:
    """Predict depth from the low-frequency centroid and energy share, the duration of notes and the lowest partial.

    Parameters
    ----------
    high : the mix after a high-pass at 20 Hz
    """
    if not high.any():
        return None
    high = high / max(high.max(), -high.min())
    window = _hamming(4096)
    power = _frame_power(high, window, 1024)
    power_below_500 = _frame_power(_filter_three_times(high, 500, "lowpass"), window, 1024)
    hertz = np.fft.rfftfreq(4096, 1 / RATE)
    sums = np.stack([np.ones(len(hertz)), hertz], axis=1).astype(np.float32)
    below_2000 = _power_spectra(_filter_three_times(high, 2000, "lowpass"), window, 1024)
    moments = np.concatenate([part @ sums for part in below_2000])
    if power.sum() <= 0:
        return None
    audible = power > 0.001  # -60 dB; in quieter frames, the centroid and the low-frequency energy count as 0
    centroids = np.divide(moments[:, 1], moments[:, 0], out=np.zeros(len(power)), where=audible & (moments[:, 0] > 0))
    centroid = min(2000, centroids @ power / power.sum())
    ratio = power_below_500[audible].sum() / power.sum()

    envelope = attacks.envelope(high, 0.2)
    onsets = attacks.onsets(envelope, attacks.strength(high), earliest=512)
    seconds = np.mean(_durations(high, onsets))

    spectrum = sum(part.sum(axis=0) for part in _power_spectra(high, window, 1024))
    partials = _peaks((spectrum - spectrum.min()) / (spectrum.max() - spectrum.min()), 0.01) * hertz[1]
    if seconds <= 0 or partials.min() <= 0:
        return None
    duration = np.log10(seconds)
    compressed_ratio = ratio**10 / (ratio**10 + 0.2)
    return _score(
        [-0.0043703565847874465, 32.83743202462131, 4.750862716905235, -14.217438690256062, 3.8782339862813924,
         -0.8544826091735516, 66.69534394443391],
        [centroid, ratio, duration, np.log10(partials.min()), ratio * duration, compressed_ratio * duration],
    )  # fmt: skip


def booming(pattern: Loudness) -> float | None:
    """Predict booming from the booming index (Hatano & Hashimoto 2000) and the loudness below 7 Bark.

    `pattern` is the loudness pattern of the mix, from `loudness`.
    """
    bark = np.arange(1, 241) / 10
    octave_thirds = np.log10(600 * np.sinh(bark / 6) / 25) / np.log10(31.5 / 25) + 1
    weights = 2.13 * np.exp(-0.151 * octave_thirds)
    weights[:4] = 0.8, 1.05, 1.10, 1.18  # the estimates of the original for the lowest frequencies
    low = np.searchsorted(600 * np.sinh(bark / 6), 280)
    specific = pattern.specific[pattern.is_audible]
    index = np.zeros(len(pattern.specific))
    index[pattern.is_audible] = (
        10
        * np.log10((10 ** (specific * weights / 10)).sum(axis=1))
        * specific[:, :low].sum(axis=1)
        / specific.sum(axis=1)
    )
    index_mean = _average(index, pattern.rms**2)
    level = (pattern.specific @ _bark_window(0, 70)).mean()
    if min(index_mean, level) <= 0:
        return None
    return _score([43.67402696195865, -10.90054738389845, 26.836530575185435], np.log10([index_mean, level]))


def warmth(samples: np.ndarray, envelope: np.ndarray, pattern: Loudness, top_hz: float) -> float | None:
    """Predict warmth from the loudness at 1 to 4 and at 8 to 24 Bark, and from three features of each note.

    The features of a note are its spectral centroid, the share of energy from its lowest partial to 260 Hz, and the
    linearity of its spectrum on a log-log scale above 3.5 times the lowest partial.

    Parameters
    ----------
    samples : the mix
    envelope : `attacks.envelope` of the mix, with a decay of 0.1 s
    pattern : loudness pattern of the mix, from `loudness`
    top_hz : upper limit of the linearity; above it, the filter of a resampler would determine the result
    """
    onsets = attacks.onsets(envelope, attacks.strength(samples), earliest=4096)
    if len(onsets) == 1:
        onsets = [0]
    levels, ratios, centroids, straightness = [], [], [], []
    hertz = np.fft.rfftfreq(8192, 1 / RATE)
    below_260, top = np.searchsorted(hertz, [260, top_hz], side="right")
    for begin, end in zip(onsets, [*onsets[1:], None], strict=True):
        note = samples[begin:end]
        spectrum = _note_spectrum(note)
        if not spectrum.any():
            continue
        spectrum /= spectrum.max()
        lowest = _peaks(spectrum, 0.2)[0]
        partial, lowest_bin = lowest * hertz[1], round(lowest)
        levels.append(np.sqrt(np.mean(note**2)))
        ratios.append(spectrum[lowest_bin:below_260].sum() / spectrum.sum() if partial < 260 else 0.0)
        centroids.append(spectrum @ hertz / spectrum.sum())
        region = np.searchsorted(hertz, min(3.5 * partial, 12000), side="right")
        straightness.append(_straightness(hertz[region:top], spectrum[region:top]))
    if not levels:
        return None
    return _score(
        [-4.464258317026696, -0.08819320850778556, 0.29156540, 17.274733561081554, 8.403340066029507,
         45.21212125085579],
        [np.log10(np.mean(centroids)), _average(pattern.specific @ _bark_window(80, 240), pattern.rms),
         (pattern.specific @ _bark_window(10, 40)).mean(), np.mean(straightness), _average(ratios, levels)],
    )  # fmt: skip


def sharpness(pattern: Loudness) -> float | None:
    """Predict sharpness from that of Fastl: the centroid of the specific loudness, weighted more above 14 Bark.

    `pattern` is the loudness pattern of the mix, from `loudness`.
    """
    bark = np.arange(1, 241) / 10
    weights = np.where(bark > 14.05, np.polyval([0.00012, -0.0056, 0.1, -0.81, 3.5], bark), 1)
    specific = pattern.specific[pattern.is_audible]
    acum = np.zeros(len(pattern.specific))
    acum[pattern.is_audible] = 0.11 * (specific @ (weights * bark)) / specific.sum(axis=1)
    sharpness_mean = _average(acum, pattern.rms**2)
    return _score([102.50508921364404, 34.432655185001735], [np.log10(sharpness_mean)]) if sharpness_mean > 0 else None


def roughness(samples: np.ndarray) -> float | None:
    """Predict roughness from the beating between spectral peaks (Vassilakis 2007), in frames of 50 ms every 25 ms.

    Vassilakis has the amplitude of the weaker of two partials in the numerator of the fluctuation. The original has
    that of the stronger one, and the regression was fitted to this. A mean roughness below 0.01 has the score 0; just
    above it, the score is 21.

    Parameters
    ----------
    samples : the mix. If it is silent or shorter than 50 ms, roughness is undefined
    """
    from scipy.fft import rfft

    from mirflow.dsp.timbral.kernels import frame_roughness

    size = RATE // 20
    if len(samples) < size:
        return None
    window = np.hamming(size + 2)[1:-1].astype(np.float32)
    padded = np.concatenate([np.zeros(512), samples])
    count = int(len(padded) / (size / 2))  # the last frame would extend beyond the end; it counts with roughness 0
    starts = (np.arange(count) * (size / 2)).astype(int)
    starts = starts[starts + size <= len(padded)]
    views = np.lib.stride_tricks.sliding_window_view(padded, size)

    def spectra() -> Iterator[np.ndarray]:
        for begin in range(0, len(starts), CHUNK):
            yield np.abs(rfft(views[starts[begin : begin + CHUNK]].astype(np.float32) * window, 4096))

    loudest = max(part.max() for part in spectra())
    if loudest <= 0:
        return None
    total = sum(frame_roughness(part, loudest, 0.01, RATE / 4096).sum() for part in spectra())
    mean = total / count
    return 0.0 if mean < 0.01 else _score([13.98779569, 48.97606571545886], [np.log10(mean)])


# --- Features of the models -------------------------------------------------------------------------------------------


def percussive_share(samples: np.ndarray) -> float:
    """Return the RMS of the percussive part over the sum of the RMS of both parts, in [0, 1].

    The harmonic and the percussive part are separated by median filtering of the spectrogram over 31 frames and over 31
    bins (Fitzgerald 2010), with soft masks of the squared magnitudes. The RMS is summed over frames of 1024 samples,
    every 512 samples.
    """
    from scipy.fft import irfft, rfft

    from mirflow.dsp.timbral.kernels import median_of_31

    frames, window = attacks.frames(samples)
    frame_indices = np.pad(np.arange(len(frames)), 15, mode="symmetric")
    percussive_hops = np.zeros((len(frames) + 3, 512), np.float32)  # percussive part [hop, sample], by overlap-add
    for begin in range(0, len(frames), CHUNK):
        spectra = rfft(frames[frame_indices[begin : begin + CHUNK + 30]] * window)
        magnitude = np.abs(spectra)
        spectra = spectra[15:-15]
        harmonic = median_of_31(np.ascontiguousarray(magnitude.T)).T ** 2
        percussive = median_of_31(np.pad(magnitude[15:-15], ((0, 0), (15, 15)), mode="symmetric")) ** 2
        both = harmonic + percussive
        spectra *= np.divide(percussive, both, out=np.full_like(both, 0.5), where=both > 0)
        signals = irfft(spectra) * window
        for hop in range(4):
            percussive_hops[begin + hop : begin + hop + len(signals)] += signals[:, hop * 512 : (hop + 1) * 512]
    weights = window.reshape(4, 512) ** 2
    percussive_hops = percussive_hops[2:-2]  # without the mirrored ends
    percussive_hops[0] *= weights.sum(axis=0) / weights[:3].sum(axis=0)
    percussive_hops[-1] *= weights.sum(axis=0) / weights[1:].sum(axis=0)
    percussive_hops /= weights.sum(axis=0)
    mix_hops = samples[: percussive_hops.size].reshape(-1, 512)
    energies = np.empty((2, len(percussive_hops)))
    for begin in range(0, len(percussive_hops), CHUNK):
        percussive_part = percussive_hops[begin : begin + CHUNK].astype(float)
        for energy, signal in zip(
            energies, (percussive_part, mix_hops[begin : begin + CHUNK] - percussive_part), strict=True
        ):
            energy[begin : begin + CHUNK] = np.einsum("hn,hn->h", signal, signal)
    percussive_rms, harmonic_rms = (np.sqrt(energy[:-1] + energy[1:]).sum() for energy in energies)
    return float(percussive_rms / (percussive_rms + harmonic_rms)) if percussive_rms + harmonic_rms > 0 else 0.0


def reverberation_time(samples: np.ndarray) -> float | None:
    """Estimate the reverberation time (RT60) of one channel from its free decays.

    The method is that of Jan & Wang 2012 after Löllmann et al. 2010, on every second sample. It finds segments that
    decay freely, estimates the decay time of each segment by maximum likelihood, and takes the mode of the last 735
    estimates. These modes are smoothed over time and averaged over the segments.

    An offset must be removed before, since it never decays: one of 5 % of full scale makes the driest drums the most
    reverberant ones.

    As in the original, segments that decay during the whole frame are left out, and the first estimate is never removed
    from the histogram.

    Parameters
    ----------
    samples : [n] at 44.1 kHz

    Returns
    -------
    seconds, 0.2 without a free decay; None when the signal is shorter than one frame (0.2 s)
    """
    from scipy.signal import lfilter

    from mirflow.dsp.timbral.kernels import decays

    length, hop, memory = 643, 92, 735  # samples, samples, segments
    halved = samples[: len(samples) // 2 * 2 : 2].astype(float)
    if len(halved) <= 7 * length:
        return None
    candidates = np.arange(2, 12) / 10  # s
    rates = 3 * np.log(10) / (candidates * (RATE / 2))  # Np per sample
    decay_frames, steps = decays(halved, length, hop, 3, 4)
    if len(decay_frames) == 0:
        return float(candidates[0])
    growth = np.exp(rates * np.arange(4 * length)[:, np.newaxis])  # [sample, candidate]
    histogram = np.zeros(len(candidates), int)
    candidate_indices: list[int] = []
    raw_times = np.full((len(halved) - 7 * length) // hop + 1, 0.3)
    for frame, count in zip(decay_frames, steps, strict=True):
        n = count * length
        scale = np.abs(halved[frame * hop : frame * hop + n]) @ growth[:n]
        candidate_indices.append(int(np.argmax(rates * (n - 1) / 2 - np.log(scale))))
        histogram[candidate_indices[-1]] += 1
        if len(candidate_indices) > memory + 1:
            histogram[candidate_indices[-1 - memory]] -= 1
        raw_times[frame:] = candidates[np.argmax(histogram)]
    smoothed_times, _ = lfilter([0.005], [1, -0.995], raw_times, zi=[0.995 * 0.3])
    return float(smoothed_times[decay_frames].mean())


def reverberation(seconds: list[float]) -> float:
    """Return the probability in percent that listeners call a sound reverberant, from the RT60 in s of its channels."""
    return float(100 / (1 + np.exp(-(2.97126461 * np.mean(seconds) - 1.45082989))))


def _attack(envelope: np.ndarray) -> tuple[float, int]:
    """Return the attack time in seconds (at most 0.1), and the sample of `envelope` [n] where the attack starts.

    The attack is determined by the weakest-effort method (Peeters 2004): of the nine thresholds at 10 % to 90 % of the
    rise, it includes those that are reached within three times the mean effort, the time between two thresholds.
    """
    rise, offset = _rise(envelope)
    low, high = rise.min(), rise.max()
    reached = np.array([np.argmax(rise >= low + (high - low) * step / 10) for step in range(1, 10)])
    effort = np.diff(reached)
    limit = 3 * effort.mean()
    start = int(np.argmax(effort <= limit))
    stop = int(np.argmax(effort[start:] >= limit)) or len(effort[start:]) - 1
    begin, end = reached[start], reached[start + stop]
    if begin == end:
        begin, end = reached[0], reached[-1]
    seconds = (end - begin + 1) / RATE
    if seconds > 0.1:
        seconds = (RATE // 10 + 1) / RATE
    return seconds, offset + int(begin)


def _rise(curve: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the part of a curve [n] from the last minimum before the maximum to the maximum, and its start index."""
    maximum = int(np.argmax(curve))
    before = curve[:maximum]
    offset = maximum - 1 - int(np.argmin(before[::-1]))
    return curve[offset : maximum + 1], offset


def _attack_centroid(samples: np.ndarray) -> float | None:
    """Return the centroid in Hz of the magnitude spectrum above 20 Hz; None for at most 512 samples and in silence."""
    from scipy.fft import rfft

    if len(samples) <= 512:
        return None
    size = 1 << (len(samples) - 1).bit_length()
    spectrum = np.abs(rfft(samples, size))
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    spectrum[hertz < 20] = 0
    return float(spectrum @ hertz / spectrum.sum()) if spectrum.any() else None


def _bandwidth(samples: np.ndarray) -> np.ndarray:
    """Return the bandwidth in Hz of frames of 4096 samples, every 128 samples [frame].

    It extends from the frequency below which 5 % of the summed magnitude lie, to the highest frequency with at least
    -75 dB. It is 0 in frames whose summed magnitude is in the lowest tenth of its range.
    """
    from scipy.fft import rfft

    from mirflow.dsp.timbral.kernels import bandwidths

    size = 4096
    threshold = 10 ** (-75 / 20) * np.sqrt(RATE * size)  # of a spectral density
    views = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), size)[::128]
    parts = [bandwidths(rfft(views[begin : begin + CHUNK]), threshold, 0.05) for begin in range(0, len(views), CHUNK)]
    width = np.concatenate([width for width, _ in parts]) * RATE / size
    power = np.concatenate([power for _, power in parts])
    width[power <= power.min() + 0.1 * (power.max() - power.min())] = 0
    return width


def _bandwidth_frame(onset: int) -> int:
    """Return the index of the frame of `_bandwidth` that ends at an onset, given in samples."""
    return max(0, onset - 4096) // 128


def _attack_bandwidth(bandwidth: np.ndarray) -> float | None:
    """Return the largest bandwidth in the 0.1 s after it has reached a fifth of its rise; None if it does not rise.

    As in the original, the limit of 0.1 s applies only if the segment is long enough after that start: longer than the
    time before the start plus 0.1 s.
    """
    if bandwidth.max() <= 0 or np.argmax(bandwidth) == 0:
        return None
    rise, offset = _rise(bandwidth)
    start = offset + int(np.argmax(rise >= rise.min() + 0.2 * (rise.max() - rise.min())))
    limit = int(0.1 * RATE / 128)
    remaining = bandwidth[start:]
    return float(remaining[:limit].max() if len(remaining) > start + limit else remaining.max())


def _durations(samples: np.ndarray, onsets: list[int]) -> list[float]:
    """Return the duration of each note in seconds: from its loudest block to the first block below -40 dB.

    Blocks have 256 samples, and 0 dB is the largest RMS of a block of the mix. A note without such a block lasts until
    the next onset.
    """
    complete_blocks = (len(samples) - 1) // 256
    blocks = samples[: complete_blocks * 256].reshape(-1, 256)
    rms = np.sqrt(
        np.append(np.einsum("bn,bn->b", blocks, blocks) / 256, np.mean(samples[complete_blocks * 256 :] ** 2))
    )
    rms /= rms.max()
    starts = [onset // 256 for onset in onsets]
    durations = []
    for begin, end in zip(starts, [*starts[1:], None], strict=True):
        part = rms[begin:end]
        part = part[np.argmax(part) :]
        quiet = np.flatnonzero(part < 0.01)
        durations.append((quiet[0] if len(quiet) else len(part)) * 256 / RATE)
    return durations


def _note_spectrum(note: np.ndarray) -> np.ndarray:
    """Return the summed power spectrum [4097] of one note [n], in frames of at most 8192 samples with Tukey windows."""
    from scipy.fft import rfft
    from scipy.signal.windows import tukey

    size = min(len(note), 8192)
    views = np.lib.stride_tricks.sliding_window_view(note, size)[:: size - size // 8]
    window = tukey(size, 0.25, sym=False)
    spectrum = np.zeros(4097)
    for view in views:
        part = rfft((view - view.mean()) * window, 8192)
        spectrum += part.real**2 + part.imag**2
    spectrum[1:-1] *= 2
    return spectrum


def _straightness(hertz: np.ndarray, power: np.ndarray) -> float:
    """Return the R² of a linear regression of log power [bin] on log frequency; 1 for constant power."""
    x, y = np.log10(hertz), np.log10(np.maximum(power, 1e-30))
    x, y = x - x.mean(), y - y.mean()
    return float((x @ y) ** 2 / ((x @ x) * (y @ y))) if y.any() else 1.0


def _peaks(curve: np.ndarray, contrast: float) -> np.ndarray:
    """Return the interpolated positions in bins of the peaks of a curve [n] with a maximum of 1, ascending."""
    from mirflow.dsp.timbral.kernels import contrasting_peaks, interpolated_peak

    return np.array([interpolated_peak(curve, k)[0] for k in contrasting_peaks(curve, contrast)])


def _filter_three_times(samples: np.ndarray, hertz: float, kind: str) -> np.ndarray:
    """Filter a signal [n] three times with a second-order Butterworth filter; `kind` is "lowpass" or "highpass"."""
    from scipy.signal import butter

    from mirflow.dsp.timbral.kernels import filter_three_times

    return filter_three_times(*butter(2, hertz, kind, fs=RATE), samples)


def _hamming(size: int) -> np.ndarray:
    """Return the periodic Hamming window [size]."""
    from scipy.signal.windows import hamming

    return hamming(size, sym=False)


def _frame_power(samples: np.ndarray, window: np.ndarray, hop: int) -> np.ndarray:
    """Return the power of windowed frames without their mean [frame].

    It equals the sum of the spectra of `_power_spectra` over all bins (Parseval's theorem).
    """
    size = len(window)
    blocks = samples[: len(samples) // hop * hop].reshape(-1, hop)
    parts = size // hop
    count = len(blocks) - parts + 1

    def framed(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        products = values @ weights.reshape(parts, hop).T  # [block, part]
        return sum(products[part : part + count, part] for part in range(parts))

    mean = framed(blocks, np.ones(size)) / size
    energy = framed(blocks**2, window**2) - 2 * mean * framed(blocks, window**2) + mean**2 * (window @ window)
    return energy * size / window.sum() ** 2


def _power_spectra(samples: np.ndarray, window: np.ndarray, hop: int) -> Iterator[np.ndarray]:
    """Yield one-sided power spectra of frames without their mean, in blocks [frame, bin].

    A sine of amplitude 1 has a peak of 1/2.
    """
    from scipy.fft import rfft

    scaled = (window * np.sqrt(2) / window.sum()).astype(np.float32)
    views = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), len(window))[::hop]
    for begin in range(0, len(views), CHUNK):
        part = views[begin : begin + CHUNK]
        spectra = rfft((part - part.mean(axis=1, keepdims=True)) * scaled)
        power = spectra.real**2 + spectra.imag**2
        power[:, [0, -1]] /= 2  # these bins have no negative frequency
        yield power


def _score(coefficients: list[float], metrics: list[float] | np.ndarray) -> float:
    """Return the value of the linear regression; the last coefficient is the intercept."""
    return float(np.dot(coefficients, [*metrics, 1.0]))


def _average(values: np.ndarray | list[float], weights: np.ndarray | list[float]) -> float:
    """Return the weighted mean; 0 when no weight is positive."""
    total = np.sum(weights)
    return float(np.dot(values, weights) / total) if total > 0 else 0.0


def _bark_window(low: int, high: int) -> np.ndarray:
    """Return weights [240] over 0.1 to 24 Bark: 0 at `low` and `high` (in tenths of a Bark), and 1 midway between.

    They are nearly a parabola.
    """
    bark = np.arange(low, high)
    bell = np.exp(-((bark - (low + high) / 2) ** 2) / 2 * 0.01**2)
    weights = np.zeros(zwicker.BARKS)
    weights[low:high] = (bell - bell.min()) / (bell.max() - bell.min())
    return weights
