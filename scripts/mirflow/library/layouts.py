"""The channel layouts that AIFF, MP4 and AAC state. Unlike those of WAV files, they are in any order: C L R Ls Rs LFE.

Apple's AudioChannelLayout is in the chunk CHAN of AIFF and in the box chan of MP4 (CoreAudioBaseTypes.h); the box chnl
is that of ISO 14496-12, with the positions and layouts of ISO 23091-3. AAC states an unusual layout by a program config
element (ISO 14496-3, 4.4.1.1), in a stream or in the header of an MP4 file.
"""

import struct

from mirflow.core import channels

USE_DESCRIPTIONS, USE_BITMAP = 0, 1 << 16
# Of AAC: the number of the element, and object types: those that are followed by another one, and those that hold it.
PROGRAM_CONFIG = 5
WITH_EXTENSION, GENERAL_AUDIO = (5, 29), (1, 2, 3, 4, 6, 7)
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


class _Bits:
    """Bytes, read bit by bit; zeros after their end."""

    def __init__(self, content: bytes) -> None:
        self.value, self.left = int.from_bytes(content), 8 * len(content)

    def take(self, count: int) -> int:
        """Return the next bits as a number."""
        self.left -= count
        return (self.value >> self.left if self.left >= 0 else self.value << -self.left) & ((1 << count) - 1)


def of_adts(content: bytes) -> tuple[str, ...]:
    """Return the positions that the program config element in an ADTS frame states; empty where there is none.

    They are in the order of the elements, in which FFmpeg leaves the channels of such a layout.

    Parameters
    ----------
    content : begins with the header of the frame
    """
    if len(content) < 9 or (content[2] & 1) << 2 | content[3] >> 6:  # a channel configuration
        return ()
    bits = _Bits(content[7 if content[1] & 1 else 9 :])
    return _of_program(bits) if bits.take(3) == PROGRAM_CONFIG else ()


def of_aac_header(content: bytes) -> tuple[str, ...]:
    """Return the positions that an AudioSpecificConfig (ISO 14496-3, 1.6.2.1) states, as `of_adts` does."""
    bits = _Bits(content)

    def object_type() -> int:
        kind = bits.take(5)
        return 32 + bits.take(6) if kind == 31 else kind

    def rate() -> None:
        if bits.take(4) == 15:
            bits.take(24)

    kind = object_type()
    rate()
    if bits.take(4):  # a channel configuration
        return ()
    if kind in WITH_EXTENSION:
        rate()
        kind = object_type()
    bits.take(1)
    if bits.take(1):  # depends on a core coder, whose delay follows
        bits.take(14)
    bits.take(1)
    return _of_program(bits) if kind in GENERAL_AUDIO else ()


def _of_program(bits: _Bits) -> tuple[str, ...]:
    """Return the positions in a program config element; empty where their number or kind is unusual."""
    bits.take(4 + 2 + 4)
    front, side, back, low, *_ = (bits.take(width) for width in (4, 4, 4, 2, 3, 4))
    for width in (4, 4, 3):  # of mixdowns
        if bits.take(1):
            bits.take(width)
    is_pair = [[bits.take(5) >> 4 for _ in range(count)] for count in (front, side, back)]
    pairs = [sum(part) for part in is_pair]
    # The elements of the front are from the centre to the sides, and those of the back from the sides to the centre.
    of_pairs = ("FLC FRC FL FR", "SL SR", "SL SR BL BR" if not side else "BL BR")
    of_pairs = [names.split()[-2 * count :] if count else [] for names, count in zip(of_pairs, pairs, strict=True)]
    singles = (["FC"], [], ["BC"])
    found: list[str] = []
    for part, names, single in zip(is_pair, of_pairs, singles, strict=True):
        for pair in part:
            found += [names.pop(0), names.pop(0)] if pair and names else single[:1] if not pair and single else [""]
    found += ["LFE", "LFE2", ""][:low]
    return tuple(found) if bits.left >= 0 and all(found) else ()
