"""The time series of a track: what is heard in each hundredth of a second.

All of it is raw: soft activations instead of beats, levels instead of their differences. Networks learn more from that.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from mirflow.core.audio import Audio, resample
from mirflow.core.layout import STEMS
from mirflow.dsp import loudness, onsets, pitch_class, spectrum, superflux
from mirflow.features import spectral, tonality
from mirflow.features.multiband_rms import BANDS
from mirflow.rhythm.activations import Activations
from mirflow.timeseries.files import RATE, Series, means
from mirflow.transcribe.activations import DRUMS, FRAME_RATE, DrumActivations

VERSION = 1  # raise it when values change
FRAME, HOP = 2048, 441  # samples at 44.1 kHz, of spectra
HANN_BINS = 1.5  # equivalent noise bandwidth of a Hann window
FLOOR_DB = -120.0  # of levels
FLOOR_LUFS = -70.0  # the absolute gate of BS.1770
SHORT_TERM = 3.0  # s, window of short-term loudness (EBU Tech 3341)
CHROMA_FRAME, CHROMA_HOP = 8192, 2205  # samples at 44.1 kHz: a profile in 50 ms

PITCH_RATE = 16000  # Hz; the vocals are resampled to it
PITCH_FRAME, PITCH_HOP = 1024, 320  # samples: 64 ms, 20 ms
PITCH_HZ = 65.0, 1050.0  # C2 to C6
PITCH_STEP = 0.2  # semitones
PITCH_SECONDS, PITCH_MARGIN = 60.0, 2.0  # s; the voice is tracked in parts, each with a margin, to limit memory


def measure(
    full_mix: Audio, stems: Mapping[str, Audio], activations: Activations, drums: DrumActivations | None = None
) -> dict[str, Series]:
    """Measure all time series of a track.

    Parameters
    ----------
    full_mix : the track
    stems : by name
    activations : of beats and downbeats
    drums : activations of drums, where these were transcribed

    Returns
    -------
    name → series, [frame] or [pitch class, frame]; see docs/timeseries.md
    """
    edges = _edges(full_mix)
    found = dict(_beats(activations, edges))
    if drums:
        for place, drum in enumerate(DRUMS):
            values = _centred(drums.hits[:, place], 0.0, FRAME_RATE, edges)
            found[f"{drum}_activation"] = Series(values, "probability", "drum activations")
    found["onset_envelope"] = _onset_envelope(full_mix, edges, "full mix")
    found |= _levels_of_bands(full_mix, edges)
    found["loudness"] = _short_term_loudness(full_mix, edges)
    found |= _shapes(full_mix, edges)
    found["hpcp"] = _profiles(full_mix, stems, edges)
    for name in STEMS:
        found[f"onset_envelope_{name}"] = _onset_envelope(stems[name], edges, name)
        found[f"level_{name}"] = _level(stems[name], edges, name)
    found |= _pitch(stems["vocals"], edges)
    return found


def _edges(full_mix: Audio) -> np.ndarray:
    """Return the edges of frames in seconds; the last frame ends with the track."""
    count = int(np.ceil(round(full_mix.duration * RATE, 6)))
    return np.minimum(np.arange(count + 1) / RATE, full_mix.duration)


def _centred(values: np.ndarray, times: float, rate: float, edges: np.ndarray) -> np.ndarray:
    """Return means of values that each stand for the time around their own: `times` is that of the first one."""
    return means(values, edges, rate=rate, begin=times - 0.5 / rate).astype(np.float32)


def _beats(activations: Activations, edges: np.ndarray) -> Iterator[tuple[str, Series]]:
    for name in ("beat", "downbeat"):
        values = _centred(getattr(activations, name), 0.0, activations.frame_rate, edges)
        yield f"{name}_activation", Series(values, "probability", "beat activations of the full mix")


def _onset_envelope(sound: Audio, edges: np.ndarray, source: str) -> Series:
    values = onsets.envelope(sound.mono(), sound.rate)
    first = float(superflux.frame_times(np.zeros(1))[0])
    return Series(_centred(values, first, superflux.RATE / superflux.HOP, edges), "dB", source)


def _level(sound: Audio, edges: np.ndarray, source: str) -> Series:
    """Return the RMS level of all channels in each frame."""
    power = np.square(sound.samples, dtype=np.float64).mean(axis=0)
    return Series(_decibels(means(power, edges, rate=sound.rate, silence=0.0)), "dBFS", source, FLOOR_DB)


def _decibels(power: np.ndarray) -> np.ndarray:
    return np.maximum(10 * np.log10(np.maximum(power, 1e-30)), FLOOR_DB).astype(np.float32)


def _levels_of_bands(full_mix: Audio, edges: np.ndarray) -> dict[str, Series]:
    frequency = spectrum.frequencies(full_mix.rate, FRAME)
    bands = [(frequency >= low) & (frequency < high) for low, high in BANDS.values()]
    powers = []
    for magnitude in spectrum.magnitudes(_with_margins(full_mix), full_mix.rate, frame=FRAME, hop=HOP):
        power = np.square(magnitude, dtype=np.float64) / (2 * HANN_BINS)
        powers.append(np.stack([power[:, band].sum(axis=1) for band in bands]))
    at_centre = means(np.concatenate(powers, axis=1), edges, rate=RATE, begin=-0.5 / RATE)
    return {
        f"rms_energy_{name}": Series(_decibels(at_centre[place]), "dBFS", "full mix", FLOOR_DB)
        for place, name in enumerate(BANDS)
    }


def _with_margins(sound: Audio) -> np.ndarray:
    """Return samples with half a frame of silence at both ends: the first frame is centred on the first sample."""
    half = spectrum.transform_length(sound.rate, FRAME) // 2
    return np.pad(sound.samples, ((0, 0), (half, half)))


def _short_term_loudness(full_mix: Audio, edges: np.ndarray) -> Series:
    """Return the loudness of 3 s around each frame; of less at both ends of the track."""
    powers = loudness.step_powers(full_mix.samples, full_mix.rate, full_mix.layout, 1 / RATE)
    total = np.concatenate([[0.0], np.cumsum(powers)])
    centre, half = np.arange(len(edges) - 1) + 0.5, SHORT_TERM * RATE / 2
    begin = np.clip(np.round(centre - half), 0, len(powers)).astype(int)
    end = np.clip(np.round(centre + half), 0, len(powers)).astype(int)
    mean = (total[end] - total[begin]) / np.maximum(end - begin, 1)
    values = np.maximum(loudness.power_to_loudness(np.maximum(mean, 1e-30)), FLOOR_LUFS)
    return Series(values.astype(np.float32), "LUFS", "full mix", FLOOR_LUFS)


def _shapes(full_mix: Audio, edges: np.ndarray) -> dict[str, Series]:
    signal = full_mix.mono()
    signal = signal - signal.mean(dtype=np.float64).astype(np.float32)
    frequency = spectrum.frequencies(full_mix.rate, FRAME)
    highest = min(spectral.HIGHEST, spectral.NYQUIST_SHARE * full_mix.rate / 2)
    band = slice(*np.searchsorted(frequency, [spectral.LOWEST, highest]))
    found, previous = [], None
    padded = _with_margins(Audio(signal[None], full_mix.rate))
    for magnitude in spectrum.magnitudes(padded, full_mix.rate, frame=FRAME, hop=HOP):
        shape, previous = spectral.frame_shapes(magnitude[:, band], frequency[band], previous)
        found.append(shape)
    energy, *shapes = np.concatenate(found, axis=1)
    active = pitch_class.active(energy)
    names = ("flatness", "flux", "skewness", "kurtosis")
    return {
        f"spectral_{name}": Series(_centred(np.where(active, values, 0), 0.0, RATE, edges), unit, "full mix")
        for name, values, unit in zip(names, shapes, ("ratio", "1", "1", "1"), strict=True)
    }


def _profiles(full_mix: Audio, stems: Mapping[str, Audio], edges: np.ndarray) -> Series:
    """Return the harmonic pitch class profile, C first, with a maximum of 1; 0 in silence."""
    sound = pitch_class.tonal_mix(full_mix, stems["bass"], stems["other"])
    unit, source = "ratio", "bass and other; the full mix where one of them is silent"
    if sound is None:
        return Series(np.zeros((12, len(edges) - 1), np.float32), unit, source)
    tuning, spacing = pitch_class.tuning_of(sound), spectrum.frequencies(sound.rate, CHROMA_FRAME)[1]
    half = spectrum.transform_length(sound.rate, CHROMA_FRAME) // 2
    padded = np.pad(sound.samples, ((0, 0), (half, half)))
    profiles, energies = [], []
    for magnitude in spectrum.magnitudes(padded, sound.rate, frame=CHROMA_FRAME, hop=CHROMA_HOP):
        energies.append(np.square(magnitude).sum(axis=1, dtype=np.float64))
        profiles.append(tonality.frame_profiles(magnitude, spacing, tuning))
    active = pitch_class.active(np.concatenate(energies))
    values = np.concatenate(profiles).T * active
    return Series(_centred(values, 0.0, spectrum.REFERENCE_RATE / CHROMA_HOP, edges), unit, source)


def _pitch(vocals: Audio, edges: np.ndarray) -> dict[str, Series]:
    """Return the fundamental frequency of the voice, 0 where it has none, and the share of the time where it has one.

    Source
    ------
    Mauch & Dixon 2014, pYIN: a fundamental frequency estimator using probabilistic threshold distributions, ICASSP
    """
    mono = resample(vocals.mono(), vocals.rate, PITCH_RATE)
    frequency = _track(mono) if np.abs(mono).max(initial=0) > 10 ** (FLOOR_DB / 20) else np.zeros(1)
    rate = PITCH_RATE / PITCH_HOP
    return {
        "f0_vocals": Series(_centred(frequency, 0.0, rate, edges), "Hz", "vocals, pYIN; 0 where unvoiced"),
        "voiced_vocals": Series(_centred(frequency > 0, 0.0, rate, edges), "ratio", "vocals, pYIN"),
    }


def _track(mono: np.ndarray) -> np.ndarray:
    """Return the fundamental frequency in Hz at each multiple of `PITCH_HOP`, 0 where unvoiced.

    Parameters
    ----------
    mono : float32 [n] at `PITCH_RATE`
    """
    import librosa

    part, margin = (int(seconds * PITCH_RATE / PITCH_HOP) for seconds in (PITCH_SECONDS, PITCH_MARGIN))
    count = len(mono) // PITCH_HOP + 1
    found = np.zeros(count)
    for begin in range(0, count, part):
        first, last = max(0, begin - margin), min(count, begin + part + margin)
        samples = mono[first * PITCH_HOP : last * PITCH_HOP]
        if not samples.any():
            continue
        frequency, voiced, _ = librosa.pyin(
            np.pad(samples, (0, max(0, PITCH_FRAME - len(samples)))),
            fmin=PITCH_HZ[0], fmax=PITCH_HZ[1], sr=PITCH_RATE, frame_length=PITCH_FRAME, hop_length=PITCH_HOP,
            resolution=PITCH_STEP, fill_na=0.0,
        )  # fmt: skip
        frequency = np.where(voiced, frequency, 0)[begin - first : begin - first + part]
        found[begin : begin + len(frequency)] = frequency[: count - begin]
    return found
