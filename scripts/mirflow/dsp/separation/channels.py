"""Channel layouts: the downmix of surround sound to stereo, and the pairs of left and right channels."""

import numpy as np

HALF_POWER = np.float32(np.sqrt(0.5))

# The gains of each channel in the left and the right channel of the downmix, in the channel order of WAV and FLAC
# files. Source: ITU-R BS.775-4. The centre and the surround channels have -3 dB, and the LFE channel is left out. The
# back centre channel of 6.1 goes to both sides, at -3 dB of the gain of a surround channel.
_L, _R, _C, _LFE = (1, 0), (0, 1), (HALF_POWER, HALF_POWER), (0, 0)
_LS, _RS, _CS = (HALF_POWER, 0), (0, HALF_POWER), (HALF_POWER / 2**0.5, HALF_POWER / 2**0.5)
DOWNMIX = {
    3: (_L, _R, _C),
    4: (_L, _R, _LS, _RS),
    5: (_L, _R, _C, _LS, _RS),
    6: (_L, _R, _C, _LFE, _LS, _RS),
    7: (_L, _R, _C, _LFE, _CS, _LS, _RS),
    8: (_L, _R, _C, _LFE, _LS, _RS, _LS, _RS),
}


def fold_down(samples: np.ndarray) -> np.ndarray:
    """Mix surround sound down to stereo. Mono and stereo are returned unchanged.

    The gains are those of ITU-R BS.775 (`DOWNMIX`), without normalisation, so loud surround mixes can exceed full
    scale. The downmix is linear: if stems add up to a mix, so do their downmixes. There is no standard for more than
    eight channels; such channels go to the left and to the right in turn.

    Parameters
    ----------
    samples : float32 [channel, n]

    Returns
    -------
    float32 [1 or 2, n]
    """
    channels = len(samples)
    if channels <= 2:
        return samples
    weights = np.array(DOWNMIX.get(channels) or [(_L, _R)[c % 2] for c in range(channels)], dtype=np.float32)
    return weights.T @ samples


def pairs(channels: int) -> list[tuple[int, int | None]]:
    """Return the indices of the channels that form left-right pairs, and (index, None) for each of the other channels.

    `channels` is the number of channels, in the order of WAV and FLAC files.
    """
    singles = {1: (0,), 3: (2,), 5: (2,), 6: (2, 3), 7: (2, 3, 4), 8: (2, 3)}.get(channels, ())
    paired = [c for c in range(channels) if c not in singles]
    pairs = list(zip(paired[0::2], paired[1::2], strict=False))
    unpaired = paired[2 * len(pairs) :]
    return pairs + [(c, None) for c in (*singles, *unpaired)]
