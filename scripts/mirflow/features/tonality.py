"""Tonality of the pitched part: harmonic pitch class profile, and the tonal interval vector and key derived from it."""

import numpy as np

from mirflow.core.audio import Audio
from mirflow.core.feature import Feature, Field
from mirflow.dsp import essentia_algorithms, pitch_class, spectrum

FRAME = 8820  # samples at 44.1 kHz: 0.2 s, to resolve low semitones
HOP = FRAME // 2
LOWEST, HIGHEST = 40.0, 5000.0  # Hz, of the spectral peaks
MAX_PEAKS = 100  # per frame
PEAK_THRESHOLD = 1e-5  # relative to the largest magnitude of the frame
HARMONICS = 8  # a spectral peak counts for all pitch classes of which it may be one of the first 8 harmonics
MIDDLE_C_HZ = 261.6255653  # with A4 at 440 Hz; bin 0 of the profile is C
A_INDEX = 9  # in the profile; Essentia's Key expects bin 0 to be A
# Of Essentia's key profiles, this one was right most often: for all full cadences in three timbres, and for 7 of 8
# rendered pieces with known notes. `usePolyphony`, which adds triads to the profile, is off, because with it cadences
# were assigned to the subdominant.
KEY_PROFILE = "bgate"
NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ACCIDENTALS = {"": 0, "#": 1, "b": -1}
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
    version=1,
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
            meaning="correlation of the profile with that key: above 0.7 for a clear key, lower for noise",
            undefined="tonic is null",
        ),
    ),
    cite="Gómez 2006, PhD thesis UPF (HPCP); Bernardes et al. 2016, JNMR 45(4), Ramires et al. 2020, TIV.lib (TIV); "
    "Faraldo et al. 2017 (key profile)",
    backend="essentia-tensorflow",
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
    find_peaks, fold = profile_algorithms(sound)
    profiles, energies = [], []
    for magnitude in spectrum.magnitudes(sound.samples, sound.rate, frame=FRAME, hop=HOP):
        largest = magnitude.max(axis=1, keepdims=True)
        energies.append(np.square(magnitude).sum(axis=1, dtype=np.float64))
        for frame in magnitude / np.where(largest > 0, largest, 1):
            profiles.append(fold(*find_peaks(frame)))
    mean = np.array(profiles, dtype=np.float64)[pitch_class.active(np.concatenate(energies))].sum(axis=0)
    return mean / mean.max() if mean.max() > 0 else None


def profile_algorithms(sound: Audio) -> tuple:
    """Return what finds the peaks of a spectrum, and what folds them into a profile, for this sound and its tuning."""
    es = essentia_algorithms.standard()

    highest = min(HIGHEST, sound.rate / 2)
    find_peaks = es.SpectralPeaks(
        sampleRate=sound.rate,
        minFrequency=LOWEST,
        maxFrequency=highest,
        maxPeaks=MAX_PEAKS,
        magnitudeThreshold=PEAK_THRESHOLD,
        orderBy="magnitude",
    )
    fold = es.HPCP(
        size=12,
        sampleRate=sound.rate,
        referenceFrequency=MIDDLE_C_HZ * 2 ** (pitch_class.tuning_of(sound) / 12),
        harmonics=HARMONICS,
        minFrequency=LOWEST,
        maxFrequency=highest,
        weightType="cosine",
        nonLinear=False,
        bandPreset=False,  # normalises below and above 500 Hz separately, so the profile would depend on transposition
        normalized="unitMax",
    )
    return find_peaks, fold


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
    """Return the tonic (0 is C), the scale and the strength in [0, 1] of the key that fits a profile [12] best."""
    es = essentia_algorithms.standard()

    find_key = es.Key(profileType=KEY_PROFILE, pcpSize=12, usePolyphony=False, useThreeChords=False)
    name, scale, strength, _ = find_key(np.roll(hpcp, -A_INDEX).astype(np.float32))
    tonic = (NATURALS[name[0]] + ACCIDENTALS[name[1:]]) % 12
    return tonic, scale, min(float(strength), 1.0)
