"""Four stems by signal processing alone: no model, no download.

Each stem has a power model in the short-time spectrum of mid (L+R) and side (L-R), and one Wiener filter at the end
divides the mix by the models, so that the stems add up to it. What the models rest on:

- Drums are smooth over frequency, pitched sounds are smooth over time: medians over either (Fitzgerald 2010), refined
  once on what the first pass gave to each (kernel additive modelling, Liutkus et al. 2014).
- Kick, snare and bass sit in the middle; accompaniment is spread. A spread sound has about as much power in the side as
  in the mid, so the side says how much of the mid is spread (Avendano & Jot 2004, in powers).
- Bass is the lowest voice of the middle: its fundamental is tracked, and it owns the partials of that, as far as they
  are in proportion to its usual spectrum.
- Voices never hold a pitch still (Regnier & Peeters 2009, who look for vibrato): what moves in frequency from frame to
  frame is vocals, if the mix has enough of it to be more than an instrument's vibrato. A string orchestra has as well.
- Below the lowest note of any bass there is no instrument, and far up there is little pitched sound.

Mono is the case without any side. Surround sound is analysed folded down to stereo.
"""

import numpy as np

from mirflow.dsp.separation_layout import fold_down, pairs

VERSION = 1
NAMES = ("drums", "bass", "other", "vocals")

FRAME_SECONDS = 4096 / 44100  # resolves bass partials from about 40 Hz on, and still drum hits
CHUNK_SECONDS = 40.0
FADE_SECONDS = 1.0
ANALYSED_UP_TO = 16000.0  # Hz
LOWEST_NOTE = 25.0  # Hz; below is rumble and offset

SUSTAIN_FRAMES = 17  # median over time, 0.4 s: longer than a drum hit's core, shorter than a chord
SMOOTH_LOW_BINS, SMOOTH_BINS = 11, 31  # median over frequency, 120 and 330 Hz: wider than a partial's peak
SMOOTH_SPLIT = 300.0  # Hz; the body of a kick is itself a peak, which the wide median would erase
CLOSE_BELOW, CLOSE_HELD = 600.0, 0.7  # Hz, share: partials too close to leave gaps are taken off before that median
PITCHED_UP_TO = 8000.0  # Hz; half of the sustained power up there counts as noise of cymbals
DRUM_SIDE = 0.2  # share of side power that smooth spectra keep: drums are narrower than what surrounds them
CENTRE_SIDE = 0.003  # power of the side over the mid of a sound in the middle (-25 dB)
SPREAD = 1.5  # mid over side power of spread sounds: their channels are a little correlated

VOICE_RANGE = (200.0, 4000.0)  # Hz
VOICE_WANDER = (4.0, 7.0)  # cents a hop: held notes stay below, voices and choirs come above
WANDER_LIMIT = 15.0  # cents a hop; more is noise, not a note
WANDER_FRAMES, WANDER_BINS = 17, 9  # neighbourhood that shares one wander, 0.4 s and 97 Hz
VOICE_SHARE = (0.25, 0.35)  # of the power of all but drums and bass: below, a mix has no vocals; above, it has

BASS_NOTES = (30.0, 165.0)  # Hz, fundamental: B0 to E3
BASS_STEPS = 24  # pitches an octave
BASS_PARTIALS = 6
TRACK_PARTIALS, TRACK_DECAY, TRACK_POWER = 5, 0.8, 0.7  # salience: how many, weight of each next, compression
TRACK_SUSTAIN_FRAMES = 9  # 0.2 s
JUMP_COST = 0.5  # of the path, in units of the strongest salience, for a step of JUMP_SEMITONES or any larger one
JUMP_SEMITONES = 2.0
PARTIAL_WIDTH = 13.0  # Hz, standard deviation: the main lobe of the frame's window
BASS_UP_TO = 500.0  # Hz


def separate(samples: np.ndarray, rate: int) -> dict[str, np.ndarray]:
    """Split a mix into drums, bass, other and vocals.

    Parameters
    ----------
    samples : float32 [channel, n]
    rate : Hz

    Returns
    -------
    drums, bass, other, vocals : float32 [channel, n]; their sum is the mix (to rounding)

    Notes
    -----
    Works on chunks of equal length, at most `CHUNK_SECONDS`, that overlap by `FADE_SECONDS` and are cross-faded.
    """
    channels, n = samples.shape
    stems = {name: np.zeros((channels, n), np.float32) for name in NAMES}
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
        for name, part in _separate_chunk(samples[:, start:stop], rate).items():
            part *= ramp
            stems[name][:, start:stop] += part
    np.subtract(samples, stems["drums"], out=stems["other"])
    stems["other"] -= stems["bass"]
    stems["other"] -= stems["vocals"]
    return stems


def _separate_chunk(samples: np.ndarray, rate: int) -> dict[str, np.ndarray]:
    """Return all stems but `other`, which is the rest: float32 [channel, n]."""
    from scipy.fft import next_fast_len

    channels, n = samples.shape
    power = float(np.mean(np.square(samples), dtype=np.float64))
    if power == 0:
        return {}
    hop = max(next_fast_len(round(FRAME_SECONDS * rate / 4), real=True), 8)
    level = np.float32(np.sqrt(power))
    stereo = fold_down(samples) / level
    mid_side = mid_and_side(stereo) if len(stereo) == 2 else np.concatenate([stereo, np.zeros_like(stereo)])
    spectra = [stft(signal, 4 * hop, hop) for signal in mid_side]
    gains = stem_gains(mid_side, spectra, rate, hop)

    stems = {name: np.empty_like(samples) for name in gains}
    for first, second in pairs(channels):
        members = [first] if second is None else [first, second]
        if channels > 2:
            pair = samples[members] / level
            spectra = [stft(signal, 4 * hop, hop) for signal in (mid_and_side(pair) if len(pair) == 2 else pair)]
        for name, part in stems.items():
            signals = [istft(spectra[k] * gains[name][k], hop, n) for k in range(len(members))]
            part[members] = mid_and_side(np.stack(signals)) if len(signals) == 2 else signals[0]
            part[members] *= level
    return stems


def mid_and_side(pair: np.ndarray) -> np.ndarray:
    """Rotate left and right into mid and side, or back: float32 [2, n] → [2, n], power kept."""
    return np.stack([pair[0] + pair[1], pair[0] - pair[1]]) * np.float32(np.sqrt(0.5))


def stem_gains(
    mid_side: np.ndarray, spectra: list[np.ndarray], rate: int, hop: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the Wiener gains of every stem but `other`, for mid and for side: float32 [frame, bin] in [0, 1].

    Parameters
    ----------
    mid_side : float32 [2, n] at a root mean square near 1; the side of mono is zero
    spectra : their short-time spectra, complex64 [frame, bin]
    rate, hop : Hz, samples; the frame is four hops
    """
    bins = spectra[0].shape[1]
    analysed = min(int(ANALYSED_UP_TO * 4 * hop / rate) + 1, bins)
    spectra = [spectrum[:, :analysed] for spectrum in spectra]
    mid, side = (np.abs(spectrum) for spectrum in spectra)  # [frame, bin]
    frequency = np.arange(mid.shape[1], dtype=np.float32) * np.float32(rate / (4 * hop))
    pitched = 1 / (1 + np.square(frequency / PITCHED_UP_TO))
    audible = frequency > LOWEST_NOTE
    split = int(np.searchsorted(frequency, SMOOTH_SPLIT))
    has_side = bool(mid_side[1].any())
    tiny = np.float32(1e-12)

    def sustained(magnitude: np.ndarray) -> np.ndarray:
        return np.square(running_median(magnitude.T, SUSTAIN_FRAMES).T) * pitched

    def smooth(magnitude: np.ndarray) -> np.ndarray:
        low = running_median(magnitude[:, : split + SMOOTH_BINS], SMOOTH_LOW_BINS)[:, :split]
        high = running_median(magnitude[:, max(split - SMOOTH_BINS, 0) :], SMOOTH_BINS)[:, min(split, SMOOTH_BINS) :]
        return np.square(np.concatenate([low, high], axis=1)) * audible

    zero = np.zeros_like(side)
    held = (CLOSE_HELD * (frequency < CLOSE_BELOW)).astype(np.float32)
    tone_like = mid, side
    for last in (False, True):
        tone_mid, tone_side = sustained(tone_like[0]), sustained(tone_like[1]) if has_side else zero
        if not last:
            drum_like = (
                np.sqrt(np.maximum(np.square(mid) - held * tone_mid, 0)),
                np.sqrt(np.maximum(np.square(side) - held * tone_side, 0)),
            )
        hit_mid, hit_side = smooth(drum_like[0]), smooth(drum_like[1]) if has_side else zero
        drums_mid = np.maximum(hit_mid - hit_side * pitched, 0.1 * hit_mid)
        drums_side = hit_side * (DRUM_SIDE * pitched + 1 - pitched)
        gain_mid = drums_mid / (drums_mid + tone_mid + tiny)
        gain_side = drums_side / (drums_side + tone_side + tiny)
        if not last:
            drum_like = mid * np.sqrt(gain_mid), side * np.sqrt(gain_side)
            tone_like = mid * np.sqrt(1 - gain_mid), side * np.sqrt(1 - gain_side)

    centre = np.maximum(tone_mid - SPREAD * tone_side, 0.03 * tone_mid)
    fundamental = track_bass(mid_side, rate, hop, len(mid))
    bass_mid = centre * bass_share(centre, frequency, fundamental)
    rest_mid = tone_mid - bass_mid
    total_mid = drums_mid + tone_mid + tiny
    total_side = drums_side + CENTRE_SIDE * (bass_mid + rest_mid) + tone_side + tiny
    drums = drums_mid / total_mid, drums_side / total_side
    bass = bass_mid / total_mid, CENTRE_SIDE * bass_mid / total_side
    rest = [1 - of_drums - of_bass for of_drums, of_bass in zip(drums, bass, strict=True)]
    voice = voice_share(spectra, rest, frequency, hop / rate)
    gains = {"drums": drums, "bass": bass, "vocals": (rest[0] * voice, rest[1] * voice)}
    if analysed == bins:
        return gains
    top = analysed - analysed // 8  # above, the mean of the highest eighth holds
    return {
        name: tuple(
            np.concatenate(
                [gain, np.repeat(gain[:, top:].mean(axis=1, keepdims=True), bins - analysed, axis=1)], axis=1
            )
            for gain in pair
        )
        for name, pair in gains.items()
    }


def voice_share(
    spectra: list[np.ndarray], rest: list[np.ndarray], frequency: np.ndarray, hop_seconds: float
) -> np.ndarray:
    """Return how much of what is neither drums nor bass is vocals: float32 [frame, bin] in [0, 1].

    The phase's second difference over frames is the change of instantaneous frequency; its mean over a neighbourhood,
    weighted by power, is the wander of a sound in cents a hop. It is small for held notes, whatever their timbre.

    Parameters
    ----------
    spectra : complex64 [frame, bin] of mid and side
    rest : gain of neither drums nor bass in mid and side, [frame, bin]
    """
    from scipy.ndimage import uniform_filter

    share = np.zeros(spectra[0].shape, np.float32)
    first, last = np.searchsorted(frequency, VOICE_RANGE)
    if len(share) < 3 or last - first < WANDER_BINS:
        return share
    radian = np.float32(1200 / np.log(2) / (2 * np.pi * hop_seconds))  # cents times Hz, of a radian a hop
    cents = radian / frequency[first:last]
    neighbourhood = WANDER_FRAMES, WANDER_BINS
    moved, weight, present, everything = 0, 0, [], 0.0
    for spectrum, gain in zip(spectra, rest, strict=True):
        power = np.square(np.abs(spectrum) * gain)
        everything += float(power.sum(dtype=np.float64))
        power, spectrum = power[:, first:last], spectrum[:, first:last]
        step = spectrum[1:] * spectrum[:-1].conj()
        change = np.minimum(np.abs(np.angle(step[1:] * step[:-1].conj())) * cents, WANDER_LIMIT)
        moved = moved + uniform_filter(np.pad(change, ((1, 1), (0, 0)), mode="edge") * power, neighbourhood)
        weight = weight + uniform_filter(power, neighbourhood)
        present.append(power)
    wander = moved / (weight + np.float32(1e-6))
    wandering = np.clip((wander - VOICE_WANDER[0]) / (VOICE_WANDER[1] - VOICE_WANDER[0]), 0, 1)
    part = sum(float((power * wandering).sum(dtype=np.float64)) for power in present) / max(everything, 1e-12)
    share[:, first:last] = wandering * np.clip((part - VOICE_SHARE[0]) / (VOICE_SHARE[1] - VOICE_SHARE[0]), 0, 1)
    return share


def track_bass(mid_side: np.ndarray, rate: int, hop: int, frames: int) -> np.ndarray:
    """Return the fundamental of the lowest voice in the middle, Hz, for every frame.

    The salience of a pitch is the weighted sum of the compressed amplitudes at its partials, less half of those between
    them (which tells a pitch from the octave below); the path costs less the smaller its steps are (Viterbi).
    """
    size = 8 * hop  # twice the frame: partials 30 Hz apart
    bins = min(int(BASS_NOTES[1] * (TRACK_PARTIALS + 1) * size / rate) + 2, size // 2 + 1)
    mid, side = (np.abs(stft(signal, size, hop)[:frames, :bins]).T for signal in mid_side)  # [bin, frame]
    tone_mid, tone_side = (np.square(running_median(part, TRACK_SUSTAIN_FRAMES)) for part in (mid, side))
    strength = np.maximum(tone_mid - tone_side, 0) ** (TRACK_POWER / 2)

    octaves = np.log2(BASS_NOTES[1] / BASS_NOTES[0])
    pitches = BASS_NOTES[0] * 2 ** (np.arange(int(octaves * BASS_STEPS) + 1) / BASS_STEPS)
    salience = np.zeros((len(pitches), frames), np.float32)
    for partial in range(1, TRACK_PARTIALS + 1):
        for multiple, sign in ((partial, 1.0), (partial - 0.5, -0.5)):
            position = pitches * multiple * size / rate
            below = np.minimum(position.astype(int), bins - 2)
            weight = np.clip(position - below, 0, 1).astype(np.float32)[:, None]
            amplitude = strength[below] * (1 - weight) + strength[below + 1] * weight
            salience += np.float32(sign * TRACK_DECAY ** (partial - 1)) * amplitude
    salience /= max(float(salience.max()), 1e-12)

    semitones = np.arange(len(pitches)) * 12 / BASS_STEPS
    step_cost = JUMP_COST * np.minimum(np.abs(np.subtract.outer(semitones, semitones)) / JUMP_SEMITONES, 1)
    best = salience[:, 0].astype(np.float64)
    came_from = np.zeros((frames, len(pitches)), np.int32)
    every = np.arange(len(pitches))
    for frame in range(1, frames):
        reached = best[None, :] - step_cost
        came_from[frame] = reached.argmax(axis=1)
        best = reached[every, came_from[frame]] + salience[:, frame]
    path = np.empty(frames, np.int32)
    path[-1] = best.argmax()
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return pitches[path].astype(np.float32)


def bass_share(centre: np.ndarray, frequency: np.ndarray, fundamental: np.ndarray) -> np.ndarray:
    """Return how much of the power in the middle is the bass's: float32 [frame, bin] in [0, 1].

    A bass keeps its timbre: partial k is `usual[k]` dB over the note's level. Whatever is more than 6 dB above that is
    somebody else on the same frequency.
    """
    bins = centre.shape[1]
    width = frequency[1]
    partials = np.arange(1, BASS_PARTIALS + 1)
    at = np.minimum(np.rint(fundamental[:, None] * partials / width).astype(int), bins - 1)  # [frame, partial]
    level = 10 * np.log10(np.take_along_axis(centre, at, axis=1) + 1e-9)
    usual = np.zeros(BASS_PARTIALS)
    for _ in range(3):
        note = np.median(level - usual, axis=1)
        playing = note >= np.percentile(note, 40)
        usual = np.percentile((level - note[:, None])[playing], 60, axis=0)
    limit = (10 ** ((note[:, None] + usual + 6) / 10)).astype(np.float32)

    # a bass has a fundamental, if a weak one; a lone higher voice, taken for partials of a lower one, has none
    founded = np.clip((level[:, 0] - level.max(axis=1) + 40) / 10, 0, 1).astype(np.float32)

    share = np.zeros_like(centre)
    used = min(int(1500 / width) + 1, bins)
    for k, partial in enumerate(partials):
        distance = frequency[None, :used] - (partial * fundamental)[:, None]
        tooth = np.exp(-0.5 * np.square(distance / PARTIAL_WIDTH))
        tooth *= np.minimum(1, limit[:, [k]] / (centre[:, :used] + np.float32(1e-9)))
        np.maximum(share[:, :used], tooth, out=share[:, :used])
    share *= founded[:, None]
    return share * ((frequency > LOWEST_NOTE) / (1 + (frequency / BASS_UP_TO) ** 4)).astype(np.float32)


def running_median(rows: np.ndarray, size: int) -> np.ndarray:
    """Return the median of `size` (odd) neighbours along each row, edges mirrored: float32 [row, n] → [row, n].

    All rows go through one call on one long line, since the one-dimensional filter is ten times as fast as the general
    one; the mirrored edges keep the rows apart.
    """
    from scipy.ndimage import median_filter

    half = size // 2
    padded = np.pad(rows, ((0, 0), (half, half)), mode="symmetric")
    return median_filter(padded.ravel(), size).reshape(padded.shape)[:, half : half + rows.shape[1]]


def _hann(size: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


def stft(signal: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Return the short-time spectrum, Hann frames around multiples of `hop`: float32 [n] → complex64 [frame, bin]."""
    from scipy.fft import rfft

    frames = -(-len(signal) // hop) + 1
    padded = np.zeros((frames - 1) * hop + size, np.float32)
    padded[size // 2 : size // 2 + len(signal)] = signal
    return rfft(np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * _hann(size), axis=1)


def istft(spectrum: np.ndarray, hop: int, length: int) -> np.ndarray:
    """Invert `stft` (least squares) with a frame of four hops: complex64 [frame, bin] → float32 [length]."""
    from scipy.fft import irfft

    size = 2 * (spectrum.shape[1] - 1)
    blocks = irfft(spectrum, size, axis=1) * _hann(size)
    frames, overlap = len(blocks), size // hop
    line = np.zeros((frames + overlap - 1, hop), np.float32)
    weight = np.zeros((frames + overlap - 1, hop), np.float32)
    window = np.square(_hann(size)).reshape(overlap, hop)
    for k in range(overlap):
        line[k : k + frames] += blocks[:, k * hop : (k + 1) * hop]
        weight[k : k + frames] += window[k]
    inner = slice(size // 2, size // 2 + length)
    return line.ravel()[inner] / weight.ravel()[inner]


def simple_split(samples: np.ndarray, rate: int) -> dict[str, np.ndarray]:
    """Split into percussive, harmonic below 160 Hz and harmonic above: what any separator has to beat.

    Parameters
    ----------
    samples : float32 [channel, n]
    rate : Hz

    Returns
    -------
    drums, bass, other, vocals : float32 [channel, n]; vocals are zero; the sum is the mix
    """
    hop = max(round(FRAME_SECONDS * rate / 4), 8)
    spectra = [stft(signal, 4 * hop, hop) for signal in samples]
    magnitude = np.mean([np.abs(spectrum) for spectrum in spectra], axis=0)
    tone = np.square(running_median(magnitude.T, SUSTAIN_FRAMES).T)
    hit = np.square(running_median(magnitude, SUSTAIN_FRAMES))
    drums = hit / (hit + tone + np.float32(1e-20))
    bass = (1 - drums) * (np.arange(magnitude.shape[1]) * rate / (4 * hop) < 160)
    n = samples.shape[1]
    stems = {
        name: np.stack([istft(spectrum * gain, hop, n) for spectrum in spectra])
        for name, gain in (("drums", drums), ("bass", bass))
    }
    stems["other"] = samples - stems["drums"] - stems["bass"]
    stems["vocals"] = np.zeros_like(samples)
    return {name: stems[name] for name in NAMES}
