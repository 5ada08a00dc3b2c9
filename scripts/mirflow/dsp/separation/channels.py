"""Channels of surround sound: their downmix to stereo, the pairs of left and right, and pairs of opposite polarity."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mirflow.core import channels as core_channels
from mirflow.core.audio import Audio

HALF_POWER = np.float32(np.sqrt(0.5))

# The gains of each channel in the left and the right channel of the downmix. Source: ITU-R BS.775-4. The centre and the
# surround channels have -3 dB, and the LFE channels are left out. The back centre channel goes to both sides, at -3 dB
# of the gain of a surround channel. Positions that are not in the standard are treated like their neighbours.
_RIGHT_OF = {
    "FL": "FR", "FLC": "FRC", "TFL": "TFR", "DL": "DR", "WL": "WR", "BFL": "BFR",
    "BL": "BR", "SL": "SR", "TBL": "TBR", "SDL": "SDR", "TSL": "TSR",
}  # fmt: skip
_SURROUND = ("BL", "SL", "TBL", "SDL", "TSL")
_DOWNMIX = {"FC": (HALF_POWER, HALF_POWER), "BC": (HALF_POWER / 2**0.5, HALF_POWER / 2**0.5), "LFE": (0, 0)}
_DOWNMIX |= {"TC": _DOWNMIX["FC"], "TFC": _DOWNMIX["FC"], "BFC": _DOWNMIX["FC"], "TBC": _DOWNMIX["BC"]}
_DOWNMIX |= {"LFE2": _DOWNMIX["LFE"]}
for _left, _right in _RIGHT_OF.items():
    _gain = HALF_POWER if _left in _SURROUND else 1
    _DOWNMIX |= {_left: (_gain, 0), _right: (0, _gain)}


def fold_down(samples: np.ndarray, layout: Sequence[str] = ()) -> np.ndarray:
    """Mix surround sound down to stereo. Mono and stereo are returned unchanged.

    The gains are those of ITU-R BS.775, without normalisation, so loud surround mixes can exceed full scale. The
    downmix is linear: if stems add up to a mix, so do their downmixes. There is no default layout for more than eight
    channels; such channels go to the left and to the right in turn.

    Parameters
    ----------
    samples : float32 [channel, n]
    layout : the positions of the channels (`mirflow.core.channels`); empty: the default

    Returns
    -------
    float32 [1 or 2, n]
    """
    channels = len(samples)
    if channels <= 2:
        return samples
    positions = core_channels.positions(channels, layout) or [("FL", "FR")[c % 2] for c in range(channels)]
    return np.array([_DOWNMIX[position] for position in positions], dtype=np.float32).T @ samples


def pairs(channels: int, layout: Sequence[str] = ()) -> list[tuple[int, int | None]]:
    """Return the indices of the channels that form left-right pairs, and (index, None) for each of the other channels.

    Parameters
    ----------
    channels : their number
    layout : their positions (`mirflow.core.channels`); empty: the default
    """
    positions = core_channels.positions(channels, layout) or [f"{c}" for c in range(channels)]
    index = {position: channel for channel, position in enumerate(positions)}
    paired = [(c, index[_RIGHT_OF[p]]) for p, c in index.items() if _RIGHT_OF.get(p) in index]
    return paired + [(c, None) for c in range(channels) if not any(c in pair for pair in paired)]


def in_phase(separate: Callable[[Audio], dict[str, np.ndarray]], mix: Audio) -> dict[str, np.ndarray]:
    """Separate a mix with channels of inverted polarity as if they were not inverted.

    Separators take what both channels share for the centre of the image, where voices, bass and drums are. The stems
    get the polarity of the mix back, so that they add up to it.

    Parameters
    ----------
    separate : returns stems, float32 [channel, n], of a mix
    mix : its downmix says which channels are inverted
    """
    if mix.downmix is None or (mix.downmix >= 0).all():
        return separate(mix)
    signs = np.where(mix.downmix < 0, -1, 1).astype(np.float32)[:, None]
    return {name: stem * signs for name, stem in separate(replace(mix, samples=mix.samples * signs)).items()}
