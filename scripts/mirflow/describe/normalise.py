"""Normalising the answers of a language model for a T5 encoder, without changing what they say.

T5 has no tokens for typographic characters, and its own NFKC step turns some characters into others that mean
something else (10² into 102, ½ into 1⁄2, ´ into a space). Here they are first replaced by plain ones with the same
meaning.
"""

import re
import unicodedata

_REASONING = re.compile(r"<(think|thinking|reasoning)\b[^>]*>.*?</\1\s*>", re.S | re.I)
_REASONING_END = re.compile(r"^.*</(?:think|thinking|reasoning)\s*>", re.S | re.I)  # the opening tag was in the prompt
_REASONING_OPEN = re.compile(r"<(?:think|thinking|reasoning)\b[^>]*>.*$", re.S | re.I)  # never closed: no answer
_FINAL = re.compile(r"^.*<\|channel\|>\s*final\s*<\|message\|>", re.S)  # Harmony: earlier channels are not the answer
_ROLE = re.compile(
    r"<\|(?:im_start|start)\|>\s*(?:assistant|system|user)\b|<\|start_of_role\|>.*?<\|end_of_role\|>", re.S
)
_TOKEN = re.compile(
    r"<\|[^<>|]{1,40}\|>|</?s>|<(?:sound|audio|pad|unk|bos|eos|eot|end_of_turn|start_of_turn)>|\[/?INST\]"
)

# Characters that NFKC would damage, or that T5 has no token for.
_MEANING = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2043", "-"),  # hyphens, figure dash, en dash, hyphen bullet
        **dict.fromkeys("\u2014\u2015", "--"),
        "\u2212": "-",  # minus
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u00b4\u2032\u02bc\u2039\u203a", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2122\u2120\u00ae\u00a9", ""),  # NFKC would append TM and SM to the word
        **dict.fromkeys("\u2022\u2023\u25aa\u25cf\u25e6", "-"),  # bullets
        "\u00d7": "x",
        "\u00f7": "/",
        "\u00b1": "+/-",
        "\u2044": "/",
        "\u266f": "#",
        "\u266d": "b",
        "\u266e": " natural",
        "\U0001d12a": "##",
        "\U0001d12b": "bb",
        "\u00a0": " ",
        "\u2028": "\n",
        "\u2029": "\n",
        "\t": " ",
        "\ufffd": "",  # stands for a byte that was not UTF-8
    }
)
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SUBSCRIPT = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_EXPONENT = re.compile(r"(?<=\d)[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")  # after a digit; after a letter it is a chord: C⁷
_INDEX = re.compile(r"(?<=\d)[₊₋]?[₀₁₂₃₄₅₆₇₈₉]+")
_FRACTION = re.compile(r"(\d?)([¼-¾⅐-⅞↉])")
_ACCIDENTAL = re.compile(r"\b([A-G]) (?=[♭♯♮])")  # "E ♭ major"


def strip_structure(text: str) -> str:
    """Return the answer without reasoning, roles and control tokens; "" where the reasoning never ends."""
    text = _FINAL.sub("", text)
    text = _REASONING.sub("", text)
    text = _REASONING_END.sub("", text)
    text = _REASONING_OPEN.sub("", text)
    return _TOKEN.sub("", _ROLE.sub("", text)).strip()


def normalise(text: str) -> str:
    """Return `text` for T5: in NFKC, with plain dashes, quotes and spaces, without invisible characters.

    Line breaks stay (T5 reads them as spaces); empty lines and spaces around lines are removed. A normalised text is
    not changed any more.
    """
    text = _FRACTION.sub(
        lambda m: f"{m[1]} " * bool(m[1]) + unicodedata.normalize("NFKC", m[2]).replace("\u2044", "/"), text
    )
    text = _EXPONENT.sub(lambda m: "^" + m[0].translate(_SUPERSCRIPT), text)
    text = _INDEX.sub(lambda m: "_" + m[0].translate(_SUBSCRIPT), text)
    text = _ACCIDENTAL.sub(r"\1", text).translate(_MEANING)
    text = unicodedata.normalize("NFKC", text)
    text = text.translate(_MEANING)  # for what NFKC has decomposed
    text = "".join(c for c in text if c == "\n" or unicodedata.category(c) not in _INVISIBLE)
    text = text.replace("\ufe0e", "").replace("\ufe0f", "")  # variation selectors of emoji
    lines = (" ".join(line.split()) for line in unicodedata.normalize("NFKC", text).split("\n"))
    return "\n".join(line for line in lines if line)


_INVISIBLE = ("Cc", "Cf", "Co", "Cs", "Cn")  # control, zero-width and bidirectional, private, surrogate, unassigned
