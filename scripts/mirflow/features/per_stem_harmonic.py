"""How the harmony of bass and other moves from beat to beat."""

import numpy as np

from mirflow.audio import Audio
from mirflow.dsp import pitch_class
from mirflow.registry import Feature, Field

HARMONIC_STEMS = ("bass", "other")
SILENT_DB = -70.0  # RMS re full scale, as loudness gates
FEWEST_BEATS = 3  # that make two intervals to compare
STEP_SECONDS = 0.5  # without beats

_UNDEFINED = "stem silent (RMS below -70 dBFS), or sounding in fewer than two beats"

FEATURE = Feature(
    name="per_stem_harmonic",
    version=1,
    inputs=(*HARMONIC_STEMS, "beats"),
    fields=tuple(
        field
        for stem in HARMONIC_STEMS
        for field in (
            Field(
                f"harmonic_movement_{stem}",
                "ratio",
                bounds=(0, 1),
                range=(0, 1),
                meaning=f"mean cosine distance of {stem}'s chroma from beat to beat: held chord 0, no common pitch 1",
                undefined=_UNDEFINED,
            ),
            Field(
                f"harmonic_variance_{stem}",
                "ratio",
                bounds=(0, 1),
                range=(0, 0.6),
                meaning=f"1 - length of the mean of {stem}'s chroma unit vectors per beat: one chord throughout 0",
                undefined=_UNDEFINED,
            ),
        )
    ),
    cite="chroma after Fujishima 1999, ICMC; circular variance after Mardia 1972",
)


def measure(bass: Audio, other: Audio, beats: np.ndarray) -> dict[str, float | None]:
    """Measure harmonic movement and variance; half-second steps take the place of fewer than three beats.

    Parameters
    ----------
    bass, other : samples float32 [channel, n], rate in Hz
    beats : times in seconds [k]

    Returns
    -------
    harmonic_movement_<stem> : mean cosine distance of consecutive sounding beats, in [0, 1]
    harmonic_variance_<stem> : 1 - length of the mean unit vector, in [0, 1]
    """
    values: dict[str, float | None] = {}
    for stem, sound in (("bass", bass), ("other", other)):
        movement, variance = _movement_and_variance(sound, beats)
        values[f"harmonic_movement_{stem}"] = movement
        values[f"harmonic_variance_{stem}"] = variance
    return values


def _movement_and_variance(sound: Audio, beats: np.ndarray) -> tuple[float | None, float | None]:
    if pitch_class.mean_square(sound) < 10 ** (SILENT_DB / 10):
        return None, None
    edges = beats if len(beats) >= FEWEST_BEATS else np.arange(0, sound.duration + 1e-9, STEP_SECONDS)
    chroma = pitch_class.chroma_between(sound, edges, pitch_class.tuning_of(sound))
    if len(chroma) < 2:
        return None, None
    likeness = (chroma[1:] * chroma[:-1]).sum(axis=1)
    # vectors of length 1 without negative parts: both lie in [0, 1] but for rounding
    return max(0.0, float(1 - likeness.mean())), max(0.0, float(1 - np.linalg.norm(chroma.mean(axis=0))))
