"""Where the channels of a recording are heard: names of positions, and the layouts that files have by default."""

from collections.abc import Sequence

# The names that FFmpeg gives to positions. The first 18 are the bits of WAV's channel mask: a WAV or FLAC file has its
# channels in this order, whichever of them it has.
POSITIONS = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR",
    "DL", "DR", "WL", "WR", "SDL", "SDR", "LFE2", "TSL", "TSR", "BFC", "BFL", "BFR",
)  # fmt: skip
MASK_BITS = 18
LOW_FREQUENCY = ("LFE", "LFE2")

# What WAV and FLAC files hold that do not say it (RFC 9639, 9.1.3), by the number of channels.
DEFAULT = {
    1: ("FC",),
    2: ("FL", "FR"),
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}


def positions(channels: int, layout: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the position of each channel: the layout where there is one of so many channels, otherwise the default.

    The result is empty where there is no default for that number of channels.
    """
    return tuple(layout) if len(layout) == channels else DEFAULT.get(channels, ())


def of_mask(mask: int) -> tuple[str, ...]:
    """Return the positions of WAV's channel mask, in the order of the channels."""
    return tuple(name for bit, name in enumerate(POSITIONS[:MASK_BITS]) if mask >> bit & 1)


def order(layout: Sequence[str]) -> list[int] | None:
    """Return which channels of this layout come first, second ... in WAV's order; None where a position is unknown."""
    if len(set(layout)) < len(layout) or not set(layout) <= set(POSITIONS):
        return None
    return sorted(range(len(layout)), key=lambda channel: POSITIONS.index(layout[channel]))


def ascending(layout: Sequence[str]) -> tuple[str, ...]:
    """Return the same positions in WAV's order; as they are where one is unknown."""
    return tuple(layout[channel] for channel in order(layout) or range(len(layout)))
