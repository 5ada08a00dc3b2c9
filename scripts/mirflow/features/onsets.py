"""Onsets of the full mix: how many, how dense, how strong."""

import numpy as np

from mirflow.audio import Audio
from mirflow.dsp.onsets import envelope, strengths
from mirflow.registry import Feature, Field

FEATURE = Feature(
    name="onsets",
    version=1,
    inputs=("full_mix", "onsets"),
    fields=(
        Field("onset_count", "count", bounds=(0, np.inf), range=(0, 10000), meaning="number of note onsets", kind=int),
        Field("onset_density", "1/s", bounds=(0, np.inf), range=(0, 15), meaning="onsets per second of the track"),
        Field("onset_strength_mean", "dB", bounds=(0, np.inf), range=(0, 15),
              meaning="mean over onsets of the rise of the spectrum (mean over bands) at the onset's peak",
              undefined="without onsets"),
        Field("onset_strength_std", "dB", bounds=(0, np.inf), range=(0, 6),
              meaning="standard deviation of the same: accented high, uniform low", undefined="without onsets"),
    ),
    cite="Böck & Widmer 2013, Maximum filter vibrato suppression for onset detection, DAFx",
)  # fmt: skip


def measure(full_mix: Audio, onsets: np.ndarray) -> dict[str, float | int | None]:
    """Measure number, density and strength of the onsets.

    Parameters
    ----------
    full_mix : samples float32 [channel, n], rate in Hz; the mean of the channels is used
    onsets : s, ascending [k], of the same mix

    Returns
    -------
    the keys of `FEATURE`
    """
    if not len(onsets):
        return {"onset_count": 0, "onset_density": 0.0, "onset_strength_mean": None, "onset_strength_std": None}
    found = strengths(envelope(full_mix.mono(), full_mix.rate), onsets)
    return {
        "onset_count": len(onsets),
        "onset_density": len(onsets) / full_mix.duration,
        "onset_strength_mean": float(found.mean()),
        "onset_strength_std": float(found.std()),
    }
