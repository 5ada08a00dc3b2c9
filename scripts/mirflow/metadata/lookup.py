"""Looking a recording up: what MusicBrainz knows of it, where it is certain which recording it is.

Evidence in this order: the MusicBrainz identifier in the tags, the ISRC in the tags, the fingerprint (AcoustID), a
search for artist and title of the tags. Nothing is ever guessed: what is not certain stays null, and the candidates
stay in the fragment.
"""

import os
from collections.abc import Mapping
from typing import Any

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.feature import PROVENANCE
from mirflow.metadata import fingerprint, tags
from mirflow.metadata.services import NOT_FOUND_DAYS, Services
from mirflow.metadata.split import fold

NAME = "lookup"
VERSION = 1  # raise it when other values come out of the same answers
KEYS = ("release_year", "release_date", "album", "artists", "label", "genres", "isrc", "musicbrainz_id", "acoustid_id",
        "metadata_source")  # fmt: skip
CERTAIN = 0.9  # score of AcoustID from which a result counts
CLOSE = 3.0  # s that the durations of a search result and of the track may differ
MOST_CANDIDATES = 25
DETAILS = "artist-credits+releases+release-groups+isrcs+genres"
# Words in brackets after a title that make it another recording; others ("Remastered 2009") do not.
_VERSIONS = frozenset(
    "live remix mix edit acoustic unplugged instrumental karaoke demo cover dub extended rehearsal session sessions"
    " orchestral acappella".split()
)
_SPECIAL = '+-&|!(){}[]^"~*?:\\/'  # of Lucene's query language

Found = dict[str, Any]


def look_up(
    said: Mapping[str, Any], printed: Mapping[str, Any], duration: float, services: Services, by_sound: bool
) -> dict[str, Any]:
    """Return the fragment of a track.

    Parameters
    ----------
    said : the fragment with its tags
    printed : the fragment with its fingerprint
    duration : s
    by_sound : whether to ask AcoustID

    Raises
    ------
    MirflowError : a service cannot be reached or answers nonsense
    """
    content: dict[str, Any] = dict.fromkeys(KEYS)
    candidates: list[Found] = []
    identifier, source, acoustid = _identify(said, printed, duration, services, by_sound, candidates)
    recording = services.musicbrainz(f"recording/{identifier}", inc=DETAILS) if identifier else None
    if recording:
        content |= _facts(recording, services) | {"acoustid_id": acoustid, "metadata_source": source}
    origin = {"feature": NAME, "version": VERSION, "backend": "musicbrainz"}
    return {**content, "_candidates": candidates[:MOST_CANDIDATES], PROVENANCE: origin}


def is_due(path: str | os.PathLike, now: float) -> bool:
    """Whether a track is to be looked up again, because nothing was known of it so long ago that this may have changed.

    Parameters
    ----------
    path : of the fragment, which may not be there
    now : the time, s since the epoch
    """
    try:
        is_old = now - os.stat(path).st_mtime >= NOT_FOUND_DAYS * 86400
        return is_old and artifacts.read_json(path).get("metadata_source") is None
    except (OSError, MirflowError):
        return False


def _identify(
    said: Mapping[str, Any],
    printed: Mapping[str, Any],
    duration: float,
    services: Services,
    by_sound: bool,
    candidates: list[Found],
) -> tuple[str | None, str | None, str | None]:
    """Return the identifier of the recording, what tells it, and AcoustID's identifier; add to `candidates`."""
    if (tagged := said.get(f"{tags.KEY}musicbrainz_id")) and services.musicbrainz(f"recording/{tagged}", inc=DETAILS):
        return tagged, "musicbrainz_id in the tags", None
    if isrc := said.get(f"{tags.KEY}isrc"):
        answer = services.musicbrainz(f"isrc/{isrc}", inc="artist-credits+releases+release-groups+isrcs") or {}
        listed = _candidates(answer)
        candidates += [one | {"found_by": "isrc"} for one in listed]
        if identifier := _only(listed):
            return identifier, "isrc in the tags", None
    if by_sound and (text := printed.get(fingerprint.FINGERPRINT)):
        results = [one for one in _list(services.acoustid(text, duration), "results") if _score(one) >= CERTAIN]
        recordings = {
            _text(one, "id"): _text(result, "id") for result in results for one in _list(result, "recordings")
        }
        candidates += [{"id": one, "found_by": "acoustid"} for one in sorted(filter(None, recordings))]
        if len(recordings) == 1 and all(recordings):
            identifier, acoustid = recordings.popitem()
            return tags.value_of("musicbrainz_id", identifier), "acoustid", acoustid
    artist, title = said.get(tags.ARTISTS) or [], said.get(f"{tags.KEY}title")
    if artist and title:
        query = f'artist:"{_escaped(artist[0])}" AND recording:"{_escaped(_core(title))}"'
        answer = services.musicbrainz("recording", query=query, limit="50") or {}
        listed = _candidates(answer)
        candidates += [one | {"found_by": "search"} for one in listed]
        wanted = {fold(name) for name in artist}
        fitting = [
            one
            for one in listed
            if _title(one["title"]) == _title(title)
            and wanted & {fold(name) for name in one["artists"]}
            and one["duration"] is not None
            and abs(one["duration"] - duration) <= CLOSE
        ]
        if identifier := _only(fitting):
            return identifier, "search", None
    return None, None, None


def _only(listed: list[Found]) -> str | None:
    """Return the identifier of the recording if all are one: those with an ISRC or an album in common are."""
    groups: list[tuple[set[str], list[Found]]] = []
    for one in listed:
        marks = {one["id"], *one["isrcs"], *one["release_groups"]}
        joined = [one]
        for group in [group for group in groups if group[0] & marks]:
            groups.remove(group)
            marks |= group[0]
            joined += group[1]
        groups.append((marks, joined))
    if len(groups) != 1:
        return None
    return min(groups[0][1], key=lambda one: (one["date"] or "9999", one["id"]))["id"]


def _candidates(answer: Mapping[str, Any]) -> list[Found]:
    """Return the recordings that an answer lists, each in few words; what is malformed is left out."""
    found = []
    for one in _list(answer, "recordings"):
        identifier, length = tags.value_of("musicbrainz_id", _text(one, "id") or ""), one.get("length")
        releases = _list(one, "releases")
        groups = [_text(release.get("release-group"), "id") for release in releases]
        if identifier and _text(one, "title"):
            is_length = isinstance(length, int | float) and not isinstance(length, bool) and 0 < length < 1e9
            found.append({
                "id": identifier,
                "title": tags.value_of("title", one["title"]) or "",
                "artists": _artists(one),
                "duration": length / 1000 if is_length else None,
                "isrcs": [text for text in one.get("isrcs") or [] if isinstance(text, str)],
                "release_groups": sorted({group for group in groups if group}),
                "date": min((date for release in releases if (date := _date(release))), default=None),
            })  # fmt: skip
    return found


def _facts(recording: Mapping[str, Any], services: Services) -> dict[str, Any]:
    """Return the keys that an answer about one recording gives."""
    releases = [one for one in _list(recording, "releases") if _date(one)]
    official = [one for one in releases if one.get("status") == "Official"] or releases
    first = min(official, key=lambda one: (_date(one), str(one.get("id"))), default=None)
    first = first or next(iter(_list(recording, "releases")), None)
    date = _date(first) if first else None
    genres = sorted(_list(recording, "genres"), key=lambda one: (-_score(one, "count"), str(one.get("name"))))
    isrcs = sorted(i for text in recording.get("isrcs") or [] if (i := tags.value_of("isrc", str(text))))
    return {
        "release_year": int(date[:4]) if date else None,
        "release_date": date,
        "album": tags.value_of("album", _text(first, "title") or "") if first else None,
        "artists": _artists(recording) or None,
        "label": _label(first, services),
        "genres": [genre for one in genres if (genre := tags.value_of("genre", _text(one, "name") or ""))] or None,
        "isrc": isrcs[0] if len(isrcs) == 1 else None,
        "musicbrainz_id": tags.value_of("musicbrainz_id", _text(recording, "id") or ""),
    }


def _label(release: Mapping[str, Any] | None, services: Services) -> str | None:
    """Return the label of a release."""
    identifier = tags.value_of("musicbrainz_id", _text(release, "id") or "")
    if not identifier:
        return None
    answer = services.musicbrainz(f"release/{identifier}", inc="labels") or {}
    names = [_text(one.get("label"), "name") for one in _list(answer, "label-info")]
    return next((label for name in names if name and (label := tags.value_of("label", name))), None)


def _artists(one: Mapping[str, Any]) -> list[str]:
    names = [_text(credit, "name") or _text(credit.get("artist"), "name") for credit in _list(one, "artist-credit")]
    return [artist for name in names if name and (artist := tags.value_of("artist", name))]


def _date(release: Mapping[str, Any]) -> str | None:
    """Return the date of a release as far as it is known: "1998", "1998-03" or "1998-03-21"."""
    date = _text(release, "date")
    parts = date.split("-") if date else []
    if [len(part) for part in parts] not in ([4], [4, 2], [4, 2, 2]) or not all(
        part.isascii() and part.isdigit() for part in parts
    ):
        return None
    return date if tags.value_of("year", parts[0]) else None


def _core(title: str) -> str:
    """Return a title without what stands in brackets at its end."""
    begin = min((place for bracket in "([" if (place := title.find(bracket)) > 0), default=len(title))
    return title[:begin].strip() or title


def _title(title: str) -> tuple[str, tuple[str, ...]]:
    """Return a title to compare: without brackets, but with what they say of the version."""
    words = fold(title.removeprefix(_core(title)).replace("original mix", "")).split()
    return fold(_core(title)), tuple(sorted(_VERSIONS.intersection(words)))


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in text)


def _list(content: Any, name: str) -> list[dict]:
    """Return the objects of a list in an answer; nothing that a server sends is trusted to have its form."""
    values = content.get(name) if isinstance(content, Mapping) else None
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []


def _text(content: Any, name: str) -> str | None:
    value = content.get(name) if isinstance(content, Mapping) else None
    return value if isinstance(value, str) and value else None


def _score(content: Mapping[str, Any], name: str = "score") -> float:
    value = content.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
