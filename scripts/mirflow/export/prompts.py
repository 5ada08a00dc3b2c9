"""Prompts: what is known of an item in words, the most important first, within the tokens that a text encoder reads."""

import random
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirflow.describe import conflicts, fragment
from mirflow.describe.normalise import normalise
from mirflow.describe.prompts import KEY, RESERVED
from mirflow.export.items import Item
from mirflow.export.settings import Settings

SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
CLEAR_KEY = conflicts.CLEAR_KEY  # of tonic_strength; a key that is less clear is not named
MOST_LABELS = {"genre": 2, "mood": 3, "instruments": 4}
CLEARLY = 0.8  # probability from which a voice is named
NOTHING_KNOWN = "music"  # the prompt of an item of which nothing can be said
# Parts of a prompt in the order in which they are written, with their names in the style `keys`.
TITLES = {
    "genre": "Genre", "bpm": "BPM", "key": "Key", "mood": "Mood", "instruments": "Instruments", "voice": "Vocals",
    "metre": "Time signature", "decade": "Decade", "caption": "Description",
}  # fmt: skip
# Beats in a bar → metre. Two are not here: they may be half a bar of four, which sounds much alike.
METRES = {3: "3/4", 4: "4/4", 5: "5/4", 6: "6/8", 7: "7/4"}
# The order of importance: what comes last is dropped first. Of labels the first come before the second of others.
IMPORTANCE = ("genre", "bpm", "key", "mood", "instruments", "voice", "metre", "decade")
DROP = 0.3  # probability that a part is left out of a variation
TRIES = 8  # variations that are tried for each prompt, until one is new
# What stands in tags for a genre and says nothing of the music: ID3 itself has a genre "Other".
NO_GENRES = frozenset(
    "other unknown misc miscellaneous none default undefined unclassifiable general genre various music audio mp3 null"
    " nan".split()
)
LENGTH_OF_GENRE = range(2, 41)  # characters; longer texts are remarks
# Labels of MTG-Jamendo that are written in one word.
SPELLING = {
    "acousticbassguitar": "acoustic bass guitar", "acousticguitar": "acoustic guitar",
    "classicalguitar": "classical guitar", "doublebass": "double bass", "drummachine": "drum machine",
    "electricguitar": "electric guitar", "electricpiano": "electric piano",
}  # fmt: skip

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_FLAT = re.compile(r"\b([A-G])(?:b(?=\b|m\b|maj|min|sus|dim|aug|\d)|[ -]?[Ff]lat\b)")
_SHARP = re.compile(r"\b([A-G])[ -][Ss]harp\b")
_BPM_ROUNDED = re.compile(r"\d{2,3}[.,]\d+(?=\s*-?\s*(?:bpm|beats per minute))", re.I)
_DECIMAL = re.compile(r"\d[.,]\d")
_NO_GENRE = re.compile(r"\d[.,]\d|www\.|://|^\W*\d*\W*$")  # numbers, addresses
_MARKUP = re.compile(r"[*_`#]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}")
_EMPTY_WORD = re.compile(r"\b(?:None|nan|NaN|null)\b")


@dataclass(frozen=True)
class Part:
    """One thing that a prompt may say: what it is about, and the words."""

    kind: str
    words: str


# --- What is known ----------------------------------------------------------------------------------------------------


def facts(item: Item) -> list[Part]:
    """Return what is known of an item except its captions, the most important first."""
    found = {
        "genre": genres(item),
        "bpm": [f"{bpm:.0f}"] if (bpm := tempo_of(item.info)) is not None else [],
        "key": [key] if (key := key_of(item.info)) else [],
        "mood": labels(item.known("essentia_mood")),
        "instruments": instruments(item),
        "voice": [voice] if (voice := _voice(item)) else [],
        "metre": [metre] if (metre := metre_of(item.info)) else [],
        "decade": [decade] if (decade := _decade(item.known("track_metadata_year"))) else [],
    }
    found = {kind: words[: MOST_LABELS.get(kind, 1)] for kind, words in found.items()}
    most = max(map(len, found.values()))
    return [Part(kind, found[kind][rank]) for rank in range(most) for kind in IMPORTANCE if rank < len(found[kind])]


def tempo_of(info: Mapping[str, Any]) -> float | None:
    """Return the measured tempo in beats per minute; None where there is none.

    A crop with beats that are too few to have a tempo of its own has that of its track.
    """
    if info.get("bpm") is None and (info.get("beat_count") or 0) > 1:
        return info.get("bpm_track")
    return info.get("bpm")


def key_of(info: Mapping[str, Any]) -> str | None:
    """Return the measured key, such as "F# minor"; None where there is none, or no clear one."""
    tonic, scale, strength = (info.get(name) for name in ("tonic", "tonic_scale", "tonic_strength"))
    if tonic is None or scale is None or (strength or 0) < CLEAR_KEY:
        return None
    return f"{SHARPS[int(tonic)]} {scale}"


def metre_of(info: Mapping[str, Any]) -> str | None:
    """Return the measured metre, such as "3/4"; None where there is none, or none that is certain (see `METRES`)."""
    return METRES.get(info.get("beats_per_bar"))


def has_silent_vocals(info: Mapping[str, Any]) -> bool:
    """Whether the stem of the vocals was measured, and nothing is heard in it."""
    return "lufs_vocals" in info and info["lufs_vocals"] is None


def genres(item: Item) -> list[str]:
    """Return the genres of an item, those of its tags first."""
    tagged = item.known("track_metadata_genre") or item.known("genres") or []
    tagged = re.split(r"[;/,|]", tagged) if isinstance(tagged, str) else [one for one in tagged if isinstance(one, str)]
    heard = [label.rpartition("---")[2] for label in labels(item.known("essentia_genre"))]
    found: dict[str, str] = {}
    for genre in (clean(one) for one in (*tagged, *heard)):
        key = genre.casefold()
        if len(key) in LENGTH_OF_GENRE and key not in NO_GENRES and not _NO_GENRE.search(key):
            found.setdefault(key, genre)
    return list(found.values())


def instruments(item: Item) -> list[str]:
    """Return the instruments of an item, the most likely first."""
    return [SPELLING.get(one, one) for one in labels(item.known("essentia_instrument"))]


def labels(value: Any) -> list[str]:
    """Return the labels of a head, the most likely first."""
    if not isinstance(value, Mapping):
        return []
    numbers = [(label, p) for label, p in value.items() if isinstance(p, int | float)]
    return [str(label) for label, _ in sorted(numbers, key=lambda pair: -pair[1])]


def _voice(item: Item) -> str | None:
    info = item.info
    if has_silent_vocals(info) or (info.get("instrumental_probability") or 0) >= CLEARLY:
        return "instrumental"
    for singer in ("female", "male"):
        if (info.get(f"{singer}_probability") or 0) >= CLEARLY:
            return f"{singer} vocals"
    return "vocals" if (info.get("voice_probability") or 0) >= CLEARLY else None


def _decade(year: Any) -> str | None:
    found = re.search(r"\b(1[89]|20)\d\d\b", str(year))
    return f"{found[0][:3]}0s" if found else None


def captions(item: Item) -> list[list[str]]:
    """Return the descriptions of an item, each as its sentences, without those that contradict a measurement.

    Sharps stand for flats, and tempos are whole numbers; a sentence with another decimal number is left out.
    """
    texts = {
        key.removeprefix(KEY): value
        for source in (item.track_info, item.info)
        for key, value in source.items()
        if key.startswith(KEY) and key.removeprefix(KEY) not in RESERVED and isinstance(value, str)
    }
    contradicted = item.known(f"{KEY}conflicts") or {}
    measured = {**item.info, "tonic_strength": item.info.get("tonic_strength") or 0}
    found = []
    for name, text in texts.items():
        sentences = _SENTENCE.split(" ".join(clean(text).split()))
        kept = [one for one in sentences if one and not conflicts.find(one, measured)]
        if name in contradicted and len(kept) == len(sentences):  # it contradicts what was measured of the whole track
            kept = [one for one in kept if not conflicts.tempos(one) and not conflicts.keys(one)]
        kept = [one for one in kept if not _DECIMAL.search(one) and not _EMPTY_WORD.search(one)]
        if kept:
            found.append(kept)
    return sorted(found, key=lambda sentences: -sum(map(len, sentences)))


def clean(text: str) -> str:
    """Return a text as a prompt may hold it: plain characters, sharps only, whole tempos.

    >>> clean("**Dark** techno in B♭ minor at 127.8 BPM")
    'Dark techno in A# minor at 128 BPM'
    """
    text = _MARKUP.sub("", normalise(text))
    text = _FLAT.sub(lambda match: SHARPS[(conflicts.NOTES[match[1]] - 1) % 12], text)
    text = _SHARP.sub(r"\1#", text)
    return _BPM_ROUNDED.sub(lambda match: f"{float(match[0].replace(',', '.')):.0f}", text).strip()


# --- How it is said ---------------------------------------------------------------------------------------------------


def _grouped(parts: Sequence[Part], order: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for part in parts:
        found[part.kind].append(part.words)
    return {kind: found[kind] for kind in order if kind in found}


def _tags(parts: Sequence[Part], order: Sequence[str]) -> str:
    groups = _grouped(parts, order)
    said = {kind: [_tag(kind, one) for one in words] for kind, words in groups.items()}
    caption = " ".join(groups.get("caption", []))
    listed = ", ".join(one for kind, words in said.items() if kind != "caption" for one in words)
    return f"{listed}. {caption}" if listed and caption else listed or caption


def _tag(kind: str, words: str) -> str:
    return f"{words} BPM" if kind == "bpm" else words if kind in ("key", "caption") else words.lower()


def _keys(parts: Sequence[Part], order: Sequence[str]) -> str:
    groups = _grouped(parts, order)
    return ", ".join(f"{TITLES[kind]}: {(' ' if kind == 'caption' else ', ').join(w)}" for kind, w in groups.items())


def _prose(parts: Sequence[Part], order: Sequence[str]) -> str:
    groups = _grouped(parts, order)
    measured = [
        *(f"at {words} BPM" for words in groups.get("bpm", [])),
        *(f"in {words}" for words in (*groups.get("key", []), *(f"{one} time" for one in groups.get("metre", [])))),
    ]
    if "caption" in groups:
        caption = " ".join(groups["caption"])
        end = "" if caption.endswith((".", "!", "?")) else "."
        facts = ", ".join(measured)
        return f"{caption}{end} {facts[0].upper()}{facts[1:]}." if facts else caption
    voice = groups.get("voice", [])
    adjective = "instrumental " if "instrumental" in voice else ""
    subject = f"{adjective}{' and '.join(groups['genre'])} music" if "genre" in groups else f"{adjective}music"
    said = [subject, *_listed(groups.get("mood", [])), *(f"of the {words}" for words in groups.get("decade", []))]
    sung = [one for one in voice if one != "instrumental"]
    said += [f"with {' and '.join([*groups.get('instruments', []), *sung])}"] if "instruments" in groups or sung else []
    text = ", ".join([*said, *measured])
    return f"{text[0].upper()}{text[1:]}."


def _listed(words: Sequence[str]) -> list[str]:
    return [" and ".join(words)] if words else []


STYLES: dict[str, Callable[[Sequence[Part], Sequence[str]], str]] = {"tags": _tags, "prose": _prose, "keys": _keys}


# --- Within the tokens ------------------------------------------------------------------------------------------------


def counter(tokenizer: Path | None) -> Callable[[str], int]:
    """Return what counts the tokens of a text for T5, with the one that ends it: a tokenizer.json, else `estimate`.

    Raises
    ------
    MirflowError : the tokenizer cannot be read
    """
    if tokenizer is None:
        return estimate
    real = fragment.load_tokenizer(tokenizer)
    return lambda text: len(real.encode(text).ids)


def estimate(text: str) -> int:
    """Return a number of tokens that T5 does not exceed for usual words: one for each three letters of a word, each
    digit, each other character, and the one that ends the text. English has 4 to 5 letters for a token.
    """
    letters = sum(-(-len(word) // 3) for word in re.findall(r"[A-Za-z]+", text))
    others = len(re.findall(r"[^A-Za-z\s]", text))
    return letters + others + 1


def fit(parts: Sequence[Part], budget: int, say: Callable[[Sequence[Part]], str], count: Callable[[str], int]) -> str:
    """Return a text of the parts, the most important first, that fit into a budget of tokens. A part is whole or not
    there.
    """
    kept: list[Part] = []
    for part in parts:
        if count(say([*kept, part])) <= budget:
            kept.append(part)
    return say(kept) if kept else NOTHING_KNOWN


def make(item: Item, settings: Settings, count: Callable[[str], int], apart: Collection[str] = ()) -> list[str]:
    """Return the prompts of an item, at least one, all different; the first is the plain one, the others vary it.

    Parameters
    ----------
    count : of tokens (see `counter`)
    apart : kinds of parts that are not said
    """
    known = [part for part in facts(item) if part.kind not in apart]
    described, order = captions(item), tuple(TITLES)
    say = STYLES[settings.prompt]

    def text(known: Sequence[Part], described: Sequence[Sequence[str]], order: Sequence[str]) -> str:
        parts = _ranked(known, described, settings, count)
        return fit(parts, settings.tokens, lambda chosen: say(chosen, order), count)

    found = [text(known, described, order)]
    for variation in range(TRIES * (settings.prompts_per_item - 1)):
        rng = random.Random(f"{settings.seed} {item.track} {item.crop} {variation}")
        some = [part for part in known if rng.random() > DROP]
        caption = [rng.choice(described)] if described else []
        varied = text(some, caption, order if settings.prompt == "prose" else rng.sample(order, len(order)))
        if varied not in (*found, NOTHING_KNOWN):
            found.append(varied)
        if len(found) == settings.prompts_per_item:
            break
    return found


def _ranked(
    known: Sequence[Part], described: Sequence[Sequence[str]], settings: Settings, count: Callable[[str], int]
) -> list[Part]:
    """Return the parts in the order of their importance, with the longest caption that fits, or else the shortest one.

    In prose the caption comes first, and what it says already is not said again; in other styles it comes last.
    """
    if not described:
        return list(known)
    fitting = [one for one in described if count(" ".join(one)) <= settings.tokens]
    caption = [Part("caption", sentence) for sentence in (fitting[0] if fitting else described[-1])]
    if settings.prompt != "prose":
        return [*known, *caption]
    text = " ".join(part.words for part in caption)
    said = {kind for kind, found in (("bpm", conflicts.tempos(text)), ("key", conflicts.keys(text))) if found}
    return [*caption, *(part for part in known if part.kind not in said)]
