"""What is analysed in the place of all channels: their mean, or another sum where they cancel each other in the mean.

There are recordings of which one channel has its polarity inverted, and mixes that hold one sound on both sides with
opposite signs. Their mean is silence, or a remainder that nobody notices. So the mean is compared, second by second,
with the loudest sum that the channels have with any signs. A second in which the mean has less than a tenth of the
energy of that sum is lost, and one in which it has 40 % is not (linear in between). In music the mean has more than
60 %, also with a wide stereo image.

Where more than a fourth of the energy of a track lies in seconds that are lost, another sum is taken: the mean with the
signs that make it loudest in the whole track (for two channels half their difference), or the loudest channel, if the
first one loses much as well (where channels cancel in a part of the track only). Up to a tenth it is the mean. In
between it is a mixture, so that a copy of a track, with the errors of a codec, gets nearly the same sum.
"""

from itertools import product

import numpy as np

SECONDS = 1.0  # length of the parts that are compared
LOST, KEPT = 0.1, 0.4  # energy of the mean, relative to the loudest sum: of a part that is lost, and of one that is not
LITTLE, MUCH = 0.1, 0.25  # share of the energy that lies in lost parts: the mean is taken, or another sum
NEARLY = 0.9  # share of the power of the loudest sum; a sum with fewer changed signs is taken if it has as much
MOST_CHANNELS = 8  # there are 2 ** (channels - 1) sums
TINY = np.finfo(float).tiny


def weights(samples: np.ndarray, rate: int) -> np.ndarray | None:
    """Return the weights of the channels in the sum that is analysed; None where it is the mean.

    Parameters
    ----------
    samples : float32 [channel, n]
    rate : Hz

    Returns
    -------
    float64 [channel]
    """
    channels, length = samples.shape
    if not 1 < channels <= MOST_CHANNELS or not length:
        return None
    products = _products(samples, max(1, round(SECONDS * rate)))
    energy = np.trace(products, axis1=1, axis2=2)  # [part]
    sums = _sums(channels)
    powers = np.einsum("sc,pcd,sd->sp", sums, products, sums)  # [sum, part]
    loudest = powers.max(axis=0)

    def lost(power: np.ndarray) -> float:
        """Return the share of the energy in parts where a sum of this power [part] has lost the sound."""
        kept = power / np.maximum(loudest, TINY)
        return float(energy @ np.clip((KEPT - kept) / (KEPT - LOST), 0, 1) / max(energy.sum(), TINY))

    of_mean = lost(powers[0])
    if of_mean <= LITTLE:
        return None
    whole = powers.sum(axis=1)
    signed = int(np.argmax(whole >= NEARLY * whole.max()))
    channel = int(np.einsum("pcc->c", products).argmax())
    others = [(sums[signed], lost(powers[signed])), (np.eye(channels)[channel], lost(products[:, channel, channel]))]
    chosen, of_chosen = next((other for other in others if other[1] <= LITTLE), min(others, key=lambda other: other[1]))
    share = min(max((of_mean - of_chosen - LITTLE) / (MUCH - LITTLE), 0.0), 1.0)
    return (1 - share) * sums[0] + share * chosen if share else None


def _products(samples: np.ndarray, part: int) -> np.ndarray:
    """Return the products of all pairs of channels, summed over parts of so many samples, float64 [part, c, c]."""
    starts = range(0, samples.shape[1], part)
    return np.array([(block := samples[:, at : at + part].astype(np.float64)) @ block.T for at in starts])


def _sums(channels: int) -> np.ndarray:
    """Return the weights of the mean with all combinations of signs, those with few changed ones first: [sum, c]."""
    signs = np.array([(1, *rest) for rest in product((1, -1), repeat=channels - 1)], dtype=float)
    signs *= np.where(signs.sum(axis=1, keepdims=True) < 0, -1, 1)  # all signs changed are the same sum
    return signs[np.argsort((signs < 0).sum(axis=1), kind="stable")] / channels
