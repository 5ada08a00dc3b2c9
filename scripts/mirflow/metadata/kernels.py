"""The inner loop of comparing fingerprints, compiled by numba.

Import this module inside functions only, because the import of numba takes long.
"""

import numpy as np
from numba import njit

from mirflow.metadata.fingerprint import SILENCE


@njit(cache=True)
def alignment(
    one: np.ndarray, two: np.ndarray, middle: int, reach: int, tempo: float, step: int, least: int
) -> tuple[float, int, int, int]:
    """Find the offset at which the fewest bits of two fingerprints differ.

    Digital silence in both says nothing, and is not compared. Of equally good offsets the one that compares most words
    counts, then the one nearest to `middle`.

    Parameters
    ----------
    one, two : words, uint32 [n] and [m]
    middle, reach : words: offsets from middle - reach to middle + reach are tried
    tempo : word i of `two` stands for word i * tempo + offset of `one`
    step : of `two`, every so many words are compared
    least : number of words that must be compared

    Returns
    -------
    similarity, offset, number of words compared, number of words that both have; -1 and zeros where there is none
    """
    similarity, best, compared, spanned = -1.0, 0, 0, 0
    places = np.arange(0, len(two), step)
    at = np.rint(places * tempo).astype(np.int64)
    for turn in range(2 * reach + 1):
        offset = middle + ((turn + 1) // 2 if turn % 2 else -(turn // 2))
        first = np.searchsorted(at, -offset)
        last = np.searchsorted(at, len(one) - offset)
        wrong, silent = 0, 0
        for number in range(first, last):
            a, b = one[at[number] + offset], two[places[number]]
            bits = np.uint32(a ^ b)
            bits = bits - ((bits >> np.uint32(1)) & np.uint32(0x55555555))
            bits = (bits & np.uint32(0x33333333)) + ((bits >> np.uint32(2)) & np.uint32(0x33333333))
            bits = (bits + (bits >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
            wrong += np.uint32(bits * np.uint32(0x01010101)) >> np.uint32(24)
            silent += (a == SILENCE) & (b == SILENCE)
        count = last - first - silent
        if count >= least and count > 0:
            found = 1 - 2 * wrong / (32 * count)
            if found > similarity or (found == similarity and count > compared):
                similarity, best, compared, spanned = found, offset, count, last - first
    return similarity, best, compared, spanned
