"""Rhythm of each stem: density of its onsets, syncopation, complexity, evenness."""

import numpy as np

from mirflow.audio import Audio
from mirflow.dsp import metre, rhythm
from mirflow.dsp.onsets import detect
from mirflow.registry import STEMS, Feature, Field

WINDOW = 4.0  # s
HOP = 2.0  # s
EARLY = 0.005  # s, by which windows open and close early: a pulse on their edges then falls to one side

FEATURE = Feature(
    name="per_stem_rhythm",
    version=1,
    inputs=(*STEMS, "onsets", "beats", "downbeats"),
    fields=tuple(
        field
        for stem in STEMS
        for field in (
            Field(f"onset_density_average_{stem}", "1/s", bounds=(0, np.inf), range=(0, 15),
                  meaning=f"onsets per second of the {stem} stem, mean of the full 4 s windows, every 2 s",
                  undefined="shorter than 4 s, unless nothing sounds (then 0)"),
            Field(f"onset_density_variance_{stem}", "1/s^2", bounds=(0, np.inf), range=(0, 20),
                  meaning=f"variance of the same windows of the {stem} stem",
                  undefined="shorter than 4 s, unless nothing sounds (then 0)"),
            Field(f"syncopation_{stem}", "ratio", bounds=(0, 1), range=(0, 0.6),
                  meaning=f"as syncopation, of the {stem} stem's onsets",
                  undefined="silent stem, fewer than two beats, or no onset among them"),
            Field(f"rhythmic_complexity_{stem}", "ratio", bounds=(0, 1), range=(0, 1),
                  meaning=f"as rhythmic_complexity, of the {stem} stem's onsets", undefined="fewer than 3 onsets"),
            Field(f"rhythmic_evenness_{stem}", "ratio", bounds=(0, 1), range=(0, 1),
                  meaning=f"as rhythmic_evenness, of the {stem} stem's onsets", undefined="fewer than 3 onsets"),
        )
    ),
    cite="as onsets, syncopation and complexity",
)  # fmt: skip


def measure(*, onsets: np.ndarray, beats: np.ndarray, downbeats: np.ndarray,
            **stems: Audio) -> dict[str, float | None]:  # fmt: skip
    """Measure the rhythm of each stem.

    Parameters
    ----------
    onsets : s, of the full mix: they say how beats divide, since the metre is that of the music, not of a stem
    beats, downbeats : s, ascending
    stems : the four of `STEMS`, samples float32 [channel, n], rate in Hz; the mean of the channels is used

    Returns
    -------
    the keys of `FEATURE`
    """
    division = metre.division(onsets=onsets, beats=beats)
    values: dict[str, float | None] = {}
    for stem in STEMS:
        audio = stems[stem]
        found = detect(audio.mono(), audio.rate).times
        average, variance = density(found, audio.duration)
        score, _ = rhythm.syncopation(onsets=found, beats=beats, downbeats=downbeats, division=division)
        intervals = rhythm.complexity(onsets=found, beats=beats, division=division)
        values |= {
            f"onset_density_average_{stem}": average,
            f"onset_density_variance_{stem}": variance,
            f"syncopation_{stem}": score,
            f"rhythmic_complexity_{stem}": intervals.entropy,
            f"rhythmic_evenness_{stem}": intervals.evenness,
        }
    return values


def density(onsets: np.ndarray, duration: float) -> tuple[float | None, float | None]:
    """Return mean and variance of the onsets per second in full windows of `WINDOW`, every `HOP`.

    Without onsets both are 0; with onsets in less than one window both are None.

    Parameters
    ----------
    onsets : s, ascending [k]
    duration : s
    """
    if not len(onsets):
        return 0.0, 0.0
    if duration < WINDOW:
        return None, None
    starts = HOP * np.arange(int((duration - WINDOW) / HOP) + 1) - EARLY
    counts = np.searchsorted(onsets, starts + WINDOW) - np.searchsorted(onsets, starts)
    densities = counts / WINDOW
    return float(densities.mean()), float(densities.var())
