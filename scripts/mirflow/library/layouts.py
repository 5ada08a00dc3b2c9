"""The channel layouts that AIFF and MP4 files state. Unlike those of WAV files, they are in any order: C L R Ls Rs LFE.

Apple's AudioChannelLayout is in the chunk CHAN of AIFF and in the box chan of MP4 (CoreAudioBaseTypes.h); the box chnl
is that of ISO 14496-12, with the positions and layouts of ISO 23091-3.
"""

import struct

from mirflow.core import channels

USE_DESCRIPTIONS, USE_BITMAP = 0, 1 << 16
MOST_CHANNELS = 64
# Apple's label of a channel → its position.
LABELS = {
    1: "FL", 2: "FR", 3: "FC", 4: "LFE", 5: "SL", 6: "SR", 7: "FLC", 8: "FRC", 9: "BC", 10: "SDL", 11: "SDR", 12: "TC",
    13: "TFL", 14: "TFC", 15: "TFR", 16: "TBL", 17: "TBC", 18: "TBR", 33: "BL", 34: "BR", 35: "WL", 36: "WR",
    37: "LFE2", 38: "DL", 39: "DR", 42: "FC",
}  # fmt: skip
# Upper half of Apple's tag of a layout → its channels; the lower half is their number.
TAGS = {
    108: "FL FR BL BR", 109: "FL FR BL BR FC", 110: "FL FR BL BR FC BC", 111: "FL FR BL BR FC BC SL SR",
    113: "FL FR FC", 114: "FC FL FR", 115: "FL FR FC BC", 116: "FC FL FR BC", 117: "FL FR FC SL SR",
    118: "FL FR SL SR FC", 119: "FL FC FR SL SR", 120: "FC FL FR SL SR", 121: "FL FR FC LFE SL SR",
    122: "FL FR SL SR FC LFE", 123: "FL FC FR SL SR LFE", 124: "FC FL FR SL SR LFE", 125: "FL FR FC LFE SL SR BC",
    126: "FL FR FC LFE SL SR FLC FRC", 127: "FC FLC FRC FL FR SL SR LFE", 128: "FL FR FC LFE SL SR BL BR",
    129: "FL FR SL SR FC LFE FLC FRC", 131: "FL FR BC", 132: "FL FR SL SR", 133: "FL FR LFE", 134: "FL FR LFE BC",
    135: "FL FR LFE SL SR", 136: "FL FR FC LFE", 137: "FL FR FC LFE BC", 138: "FL FR SL SR LFE",
    139: "FL FR SL SR FC BC", 140: "FL FR SL SR FC BL BR", 141: "FC FL FR SL SR BC", 142: "FC FL FR SL SR BC LFE",
    143: "FC FL FR SL SR BL BR", 144: "FC FL FR SL SR BL BR BC", 148: "FL FR SL SR FC FLC FRC", 149: "FC LFE",
    150: "FL FC FR", 151: "FL FC FR BC", 152: "FL FC FR LFE", 153: "FL FR BC LFE", 154: "FL FC FR BC LFE",
    155: "FL FC FR SL SR BC", 156: "FL FC FR SL SR BL BR", 157: "FL FC FR SL SR LFE BC", 185: "FL FR BL BR",
    186: "FL FR FC BL BR", 187: "FL FR FC LFE BL BR", 188: "FL FR FC LFE BC SL SR", 189: "FL FR FC LFE BL BR SL SR",
}  # fmt: skip
# Speaker positions of ISO 23091-3, and its layouts by their number.
ISO_POSITIONS = (
    "FL", "FR", "FC", "LFE", "SL", "SR", "FLC", "FRC", "BL", "BR", "BC", "SDL", "SDR", "SL", "SR", "WL", "WR", "TFL",
    "TFR", "TFC", "TBL", "TBR", "TBC", "TSL", "TSR", "TC", "LFE2", "BFL", "BFR", "BFC",
)  # fmt: skip
ISO_LAYOUTS = {
    3: "FC FL FR", 4: "FC FL FR BC", 5: "FC FL FR SL SR", 6: "FC FL FR SL SR LFE", 7: "FC FLC FRC FL FR SL SR LFE",
    9: "FL FR BC", 10: "FL FR SL SR", 11: "FC FL FR SL SR BC LFE", 12: "FC FL FR SL SR BL BR LFE",
    14: "FC FL FR SL SR LFE TFL TFR",
}  # fmt: skip


def of_apple(content: bytes) -> tuple[str, ...]:
    """Return the positions in an AudioChannelLayout, in the order of the file; empty where it states none, or others.

    Parameters
    ----------
    content : tag, bitmap, number of descriptions (big-endian, 32 bits each), and the descriptions
    """
    if len(content) < 12:
        return ()
    tag, bitmap, count = struct.unpack_from(">III", content)
    if tag == USE_BITMAP:
        return channels.of_mask(bitmap)
    if tag != USE_DESCRIPTIONS:
        names = tuple(TAGS.get(tag >> 16, "").split())
        return names if len(names) == tag & 0xFFFF else ()
    if count > min(MOST_CHANNELS, (len(content) - 12) // 20):
        return ()
    names = tuple(LABELS.get(struct.unpack_from(">I", content, 12 + 20 * one)[0], "") for one in range(count))
    return names if all(names) else ()


def of_iso(content: bytes) -> tuple[str, ...]:
    """Return the positions in a box chnl of version 0, in the order of the file; empty where it states none, or others.

    Parameters
    ----------
    content : of the box, after version and flags
    """
    if len(content) < 2 or not content[0] & 1:  # bit 0: of channels, not of objects
        return ()
    if content[1]:
        return tuple(ISO_LAYOUTS.get(content[1], "").split()) if not any(content[2:10]) else ()  # none are left out
    return tuple(ISO_POSITIONS[one] for one in content[2:]) if max(content[2:], default=0) < len(ISO_POSITIONS) else ()
