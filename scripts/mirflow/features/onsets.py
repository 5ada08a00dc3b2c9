"""Onsets of the full mix: their number, density and strength."""

import numpy as np

from mirflow.core.audio import Audio
from mirflow.core.feature import Feature, Field
from mirflow.dsp.onsets import envelope, strengths

FEATURE = Feature(
    name="onsets",
    version=1,
    inputs=("full_mix", "onsets"),
    fields=(
        Field("onset_count", "count", bounds=(0, np.inf), range=(0, 10000), meaning="number of note onsets", kind=int),
        Field("onset_density", "1/s", bounds=(0, np.inf), range=(0, 15), meaning="onsets per second of the track"),
        Field("onset_strength_mean", "dB", bounds=(0, np.inf), range=(0, 15),
              meaning="mean onset strength: the increase of the spectrum in dB, averaged over frequency bands",
              undefined="there are no onsets"),
        Field("onset_strength_std", "dB", bounds=(0, np.inf), range=(0, 6),
              meaning="standard deviation of the onset strength; large with accents, small if all onsets are equal",
              undefined="there are no onsets"),
    ),
    cite="onsets by mirflow's own network (training/README.md); their strength: Böck & Widmer 2013, Maximum filter "
    "vibrato suppression for onset detection, DAFx",
)  # fmt: skip


def measure(full_mix: Audio, onsets: np.ndarray) -> dict[str, float | int | None]:
    """Measure the number, density and strength of onsets.

    Parameters
    ----------
    full_mix : samples float32 [channel, n], rate in Hz; the mean of the channels is analysed
    onsets : of this mix, in seconds, ascending [k]

    Returns
    -------
    onset_count : number of onsets
    onset_density : onsets per second
    onset_strength_mean, onset_strength_std : dB; None without onsets
    """
    if not len(onsets):
        return {"onset_count": 0, "onset_density": 0.0, "onset_strength_mean": None, "onset_strength_std": None}
    onset_strengths = strengths(envelope(full_mix.mono(), full_mix.rate), onsets)
    return {
        "onset_count": len(onsets),
        "onset_density": len(onsets) / full_mix.duration,
        "onset_strength_mean": float(onset_strengths.mean()),
        "onset_strength_std": float(onset_strengths.std()),
    }
