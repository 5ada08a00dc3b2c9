"""How much there is in each stem, and whether the stems are the mix: numbers to select training data by."""

import numpy as np

from mirflow.audio import Audio, resample
from mirflow.dsp.separation_layout import fold_down
from mirflow.errors import MirflowError
from mirflow.registry import STEMS, Feature, Field

FRAME = 2048  # samples at 44.1 kHz
SILENT_DB = -60  # dBFS
FLOAT_DB = (-800, 800)  # what 32-bit floats can hold
EXACT_DB = -200  # residual of stems that add up to the mix bit by bit

FEATURE = Feature(
    name="stem_quality",
    version=1,
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
                    meaning=f"root mean square of {stem} over all channels",
                    undefined="in digital silence",
                ),
                Field(
                    f"stem_peak_{stem}",
                    "dBFS",
                    bounds=FLOAT_DB,
                    range=(-70, 0),
                    meaning=f"largest sample of {stem}",
                    undefined="in digital silence",
                ),
                Field(
                    f"stem_silence_{stem}",
                    "ratio",
                    bounds=(0, 1),
                    range=(0, 1),
                    meaning=f"share of 46 ms frames of {stem} below -60 dBFS",
                    undefined="without a sample",
                ),
                Field(
                    f"stem_correlation_{stem}",
                    "ratio",
                    bounds=(0, 1),
                    range=(0, 1),
                    meaning=f"absolute correlation of {stem} with the mix over all channels",
                    undefined="when one of them is constant",
                ),
            )
        ),
        Field(
            "stem_residual",
            "dB",
            bounds=(EXACT_DB, FLOAT_DB[1]),
            range=(-60, 0),
            meaning="energy of mix minus sum of stems over energy of the mix; -200 is exact",
            undefined="for a silent mix",
        ),
    ),
    cite="own definition",
)


def measure(full_mix: Audio, drums: Audio, bass: Audio, other: Audio, vocals: Audio) -> dict[str, float | None]:
    """Measure the stems of a mix.

    Parameters
    ----------
    full_mix, drums, bass, other, vocals : samples float32 [channel, n], rate in Hz. A mix with another rate or more
        channels than the stems (MP3 holds two, at 48 kHz at most) is brought to theirs first

    Returns
    -------
    stem_rms_<s>, stem_peak_<s> : dBFS
    stem_silence_<s> : share of frames below -60 dBFS, in [0, 1]
    stem_correlation_<s> : absolute Pearson correlation with the mix, in [0, 1]
    stem_residual : dB re the mix

    Raises
    ------
    MirflowError : stems of different layouts or rates, or another length than the mix
    """
    stems = {"drums": drums, "bass": bass, "other": other, "vocals": vocals}
    layouts = {(len(stem.samples), stem.rate) for stem in stems.values()}
    if len(layouts) > 1:
        raise MirflowError(f"stems must have one number of channels and one rate, found {sorted(layouts)}")
    for name, stem in stems.items():
        if abs(stem.duration - full_mix.duration) > 0.1:
            raise MirflowError(f"{name} lasts {stem.duration:.3f} s, the full mix {full_mix.duration:.3f} s")
    mix = _conform(full_mix, *layouts.pop())
    length = min(mix.shape[1], *(stem.samples.shape[1] for stem in stems.values()))
    mix = mix[:, :length]

    values: dict[str, float | None] = {}
    residual = mix.astype(np.float64)
    for name, stem in stems.items():
        samples = stem.samples[:, :length]
        residual -= samples
        values[f"stem_rms_{name}"] = _decibel(_power(samples))
        values[f"stem_peak_{name}"] = _decibel(float(np.abs(samples).max(initial=0)) ** 2)
        values[f"stem_silence_{name}"] = _silence(samples, stem.rate)
        values[f"stem_correlation_{name}"] = _correlation(samples, mix)
    values["stem_residual"] = None
    if (power := _power(mix)) > 0:
        values["stem_residual"] = 10 * float(np.log10(max(_power(residual) / power, 10 ** (EXACT_DB / 10))))
    return values


def _conform(full_mix: Audio, channels: int, rate: int) -> np.ndarray:
    """Bring the mix to the stems' layout and rate."""
    samples = full_mix.samples
    if len(samples) != channels:
        samples = full_mix.mono()[None] if channels == 1 else fold_down(samples)
    if len(samples) != channels:
        raise MirflowError(f"stems have {channels} channels, the full mix has {len(full_mix.samples)}")
    return resample(samples, full_mix.rate, rate)


def _power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0


def _decibel(power: float) -> float | None:
    return 10 * float(np.log10(power)) if power > 0 else None


def _silence(samples: np.ndarray, rate: int) -> float | None:
    length = samples.shape[1]
    if length == 0:
        return None
    starts = np.arange(0, length, max(round(FRAME * rate / 44100), 1))
    energy = np.add.reduceat(np.mean(np.square(samples, dtype=np.float64), axis=0), starts)
    power = energy / np.diff(np.append(starts, length))
    return float(np.mean(power < 10 ** (SILENT_DB / 10)))


def _correlation(samples: np.ndarray, mix: np.ndarray) -> float | None:
    if samples.size == 0:
        return None
    one, two = (signal.astype(np.float64).ravel() for signal in (samples, mix))
    one -= one.mean()
    two -= two.mean()
    scale = float(np.sqrt((one @ one) * (two @ two)))
    return min(abs(float(one @ two)) / scale, 1.0) if scale > 0 else None
