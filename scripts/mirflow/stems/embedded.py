"""Backend `embedded`: four stems by the network that is a part of mirflow (`mirflow.dsp.separation`)."""

import numpy as np

from mirflow.core.audio import Audio
from mirflow.dsp.separation import split

VERSION = 5  # raise it when the stems change


def separate(full_mix: Audio) -> dict[str, np.ndarray]:
    """Split a mix.

    Returns
    -------
    drums, bass, other, vocals : each float32 [channel, n] like the mix; their sum is the mix, up to rounding
    """
    return split.separate(full_mix.samples, full_mix.rate, full_mix.layout)
