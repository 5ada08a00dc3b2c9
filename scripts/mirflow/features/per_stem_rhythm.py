"""Rhythm of each stem: onset density, syncopation, complexity and evenness."""

import numpy as np

from mirflow.core.audio import Audio
from mirflow.core.feature import Feature, Field
from mirflow.core.layout import STEMS
from mirflow.dsp import metre, pitch_class, rhythm
from mirflow.dsp.onsets import detect

WINDOW = 4.0  # s
HOP = 2.0  # s
MIX_DB = -14.0  # dBFS (RMS): stems are heard at the level that they have in a mix with this one, as silence is absolute
EARLY = 0.005  # s by which windows start and end early, so that a pulse near their edges is always in the same window

FEATURE = Feature(
    name="per_stem_rhythm",
    version=5,
    inputs=("full_mix", *STEMS, "onsets", "beats", "downbeats"),
    fields=tuple(
        field
        for stem in STEMS
        for field in (
            Field(f"onset_density_average_{stem}", "1/s", bounds=(0, np.inf), range=(0, 15),
                  meaning=f"onsets per second of the {stem} stem, mean of all complete 4 s windows, every 2 s",
                  undefined="the track is shorter than 4 s (0 if the stem has no onsets)"),
            Field(f"onset_density_variance_{stem}", "1/s^2", bounds=(0, np.inf), range=(0, 20),
                  meaning=f"variance of the onsets per second of the {stem} stem over the same windows",
                  undefined="the track is shorter than 4 s (0 if the stem has no onsets)"),
            Field(f"syncopation_{stem}", "ratio", bounds=(0, 1), range=(0, 0.6),
                  meaning=f"like syncopation, of the onsets of the {stem} stem",
                  undefined="the stem is silent, there are fewer than two beats, or no onset lies between beats"),
            Field(f"rhythmic_complexity_{stem}", "ratio", bounds=(0, 1), range=(0, 1),
                  meaning=f"like rhythmic_complexity, of the onsets of the {stem} stem",
                  undefined="the stem has fewer than 3 onsets"),
            Field(f"rhythmic_evenness_{stem}", "ratio", bounds=(0, 1), range=(0, 1),
                  meaning=f"like rhythmic_evenness, of the onsets of the {stem} stem",
                  undefined="the stem has fewer than 3 onsets"),
        )
    ),
    cite="see onsets, syncopation and complexity",
)  # fmt: skip


def measure(*, full_mix: Audio, onsets: np.ndarray, beats: np.ndarray, downbeats: np.ndarray,
            **stems: Audio) -> dict[str, float | None]:  # fmt: skip
    """Measure the rhythm of each stem.

    Parameters
    ----------
    full_mix : samples float32 [channel, n], rate in Hz; its level says what is silent in a stem
    onsets : of the full mix, in seconds, ascending [k]. They determine the division of beats, which is the same for all
        stems
    beats, downbeats : seconds, ascending [n], [m]
    stems : drums, bass, other and vocals, samples float32 [channel, n], rate in Hz; the mean of the channels is
        analysed

    Returns
    -------
    onset_density_average_<stem> : onsets per second
    onset_density_variance_<stem> : 1/s²
    syncopation_<stem>, rhythmic_complexity_<stem>, rhythmic_evenness_<stem> : in [0, 1]

    Undefined values are None.
    """
    division = metre.division(onsets=onsets, beats=beats)
    values: dict[str, float | None] = {}
    power = pitch_class.mean_square(full_mix)
    gain = np.float32(10 ** (MIX_DB / 20) / power**0.5) if power else np.float32(1)
    for stem in STEMS:
        audio = stems[stem]
        stem_onsets = detect(gain * audio.mono(), audio.rate).times
        average, variance = density(stem_onsets, audio.duration)
        score, _ = rhythm.syncopation(onsets=stem_onsets, beats=beats, downbeats=downbeats, division=division)
        statistics = rhythm.complexity(onsets=stem_onsets, beats=beats, division=division)
        values |= {
            f"onset_density_average_{stem}": average,
            f"onset_density_variance_{stem}": variance,
            f"syncopation_{stem}": score,
            f"rhythmic_complexity_{stem}": statistics.entropy,
            f"rhythmic_evenness_{stem}": statistics.evenness,
        }
    return values


def density(onsets: np.ndarray, duration: float) -> tuple[float | None, float | None]:
    """Return the mean and the variance of the onsets per second, over complete windows of `WINDOW` every `HOP`.

    Both are 0 without onsets. Both are None when there are onsets, but no complete window.

    Parameters
    ----------
    onsets : seconds, ascending [k]
    duration : seconds
    """
    if not len(onsets):
        return 0.0, 0.0
    if duration < WINDOW:
        return None, None
    starts = HOP * np.arange(int((duration - WINDOW) / HOP) + 1) - EARLY
    counts = np.searchsorted(onsets, starts + WINDOW) - np.searchsorted(onsets, starts)
    densities = counts / WINDOW
    return float(densities.mean()), float(densities.var())
