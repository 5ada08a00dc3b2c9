"""Texts for people: numbers of things, durations, names without control characters."""

import re
from collections.abc import Sequence

# Control characters, those that change the direction of writing, and lone surrogates: names may hold any of them.
_UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def count(number: int, noun: str) -> str:
    """Return "1 track", "2 tracks"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def clock(seconds: float) -> str:
    """Return a duration as a person says it.

    >>> clock(4.2), clock(65), clock(3700)
    ('4 s', '1 min 05 s', '1 h 01 min')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Return the lines of a table; the columns `right` are aligned to the right.

    >>> table(("name", "size"), [("one", "5 B"), ("three", "12 B")], right=[1])
    ['name   size', 'one     5 B', 'three  12 B']
    """
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return [
        "  ".join(
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]


def printable(text: str) -> str:
    """Return a text in which control characters are escaped as Python does it; ends of lines stay.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    text = text.replace("\t", "    ")
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
