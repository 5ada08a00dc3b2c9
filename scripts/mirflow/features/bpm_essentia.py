"""Tempo by Essentia: a second opinion that shares nothing with the beat grid."""

import numpy as np

from mirflow.audio import Audio, resample
from mirflow.dsp import essentia_algorithms
from mirflow.registry import Feature, Field

RATE = 44100  # Hz: the extractor assumes it
SLOWEST, FASTEST = 40, 208  # 1/min: what the extractor is made to look for
MARGIN = 0.05  # its mean interval may lie this far outside; silence (738) lies further

FEATURE = Feature(
    name="bpm_essentia",
    version=1,
    inputs=("full_mix",),
    fields=(
        Field("bpm_essentia", "1/min", bounds=(SLOWEST * (1 - MARGIN), FASTEST * (1 + MARGIN)), range=(40, 208),
              meaning="tempo by Essentia's RhythmExtractor2013, multifeature",
              undefined="in silence, or when the extractor's beat trackers do not agree at all (confidence 0, as in "
                        "anything under five seconds)"),
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
    bpm_essentia : beats per minute
    """
    mono = full_mix.mono()
    if full_mix.duration < 1 or not np.ptp(mono):  # without a frame the extractor fails, in silence it invents
        return {"bpm_essentia": None}
    es = essentia_algorithms.standard()
    extractor = es.RhythmExtractor2013(method="multifeature", minTempo=SLOWEST, maxTempo=FASTEST)
    bpm, _, confidence, _, _ = extractor(resample(mono, full_mix.rate, RATE))
    low, high = FEATURE.fields[0].bounds
    return {"bpm_essentia": float(bpm) if confidence > 0 and low <= bpm <= high else None}
