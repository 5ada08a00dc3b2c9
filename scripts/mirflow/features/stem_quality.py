"""Levels of the stems and their agreement with the mix, for the selection of training data."""

import numpy as np

from mirflow.core.audio import Audio, resample
from mirflow.core.errors import MirflowError
from mirflow.core.feature import Feature, Field
from mirflow.core.layout import STEMS
from mirflow.dsp.separation.channels import fold_down

FRAME = 2048  # samples at 44.1 kHz
SILENT_DB = -46  # re the mix: -60 dBFS in a mix at -14 dBFS. An absolute level would depend on the gain of the source
FLOAT_DB = (-800, 800)  # range of 32-bit floats
EXACT_DB = -200  # residual of stems that add up to the mix exactly

FEATURE = Feature(
    name="stem_quality",
    version=3,
    inputs=("full_mix", *STEMS),
    fields=(
        *(
            field
            for stem in STEMS
            for field in (
                Field(
                    f"stem_rms_{stem}",
                    "dBFS",
                    bounds=FLOAT_DB,
                    range=(-70, 0),
                    meaning=f"root mean square of {stem} over all channels, without their offset",
                    undefined="the stem is digital silence",
                ),
                Field(
                    f"stem_peak_{stem}",
                    "dBFS",
                    bounds=FLOAT_DB,
                    range=(-70, 0),
                    meaning=f"largest absolute sample of {stem}",
                    undefined="the stem is digital silence",
                ),
                Field(
                    f"stem_silence_{stem}",
                    "ratio",
                    bounds=(0, 1),
                    range=(0, 1),
                    meaning=f"share of 46 ms frames of {stem} more than 46 dB below the root mean square of the mix",
                    undefined="the stem has no samples",
                ),
                Field(
                    f"stem_correlation_{stem}",
                    "ratio",
                    bounds=(0, 1),
                    range=(0, 1),
                    meaning=f"absolute correlation of {stem} with the mix over all channels",
                    undefined="the stem or the mix is constant",
                ),
            )
        ),
        Field(
            "stem_residual",
            "dB",
            bounds=(EXACT_DB, FLOAT_DB[1]),
            range=(-60, 0),
            meaning="energy of the mix minus the sum of the stems, over the energy of the mix; -200 if they are equal",
            undefined="the mix is silent",
        ),
    ),
    cite="own definition",
)


def measure(full_mix: Audio, drums: Audio, bass: Audio, other: Audio, vocals: Audio) -> dict[str, float | None]:
    """Measure the levels of the stems, and compare the stems with the mix.

    Parameters
    ----------
    full_mix, drums, bass, other, vocals : samples float32 [channel, n], rate in Hz. A mix with another rate or more
        channels than the stems is resampled and mixed down to theirs. (MP3 has at most two channels at 48 kHz)

    Returns
    -------
    stem_rms_<stem>, stem_peak_<stem> : dBFS
    stem_silence_<stem> : share of frames more than 46 dB below the mix, in [0, 1]
    stem_correlation_<stem> : absolute Pearson correlation with the mix, in [0, 1]
    stem_residual : dB relative to the mix

    Undefined values are None.

    Raises
    ------
    MirflowError : the stems differ in the number of channels or in the rate, or a stem has another duration than the
        mix
    """
    stems = {"drums": drums, "bass": bass, "other": other, "vocals": vocals}
    layouts = {(len(stem.samples), stem.rate) for stem in stems.values()}
    if len(layouts) > 1:
        raise MirflowError(f"all stems must have the same number of channels and the same rate, got {sorted(layouts)}")
    for name, stem in stems.items():
        if abs(stem.duration - full_mix.duration) > 0.1:
            raise MirflowError(f"{name} lasts {stem.duration:.3f} s, the full mix {full_mix.duration:.3f} s")
    mix = _to_layout(full_mix, *layouts.pop())
    length = min(mix.shape[1], *(stem.samples.shape[1] for stem in stems.values()))
    mix = mix[:, :length]

    values: dict[str, float | None] = {}
    residual = mix.astype(np.float64)
    power = _power(_centred(mix))
    silent_power = power * 10 ** (SILENT_DB / 10)
    for name, stem in stems.items():
        samples = stem.samples[:, :length]
        residual -= samples
        centred = _centred(samples)
        values[f"stem_rms_{name}"] = _decibel(_power(centred))
        values[f"stem_peak_{name}"] = _decibel(float(np.abs(samples).max(initial=0)) ** 2)
        values[f"stem_silence_{name}"] = _silence(centred, stem.rate, silent_power)
        values[f"stem_correlation_{name}"] = _correlation(samples, mix)
    values["stem_residual"] = None
    if power > 0:
        values["stem_residual"] = 10 * float(np.log10(max(_power(_centred(residual)) / power, 10 ** (EXACT_DB / 10))))
    return values


def _to_layout(full_mix: Audio, channels: int, rate: int) -> np.ndarray:
    """Mix the full mix down and resample it, to the number of channels and the rate of the stems: [channel, n].

    Raises
    ------
    MirflowError : the stems have more channels than the mix
    """
    samples = full_mix.samples
    if len(samples) != channels:
        samples = full_mix.mono()[None] if channels == 1 else fold_down(samples, full_mix.layout)
    if len(samples) != channels:
        raise MirflowError(f"stems have {channels} channels, the full mix has {len(full_mix.samples)}")
    return resample(samples, full_mix.rate, rate)


def _centred(samples: np.ndarray) -> np.ndarray:
    """Return [channel, n] without the mean of each channel: an offset, which some lossy formats remove."""
    return samples - samples.mean(axis=1, keepdims=True, dtype=np.float64) if samples.size else samples


def _power(samples: np.ndarray) -> float:
    """Return the mean square of all samples of all channels; 0 without samples."""
    return float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0


def _decibel(power: float) -> float | None:
    """Convert power to dB; None for 0."""
    return 10 * float(np.log10(power)) if power > 0 else None


def _silence(samples: np.ndarray, rate: int, silent_power: float) -> float | None:
    """Return the share of the frames of [channel, n] with at most such a mean square; None without samples."""
    length = samples.shape[1]
    if length == 0:
        return None
    starts = np.arange(0, length, max(round(FRAME * rate / 44100), 1))
    energy = np.add.reduceat(np.mean(np.square(samples, dtype=np.float64), axis=0), starts)
    power = energy / np.diff(np.append(starts, length))
    return float(np.mean(power <= silent_power))


def _correlation(samples: np.ndarray, mix: np.ndarray) -> float | None:
    """Return the absolute correlation of two signals [channel, n]; None if one of them is constant."""
    if samples.size == 0:
        return None
    first_signal, second_signal = (signal.astype(np.float64).ravel() for signal in (samples, mix))
    first_signal -= first_signal.mean()
    second_signal -= second_signal.mean()
    scale = float(np.sqrt((first_signal @ first_signal) * (second_signal @ second_signal)))
    return min(abs(float(first_signal @ second_signal)) / scale, 1.0) if scale > 0 else None
