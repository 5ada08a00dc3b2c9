"""Tonality of the pitched part: harmonic pitch class profile, and the tonal interval vector and key derived from it."""

import numpy as np

from mirflow.core.audio import Audio
from mirflow.core.feature import Feature, Field
from mirflow.dsp import pitch_class, spectrum

FRAME = 8820  # samples at 44.1 kHz: 0.2 s, to resolve low semitones
HOP = FRAME // 2
LOWEST, HIGHEST = 30.0, 5000.0  # Hz, of the spectral peaks
PEAK_THRESHOLD = 1e-4  # relative to the largest magnitude of the frame
# A spectral peak counts for all notes of which it may be one of the first 5 harmonics. The weight falls with the number
# of the harmonic, so that a bass without overtones is not taken for the fifth of another note.
HARMONICS = 5
HARMONIC_DECAY = 0.8
# The bass is often the loudest sound, and repeats the roots of the chords. So that it does not outweigh the chords, low
# notes count less: by a factor that rises from the first note to the second.
BASS_WEIGHT, BASS_NOTES = 0.2, (36, 60)  # MIDI: C2 to C4
# Weights of the twelve degrees in major and minor. Of the published ones, these were right most often on several
# hundred pieces in all keys, with basses of several timbres and levels.
MAJOR_KEY = (6.6, 2.0, 3.5, 2.3, 4.6, 4.0, 2.5, 5.2, 2.4, 3.7, 2.3, 3.4)
MINOR_KEY = (6.5, 2.7, 3.5, 5.4, 2.6, 3.5, 2.5, 5.2, 4.0, 2.7, 4.3, 3.2)
# A key is certain when its correlation exceeds that of the same tonic in the other mode, and those of other tonics, by
# as much as this. Keys of music that were found correctly usually exceed them by more.
CLEAR_MODE, CLEAR_TONIC = 0.2, 0.1
TIV_WEIGHTS = np.array([3, 8, 11.5, 15, 14.5, 7.5])  # of k = 1 ... 6, for audio
TIV_INTERVALS = (  # what each k measures, and its largest absolute value in music
    ("chromaticity", 0.1),
    ("dyads", 0.4),
    ("triads", 0.7),
    ("diminished quality", 0.7),
    ("diatonicity", 1),
    ("whole-tone quality", 0.5),
)

_SILENCE = "the track is silent, or has no spectral peaks"

FEATURE = Feature(
    name="tonality",
    version=2,
    inputs=("full_mix", "bass", "other"),
    fields=(
        *(
            Field(
                f"hpcp_{index}",
                "ratio",
                bounds=(0, 1),
                range=(0, 1),
                meaning=f"{name} in the HPCP of bass + other (full mix when one is silent); the largest is 1",
                undefined=_SILENCE,
            )
            for index, name in enumerate(pitch_class.NAMES)
        ),
        *(
            Field(
                f"tiv_{index}",
                "1",
                bounds=(-1, 1),
                range=(-largest, largest),
                meaning=f"tonal interval vector, {part} part of k = {k}: {interval}; the L2 norm of all is 1",
                undefined=_SILENCE + ", or all pitch classes are equal",
            )
            for index, (k, interval, largest, part) in enumerate(
                (k, interval, largest, part)
                for k, (interval, largest) in enumerate(TIV_INTERVALS, start=1)
                for part in (("real", "imaginary") if k < 6 else ("real",))
            )
        ),
        Field(
            "tonic",
            "pitch class",
            bounds=(0, 11),
            range=(0, 11),
            meaning="tonic of the most likely key, C = 0 to B = 11",
            undefined=_SILENCE + ", or all pitch classes are equal",
            kind=int,
        ),
        Field(
            "tonic_scale",
            "name",
            meaning='scale of the most likely key: "major" or "minor"',
            undefined="tonic is null",
            kind=str,
        ),
        Field(
            "tonic_strength",
            "ratio",
            bounds=(0, 1),
            range=(0, 1),
            meaning="correlation of the profile with that key, lowered where another tonic or the other mode fits "
            "nearly as well: above 0.7 for a clear key, lower for noise, near 0 for a single note or a fifth",
            undefined="tonic is null",
        ),
    ),
    cite="Gómez 2006, PhD thesis UPF (HPCP); Bernardes et al. 2016, JNMR 45(4), Ramires et al. 2020, TIV.lib (TIV); "
    "Krumhansl 1990, Cognitive Foundations of Musical Pitch (key), with the profiles of Sha'ath 2011, Estimation of "
    "Key in Digital Music Recordings",
)


def measure(full_mix: Audio, bass: Audio, other: Audio) -> dict[str, float | int | str | None]:
    """Measure the harmonic pitch class profile, the tonal interval vector and the key.

    Parameters
    ----------
    full_mix, bass, other : samples float32 [channel, n], rate in Hz

    Returns
    -------
    hpcp_0 ... hpcp_11 : C to B; the largest is 1
    tiv_0 ... tiv_10 : real and imaginary parts for k = 1 ... 6, without the imaginary part of k = 6, which is always 0
    tonic : 0 (C) ... 11 (B)
    tonic_scale : "major" or "minor"
    tonic_strength : in [0, 1]

    Undefined values are None.
    """
    values = dict.fromkeys(field.key for field in FEATURE.fields)
    tonal = pitch_class.tonal_mix(full_mix, bass, other)
    hpcp = None if tonal is None else mean_hpcp(tonal)
    if hpcp is None:
        return values
    values |= {f"hpcp_{index}": float(value) for index, value in enumerate(hpcp)}
    vector = tonal_interval_vector(hpcp)
    if vector is not None:
        values |= {f"tiv_{index}": float(value) for index, value in enumerate(vector)}
        values["tonic"], values["tonic_scale"], values["tonic_strength"] = key_of(hpcp)
    return values


def mean_hpcp(sound: Audio) -> np.ndarray | None:
    """Return the mean harmonic pitch class profile of all frames that are not silent.

    Parameters
    ----------
    sound : samples [channel, n]

    Returns
    -------
    float64 [12], C first, with a maximum of 1; None when there are no spectral peaks
    """
    tuning = pitch_class.tuning_of(sound)
    frequency = spectrum.frequencies(sound.rate, FRAME)
    profiles, energies = [], []
    for magnitude in spectrum.magnitudes(sound.samples, sound.rate, frame=FRAME, hop=HOP):
        energies.append(np.square(magnitude).sum(axis=1, dtype=np.float64))
        profiles.append(frame_profiles(magnitude, frequency[1], tuning))
    mean = np.concatenate(profiles)[pitch_class.active(np.concatenate(energies))].sum(axis=0)
    return mean / mean.max() if mean.max() > 0 else None


def frame_profiles(magnitude: np.ndarray, spacing: float, tuning: float) -> np.ndarray:
    """Return the harmonic pitch class profile of each frame, float64 [frame, 12], C first.

    Parameters
    ----------
    magnitude : from `mirflow.dsp.spectrum.magnitudes` [frame, bin]
    spacing : Hz between bins
    tuning : semitones, from `mirflow.dsp.pitch_class.tuning_of`

    Returns
    -------
    each frame with a maximum of 1; 0 where it has no spectral peaks
    """
    frame, frequency, peak_magnitude, _ = spectrum.peaks(
        magnitude, spacing, lowest=LOWEST, highest=HIGHEST, threshold=PEAK_THRESHOLD
    )
    note = pitch_class.frequency_to_note(frequency, tuning)
    profiles = _profiles(len(magnitude), frame, note, peak_magnitude)
    largest = profiles.max(axis=1, keepdims=True, initial=0)
    return profiles / np.where(largest > 0, largest, 1)


def _profiles(frames: int, frame: np.ndarray, note: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """Return the profile of each frame before it is normalised, float64 [frame, 12].

    Parameters
    ----------
    frames : number of frames
    frame, note, magnitude : of the spectral peaks [k]; notes are fractional MIDI notes
    """
    weight = np.interp(note, BASS_NOTES, (BASS_WEIGHT, 1)) * magnitude
    profiles = np.zeros(frames * 12)
    for number in range(1, HARMONICS + 1):
        fundamental = note - 12 * np.log2(number)
        below = np.floor(fundamental).astype(int)
        for semitone in (below, below + 1):  # the two nearest semitones share a peak
            share = np.cos(np.pi / 2 * (fundamental - semitone)) ** 2 * HARMONIC_DECAY ** (number - 1)
            profiles += np.bincount(frame * 12 + semitone % 12, weight * share, minlength=frames * 12)
    return profiles.reshape(frames, 12)


def tonal_interval_vector(hpcp: np.ndarray) -> np.ndarray | None:
    """Return the tonal interval vector of a profile.

    Parameters
    ----------
    hpcp : [12]

    Returns
    -------
    float64 [11] with the L2 norm 1; None when all bins of the profile are equal

    Source
    ------
    Bernardes, Cocharro, Caetano, Guedes & Davies 2016, A multi-level tonal interval space, JNMR 45(4)
    """
    coefficients = np.fft.rfft(hpcp / hpcp.sum())[1:] * TIV_WEIGHTS
    vector = np.stack([coefficients.real, coefficients.imag], axis=1).ravel()[:-1]
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-6 else None


def key_of(hpcp: np.ndarray) -> tuple[int, str, float]:
    """Return the tonic (0 is C), the scale and the strength in [0, 1] of the key that fits a profile [12] best.

    The fit is the correlation of the profile with the weights of the degrees. The strength is the correlation of the
    best key, times how clearly it is better than the other mode of its tonic, and than all keys with other tonics.
    """
    keys = np.array([[np.roll(key, tonic) for tonic in range(12)] for key in (MAJOR_KEY, MINOR_KEY)])
    keys -= keys.mean(axis=2, keepdims=True)
    deviation = hpcp - hpcp.mean()
    fit = keys @ deviation / (np.linalg.norm(keys, axis=2) * np.linalg.norm(deviation))  # [mode, tonic]
    mode, tonic = np.unravel_index(fit.argmax(), fit.shape)
    best = fit[mode, tonic]
    over_mode = (best - fit[1 - mode, tonic]) / CLEAR_MODE
    over_tonic = (best - np.delete(fit, tonic, axis=1).max()) / CLEAR_TONIC
    strength = best * min(over_mode, 1.0) * min(over_tonic, 1.0)
    return int(tonic), ("major", "minor")[mode], float(np.clip(strength, 0.0, 1.0))
