"""Sonification of a beat grid: the track with a click on each beat."""

import numpy as np

from mirflow.core.audio import Audio

VERSION = 1  # of the audio; raise it when its samples change


def with_clicks(full_mix: Audio, *, beats: np.ndarray, downbeats: np.ndarray) -> Audio:
    """Return the track at half its amplitude, with a click of 30 ms on each beat.

    The clicks have a frequency of 2 kHz on downbeats and 1 kHz on the other beats.

    Parameters
    ----------
    full_mix : the whole track, samples float32 [channel, n]
    beats, downbeats : seconds; a downbeat that is also among the beats gets one click

    Returns
    -------
    samples float32 [channel, n], clipped to [-1, 1]
    """
    mixed = 0.5 * full_mix.samples
    time = np.arange(round(0.03 * full_mix.rate)) / full_mix.rate
    other_beats = beats[~np.isin(beats, downbeats)]
    for times, frequency in ((other_beats, 1000), (downbeats, 2000)):
        click = (0.5 * np.sin(2 * np.pi * frequency * time) * np.exp(-time / 0.008)).astype(np.float32)
        for begin in np.round(times * full_mix.rate).astype(int):
            target = mixed[:, begin : begin + len(click)]
            target += click[: target.shape[1]]
    return Audio(np.clip(mixed, -1, 1), full_mix.rate)
