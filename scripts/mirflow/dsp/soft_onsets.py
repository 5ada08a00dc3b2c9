"""Onsets of which the onset network is not sure: of few partials, of soft attacks, of a repeated pitch.

They are found by five signs. Each one needs that no onset is known that explains it; all but the last also need that
the network finds an onset possible there.

1. A peak of the mean flux over all bands (`_flux_peaks`).
2. Partials appear that were not there for a while (`_appearing`).
3. A short gap between two sounds whose levels are steady, whether the second sound begins fast or slowly (`_gaps`).
4. A deep dip of nearly all bands at once (`_dips`): the end of one note and the slow attack of the next one, also at
   the same pitch. Beats are of single partials; tremolo is shallower, or faster.
5. Partials that appear within some tenths of a second, while others may go on (`_swelling`): a chord of a pad.
"""

import numpy as np

from mirflow.dsp import superflux
from mirflow.dsp.superflux import BLOCK, HOP, LAG_FRAMES, LEAD_FRAMES

FULL_DB = 15.0  # a band with this level counts as one that sounds, a weaker one in proportion
FEWEST_BANDS = 4.0  # added to the number of bands that sound, so that a few weak ones do not count as much
DISTANCE = 8  # frames between these onsets, and to all others

FLUX_DISTANCE = 3  # frames; a peak is the largest value within this distance, and peaks are further apart than this
MEAN_BEFORE, MEAN_AFTER = 10, 7  # frames before and after a frame, over which the local mean is taken
THRESHOLD_FACTOR = 1.5  # times the local mean: the flux of noise fluctuates in proportion to its mean
THRESHOLD_OFFSET = 0.25  # dB, added to it

LEAST_RISE = 0.6  # dB, of the flux over the bands that sound
LEAST_NOVELTY = 2.5  # dB, of the bands that sound, over their largest level in `MEMORY`
NOVELTY_AHEAD, NOVELTY_LASTS = 9, 5  # frames after an onset, when its sound is compared with what was there before
MEMORY = 35  # frames, longer than a period of vibrato and of most beats
NEAR = 3  # frames between a peak of the flux and one of the novelty
RISING = 0.4  # of the peak of the flux: a soft attack begins where the flux exceeds this

GAP_FRAME = 1024  # samples
GAP_DB = 8.0  # depth of a gap between two sounds
GAP_BOTTOM_DB = 1.0  # above the lowest level around it
GAP_RISES, GAP_RISE_DB = (3, 10), 2.5  # frames after the gap, when the level has reached its peak, but for this much
GAP_REACH = 18  # frames before a gap, in which the level hardly changes: noise and beats have more gaps
GAP_STEADY_DB = 3.0

DIP_DB, DIP_BAND_DB = 10.0, 7.0  # depth of the whole level, and of a band
DIP_BANDS = 0.7  # share of the bands that dip
FEWEST_DIP_BANDS, DIP_SOUND_DB = 12, 12.0  # number and level of the bands that sound before and after
DIP_BEFORE, DIP_AFTER = 25, 35  # frames, in which the level falls and rises
DIP_LOWEST, DIP_FLANK = 15, 5  # frames: a bottom is the lowest in this distance; those next to it count as its flanks
DIP_DISTANCE = 28  # frames to other dips: tremolo is faster
DIP_FLOOR_DB = -60.0  # re the loudest frame; softer dips are pauses
DIP_END_DB = 2.0  # above the bottom: the next note begins there

SWELL_AHEAD, SWELL_LASTS = 30, 9  # as `NOVELTY_AHEAD` and `NOVELTY_LASTS`
SWELL_MEMORY = 51
SWELL_NOVELTY = 0.9
SWELL_BEFORE = 10  # frames before the peak of the novelty, from which the rise is followed
SWELL_STARTS = 0.3  # of the rise of the new partials: the onset


def frames(
    levels: np.ndarray, flux: np.ndarray, samples: np.ndarray, known: np.ndarray, possible: np.ndarray
) -> np.ndarray:
    """Return the frames of these onsets, int [k].

    Parameters
    ----------
    levels : of the bands, from `superflux.decibels` [frame, band]
    flux : their mean increase, from `superflux.increase`, float64 [frame]
    samples : float32 [n] at `superflux.RATE`
    known : frames of the onsets that are known [k]; none is found near them
    possible : bool [frame], where the network finds an onset possible
    """
    total = _total_level(samples, len(levels))
    found = np.asarray(known)

    def add(candidates: np.ndarray, before: int = DISTANCE, after: int = DISTANCE) -> None:
        """Take the candidates, unless one is known at most so many frames before or after."""
        nonlocal found
        for frame in candidates:
            if not np.any((found >= frame - before) & (found <= frame + after)):
                found = np.append(found, frame)

    def among(candidates: np.ndarray) -> np.ndarray:
        """Return the candidates where an onset is possible."""
        return candidates[possible[candidates]]

    fast, slow = GAP_RISES
    add(among(_flux_peaks(flux)))
    # The end of the sound before a gap can look like an onset, so gaps come first.
    add(among(_gaps(total, fast)))
    add(among(_appearing(levels, flux)))
    add(among(_gaps(total, slow)), after=2 * slow)
    add(among(_dips(levels, total)), after=DIP_AFTER)
    add(_swelling(levels, found))
    return found[len(known) :].astype(int)


def _flux_peaks(flux: np.ndarray) -> np.ndarray:
    """Return the frames of the peaks of the mean flux, float [frame], that exceed the local threshold, int [k]."""
    from scipy.ndimage import maximum_filter1d

    total = np.concatenate([[0.0], np.cumsum(flux)])
    frame = np.arange(len(flux))
    begin, end = np.maximum(frame - MEAN_BEFORE, 0), np.minimum(frame + MEAN_AFTER + 1, len(flux))
    mean = (total[end] - total[begin]) / (end - begin)
    candidates = np.flatnonzero(
        (flux == maximum_filter1d(flux, 2 * FLUX_DISTANCE + 1)) & (flux >= THRESHOLD_FACTOR * mean + THRESHOLD_OFFSET)
    )
    # Of a plateau, only the first frame is a peak.
    return candidates[np.diff(candidates, prepend=-FLUX_DISTANCE - 1) > FLUX_DISTANCE]


def _appearing(levels: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Return the frames where partials appear that were not there for a while, int [k]."""
    from scipy.ndimage import maximum_filter1d

    flux = flux * levels.shape[1] / _sounding(levels)
    gains = _gains(levels, NOVELTY_AHEAD, NOVELTY_LASTS, MEMORY)
    novelty = maximum_filter1d(_per_sounding_band(gains, levels, NOVELTY_AHEAD), 2 * NEAR + 1)
    peaks = np.flatnonzero(
        (flux == maximum_filter1d(flux, 2 * DISTANCE - 1)) & (flux > LEAST_RISE) & (novelty > LEAST_NOVELTY)
    )
    starts = []
    for peak in peaks:
        before = flux[max(peak - DISTANCE, 0) : peak]
        lower = np.flatnonzero(before < RISING * flux[peak])
        starts.append(peak - len(before) + (lower[-1] + 1 if len(lower) else 0))
    return np.array(starts, dtype=int)


def _swelling(levels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the frames where partials begin to appear slowly, far from known onsets, int [k]."""
    from scipy.ndimage import maximum_filter1d

    gains = _gains(levels, SWELL_AHEAD, SWELL_LASTS, SWELL_MEMORY)
    novelty = _per_sounding_band(gains, levels, SWELL_AHEAD)
    novelty[: LEAD_FRAMES + LAG_FRAMES] = 0
    for frame in known:  # what appears soon after, or before that, is its sound
        novelty[max(frame - SWELL_AHEAD - SWELL_BEFORE, 0) : frame + SWELL_MEMORY] = 0
    peaks = np.flatnonzero((novelty == maximum_filter1d(novelty, 2 * SWELL_AHEAD + 1)) & (novelty > SWELL_NOVELTY))
    starts: list[int] = []
    for peak in peaks:
        if starts and peak - starts[-1] < SWELL_AHEAD:
            continue
        first = max(peak - SWELL_BEFORE, 0)
        rise = levels[first : peak + SWELL_AHEAD + 1] @ gains[peak]  # of the new partials
        low, high = rise[:SWELL_BEFORE].mean(), rise[-NOVELTY_LASTS:].mean()
        starts.append(first + int(np.argmax(rise > low + SWELL_STARTS * (high - low))))
    return np.array(starts, dtype=int)


def _sounding(levels: np.ndarray) -> np.ndarray:
    """Return the number of bands that sound, and `FEWEST_BANDS` more, float64 [frame]."""
    return np.clip(levels / FULL_DB, 0, 1).sum(axis=1, dtype=np.float64) + FEWEST_BANDS


def _gains(levels: np.ndarray, ahead: int, lasts: int, memory: int) -> np.ndarray:
    """Return by how much the bands after each frame exceed their largest level before it, dB [frame, band].

    Vibrato, tremolo and beats return to levels that they had before, and noise exceeds them rarely.

    Parameters
    ----------
    levels : from `superflux.decibels` [frame, band]
    ahead : frames to the middle of the time after, whose smallest level counts
    lasts : frames, the length of that time
    memory : frames before, odd
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    frame = np.arange(len(levels))
    lasting = minimum_filter1d(levels, lasts, axis=0)[np.minimum(frame + ahead, len(frame) - 1)]
    largest = maximum_filter1d(maximum_filter1d(levels, 3, axis=1), memory, axis=0, origin=memory // 2)
    return np.maximum(lasting - largest[np.maximum(frame - LAG_FRAMES - 1, 0)], 0)


def _per_sounding_band(gains: np.ndarray, levels: np.ndarray, ahead: int) -> np.ndarray:
    """Return the novelty, the mean of `_gains` over the bands that sound then, dB [frame]."""
    then = np.minimum(np.arange(len(levels)) + ahead, len(levels) - 1)
    return gains.sum(axis=1, dtype=np.float64) / _sounding(levels)[then]


def _total_level(samples: np.ndarray, count: int) -> np.ndarray:
    """Return the level in short windows around `count` frames, dB re the loudest one [frame].

    Parameters
    ----------
    samples : float32 [n] at `superflux.RATE`
    """
    window = np.hanning(GAP_FRAME).astype(np.float32) ** 2
    window /= window.sum()
    padded = np.pad(np.square(samples), (GAP_FRAME // 2 + LEAD_FRAMES * HOP, superflux.FRAME))
    windows = np.lib.stride_tricks.sliding_window_view(padded, GAP_FRAME)[::HOP][:count]
    energy = np.concatenate([windows[start : start + BLOCK] @ window for start in range(0, count, BLOCK)])
    return 10 * np.log10(energy / max(energy.max(initial=0), 1e-30) + 1e-9)


def _gaps(level: np.ndarray, rise: int) -> np.ndarray:
    """Return the last frames of short gaps between two sounds whose levels are steady, int [k].

    Parameters
    ----------
    level : from `_total_level` [frame]
    rise : frames from the gap to the peak of the second sound
    """

    def around(first: int, last: int) -> np.ndarray:
        """Return the levels of the frames from `first` to `last`, relative to each frame [frame, last - first + 1]."""
        return level[np.clip(np.arange(len(level))[:, None] + np.arange(first, last + 1), 0, len(level) - 1)]

    bottom, before, after = (
        around(-1, 0).min(axis=1),
        around(-8, -2).max(axis=1),
        around(rise - 1, rise + 3).max(axis=1),
    )
    in_gap = (
        (bottom < np.minimum(before, after) - GAP_DB)
        & (bottom <= around(-(rise // 2), rise // 2).min(axis=1) + GAP_BOTTOM_DB)
        & (around(rise, rise)[:, 0] > after - GAP_RISE_DB)
        & (around(-GAP_REACH, -4).min(axis=1) > before - GAP_STEADY_DB)
        & (around(rise + 1, rise + GAP_REACH - 3).min(axis=1) > after - GAP_STEADY_DB)
    )
    return np.flatnonzero(in_gap & ~np.append(in_gap[1:], False))


def _dips(levels: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the frames where a note begins in a deep dip of nearly all bands, int [k].

    Parameters
    ----------
    levels : from `superflux.decibels` [frame, band]
    total : from `_total_level` [frame]
    """
    from scipy.ndimage import minimum_filter1d

    starts = []
    for bottom in np.flatnonzero((total == minimum_filter1d(total, 2 * DIP_LOWEST + 1)) & (total > DIP_FLOOR_DB)):
        before, after = slice(bottom - DIP_BEFORE, bottom + 1), slice(bottom, bottom + DIP_AFTER + 1)
        if bottom < DIP_BEFORE or after.stop > len(total):
            continue
        if min(total[before].max(), total[after].max()) < total[bottom] + DIP_DB:
            continue
        usual = np.minimum(
            np.median(levels[before][:-DIP_FLANK], axis=0), np.median(levels[after][2 * DIP_FLANK :], axis=0)
        )
        depth = usual - np.median(levels[bottom - 1 : bottom + 2], axis=0)
        sounds = usual > DIP_SOUND_DB
        if sounds.sum() >= FEWEST_DIP_BANDS and (depth[sounds] > DIP_BAND_DB).mean() >= DIP_BANDS:
            starts.append(bottom + int(np.argmax(total[after] > total[bottom] + DIP_END_DB)))
    found = np.array(starts, dtype=int)
    intervals = np.diff(np.concatenate([[-DIP_DISTANCE], found, [len(total) + DIP_DISTANCE]]))
    return found[(intervals[:-1] >= DIP_DISTANCE) & (intervals[1:] >= DIP_DISTANCE)]
