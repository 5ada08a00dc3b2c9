"""Which answers are none: empty, refused, caught in a loop."""

import re
from collections import Counter

FEWEST_LETTERS = 3
LONGEST_RUN = 12  # equal characters in a row
NGRAM = 4  # words
MOST_REPEATED = 0.3  # share of n-grams that were there before; prose and lists stay below 0.1
JUDGED_WORDS = 20  # shorter texts are not judged by their n-grams
LONGEST_LOOP = 40  # words
MOST_LOOPED = 12  # words in a row that are mere copies of the words before them
FEWEST_DISTINCT = 0.34  # share of different words in a short text

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_RUN = re.compile(r"([^\s.\-_=*])\1{%d,}" % (LONGEST_RUN - 1))  # noqa: UP031 - braces would need doubling
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


def fault(text: str) -> str | None:
    """Say why an answer (normalised) is useless, or return None.

    >>> fault("boom " * 50)
    'repeats itself: 1 word(s) 50 times in a row'
    """
    if sum(character.isalpha() for character in text) < FEWEST_LETTERS:
        return "empty"
    if _REFUSAL.search(text.replace("\u2019", "'")):
        return f"a refusal: {text[:60]!r}"
    if run := _RUN.search(text):
        return f"repeats itself: {run[1]!r} {len(run[0])} times in a row"
    words = [word.lower() for word in _WORD.findall(text)]
    return _loop(words) or _repetition(words)


def _loop(words: list[str]) -> str | None:
    """Find a group of words that follows itself, at least `MOST_LOOPED` copied words long."""
    for length in range(1, min(LONGEST_LOOP, len(words) // 2) + 1):
        same = 0  # words in a row that equal the word one length before
        for index in range(length, len(words)):
            same = same + 1 if words[index] == words[index - length] else 0
            if same >= max(MOST_LOOPED, length):
                while index + 1 < len(words) and words[index + 1] == words[index + 1 - length]:
                    index += 1
                    same += 1
                return f"repeats itself: {length} word(s) {same // length + 1} times in a row"
    return None


def _repetition(words: list[str]) -> str | None:
    if len(words) < JUDGED_WORDS:
        alike = len(words) > 3 and len(set(words)) <= FEWEST_DISTINCT * len(words)
        return f"repeats itself: {len(words)} words, {len(set(words))} different" if alike else None
    grams = Counter(zip(*(words[start:] for start in range(NGRAM)), strict=False))
    total = sum(grams.values())
    repeated = (total - len(grams)) / total
    return f"repeats itself: {repeated:.0%} of its groups of {NGRAM} words" if repeated > MOST_REPEATED else None
