"""Changes of the harmony from beat to beat, in the stems bass and other."""

import numpy as np

from mirflow.core.audio import Audio
from mirflow.core.feature import Feature, Field
from mirflow.dsp import pitch_class

HARMONIC_STEMS = ("bass", "other")
FEWEST_BEATS = 3  # they have two intervals, which can be compared
STEP_SECONDS = 0.5  # length of the intervals when there are fewer beats

_UNDEFINED = "the stem is silent (RMS 60 dB below the mix), or audible in fewer than two beats"

FEATURE = Feature(
    name="per_stem_harmonic",
    version=3,
    inputs=("full_mix", *HARMONIC_STEMS, "beats"),
    fields=tuple(
        field
        for stem in HARMONIC_STEMS
        for field in (
            Field(
                f"harmonic_movement_{stem}",
                "ratio",
                bounds=(0, 1),
                range=(0, 1),
                meaning=f"mean cosine distance of the chroma of {stem} between consecutive beats: 0 for a sustained "
                "chord, 1 without a common pitch class",
                undefined=_UNDEFINED,
            ),
            Field(
                f"harmonic_variance_{stem}",
                "ratio",
                bounds=(0, 1),
                range=(0, 0.6),
                meaning=f"circular variance of the chroma of {stem}: 1 - norm of the mean of the unit vectors of all "
                "beats; 0 for a single chord",
                undefined=_UNDEFINED,
            ),
        )
    ),
    cite="chroma after Fujishima 1999, ICMC; circular variance after Mardia 1972",
)


def measure(full_mix: Audio, bass: Audio, other: Audio, beats: np.ndarray) -> dict[str, float | None]:
    """Measure harmonic movement and variance.

    With fewer than three beats, intervals of half a second are compared instead of beats.

    Parameters
    ----------
    full_mix, bass, other : samples float32 [channel, n], rate in Hz; the mix says what is silent
    beats : seconds, ascending [k]

    Returns
    -------
    harmonic_movement_<stem> : mean cosine distance of consecutive beats that are not silent, in [0, 1]
    harmonic_variance_<stem> : 1 - norm of the mean unit vector, in [0, 1]

    Both are None for a silent stem, and when the stem is audible in fewer than two beats.
    """
    values: dict[str, float | None] = {}
    for stem, sound in (("bass", bass), ("other", other)):
        movement, variance = (None, None) if pitch_class.is_silent(sound, full_mix) else _of_changes(sound, beats)
        values[f"harmonic_movement_{stem}"] = movement
        values[f"harmonic_variance_{stem}"] = variance
    return values


def _of_changes(sound: Audio, beats: np.ndarray) -> tuple[float | None, float | None]:
    edges = beats if len(beats) >= FEWEST_BEATS else np.arange(0, sound.duration + 1e-9, STEP_SECONDS)
    chroma = pitch_class.chroma_between(sound, edges, pitch_class.tuning_of(sound))
    if len(chroma) < 2:
        return None, None
    similarity = (chroma[1:] * chroma[:-1]).sum(axis=1)
    # The vectors have the norm 1 and no negative elements. So both values are in [0, 1], except for rounding.
    return max(0.0, float(1 - similarity.mean())), max(0.0, float(1 - np.linalg.norm(chroma.mean(axis=0))))
