"""Checks of answers: empty ones, refusals and repetitions are useless."""

import re
from collections import Counter

MIN_LETTERS = 3
MAX_RUN = 12  # equal characters in a row that are too many
NGRAM = 4  # words
MAX_REPEATED = 0.3  # share of n-grams that occurred before; prose and lists stay below 0.1
MIN_WORDS = 20  # shorter texts are not checked by their n-grams
MAX_LOOP = 40  # words
MAX_LOOPED = 12  # words in a row that copy the words before them
MIN_DISTINCT = 0.34  # share of different words in a short text

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_RUN = re.compile(r"([^\s.\-_=*])\1{%d,}" % (MAX_RUN - 1))  # noqa: UP031 - an f-string would need its braces doubled
_REFUSAL = re.compile(
    r"^\W*(?:i'?m sorry|i am sorry|sorry,|i apologi[sz]e|as an ai\b|as a (?:large )?language model"
    r"|(?:unfortunately,? )?i(?: am|'m) (?:unable|not able)\b"
    r"|(?:unfortunately,? )?i (?:cannot|can'?t|can not|could not|couldn'?t)\b"
    r"|(?:unfortunately,? )?i do(?: not|n'?t) (?:have|hear|see)\b"
    r"|(?:there is|it seems there is|you have provided|you provided) no (?:audio|sound|music)"
    r" (?:file|attached|provided|here)"
    r"|(?:please|could you(?: please)?) (?:provide|upload|share|attach)\b)",
    re.I,
)


def problem(text: str) -> str | None:
    """Return why an answer (normalised) is useless, or None.

    >>> problem("boom " * 50)
    'repeats itself: 1 word(s) 50 times in a row'
    """
    if sum(character.isalpha() for character in text) < MIN_LETTERS:
        return "empty"
    if _REFUSAL.search(text.replace("\u2019", "'")):
        return f"a refusal: {text[:60]!r}"
    if run := _RUN.search(text):
        return f"repeats itself: {run[1]!r} {len(run[0])} times in a row"
    words = [word.lower() for word in _WORD.findall(text)]
    return _loop(words) or _repetition(words)


def _loop(words: list[str]) -> str | None:
    """Return why a text repeats the same group of words, with at least `MAX_LOOPED` copied words, or None."""
    for length in range(1, min(MAX_LOOP, len(words) // 2) + 1):
        same = 0  # words in a row that equal the word one length before
        for index in range(length, len(words)):
            same = same + 1 if words[index] == words[index - length] else 0
            if same >= max(MAX_LOOPED, length):
                while index + 1 < len(words) and words[index + 1] == words[index + 1 - length]:
                    index += 1
                    same += 1
                return f"repeats itself: {length} word(s) {same // length + 1} times in a row"
    return None


def _repetition(words: list[str]) -> str | None:
    """Return why a text consists mostly of what it said before, or None."""
    if len(words) < MIN_WORDS:
        alike = len(words) > 3 and len(set(words)) <= MIN_DISTINCT * len(words)
        return f"repeats itself: {len(words)} words, {len(set(words))} different" if alike else None
    grams = Counter(zip(*(words[start:] for start in range(NGRAM)), strict=False))
    total = sum(grams.values())
    repeated = (total - len(grams)) / total
    return f"repeats itself: {repeated:.0%} of its groups of {NGRAM} words" if repeated > MAX_REPEATED else None
