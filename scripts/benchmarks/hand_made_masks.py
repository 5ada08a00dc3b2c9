"""Separation into four stems by signal processing, as mirflow 0.1 did it: what the stems network is compared with.

The power spectrum of each stem is estimated in the short-time spectra of the mid (L+R) and the side (L-R) signal. One
Wiener filter then divides the mix between these estimates, so the stems add up to the mix. The assumptions are:

- Drums are smooth over frequency, and pitched sounds are smooth over time. Median filtering over frequency and over
  time separates them (Fitzgerald 2010). It is repeated once on the two parts (kernel additive modelling, Liutkus et
  al. 2014).
- Kick, snare and bass are in the centre of the stereo image; the accompaniment is spread. A spread sound has similar
  power in mid and side, so the side is an estimate of the spread part of the mid (Avendano & Jot 2004).
- The bass is the lowest voice in the centre. Its fundamental frequency is tracked, and it gets the partials of that
  fundamental, as far as their levels agree with its average timbre.
- The pitch of a voice is never constant (Regnier & Peeters 2009 detect vibrato). Components whose frequency varies from
  frame to frame are vocals, if there are enough of them. A string orchestra has such components, too.
- Instruments have no energy below the lowest note of a bass, and little pitched energy at very high frequencies.

A mono signal has no side. Surround sound is analysed in a downmix to stereo.
"""

import numpy as np

from mirflow.dsp.separation import split
from mirflow.dsp.separation.split import stft

ANALYSED_UP_TO = 16000.0  # Hz; above it, the gains are the means of those just below
LOWEST_NOTE = 25.0  # Hz; below it there are only rumble and offset

# Median filters for the separation of harmonic and percussive parts.
HARMONIC_FRAMES = 17  # over time, 0.4 s: longer than the loud part of a drum hit, shorter than a chord
PERCUSSIVE_LOW_BINS, PERCUSSIVE_BINS = 11, 31  # over frequency, 120 and 330 Hz: wider than the peak of a partial
PERCUSSIVE_SPLIT = 300.0  # Hz; below it the narrow filter is used, because the wide one would remove the peak of a kick
# Below this frequency (Hz), partials are too close for the median over frequency. So this share of the harmonic power
# is subtracted before it.
PRESUBTRACT_BELOW, PRESUBTRACT_SHARE = 600.0, 0.7
HARMONIC_UP_TO = 8000.0  # Hz, where half of the harmonic power counts as noise of cymbals; more at higher frequencies
# Part of the percussive side power that counts as drums at low frequencies: drums are less spread than other sounds.
DRUM_SIDE_SHARE = 0.2
CENTRE_SIDE_RATIO = 0.003  # side power over mid power of a sound in the centre (-25 dB)
SPREAD_RATIO = 1.5  # mid power over side power of spread sounds; above 1, because their channels are correlated

VOICE_RANGE = (200.0, 4000.0)  # Hz
VOICE_VARIATION = (4.0, 7.0)  # cents per hop: sustained notes are below this range, voices and choirs are above it
VARIATION_LIMIT = 15.0  # cents per hop; larger changes come from noise and are clipped
VARIATION_FRAMES, VARIATION_BINS = 17, 9  # neighbourhood over which the variation is averaged, 0.4 s and 97 Hz
# Share of varying components in the power of all but drums and bass: below this range a mix has no vocals.
VOICE_POWER_SHARE = (0.25, 0.35)

BASS_RANGE = (30.0, 165.0)  # Hz, of the fundamental: B0 to E3
STEPS_PER_OCTAVE = 24  # resolution of the tracked fundamental
BASS_PARTIALS = 6
TRACK_PARTIALS, TRACK_DECAY, TRACK_POWER = 5, 0.8, 0.7  # of the salience: number, weight ratio, compression exponent
TRACK_MEDIAN_FRAMES = 9  # 0.2 s
JUMP_COST = 0.5  # cost of a step of JUMP_SEMITONES or more, relative to the largest salience
JUMP_SEMITONES = 2.0
PARTIAL_WIDTH = 13.0  # Hz, standard deviation: the main lobe of the window
BASS_UP_TO = 500.0  # Hz, where the gain of the bass starts to fall


def separate(samples: np.ndarray, rate: int) -> dict[str, np.ndarray]:
    """Separate a mix, float32 [1 or 2, n], into drums, bass, other and vocals.

    Source
    ------
    Fitzgerald 2010, Harmonic/percussive separation using median filtering, DAFx
    Liutkus, Fitzgerald, Rafii, Pardo & Daudet 2014, Kernel additive models for source separation, IEEE TSP 62(16)
    Avendano & Jot 2004, A frequency-domain approach to multichannel upmix, JAES 52
    Regnier & Peeters 2009, Singing voice detection in music tracks using direct voice vibrato detection, ICASSP
    """
    return split.separate(samples, rate, gains=stem_gains)


def stem_gains(mid_side: np.ndarray, spectra: list[np.ndarray], rate: int, hop: int) -> split.Gains:
    """Return the Wiener gains of drums, bass and vocals.

    Parameters
    ----------
    mid_side : float32 [2, n], with a root mean square near 1; the side of a mono signal is zero
    spectra : short-time spectra of mid and side, complex64 [frame, bin]
    rate : Hz
    hop : samples; frames have four hops

    Returns
    -------
    drums, bass, vocals : (gain of mid, gain of side), float32 [frame, bin] in [0, 1]
    """
    bins = spectra[0].shape[1]
    analysed = min(int(ANALYSED_UP_TO * 4 * hop / rate) + 1, bins)
    spectra = [spectrum[:, :analysed] for spectrum in spectra]
    mid, side = (np.abs(spectrum) for spectrum in spectra)  # [frame, bin]
    frequency = np.arange(mid.shape[1], dtype=np.float32) * np.float32(rate / (4 * hop))
    harmonic_weight = 1 / (1 + np.square(frequency / HARMONIC_UP_TO))
    audible = frequency > LOWEST_NOTE
    border = int(np.searchsorted(frequency, PERCUSSIVE_SPLIT))
    has_side = bool(mid_side[1].any())
    tiny = np.float32(1e-12)

    def harmonic_power(magnitude: np.ndarray) -> np.ndarray:
        return np.square(running_median(magnitude.T, HARMONIC_FRAMES).T) * harmonic_weight

    def percussive_power(magnitude: np.ndarray) -> np.ndarray:
        low = running_median(magnitude[:, : border + PERCUSSIVE_BINS], PERCUSSIVE_LOW_BINS)[:, :border]
        high = running_median(magnitude[:, max(border - PERCUSSIVE_BINS, 0) :], PERCUSSIVE_BINS)
        high = high[:, min(border, PERCUSSIVE_BINS) :]
        return np.square(np.concatenate([low, high], axis=1)) * audible

    zero = np.zeros_like(side)
    presubtracted = (PRESUBTRACT_SHARE * (frequency < PRESUBTRACT_BELOW)).astype(np.float32)
    harmonic_input = mid, side
    for final in (False, True):
        harmonic_mid = harmonic_power(harmonic_input[0])
        harmonic_side = harmonic_power(harmonic_input[1]) if has_side else zero
        if not final:
            percussive_input = (
                np.sqrt(np.maximum(np.square(mid) - presubtracted * harmonic_mid, 0)),
                np.sqrt(np.maximum(np.square(side) - presubtracted * harmonic_side, 0)),
            )
        percussive_mid = percussive_power(percussive_input[0])
        percussive_side = percussive_power(percussive_input[1]) if has_side else zero
        drums_mid = np.maximum(percussive_mid - percussive_side * harmonic_weight, 0.1 * percussive_mid)
        drums_side = percussive_side * (DRUM_SIDE_SHARE * harmonic_weight + 1 - harmonic_weight)
        gain_mid = drums_mid / (drums_mid + harmonic_mid + tiny)
        gain_side = drums_side / (drums_side + harmonic_side + tiny)
        if not final:
            percussive_input = mid * np.sqrt(gain_mid), side * np.sqrt(gain_side)
            harmonic_input = mid * np.sqrt(1 - gain_mid), side * np.sqrt(1 - gain_side)

    centre = np.maximum(harmonic_mid - SPREAD_RATIO * harmonic_side, 0.03 * harmonic_mid)
    fundamental = track_bass(mid_side, rate, hop, len(mid))
    bass_mid = centre * bass_share(centre, frequency, fundamental)
    rest_mid = harmonic_mid - bass_mid
    total_mid = drums_mid + harmonic_mid + tiny
    total_side = drums_side + CENTRE_SIDE_RATIO * (bass_mid + rest_mid) + harmonic_side + tiny
    drums = drums_mid / total_mid, drums_side / total_side
    bass = bass_mid / total_mid, CENTRE_SIDE_RATIO * bass_mid / total_side
    rest = [1 - of_drums - of_bass for of_drums, of_bass in zip(drums, bass, strict=True)]
    voice = voice_share(spectra, rest, frequency, hop / rate)
    gains = {"drums": drums, "bass": bass, "vocals": (rest[0] * voice, rest[1] * voice)}
    if analysed == bins:
        return gains
    # Above the analysed bins, the gain is the mean over the highest eighth of them.
    top_eighth = analysed - analysed // 8
    return {
        name: tuple(
            np.concatenate(
                [gain, np.repeat(gain[:, top_eighth:].mean(axis=1, keepdims=True), bins - analysed, axis=1)], axis=1
            )
            for gain in pair
        )
        for name, pair in gains.items()
    }


def voice_share(
    spectra: list[np.ndarray], rest: list[np.ndarray], frequency: np.ndarray, hop_seconds: float
) -> np.ndarray:
    """Return the share of the vocals in everything but drums and bass.

    The second difference of the phase over frames is the change of the instantaneous frequency. Its mean over a
    neighbourhood, weighted by power, is the frequency variation of a sound in cents per hop. It is small for sustained
    notes of any timbre.

    Parameters
    ----------
    spectra : of mid and side, complex64 [frame, bin]
    rest : gains of everything but drums and bass, for mid and side [frame, bin]
    frequency : of the bins in Hz [bin]
    hop_seconds : seconds

    Returns
    -------
    float32 [frame, bin] in [0, 1]
    """
    from scipy.ndimage import uniform_filter

    result = np.zeros(spectra[0].shape, np.float32)
    begin, end = np.searchsorted(frequency, VOICE_RANGE)
    if len(result) < 3 or end - begin < VARIATION_BINS:
        return result
    radian = np.float32(1200 / np.log(2) / (2 * np.pi * hop_seconds))  # cents times Hz, for one radian per hop
    cents = radian / frequency[begin:end]
    neighbourhood = VARIATION_FRAMES, VARIATION_BINS
    total_variation, weight, powers, total_power = 0, 0, [], 0.0
    for spectrum, gain in zip(spectra, rest, strict=True):
        power = np.square(np.abs(spectrum) * gain)
        total_power += float(power.sum(dtype=np.float64))
        power, spectrum = power[:, begin:end], spectrum[:, begin:end]
        step = spectrum[1:] * spectrum[:-1].conj()
        change = np.minimum(np.abs(np.angle(step[1:] * step[:-1].conj())) * cents, VARIATION_LIMIT)
        change = np.pad(change, ((1, 1), (0, 0)), mode="edge")
        total_variation = total_variation + uniform_filter(change * power, neighbourhood)
        weight = weight + uniform_filter(power, neighbourhood)
        powers.append(power)
    variation = total_variation / (weight + np.float32(1e-6))
    vocal_weight = np.clip((variation - VOICE_VARIATION[0]) / (VOICE_VARIATION[1] - VOICE_VARIATION[0]), 0, 1)
    varying_share = sum(float((power * vocal_weight).sum(dtype=np.float64)) for power in powers) / max(
        total_power, 1e-12
    )
    least, most = VOICE_POWER_SHARE
    result[:, begin:end] = vocal_weight * np.clip((varying_share - least) / (most - least), 0, 1)
    return result


def track_bass(mid_side: np.ndarray, rate: int, hop: int, frames: int) -> np.ndarray:
    """Return the fundamental frequency of the lowest voice in the centre.

    The salience of a pitch is the weighted sum of the compressed amplitudes at its partials, minus half of those midway
    between its partials. The latter distinguish a pitch from the pitch one octave below. The Viterbi algorithm finds
    the path with the largest total salience, minus a cost for pitch changes that increases with their size.

    Parameters
    ----------
    mid_side : float32 [2, n]
    rate : Hz
    hop : samples
    frames : number of frames

    Returns
    -------
    Hz, float32 [frame]
    """
    size = 8 * hop  # twice the usual frame, to resolve partials that are 30 Hz apart
    bins = min(int(BASS_RANGE[1] * (TRACK_PARTIALS + 1) * size / rate) + 2, size // 2 + 1)
    mid, side = (np.abs(stft(signal, size, hop)[:frames, :bins]).T for signal in mid_side)  # [bin, frame]
    harmonic_mid, harmonic_side = (np.square(running_median(m, TRACK_MEDIAN_FRAMES)) for m in (mid, side))
    strength = np.maximum(harmonic_mid - harmonic_side, 0) ** (TRACK_POWER / 2)

    octaves = np.log2(BASS_RANGE[1] / BASS_RANGE[0])
    pitches = BASS_RANGE[0] * 2 ** (np.arange(int(octaves * STEPS_PER_OCTAVE) + 1) / STEPS_PER_OCTAVE)
    salience = np.zeros((len(pitches), frames), np.float32)
    for partial in range(1, TRACK_PARTIALS + 1):
        for multiple, sign in ((partial, 1.0), (partial - 0.5, -0.5)):
            position = pitches * multiple * size / rate
            below = np.minimum(position.astype(int), bins - 2)
            weight = np.clip(position - below, 0, 1).astype(np.float32)[:, None]
            amplitude = strength[below] * (1 - weight) + strength[below + 1] * weight
            salience += np.float32(sign * TRACK_DECAY ** (partial - 1)) * amplitude
    salience /= max(float(salience.max()), 1e-12)

    semitones = np.arange(len(pitches)) * 12 / STEPS_PER_OCTAVE
    step_cost = JUMP_COST * np.minimum(np.abs(np.subtract.outer(semitones, semitones)) / JUMP_SEMITONES, 1)
    best = salience[:, 0].astype(np.float64)
    predecessor = np.zeros((frames, len(pitches)), np.int32)
    pitch_index = np.arange(len(pitches))
    for frame in range(1, frames):
        arrival = best[None, :] - step_cost
        predecessor[frame] = arrival.argmax(axis=1)
        best = arrival[pitch_index, predecessor[frame]] + salience[:, frame]
    path = np.empty(frames, np.int32)
    path[-1] = best.argmax()
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = predecessor[frame, path[frame]]
    return pitches[path].astype(np.float32)


def bass_share(centre: np.ndarray, frequency: np.ndarray, fundamental: np.ndarray) -> np.ndarray:
    """Return the share of the bass in the power of the centre.

    The timbre of a bass is nearly constant: the level of partial k is `timbre[k]` dB above the level of the note. Power
    that exceeds this by more than 6 dB belongs to another sound at the same frequency.

    Parameters
    ----------
    centre : power of the sounds in the centre, float32 [frame, bin]
    frequency : of the bins in Hz [bin]
    fundamental : of the bass in Hz [frame], from `track_bass`

    Returns
    -------
    float32 [frame, bin] in [0, 1]
    """
    bins = centre.shape[1]
    width = frequency[1]
    partials = np.arange(1, BASS_PARTIALS + 1)
    partial_bins = np.minimum(
        np.rint(fundamental[:, None] * partials / width).astype(int), bins - 1
    )  # [frame, partial]
    level = 10 * np.log10(np.take_along_axis(centre, partial_bins, axis=1) + 1e-9)
    timbre = np.zeros(BASS_PARTIALS)
    for _ in range(3):
        note = np.median(level - timbre, axis=1)
        playing = note >= np.percentile(note, 40)
        timbre = np.percentile((level - note[:, None])[playing], 60, axis=0)
    limit = (10 ** ((note[:, None] + timbre + 6) / 10)).astype(np.float32)

    # The partials of a higher voice can be mistaken for those of a bass. But then there is no power at the fundamental,
    # whereas a bass has at least a weak fundamental.
    has_fundamental = np.clip((level[:, 0] - level.max(axis=1) + 40) / 10, 0, 1).astype(np.float32)

    share = np.zeros_like(centre)
    analysed = min(int(1500 / width) + 1, bins)
    for k, partial in enumerate(partials):
        distance = frequency[None, :analysed] - (partial * fundamental)[:, None]
        partial_gain = np.exp(-0.5 * np.square(distance / PARTIAL_WIDTH))
        partial_gain *= np.minimum(1, limit[:, [k]] / (centre[:, :analysed] + np.float32(1e-9)))
        np.maximum(share[:, :analysed], partial_gain, out=share[:, :analysed])
    share *= has_fundamental[:, None]
    return share * ((frequency > LOWEST_NOTE) / (1 + (frequency / BASS_UP_TO) ** 4)).astype(np.float32)


def running_median(rows: np.ndarray, size: int) -> np.ndarray:
    """Return the running median along each row, with mirrored edges: float32 [row, n] → float32 [row, n].

    All rows are concatenated and filtered in one call, because the one-dimensional filter of scipy is ten times as fast
    as the general one. The mirrored edges between the rows prevent that one row influences the next.

    Parameters
    ----------
    rows : float32 [row, n]
    size : number of values in the window, odd
    """
    from scipy.ndimage import median_filter

    half = size // 2
    padded = np.pad(rows, ((0, 0), (half, half)), mode="symmetric")
    return median_filter(padded.ravel(), size).reshape(padded.shape)[:, half : half + rows.shape[1]]
