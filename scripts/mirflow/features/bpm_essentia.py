"""Tempo by Essentia: an estimate that is independent of the beat grid."""

import numpy as np

from mirflow.core.audio import Audio, resample
from mirflow.core.feature import Feature, Field
from mirflow.dsp import essentia_algorithms

RATE = 44100  # Hz, as the extractor assumes
SLOWEST, FASTEST = 40, 208  # beats per minute, the range in which the extractor looks for a tempo
MARGIN = 0.05  # the tempo is a mean and may be outside the range by this share; in silence it is 738

FEATURE = Feature(
    name="bpm_essentia",
    version=1,
    inputs=("full_mix",),
    fields=(
        Field("bpm_essentia", "1/min", bounds=(SLOWEST * (1 - MARGIN), FASTEST * (1 + MARGIN)), range=(40, 208),
              meaning="tempo by Essentia's RhythmExtractor2013, multifeature",
              undefined="the track is silent, or the extractor's beat trackers do not agree (confidence 0, as in "
                        "tracks shorter than 5 s)"),
    ),
    cite="Zapata, Davies & Gómez 2014, Multi-feature beat tracking, IEEE/ACM TASLP 22(4)",
    backend="essentia-tensorflow",
)  # fmt: skip


def measure(full_mix: Audio) -> dict[str, float | None]:
    """Measure the tempo.

    Parameters
    ----------
    full_mix : samples float32 [channel, n], rate in Hz

    Returns
    -------
    bpm_essentia : beats per minute, or None
    """
    mono = full_mix.mono()
    # The extractor fails when the audio is shorter than a frame, and returns an arbitrary tempo in silence.
    if full_mix.duration < 1 or not np.ptp(mono):
        return {"bpm_essentia": None}
    es = essentia_algorithms.standard()
    extractor = es.RhythmExtractor2013(method="multifeature", minTempo=SLOWEST, maxTempo=FASTEST)
    bpm, _, confidence, _, _ = extractor(resample(mono, full_mix.rate, RATE))
    low, high = FEATURE.fields[0].bounds
    return {"bpm_essentia": float(bpm) if confidence > 0 and low <= bpm <= high else None}
