"""Which tracks a model is trained on, and which it is judged by: "train", "validation" or "test".

What is heard in training must not be judged: neither the same recording under another name, nor (a network recognises
an artist by the sound) other tracks of an artist. So whole units are drawn, not tracks. The draw is a hash of the
seed and the names in the unit, so it does not depend on what else is in the library.

Source: A. Flexer 2007, A closer look on artist filters for musical genre classification, ISMIR.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

VERSION = 1  # raise it when tracks without a split get another one
TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
UNITS = ("track", "artist", "album")
MOST = 0.25  # share of all tracks: a unit with more of them is put into "train"

_GUESTS = re.compile(r"\s[(\[]?(?:feat|ft|featuring)\b\.?.*$", re.I)
_NOBODY = ("various artists", "various", "va", "v a", "unknown", "unknown artist", "soundtrack", "")


@dataclass(frozen=True)
class Rule:
    """How a library is split: settings ``split``."""

    by: str = "artist"
    validation: float = 0.05
    test: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Track:
    """What decides the split of a track.

    Attributes
    ----------
    artists, album_artists : names, one by one
    album : its title, "" where it is not known
    group : name of the group of duplicates, None where it has none
    """

    artists: tuple[str, ...] = ()
    album_artists: tuple[str, ...] = ()
    album: str = ""
    group: str | None = None


def assign(tracks: Mapping[str, Track], rule: Rule, before: Mapping[str, str]) -> dict[str, str]:
    """Return track id → split.

    Tracks of one group of duplicates belong together, and by ``rule.by`` those of an artist or an album. A unit with
    tracks that have a split already keeps it; where these differ, since a new track joins two units, all become "train"
    if any is, else "validation": what a model may have been trained on is never judged afterwards. A new unit
    with more than a quarter of all tracks, such as the only artist of a library, is always "train".

    Parameters
    ----------
    before : the splits that tracks have by the same rule; tracks that are gone among them do no harm
    """
    units: dict[str, list[str]] = {}
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    names = {track: _names(track, said, rule.by) for track, said in tracks.items()}
    for own in names.values():
        for other in own[1:]:
            one, two = sorted((root(own[0]), root(other)))
            parent[two] = one
    for track in sorted(tracks):
        units.setdefault(root(names[track][0]), []).append(track)

    found = {}
    for members in units.values():
        kept = {before[track] for track in members if before.get(track) in SPLITS}
        if kept:
            split = next(one for one in SPLITS if one in kept)
        elif len(members) > 1 and len(members) > MOST * len(tracks):
            split = TRAIN
        else:
            artists = {name for track in members for name in names[track] if not name.startswith("group ")}
            drawn = artists or {f"track {track}" for track in members}
            split = _draw(min(_hash(name, rule.seed) for name in drawn), rule)
        found.update(dict.fromkeys(members, split))
    return {track: found[track] for track in tracks}


def _names(track: str, said: Track, by: str) -> list[str]:
    """Return the names of what a track belongs to, at least one."""
    units = []
    if by == "artist":
        units = [f"artist {name}" for name in people(said.artists or said.album_artists)]
    elif by == "album" and fold(said.album):
        owners = sorted(people(said.album_artists or said.artists))
        units = [f"album {fold(said.album)} of {', '.join(owners)}"]
    if said.group:
        units.append(f"group {said.group}")
    return units or [f"track {track}"]


def people(names: Iterable[str]) -> dict[str, str]:
    """Return the artists among some names, folded → as written; "Various Artists" and their like are nobody."""
    folded = {fold(name): name for name in names}
    return {name: written for name, written in folded.items() if name not in _NOBODY}


def fold(name: str) -> str:
    """Return a name without case, accents, punctuation and guests, to compare names with.

    >>> fold("Björk feat. Thom Yorke"), fold("AC/DC"), fold("The Beatles")
    ('bjork', 'ac dc', 'beatles')
    """
    plain = unicodedata.normalize("NFKD", _GUESTS.sub("", name))
    plain = "".join(c for c in plain if not unicodedata.combining(c)).casefold().replace("&", " and ")
    words = re.sub(r"^the (?=.)", "", " ".join(re.sub(r"[^\w]+", " ", plain).split()))
    return words or " ".join(name.split())  # "!!!" is the name of a band


def _hash(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def _draw(drawn: bytes, rule: Rule) -> str:
    """Return the split of a unit from a hash, which is as good as a random number from 0 to 1."""
    number = int.from_bytes(drawn[:8]) / 2**64
    if number < rule.test:
        return TEST
    return VALIDATION if number < rule.test + rule.validation else TRAIN
