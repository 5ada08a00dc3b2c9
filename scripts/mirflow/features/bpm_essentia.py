"""Tempo by Essentia: an estimate that is independent of the beat grid."""

import numpy as np

from mirflow.core.audio import Audio, resample
from mirflow.core.feature import Feature, Field
from mirflow.dsp import essentia_algorithms
from mirflow.dsp.beats import onsets, periodicity

RATE = 44100  # Hz, as the extractor assumes
SLOWEST, FASTEST = 40, 208  # beats per minute, the range in which the extractor looks for a tempo
LEAST_CONFIDENCE = 1.0  # below it, Essentia's reference calls the confidence very low
# Noise, speech, applause and pads reach a pulse clarity of 0.07, a string orchestra with rubato 0.18.
LEAST_PULSE_CLARITY = 0.1
# Root mean square of the onset strength at a peak level of `PEAK`, without the start and the end of the sound: up to
# 0.004 for steady tones (in which the extractor finds regular beats), 0.007 for soft notes of one sine, 0.03 for music.
LEAST_ONSET_STRENGTH = 0.005
EDGE_SECONDS = 0.5
PEAK = 0.7  # full scale is 1
MARGIN = 0.05  # the tempo is a mean and may be outside the range by this share; in silence it is 738

FEATURE = Feature(
    name="bpm_essentia",
    version=2,
    inputs=("full_mix",),
    fields=(
        Field("bpm_essentia", "1/min", bounds=(SLOWEST * (1 - MARGIN), FASTEST * (1 + MARGIN)), range=(40, 208),
              meaning="tempo by Essentia's RhythmExtractor2013, multifeature",
              undefined="the extractor's beat trackers do not agree (confidence below 1 of 5.3, as in silence and in "
                        "tracks shorter than 5 s), or nothing pulses at that tempo"),
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
    bpm, beats, confidence, _, _ = extractor(resample(mono, full_mix.rate, RATE))
    low, high = FEATURE.fields[0].bounds
    is_found = confidence >= LEAST_CONFIDENCE and low <= bpm <= high and _pulses(mono, full_mix.rate, np.array(beats))
    return {"bpm_essentia": float(bpm) if is_found else None}


def _pulses(mono: np.ndarray, rate: int, beats: np.ndarray) -> bool:
    """Return whether there are onsets, and their strength recurs from beat to beat.

    The extractor finds beats in any sound, and its confidence says how far several trackers agree, not whether there
    is anything to track: they agree best on a steady tone.

    Parameters
    ----------
    mono : float32 [n]
    rate : Hz
    beats : seconds, ascending [k]
    """
    if len(beats) < 2:
        return False
    samples = resample(mono, rate, onsets.RATE)
    samples = samples * (PEAK / max(np.abs(samples).max(initial=0), 1e-9))
    flux = onsets.band_flux(samples)
    edge = round(EDGE_SECONDS * onsets.FRAME_RATE)
    if np.sqrt((flux[edge:-edge] ** 2).mean()) < LEAST_ONSET_STRENGTH:
        return False
    flux = flux / np.maximum(np.sqrt((flux**2).mean(axis=0)), 1e-6)
    intervals, step = periodicity.intervals(onsets.FRAME_RATE), round(periodicity.STEP * onsets.FRAME_RATE)
    envelopes = periodicity.envelopes(flux, onsets.semitones(samples), onsets.FRAME_RATE)
    found = periodicity.interval_features(envelopes, intervals, onsets.FRAME_RATE)
    moments = np.clip(np.round(beats * onsets.FRAME_RATE / step).astype(int), 0, len(found) - 1)
    lengths = np.append(np.diff(beats), beats[-1] - beats[-2]) * onsets.FRAME_RATE
    columns = periodicity.nearest_interval(intervals, lengths)
    return periodicity.pulse_clarity(found, moments, columns) >= LEAST_PULSE_CLARITY
