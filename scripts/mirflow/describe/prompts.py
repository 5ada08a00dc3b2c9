"""Prompts: the questions in config/prompts.yaml, and the measurements that they may mention."""

import hashlib
import json
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError

KEY = "music_flamingo_"  # prefix of the keys in .INFO
RESERVED = ("model", "conflicts")  # keys of .INFO that do not hold texts
NAME = re.compile(r"[a-z][a-z0-9_]*")
MAX_TOKENS = 8192  # of an answer
NOTES = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
SHOWN_GENRES = 5


@dataclass(frozen=True)
class Prompt:
    """One question.

    Attributes
    ----------
    name : also that of its answer, a text
    words : the question, with placeholders
    max_tokens : the longest answer; None: as the settings say
    """

    name: str
    words: str
    max_tokens: int | None = None

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The names in braces, each once, in the order of the question."""
        return tuple(dict.fromkeys(field for _, field, _, _ in string.Formatter().parse(self.words) if field))

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the question with every placeholder replaced."""
        return self.words.format_map(values)

    @property
    def identity(self) -> str:
        """A hash of the question and its limit."""
        return hashlib.sha256(json.dumps([self.words, self.max_tokens]).encode()).hexdigest()[:16]


def load(path: str | PathLike, section: str = "describe") -> dict[str, Prompt]:
    """Read the prompts of one section.

    Raises
    ------
    MirflowError : the file cannot be read, or an entry is not valid; names the file and the entry
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise MirflowError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise MirflowError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or set(content) - {"describe", "condense"}:
        raise MirflowError(f"{path}: the sections describe and condense are expected, and no others")
    entries = content.get(section) or {}
    if not isinstance(entries, dict):
        raise MirflowError(f"{path}: {section} must hold entries, each with a name and its words")
    described = content.get("describe") or {}
    known = tuple(HINTS) if section == "describe" else ("texts", *described)
    found = {}
    for name, entry in entries.items():
        where = f"{path}: {section}: {name}"
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in RESERVED:
            raise MirflowError(
                f"{where}: a name has only a-z, 0-9 and _, begins with a letter, and is none of {RESERVED}"
            )
        if section == "condense" and name in described:
            raise MirflowError(f"{where}: the section describe has a text of this name already")
        found[name] = _prompt(where, name, entry, known)
    return found


def _prompt(where: str, name: str, entry: object, known: tuple[str, ...]) -> Prompt:
    """Check an entry; return its prompt. `known`: the placeholders that it may use."""
    if not isinstance(entry, dict) or set(entry) - {"words", "max_tokens"}:
        raise MirflowError(f"{where}: words and max_tokens are expected, and nothing else")
    words, max_tokens = entry.get("words"), entry.get("max_tokens")
    if not isinstance(words, str) or not words.strip():
        raise MirflowError(f"{where}: has no words")
    if max_tokens is not None and (type(max_tokens) is not int or not 1 <= max_tokens <= MAX_TOKENS):
        raise MirflowError(f"{where}: max_tokens must be a whole number from 1 to {MAX_TOKENS}, got {max_tokens!r}")
    prompt = Prompt(name, words.strip(), max_tokens)
    try:
        unknown = [field for field in prompt.placeholders if not NAME.fullmatch(field) or field not in known]
        prompt.fill(dict.fromkeys(prompt.placeholders, ""))
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise MirflowError(
            f"{where}: the braces in its words do not match ({error}); write {{{{ for a plain {{"
        ) from error
    if unknown:
        raise MirflowError(f"{where}: {{{unknown[0]}}} is none of {', '.join(f'{{{name}}}' for name in known)}")
    return prompt


def _bpm(values: Mapping) -> str:
    if values["bpm"] is None:
        return "no steady tempo could be measured"
    regular = (
        f" ({values['beat_regularity']:.0%} of the beats are regular)" if values["beat_regularity"] is not None else ""
    )
    return f"the measured tempo is {values['bpm']:.1f} bpm{regular}"


def _key(values: Mapping) -> str:
    if values["tonic"] is None:
        return "no key could be measured"
    key = f"{NOTES[values['tonic']]} {values['tonic_scale']}"
    return f"the measured key is {key} (it fits to {values['tonic_strength']:.0%})"


def _loudness(values: Mapping) -> str:
    return "the track is silent" if values["lufs"] is None else f"the measured loudness is {values['lufs']:.1f} LUFS"


def _genres(values: Mapping) -> str:
    if not values["essentia_genre"]:
        return "the genre is unknown"
    ranked = sorted(values["essentia_genre"].items(), key=lambda item: (-item[1], item[0]))[:SHOWN_GENRES]
    return "the likeliest genres are " + ", ".join(f"{label} ({share:.2f})" for label, share in ranked)


# Placeholder → the keys of .INFO that it needs, and the function that puts them into words.
HINTS: dict[str, tuple[tuple[str, ...], Callable[[Mapping], str]]] = {
    "bpm": (("bpm", "beat_regularity"), _bpm),
    "key": (("tonic", "tonic_scale", "tonic_strength"), _key),
    "loudness": (("lufs",), _loudness),
    "genres": (("essentia_genre",), _genres),
}


def owners(prompt: Prompt, features: tuple) -> tuple[str, ...]:
    """Return the features that measure what a prompt mentions.

    Parameters
    ----------
    features : declarations (`mirflow.core.feature.Feature`) of the features of this run

    Raises
    ------
    MirflowError : no feature of this run measures it
    """
    owner = {field.key: feature.name for feature in features for field in feature.fields}
    for placeholder in prompt.placeholders:
        for key in HINTS[placeholder][0]:
            if key not in owner:
                raise MirflowError(
                    f"prompt {prompt.name}: {{{placeholder}}} needs {key}, which this run does not measure"
                )
    return tuple(dict.fromkeys(owner[key] for placeholder in prompt.placeholders for key in HINTS[placeholder][0]))


def hints(prompt: Prompt, fragments: list[str | PathLike]) -> dict[str, str]:
    """Put the measurements into words: placeholder → text, for each placeholder of a prompt.

    Parameters
    ----------
    fragments : the fragments that hold the keys

    Raises
    ------
    MirflowError : a fragment is damaged, or none of them holds a key that is needed
    """
    values: dict = {}
    for fragment in fragments:
        values |= artifacts.read_json(fragment)
    words = {}
    for placeholder in prompt.placeholders:
        keys, say = HINTS[placeholder]
        missing = [key for key in keys if key not in values]
        if missing:
            raise MirflowError(
                f"prompt {prompt.name}: {{{placeholder}}} needs {missing[0]}, which is in no given fragment"
            )
        words[placeholder] = say(values)
    return words
