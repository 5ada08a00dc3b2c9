"""The Audio Commons timbral models: regressions on signal features, fitted to listening tests.

Formulas and coefficients: Pearce, Brookes & Mason 2019, Audio Commons deliverable D5.8, and what their package
``timbral_models`` 0.4.0 computes, with the faults that the regressions were fitted with (each is named where it is
met). The models take a mono mix, float64 [n] at 44.1 kHz, normalised to -24 LUFS and at least 4096 samples long if
nothing else is said, or what is derived from it. They return None where they are undefined: a logarithm of nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mirflow.dsp import timbral_loudness, timbral_onsets

RATE = 44100  # Hz
LOUDNESS = -24  # LUFS
PAD = 4097  # samples of silence before the mix, for the spectrum to rise at an onset in the first frame
CHUNK = 512  # frames in memory at once


@dataclass(frozen=True)
class Loudness:
    """Specific loudness of the mix.

    Attributes
    ----------
    specific : sone/Bark [window, 240]
    is_audible : [window], whether there is any loudness
    rms : [window]
    """

    specific: np.ndarray
    is_audible: np.ndarray
    rms: np.ndarray


def normalised(mono: np.ndarray) -> np.ndarray | None:
    """Return mono [n] at -24 LUFS, or at a peak of 1 when that is less; None below the absolute gate (-70 LUFS)."""
    import pyloudnorm

    missing = int(0.4 * RATE) - len(mono)  # of the meter's block
    loudness = pyloudnorm.Meter(RATE).integrated_loudness(np.pad(mono, (0, missing)) if missing > 0 else mono)
    if not np.isfinite(loudness):
        return None
    gain = 10 ** ((LOUDNESS - loudness) / 20)
    return mono * min(gain, 1 / max(mono.max(), -mono.min()))


def highpass(samples: np.ndarray, hertz: float) -> np.ndarray:
    """Filter [n] by three second-order Butterworth high-passes in a row."""
    return _three_times(samples, hertz, "highpass")


def loudness(samples: np.ndarray) -> Loudness:
    """Measure the specific loudness of windows of 4096 samples; zeros fill the last, which may be nothing else."""
    size = timbral_loudness.WINDOW
    windows = np.pad(samples, (0, size - len(samples) % size)).reshape(-1, size)
    parts = [
        timbral_loudness.specific_loudness(timbral_loudness.third_octave_levels(windows[at : at + CHUNK]))
        for at in range(0, len(windows), CHUNK)
    ]
    return Loudness(
        specific=np.concatenate([specific for specific, _ in parts]),
        is_audible=np.concatenate([total for _, total in parts]) >= 0.0005,  # sone
        rms=np.sqrt(np.einsum("wn,wn->w", windows, windows) / size),
    )


# ---- the eight models ----


def brightness(high: np.ndarray) -> float | None:
    """Predict brightness from the share of energy above 2 kHz and the spectral centroid above 100 Hz.

    high : the mix above 20 Hz
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


def hardness(padded: np.ndarray, envelope: np.ndarray, loud: Loudness) -> float | None:
    """Predict hardness from the attacks (bandwidth, spectral centroid, strength, time) and from the mix (loudness at
    7-14 Bark, percussive share).

    padded : the mix after `PAD` samples of silence
    envelope : `timbral_onsets.envelope` of `padded`, falling in 0.1 s
    """
    level = _average(loud.specific @ _bell(70, 140), loud.rms)
    share = percussive_share(padded[PAD:])
    strength = timbral_onsets.strength(padded)
    onsets = timbral_onsets.onsets(envelope, strength, earliest=4096)
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
    if width <= 512:  # the original's floor: a bandwidth up to 512 Hz counts as 86 Hz
        width = RATE / 512
    centroid = max(np.mean(centroids), 200) if centroids else 200
    return _score(
        [12.079781720638145, 18.52100377170042, 14.139883645260355, 5.567690321917516, 3.9346817690405635,
         -4.326890461087848, -85.60352209068202],
        [*np.log10([width, centroid, level, share, np.mean(strengths)]), np.mean(times)],
    )  # fmt: skip


def depth(high: np.ndarray) -> float | None:
    """Predict depth from the centroid and the share of energy at the low end, the notes' length and the lowest partial.

    high : the mix above 20 Hz
    """
    if not high.any():
        return None
    high = high / max(high.max(), -high.min())
    window = _hamming(4096)
    power = _frame_power(high, window, 1024)
    power_below = _frame_power(_three_times(high, 500, "lowpass"), window, 1024)
    hertz = np.fft.rfftfreq(4096, 1 / RATE)
    sums = np.stack([np.ones(len(hertz)), hertz], axis=1).astype(np.float32)
    below_2000 = _power_spectra(_three_times(high, 2000, "lowpass"), window, 1024)
    moments = np.concatenate([part @ sums for part in below_2000])
    if power.sum() <= 0:
        return None
    heard = power > 0.001  # -60 dB; quieter frames count as 0
    centroids = np.divide(moments[:, 1], moments[:, 0], out=np.zeros(len(power)), where=heard & (moments[:, 0] > 0))
    centroid = min(2000, centroids @ power / power.sum())
    ratio = power_below[heard].sum() / power.sum()

    envelope = timbral_onsets.envelope(high, 0.2)
    onsets = timbral_onsets.onsets(envelope, timbral_onsets.strength(high), earliest=512)
    seconds = np.mean(_durations(high, onsets))

    spectrum = sum(part.sum(axis=0) for part in _power_spectra(high, window, 1024))
    partials = _peaks((spectrum - spectrum.min()) / (spectrum.max() - spectrum.min()), 0.01) * hertz[1]
    if seconds <= 0 or partials.min() <= 0:
        return None
    duration = np.log10(seconds)
    bend = ratio**10 / (ratio**10 + 0.2)
    return _score(
        [-0.0043703565847874465, 32.83743202462131, 4.750862716905235, -14.217438690256062, 3.8782339862813924,
         -0.8544826091735516, 66.69534394443391],
        [centroid, ratio, duration, np.log10(partials.min()), ratio * duration, bend * duration],
    )  # fmt: skip


def booming(loud: Loudness) -> float | None:
    """Predict booming from the booming index (Hatano & Hashimoto 2000) and the loudness below 7 Bark."""
    bark = np.arange(1, 241) / 10
    octave_thirds = np.log10(600 * np.sinh(bark / 6) / 25) / np.log10(31.5 / 25) + 1
    weights = 2.13 * np.exp(-0.151 * octave_thirds)
    weights[:4] = 0.8, 1.05, 1.10, 1.18  # the original's estimate where the scale ends
    low = np.searchsorted(600 * np.sinh(bark / 6), 280)
    specific = loud.specific[loud.is_audible]
    index = np.zeros(len(loud.specific))
    index[loud.is_audible] = (
        10
        * np.log10((10 ** (specific * weights / 10)).sum(axis=1))
        * specific[:, :low].sum(axis=1)
        / specific.sum(axis=1)
    )
    boom = _average(index, loud.rms**2)
    level = (loud.specific @ _bell(0, 70)).mean()
    if min(boom, level) <= 0:
        return None
    return _score([43.67402696195865, -10.90054738389845, 26.836530575185435], np.log10([boom, level]))


def warmth(samples: np.ndarray, envelope: np.ndarray, loud: Loudness, top_hz: float) -> float | None:
    """Predict warmth from the loudness at 1-4 and 8-24 Bark and, per note: the spectral centroid, how straight the
    spectrum falls on a log-log scale above 3.5 times the lowest partial, and the energy from that partial to 260 Hz.

    envelope : `timbral_onsets.envelope` of the mix, falling in 0.1 s
    top_hz : where the fall of the spectrum ends; beyond it, a resampler's filter would be all that counts
    """
    onsets = timbral_onsets.onsets(envelope, timbral_onsets.strength(samples), earliest=4096)
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
        partial, first = lowest * hertz[1], round(lowest)
        levels.append(np.sqrt(np.mean(note**2)))
        ratios.append(spectrum[first:below_260].sum() / spectrum.sum() if partial < 260 else 0.0)
        centroids.append(spectrum @ hertz / spectrum.sum())
        region = np.searchsorted(hertz, min(3.5 * partial, 12000), side="right")
        straightness.append(_straightness(hertz[region:top], spectrum[region:top]))
    if not levels:
        return None
    return _score(
        [-4.464258317026696, -0.08819320850778556, 0.29156540, 17.274733561081554, 8.403340066029507,
         45.21212125085579],
        [np.log10(np.mean(centroids)), _average(loud.specific @ _bell(80, 240), loud.rms),
         (loud.specific @ _bell(10, 40)).mean(), np.mean(straightness), _average(ratios, levels)],
    )  # fmt: skip


def sharpness(loud: Loudness) -> float | None:
    """Predict sharpness from Fastl's: the centroid of the specific loudness, which counts more above 14 Bark."""
    bark = np.arange(1, 241) / 10
    weights = np.where(bark > 14.05, np.polyval([0.00012, -0.0056, 0.1, -0.81, 3.5], bark), 1)
    specific = loud.specific[loud.is_audible]
    acum = np.zeros(len(loud.specific))
    acum[loud.is_audible] = 0.11 * (specific @ (weights * bark)) / specific.sum(axis=1)
    sharp = _average(acum, loud.rms**2)
    return _score([102.50508921364404, 34.432655185001735], [np.log10(sharp)]) if sharp > 0 else None


def roughness(samples: np.ndarray) -> float | None:
    """Predict roughness from the beating between the spectral peaks (Vassilakis 2007), frames of 50 ms every 25 ms.

    As the regression was fitted: where Vassilakis has the amplitude of the weaker of two partials in the numerator of
    the fluctuation, the original has that of the stronger. A mean roughness below 0.01 scores 0; just above it, 21.
    """
    from scipy.fft import rfft

    from mirflow.dsp.timbral_kernels import frame_roughness

    size = RATE // 20
    if len(samples) < size:
        return None
    window = np.hamming(size + 2)[1:-1].astype(np.float32)
    padded = np.concatenate([np.zeros(512), samples])
    count = int(len(padded) / (size / 2))  # the last frame would pass the end: it is silent
    starts = (np.arange(count) * (size / 2)).astype(int)
    starts = starts[starts + size <= len(padded)]
    views = np.lib.stride_tricks.sliding_window_view(padded, size)

    def spectra() -> Iterator[np.ndarray]:
        for at in range(0, len(starts), CHUNK):
            yield np.abs(rfft(views[starts[at : at + CHUNK]].astype(np.float32) * window, 4096))

    loudest = max(part.max() for part in spectra())
    if loudest <= 0:
        return None
    total = sum(frame_roughness(part, loudest, 0.01, RATE / 4096).sum() for part in spectra())
    mean = total / count
    return 0.0 if mean < 0.01 else _score([13.98779569, 48.97606571545886], [np.log10(mean)])


# ---- what they are made of ----


def percussive_share(samples: np.ndarray) -> float:
    """Return the share of the percussive part in the sum of the RMS of both parts, frames of 1024 samples every 512.

    Median filtering of the spectrogram over 31 frames and over 31 bins (Fitzgerald 2010), squared soft masks.
    """
    from scipy.fft import irfft, rfft

    from mirflow.dsp.timbral_kernels import median_of_31

    frames, window = timbral_onsets.frames(samples)
    mirrored = np.pad(np.arange(len(frames)), 15, mode="symmetric")
    hits = np.zeros((len(frames) + 3, 512), np.float32)  # the percussive part by overlap-add, in hops
    for at in range(0, len(frames), CHUNK):
        spectra = rfft(frames[mirrored[at : at + CHUNK + 30]] * window)
        magnitude = np.abs(spectra)
        spectra = spectra[15:-15]
        harmonic = median_of_31(np.ascontiguousarray(magnitude.T)).T ** 2
        percussive = median_of_31(np.pad(magnitude[15:-15], ((0, 0), (15, 15)), mode="symmetric")) ** 2
        both = harmonic + percussive
        spectra *= np.divide(percussive, both, out=np.full_like(both, 0.5), where=both > 0)
        signals = irfft(spectra) * window
        for hop in range(4):
            hits[at + hop : at + hop + len(signals)] += signals[:, hop * 512 : (hop + 1) * 512]
    weights = window.reshape(4, 512) ** 2
    hits = hits[2:-2]  # without the mirrored ends, whose hops lack one frame
    hits[0] *= weights.sum(axis=0) / weights[:3].sum(axis=0)
    hits[-1] *= weights.sum(axis=0) / weights[1:].sum(axis=0)
    hits /= weights.sum(axis=0)
    whole = samples[: hits.size].reshape(-1, 512)
    energies = np.empty((2, len(hits)))
    for at in range(0, len(hits), CHUNK):
        part = hits[at : at + CHUNK].astype(float)
        for energy, signal in zip(energies, (part, whole[at : at + CHUNK] - part), strict=True):
            energy[at : at + CHUNK] = np.einsum("hn,hn->h", signal, signal)
    hits_rms, rest_rms = (np.sqrt(energy[:-1] + energy[1:]).sum() for energy in energies)
    return float(hits_rms / (hits_rms + rest_rms)) if hits_rms + rest_rms > 0 else 0.0


def reverberation_time(samples: np.ndarray) -> float | None:
    """Estimate the RT60 of one channel [n] in seconds, blindly, from where it decays freely; 0.2 s when nothing does.

    Jan & Wang 2012 after Loellmann et al. 2010, on every second sample: a maximum-likelihood decay for each stretch
    found, the mode of the last 735 of them, smoothed over the frames, averaged over the stretches. As in the original,
    a stretch that falls through the whole frame is left out, and the first one never leaves the histogram. None when
    shorter than a frame (0.2 s).
    """
    from scipy.signal import lfilter

    from mirflow.dsp.timbral_kernels import decays

    length, hop, memory = 643, 92, 735  # samples, samples, stretches
    halved = samples[: len(samples) // 2 * 2 : 2].astype(float)
    if len(halved) <= 7 * length:
        return None
    candidates = np.arange(2, 12) / 10  # s
    rates = 3 * np.log(10) / (candidates * (RATE / 2))  # nepers per sample
    found, steps = decays(halved, length, hop, 3, 4)
    if len(found) == 0:
        return float(candidates[0])
    growth = np.exp(rates * np.arange(4 * length)[:, np.newaxis])  # [sample, candidate]
    histogram = np.zeros(len(candidates), int)
    votes: list[int] = []
    raw = np.full((len(halved) - 7 * length) // hop + 1, 0.3)
    for frame, count in zip(found, steps, strict=True):
        n = count * length
        scale = np.abs(halved[frame * hop : frame * hop + n]) @ growth[:n]
        votes.append(int(np.argmax(rates * (n - 1) / 2 - np.log(scale))))
        histogram[votes[-1]] += 1
        if len(votes) > memory + 1:
            histogram[votes[-1 - memory]] -= 1
        raw[frame:] = candidates[np.argmax(histogram)]
    smooth, _ = lfilter([0.005], [1, -0.995], raw, zi=[0.995 * 0.3])
    return float(smooth[found].mean())


def reverberation(seconds: list[float]) -> float:
    """Return the probability in percent that a sound is heard as reverberant, from the RT60 of its channels."""
    return float(100 / (1 + np.exp(-(2.97126461 * np.mean(seconds) - 1.45082989))))


def _attack(envelope: np.ndarray) -> tuple[float, int]:
    """Return the attack's time in seconds (at most 0.1) and where it starts: the steep part of the way to the maximum.

    The weakest-effort method (Peeters 2004): among the nine levels at 10 ... 90 % of the rise, those that are reached
    within three times the mean effort.
    """
    rise, first = _rise(envelope)
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
    return seconds, first + int(begin)


def _rise(curve: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the part of curve [n] from the last minimum before the maximum to the maximum, and where it begins."""
    top = int(np.argmax(curve))
    before = curve[:top]
    first = top - 1 - int(np.argmin(before[::-1]))
    return curve[first : top + 1], first


def _attack_centroid(samples: np.ndarray) -> float | None:
    """Return the centroid in Hz, from 20 Hz, of the magnitude spectrum; None up to 512 samples or in silence."""
    from scipy.fft import rfft

    if len(samples) <= 512:
        return None
    size = 1 << (len(samples) - 1).bit_length()
    spectrum = np.abs(rfft(samples, size))
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    spectrum[hertz < 20] = 0
    return float(spectrum @ hertz / spectrum.sum()) if spectrum.any() else None


def _bandwidth(samples: np.ndarray) -> np.ndarray:
    """Return the bandwidth in Hz of frames of 4096 samples every 128: from 5 % of the summed magnitude to -75 dB.

    0 in frames with less than a tenth of the range of that sum.
    """
    from scipy.fft import rfft

    from mirflow.dsp.timbral_kernels import bandwidths

    size = 4096
    threshold = 10 ** (-75 / 20) * np.sqrt(RATE * size)  # of a density
    views = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), size)[::128]
    parts = [bandwidths(rfft(views[at : at + CHUNK]), threshold, 0.05) for at in range(0, len(views), CHUNK)]
    width = np.concatenate([width for width, _ in parts]) * RATE / size
    power = np.concatenate([power for _, power in parts])
    width[power <= power.min() + 0.1 * (power.max() - power.min())] = 0
    return width


def _bandwidth_frame(onset: int) -> int:
    """Return the frame of `_bandwidth` that ends at an onset."""
    return max(0, onset - 4096) // 128


def _attack_bandwidth(bandwidth: np.ndarray) -> float | None:
    """Return the largest bandwidth in the 0.1 s from where it reaches a fifth of its rise; None when it does not rise.

    As in the original, the limit of 0.1 s holds only in segments that go on for as long as they waited for that start.
    """
    if bandwidth.max() <= 0 or np.argmax(bandwidth) == 0:
        return None
    rise, first = _rise(bandwidth)
    start = first + int(np.argmax(rise >= rise.min() + 0.2 * (rise.max() - rise.min())))
    limit = int(0.1 * RATE / 128)
    rest = bandwidth[start:]
    return float(rest[:limit].max() if len(rest) > start + limit else rest.max())


def _durations(samples: np.ndarray, onsets: list[int]) -> list[float]:
    """Return for each onset the seconds from its loudest 256 samples until the RMS is 40 dB below the mix's."""
    whole = (len(samples) - 1) // 256
    blocks = samples[: whole * 256].reshape(-1, 256)
    rms = np.sqrt(np.append(np.einsum("bn,bn->b", blocks, blocks) / 256, np.mean(samples[whole * 256 :] ** 2)))
    rms /= rms.max()
    starts = [onset // 256 for onset in onsets]
    seconds = []
    for begin, end in zip(starts, [*starts[1:], None], strict=True):
        part = rms[begin:end]
        part = part[np.argmax(part) :]
        quiet = np.flatnonzero(part < 0.01)
        seconds.append((quiet[0] if len(quiet) else len(part)) * 256 / RATE)
    return seconds


def _note_spectrum(note: np.ndarray) -> np.ndarray:
    """Return the summed power spectrum [4097] of one note, frames of up to 8192 samples, Tukey windows."""
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
    """Return the share of the variance of log power that a line over log frequency explains."""
    x, y = np.log10(hertz), np.log10(np.maximum(power, 1e-30))
    x, y = x - x.mean(), y - y.mean()
    return float((x @ y) ** 2 / ((x @ x) * (y @ y))) if y.any() else 1.0


def _peaks(curve: np.ndarray, contrast: float) -> np.ndarray:
    """Return the positions in bins of the peaks of curve [n], scaled to at most 1, ascending."""
    from mirflow.dsp.timbral_kernels import contrasting_peaks, interpolated_peak

    return np.array([interpolated_peak(curve, k)[0] for k in contrasting_peaks(curve, contrast)])


def _three_times(samples: np.ndarray, hertz: float, kind: str) -> np.ndarray:
    from scipy.signal import butter

    from mirflow.dsp.timbral_kernels import filter_three_times

    return filter_three_times(*butter(2, hertz, kind, fs=RATE), samples)


def _hamming(size: int) -> np.ndarray:
    from scipy.signal.windows import hamming

    return hamming(size, sym=False)


def _frame_power(samples: np.ndarray, window: np.ndarray, hop: int) -> np.ndarray:
    """Return the power [frame] of windowed frames without their mean, in units of `_power_spectra` (Parseval)."""
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
    """Yield one-sided power spectra [frame, bin] of frames less their mean; a sine of amplitude 1 peaks at 1/2."""
    from scipy.fft import rfft

    scaled = (window * np.sqrt(2) / window.sum()).astype(np.float32)
    views = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), len(window))[::hop]
    for at in range(0, len(views), CHUNK):
        part = views[at : at + CHUNK]
        spectra = rfft((part - part.mean(axis=1, keepdims=True)) * scaled)
        power = spectra.real**2 + spectra.imag**2
        power[:, [0, -1]] /= 2  # have no negative frequency
        yield power


def _score(coefficients: list[float], metrics: list[float] | np.ndarray) -> float:
    """Return the regression; the last coefficient is the constant."""
    return float(np.dot(coefficients, [*metrics, 1.0]))


def _average(values: np.ndarray | list[float], weights: np.ndarray | list[float]) -> float:
    """Return the weighted mean; 0 when no weight is positive."""
    total = np.sum(weights)
    return float(np.dot(values, weights) / total) if total > 0 else 0.0


def _bell(low: int, high: int) -> np.ndarray:
    """Return weights [240] that rise from 0 at `low` to 1 in the middle and fall to 0 at `high` (tenths of a Bark)."""
    bark = np.arange(low, high)
    bell = np.exp(-((bark - (low + high) / 2) ** 2) / 2 * 0.01**2)
    weights = np.zeros(timbral_loudness.BARKS)
    weights[low:high] = (bell - bell.min()) / (bell.max() - bell.min())
    return weights
