"""Channel layouts and rates of stems: folding surround sound down to what a stereo format holds."""

import numpy as np

HALF_POWER = np.float32(np.sqrt(0.5))

# How much of each channel goes to left and right, channels in the order of WAVE and FLAC files. ITU-R BS.775-4:
# centre and surrounds at -3 dB, no low-frequency effects. Back centre (6.1) is a surround shared by both sides.
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
    """Return mono and stereo as they are, surround sound as stereo: float32 [channel, n] → float32 [1 or 2, n].

    The coefficients are those of ITU-R BS.775 (`DOWNMIX`), without normalisation: loud surround mixes can exceed full
    scale. The operation is linear, so stems that add up to a mix still do. Layouts of more than eight channels have no
    standard; their channels go to left and right in turn.
    """
    channels = len(samples)
    if channels <= 2:
        return samples
    weights = np.array(DOWNMIX.get(channels) or [(_L, _R)[c % 2] for c in range(channels)], dtype=np.float32)
    return weights.T @ samples


def pairs(channels: int) -> list[tuple[int, int | None]]:
    """Return which channels are left and right of each other; single ones with None."""
    singles = {1: (0,), 3: (2,), 5: (2,), 6: (2, 3), 7: (2, 3, 4), 8: (2, 3)}.get(channels, ())
    rest = [c for c in range(channels) if c not in singles]
    pairs = list(zip(rest[0::2], rest[1::2], strict=False))
    odd = rest[2 * len(pairs) :]
    return pairs + [(c, None) for c in (*singles, *odd)]
