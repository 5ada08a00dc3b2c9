"""Chroma: the share of each pitch class in the pitched part of the music."""

from mirflow.core.audio import Audio
from mirflow.core.feature import Feature, Field
from mirflow.dsp import pitch_class

FEATURE = Feature(
    name="chroma",
    version=2,
    inputs=("full_mix", "bass", "other"),
    fields=tuple(
        Field(
            f"chroma_{index}",
            "ratio",
            bounds=(0, 1),
            range=(0, 0.4),
            meaning=f"share of {name} in the chroma of bass + other (full mix when one is silent); the 12 sum to 1",
            undefined="the track is silent",
        )
        for index, name in enumerate(pitch_class.NAMES)
    ),
    cite="Brown 1991, JASA 89(1), constant Q; chroma after Fujishima 1999, ICMC",
)


def measure(full_mix: Audio, bass: Audio, other: Audio) -> dict[str, float | None]:
    """Measure the mean chroma, corrected for the tuning of the instruments.

    Parameters
    ----------
    full_mix, bass, other : samples float32 [channel, n], rate in Hz

    Returns
    -------
    chroma_0 ... chroma_11 : shares of C, C sharp ... B, with the sum 1; None in silence
    """
    values = dict.fromkeys(field.key for field in FEATURE.fields)
    tonal = pitch_class.tonal_mix(full_mix, bass, other)
    if tonal is None:
        return values
    frames = pitch_class.chroma_frames(tonal, pitch_class.tuning_of(tonal))
    mean = frames.sum(axis=0)
    if mean.sum() == 0:
        return values
    return dict(zip(values, (mean / mean.sum()).tolist(), strict=True))
