"""Separation into four stems: what the stems network says of the short-time spectra, applied to the mix.

The network sees the mid (L+R) and the side (L-R) signal, and says of each cell of their spectra which share of it
belongs to drums, bass, other and vocals. The shares add up to one, and so the stems to the mix. A mono signal has no
side. Surround sound is analysed in a downmix to stereo.
"""

from collections.abc import Callable, Sequence

import numpy as np

from mirflow.core.layout import STEMS
from mirflow.dsp.separation import network
from mirflow.dsp.separation.channels import fold_down, pairs

FRAME_SECONDS = 4096 / 44100  # resolves the partials of a bass above about 40 Hz, and the hits of drums
CHUNK_SECONDS = 40.0
FADE_SECONDS = 1.0
# Vocals that are softer than this against the mix, over `VOICE_SECONDS`, are traces of other sounds: they fade out
# between the two levels, so that music without vocals has none.
VOICE_AGAINST_MIX = (-23.0, -18.0)  # dB
VOICE_SECONDS = 4.0

Gains = dict[str, tuple[np.ndarray, np.ndarray]]  # of drums, bass and vocals, in mid and side: float32 [frame, bin]


def network_gains(mid_side: np.ndarray, spectra: Sequence[np.ndarray], rate: int, hop: int) -> Gains:
    """Return the gains of drums, bass and vocals in [0, 1], from the stems network.

    Parameters
    ----------
    mid_side : float32 [2, n], not silent; the side of a mono signal is zero
    spectra : short-time spectra of mid and side, complex64 [frame, bin]
    rate : Hz
    hop : samples; frames have four hops
    """
    mid, side = spectra
    power = float(np.mean(np.square(mid_side), dtype=np.float64)) * 2
    noise_power = power * float(np.square(_hann(4 * hop)).sum())
    shares = network.run(network.features(mid, side, noise_power), network.weights())
    gains = {
        name: tuple(network.spread(shares[signal, k], mid.shape[1]) for signal in (0, 1))
        for k, name in enumerate(STEMS)
        if name != "other"
    }
    presence = voice_presence(spectra, gains["vocals"], hop / rate)[:, None]
    return gains | {"vocals": tuple(gain * presence for gain in gains["vocals"])}


def voice_presence(spectra: Sequence[np.ndarray], gains: Sequence[np.ndarray], hop_seconds: float) -> np.ndarray:
    """Return 1 where vocals are loud enough to be any, 0 where they are traces of other sounds, float32 [frame].

    Parameters
    ----------
    spectra : of mid and side, complex64 [frame, bin]
    gains : of the vocals in mid and side, float32 [frame, bin]
    hop_seconds : from frame to frame
    """
    from scipy.ndimage import uniform_filter1d

    voice, mix = np.zeros((2, len(spectra[0])))
    for spectrum, gain in zip(spectra, gains, strict=True):
        magnitude = np.abs(spectrum)
        mix += np.square(magnitude).sum(axis=1)
        magnitude *= gain
        voice += np.square(magnitude).sum(axis=1)
    width = round(VOICE_SECONDS / hop_seconds)
    voice, mix = (uniform_filter1d(power, width, mode="nearest") for power in (voice, mix))
    level = 10 * np.log10(np.maximum(voice, 1e-20) / np.maximum(mix, 1e-10))
    least, most = VOICE_AGAINST_MIX
    return np.clip((level - least) / (most - least), 0, 1).astype(np.float32)


def separate(
    samples: np.ndarray,
    rate: int,
    layout: Sequence[str] = (),
    gains: Callable[[np.ndarray, Sequence[np.ndarray], int, int], Gains] = network_gains,
) -> dict[str, np.ndarray]:
    """Separate a mix into drums, bass, other and vocals.

    The mix is separated in chunks of equal length, at most `CHUNK_SECONDS` + `FADE_SECONDS`. Consecutive chunks are
    cross-faded over `FADE_SECONDS`.

    Parameters
    ----------
    samples : float32 [channel, n]
    rate : Hz
    layout : the positions of the channels (`mirflow.core.channels`); empty: the default
    gains : what decides, with the parameters of `network_gains`

    Returns
    -------
    drums, bass, other, vocals : float32 [channel, n]; their sum is the mix, except for rounding
    """
    channels, n = samples.shape
    stems = {name: np.zeros((channels, n), np.float32) for name in STEMS}
    if not n:
        return stems
    fade = round(FADE_SECONDS * rate)
    count = max(int(np.ceil((n - fade) / (CHUNK_SECONDS * rate))), 1)
    bounds = [round(k * (n - fade) / count) for k in range(count)]
    for k, start in enumerate(bounds):
        stop = n if k == count - 1 else bounds[k + 1] + fade
        ramp = np.ones(stop - start, np.float32)
        if k > 0:
            ramp[:fade] = np.linspace(0, 1, fade, dtype=np.float32)
        if k < count - 1:
            ramp[-fade:] = np.linspace(1, 0, fade, dtype=np.float32)
        for name, part in _separate_chunk(samples[:, start:stop], rate, layout, gains).items():
            part *= ramp
            stems[name][:, start:stop] += part
    np.subtract(samples, stems["drums"], out=stems["other"])
    stems["other"] -= stems["bass"]
    stems["other"] -= stems["vocals"]
    return stems


def _separate_chunk(
    samples: np.ndarray, rate: int, layout: Sequence[str], gains: Callable[..., Gains]
) -> dict[str, np.ndarray]:
    """Separate one chunk [channel, n]. Returns drums, bass and vocals, float32 [channel, n]; nothing for silence.

    An offset is no sound, and lossy formats may remove it. So nothing depends on it, and it stays in `other`, which is
    what is left of the mix.
    """
    from scipy.fft import next_fast_len

    channels, n = samples.shape
    samples = samples - samples.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    power = float(np.mean(np.square(samples), dtype=np.float64))
    if power == 0:
        return {}
    hop = max(next_fast_len(round(FRAME_SECONDS * rate / 4), real=True), 8)
    level = np.float32(np.sqrt(power))
    stereo = fold_down(samples, layout) / level
    mid_side = mid_and_side(stereo) if len(stereo) == 2 else np.concatenate([stereo, np.zeros_like(stereo)])
    spectra = [stft(signal, 4 * hop, hop) for signal in mid_side]
    of_stems = gains(mid_side, spectra, rate, hop)

    stems = {name: np.empty_like(samples) for name in of_stems}
    for first, second in pairs(channels, layout):
        members = [first] if second is None else [first, second]
        if channels > 2:
            pair = samples[members] / level
            spectra = [stft(signal, 4 * hop, hop) for signal in (mid_and_side(pair) if len(pair) == 2 else pair)]
        for name, part in stems.items():
            signals = [istft(spectra[k] * of_stems[name][k], hop, n) for k in range(len(members))]
            part[members] = mid_and_side(np.stack(signals)) if len(signals) == 2 else signals[0]
            part[members] *= level
    return stems


def mid_and_side(pair: np.ndarray) -> np.ndarray:
    """Convert left and right to mid and side, or back: float32 [2, n] → float32 [2, n]. The power is preserved."""
    return np.stack([pair[0] + pair[1], pair[0] - pair[1]]) * np.float32(np.sqrt(0.5))


def _hann(size: int) -> np.ndarray:
    """Return the periodic Hann window, float32 [size]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


def stft(signal: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Return the short-time spectrum with a Hann window: float32 [n] → complex64 [frame, bin].

    Frame k is centred on sample k * hop. `size` and `hop` are in samples.
    """
    from scipy.fft import rfft

    frames = -(-len(signal) // hop) + 1
    padded = np.zeros((frames - 1) * hop + size, np.float32)
    padded[size // 2 : size // 2 + len(signal)] = signal
    return rfft(np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * _hann(size), axis=1)


def istft(spectrum: np.ndarray, hop: int, length: int) -> np.ndarray:
    """Invert `stft` in the least-squares sense: complex64 [frame, bin] → float32 [length].

    `hop` is in samples, and must be a quarter of the frame length.
    """
    from scipy.fft import irfft

    size = 2 * (spectrum.shape[1] - 1)
    blocks = irfft(spectrum, size, axis=1) * _hann(size)
    frames, overlap = len(blocks), size // hop
    summed = np.zeros((frames + overlap - 1, hop), np.float32)
    weight = np.zeros((frames + overlap - 1, hop), np.float32)
    window = np.square(_hann(size)).reshape(overlap, hop)
    for k in range(overlap):
        summed[k : k + frames] += blocks[:, k * hop : (k + 1) * hop]
        weight[k : k + frames] += window[k]
    inner = slice(size // 2, size // 2 + length)
    return summed.ravel()[inner] / weight.ravel()[inner]
