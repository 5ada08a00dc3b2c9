"""The tags of a source file: artist, title and others, as plain texts and numbers.

All formats that the library takes can carry tags: Vorbis comments, ID3v1 and ID3v2 (also as a chunk of WAV and AIFF
files), APEv2, atoms of MP4, ASF, and the texts of RIFF and IFF. mutagen reads most of them. Nothing is ever concluded
from the names of files and folders, and a tag that is damaged or makes no sense is left out.
"""

import importlib.metadata
import io
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from mirflow.core.errors import MirflowError
from mirflow.core.feature import OPTIONAL, PROVENANCE
from mirflow.describe.normalise import normalise

NAME = "tags"
VERSION = 1  # raise it when values change
KEY = "track_metadata_"
FIELDS = ("artist", "title", "album", "year", "genre", "label", "isrc", "musicbrainz_id", "bpm", "key", "composer",
          "language")  # fmt: skip
KEYS = tuple(KEY + name for name in FIELDS)
ARTISTS, ALBUM_ARTISTS = "_artists", "_album_artists"  # in the fragment: the names one by one
SEVERAL = ("artist", "genre", "label", "composer", "language", "album_artist")  # may have more than one value
JOINT = "; "  # between several values: names of artists hold commas and slashes

MOST_CHARACTERS = 250  # of a value
MOST_VALUES = 20
MOST_CHUNKS = 10_000  # of a WAV or AIFF file; a bound on the time that a made-up file costs
MOST_TAG = 64 << 20  # bytes of a chunk of tags; cover art is a part of it
YEARS = (1000, 2100)
TEMPI = (10.0, 1000.0)  # 1/min
# What programs write where nobody knows.
PLACEHOLDERS = ("unknown", "unknown artist", "unknown album", "unknown genre", "unknown title", "no artist", "n/a")

Raw = dict[str, list[str]]  # field → values as they stand in the file


@dataclass
class Tags:
    """What a file says of itself.

    Attributes
    ----------
    values : of `FIELDS` and "album_artist", those that there are, normalised
    blocks : where they were found: "Vorbis comment", "ID3v2" ...
    repaired : fields whose characters had been read in a wrong encoding
    problems : blocks that could not be read, a line each
    """

    values: dict[str, list[Any]] = field(default_factory=dict)
    blocks: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, block: str, raw: Raw) -> None:
        """Add what a block holds; fields that an earlier block gave stay as they are."""
        used = False
        for name, texts in raw.items():
            if name in self.values:
                continue
            mended = [repair(text) for text in texts[:MOST_VALUES]]
            values = list(dict.fromkeys(value for text in mended if (value := value_of(name, text)) is not None))
            if values:
                self.values[name] = values if name in SEVERAL else values[:1]
                used = True
                if mended != texts[:MOST_VALUES]:
                    self.repaired.append(name)
        if used:
            self.blocks.append(block)


def fragment(source: str | PathLike, kind: str) -> tuple[dict[str, Any], list[str]]:
    """Return the fragment with the tags of a file, and warnings about damaged tags.

    Parameters
    ----------
    source : an audio file
    kind : of its container, as `mirflow.library.containers` names it

    Raises
    ------
    MirflowError : the file cannot be read
    """
    found = read(source, kind)
    content: dict[str, Any] = {}
    for name in FIELDS:
        if name in found.values:
            values = found.values[name]
            content[KEY + name] = JOINT.join(values) if name in SEVERAL else values[0]
    origin = {
        "feature": NAME,
        "version": VERSION,
        "backend": "mutagen",
        "backend_version": importlib.metadata.version("mutagen"),
        "blocks": found.blocks,
        **({"repaired": sorted(found.repaired)} if found.repaired else {}),
    }
    return {
        **content,
        ARTISTS: found.values.get("artist", []),
        ALBUM_ARTISTS: found.values.get("album_artist", []),
        OPTIONAL: list(KEYS),
        PROVENANCE: origin,
    }, found.problems


def read(source: str | PathLike, kind: str) -> Tags:
    """Read the tags of a file; what cannot be read is named in the result's ``problems``.

    Raises
    ------
    MirflowError : the file cannot be read
    """
    found = Tags()
    try:
        file = open(source, "rb")
    except OSError as error:
        raise MirflowError(f"{source}: cannot be read ({error.strerror or error})") from error
    with closing(file):
        for block, reader in _READERS.get(kind, {}).items():
            file.seek(0)
            try:
                raw = reader(file)
            except Exception as error:  # noqa: BLE001 - mutagen raises anything on damaged tags
                reason = " ".join(str(error).split()) or type(error).__name__
                found.problems.append(f"{Path(source).name}: its tags ({block}) cannot be read: {reason}")
            else:
                found.add(block, raw)
    return found


# --- From texts to values ---------------------------------------------------------------------------------------------


def value_of(name: str, text: str) -> Any:
    """Return a value as it stands in the fragment; None where it says nothing."""
    plain = " ".join(normalise(text).split())
    if not plain or plain.casefold().strip("<>[]() ") in PLACEHOLDERS:
        return None
    if name in _PARSERS:
        return _PARSERS[name](plain)
    if len(plain) > MOST_CHARACTERS:
        plain = plain[:MOST_CHARACTERS].rpartition(" ")[0] or plain[:MOST_CHARACTERS]
    return plain


def _year(text: str) -> int | None:
    found = re.search(r"(?<!\d)(\d{4})(?:[01]\d[0-3]\d)?(?!\d)", text)
    return int(found[1]) if found and YEARS[0] <= int(found[1]) <= YEARS[1] else None


def _tempo(text: str) -> float | None:
    if not re.fullmatch(r"\d{1,4}([.,]\d+)?( ?bpm)?", text, re.I):
        return None
    value = float(re.sub(r"[^\d.]", "", text.replace(",", ".")))
    return value if TEMPI[0] <= value <= TEMPI[1] else None


def _isrc(text: str) -> str | None:
    plain = re.sub(r"[\s-]", "", text).upper().removeprefix("ISRC")
    return plain if re.fullmatch(r"[A-Z]{2}[A-Z0-9]{3}\d{7}", plain) else None


def _musicbrainz_id(text: str) -> str | None:
    found = re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text.lower())
    return found[0] if found else None


_FIFTHS = ("C", "G", "D", "A", "E", "B", "F#", "Db", "Ab", "Eb", "Bb", "F")  # Open Key 1d ... 12d
_MINOR_FIFTHS = ("A", "E", "B", "F#", "C#", "G#", "D#", "Bb", "F", "C", "G", "D")  # Open Key 1m ... 12m
CAMELOT_OFFSET = 7  # 8B is C major, as Open Key's 1d


def _key(text: str) -> str | None:
    """Return a key as "F# minor", from that, "F#m", "F#min", Camelot's "11A" or Open Key's "4m"."""
    wheel = re.fullmatch(r"0?([1-9]|1[0-2])\s*([ABDM])", text.upper())
    if wheel:
        place = int(wheel[1]) - 1 - (CAMELOT_OFFSET if wheel[2] in "AB" else 0)
        return f"{_MINOR_FIFTHS[place % 12]} minor" if wheel[2] in "AM" else f"{_FIFTHS[place % 12]} major"
    found = re.fullmatch(r"([A-Ga-g])\s*(#|b|sharp|flat|)\s*-?\s*(m|min|minor|M|maj|major|)", text)
    if not found:
        return None
    accidental = {"sharp": "#", "flat": "b"}.get(found[2], found[2])
    is_minor = found[3] in ("m", "min", "minor")
    return f"{found[1].upper()}{accidental} {'minor' if is_minor else 'major'}"


def _language(text: str) -> str | None:
    code = text.lower()
    return None if code in ("und", "xxx", "mul") else code if re.fullmatch("[a-z]{2,3}", code) else text[:60]


_PARSERS: dict[str, Callable[[str], Any]] = {
    "year": _year,
    "bpm": _tempo,
    "isrc": _isrc,
    "musicbrainz_id": _musicbrainz_id,
    "key": _key,
    "language": _language,
}

# --- Wrong encodings --------------------------------------------------------------------------------------------------

_HIGH_WORD = re.compile(r"[^\W\d_]+")
_CYRILLIC = re.compile(r"[А-Яа-яЁё]+")
_VOWELS = frozenset("аеёиоуыэюя")
LEAST_LETTERS = 5  # of a text, to be sure of its encoding
VOWELS = (0.25, 0.65)  # share of the letters of a Russian text


def repair(text: str) -> str:
    """Return a text whose bytes were read in a wrong encoding as it was meant, where there is no doubt; else `text`.

    UTF-8 that was read as Latin-1 or Windows-1252 is certain: other texts do not consist of valid sequences. Windows'
    Cyrillic that was read as Latin-1 is certain where all words consist of letters that only make sense in Russian.

    >>> repair("BjÃ¶rk"), repair("Êèíî - Ãðóïïà êðîâè"), repair("Déjà Vu")
    ('Björk', 'Кино - Группа крови', 'Déjà Vu')
    """
    if text.isascii():
        return text
    content = _bytes(text)
    if content is None:
        return text
    try:
        meant = content.decode("utf-8")
    except UnicodeDecodeError:
        return _cyrillic(text, content) or text
    return text if any("\x80" <= character < "\xa0" for character in meant) else meant


def _bytes(text: str) -> bytes | None:
    """Return the bytes that were read as Latin-1 or Windows-1252; None where other characters occur."""
    content = bytearray()
    for character in text:
        try:
            content += character.encode("latin-1")
        except UnicodeEncodeError:
            try:
                content += character.encode("cp1252")
            except UnicodeEncodeError:
                return None
    return bytes(content)


def _cyrillic(text: str, content: bytes) -> str | None:
    """Return bytes read as Windows-1251, where that is certain to be meant."""
    try:
        meant = content.decode("cp1251")
    except UnicodeDecodeError:
        return None
    words = [word for word in re.split(r"[\s\d!-/:-@\[-`{-~«»–—]+", meant) if word]
    foreign = [word for word in words if not word.isascii()]
    letters = "".join(foreign)
    if len(letters) < LEAST_LETTERS or not letters[0].isupper() or not all(map(_CYRILLIC.fullmatch, foreign)):
        return None
    if not all(word.islower() or word.isupper() or word[1:].islower() for word in foreign) or letters.isupper():
        return None  # KOI8-R, for example
    small = [word.lower() for word in foreign]
    share = sum(letter in _VOWELS for letter in "".join(small)) / len(letters)
    odd = any(re.search("[^аеёиоуыэюя]й|^[ъьы]|[аеёиоуыэюя][ъь]|[^аеёиоуыэюя]{6}", word) for word in small)
    return meant if VOWELS[0] <= share <= VOWELS[1] and not odd else None


# --- From files to texts ----------------------------------------------------------------------------------------------

_ID3 = {
    "artist": ("TPE1",), "album_artist": ("TPE2",), "title": ("TIT2",), "album": ("TALB",),
    "year": ("TDRC", "TDRL", "TDOR"), "label": ("TPUB",), "isrc": ("TSRC",), "bpm": ("TBPM",), "key": ("TKEY",),
    "composer": ("TCOM",), "language": ("TLAN",),
}  # fmt: skip
_MP4 = {
    "artist": "\xa9ART", "album_artist": "aART", "title": "\xa9nam", "album": "\xa9alb", "year": "\xa9day",
    "genre": "\xa9gen", "composer": "\xa9wrt", "bpm": "tmpo",
}  # fmt: skip
_RIFF = {
    "artist": b"IART", "title": b"INAM", "album": b"IPRD", "year": b"ICRD", "genre": b"IGNR", "composer": b"IMUS",
    "language": b"ILNG",
}  # fmt: skip
# Names in Vorbis comments, APEv2, ASF, and in the free texts of ID3v2 and MP4; in any letter case.
_NAMES = {
    "artist": ("artist", "author"),
    "album_artist": ("albumartist", "album artist", "wm/albumartist"),
    "title": ("title",),
    "album": ("album", "wm/albumtitle"),
    "year": ("date", "year", "wm/year", "originaldate", "originalyear", "wm/originalreleaseyear"),
    "genre": ("genre", "wm/genre"),
    "label": ("label", "organization", "publisher", "wm/publisher"),
    "isrc": ("isrc", "wm/isrc"),
    "musicbrainz_id": ("musicbrainz_trackid", "musicbrainz track id", "musicbrainz/track id"),
    "bpm": ("bpm", "tempo", "wm/beatsperminute"),
    "key": ("initialkey", "initial key", "key", "wm/initialkey"),
    "composer": ("composer", "wm/composer"),
    "language": ("language", "wm/language"),
}
_MUSICBRAINZ = "http://musicbrainz.org"  # the owner of identifiers in ID3v2
_FREE = "----:com.apple.itunes:"  # before a name in MP4, in lower case


def _named(tag: Iterable[tuple[str, Any]]) -> Raw:
    """Return the fields of a tag that has names and values."""
    texts: dict[str, list[str]] = {}
    for name, value in tag:
        texts.setdefault(str(name).lower(), []).append(str(value))
    return _chosen({field: [texts.get(name, []) for name in names] for field, names in _NAMES.items()})


def _chosen(found: dict[str, list[list[str]]]) -> Raw:
    """Return, of several places where a field may stand, the first that holds something."""
    return {name: next(filter(None, places), []) for name, places in found.items() if any(places)}


def _of_id3(tag: Any) -> Raw:
    """Return the fields of mutagen's ID3 tag."""
    free = _named((frame.desc, text) for frame in tag.getall("TXXX") for text in frame.text)
    found = {
        name: [[str(text) for frame in tag.getall(frame_id) for text in frame.text] for frame_id in frames]
        for name, frames in _ID3.items()
    }
    found["genre"] = [[genre for frame in tag.getall("TCON") for genre in frame.genres]]
    owners = tag.getall(f"UFID:{_MUSICBRAINZ}")
    found["musicbrainz_id"] = [[owner.data.decode("ascii", "replace") for owner in owners]]
    return free | _chosen(found)


def _id3v2(file: BinaryIO) -> Raw:
    import mutagen.id3

    try:
        return _of_id3(mutagen.id3.ID3(file, load_v1=False))
    except mutagen.id3.ID3NoHeaderError:
        return {}


def _id3v1(file: BinaryIO) -> Raw:
    """Return what the last 128 bytes say: texts of 30 bytes in no known encoding, here Latin-1."""
    import mutagen.id3

    if file.seek(0, io.SEEK_END) < 128:
        return {}
    file.seek(-128, io.SEEK_END)
    block = file.read(128)
    if block[:3] != b"TAG":
        return {}
    places = {"title": (3, 33), "artist": (33, 63), "album": (63, 93), "year": (93, 97)}
    raw = {name: [block[a:b].partition(b"\0")[0].decode("latin-1").strip()] for name, (a, b) in places.items()}
    raw["genre"] = mutagen.id3.TCON(encoding=3, text=[str(block[127])]).genres if block[127] < 192 else []
    return raw


def _apev2(file: BinaryIO) -> Raw:
    import mutagen.apev2

    try:
        tag = mutagen.apev2.APEv2(file)
    except mutagen.apev2.APENoHeaderError:
        return {}
    texts = ((name, value) for name, value in tag.items() if isinstance(value, mutagen.apev2.APETextValue))
    return _named((name, text) for name, value in texts for text in value)


def _flac(file: BinaryIO) -> Raw:
    import mutagen.flac

    return _named(mutagen.flac.FLAC(file).tags or ())


def _ogg(file: BinaryIO) -> Raw:
    import mutagen
    from mutagen import oggflac, oggopus, oggspeex, oggvorbis

    kinds = [oggvorbis.OggVorbis, oggopus.OggOpus, oggflac.OggFLAC, oggspeex.OggSpeex]
    found = mutagen.File(file, options=kinds)
    return _named(found.tags or ()) if found is not None else {}


def _mp4(file: BinaryIO) -> Raw:
    import mutagen.mp4

    tags = mutagen.mp4.MP4(file).tags or {}
    free = [
        (name.lower().removeprefix(_FREE), bytes(value).decode("utf-8", "replace"))
        for name, values in tags.items()
        if name.lower().startswith(_FREE)
        for value in values
    ]
    return _named(free) | _chosen({name: [[str(v) for v in tags.get(atom, [])]] for name, atom in _MP4.items()})


def _asf(file: BinaryIO) -> Raw:
    import mutagen.asf

    tags = mutagen.asf.ASF(file).tags or ()
    return _named((name, value) for name, value in tags if not isinstance(value, mutagen.asf.ASFByteArrayAttribute))


def _chunks(file: BinaryIO, order: str) -> Iterator[tuple[bytes, int]]:
    """Yield name and size of each chunk of a RIFF or IFF file; the file then stands at its content."""
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    while file.read(3) == b"ID3" and len(header := file.read(7)) == 7:  # before the file proper
        file.seek((header[3] << 21 | header[4] << 14 | header[5] << 7 | header[6]), io.SEEK_CUR)
    at, samples = file.tell() - 3 + 12, None
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        header = file.read(8)
        if len(header) < 8:
            return
        name, size = header[:4], struct.unpack(f"{order}I", header[4:])[0]
        if name == b"ds64":  # of RF64 and BW64: the sizes that need 64 bits
            samples = struct.unpack("<Q", file.read(16)[8:])[0]
        if name == b"data" and size == 0xFFFFFFFF and samples is not None:
            size = samples
        file.seek(at + 8)
        yield name, min(size, end - at - 8)
        at += 8 + size + (size & 1)


def _id3_chunk(order: str) -> Callable[[BinaryIO], Raw]:
    def read_chunk(file: BinaryIO) -> Raw:
        for name, size in _chunks(file, order):
            if name.upper() == b"ID3 " and size <= MOST_TAG:
                return _id3v2(io.BytesIO(file.read(size)))
        return {}

    return read_chunk


def _riff_info(file: BinaryIO) -> Raw:
    texts: dict[bytes, list[str]] = {}
    for name, size in _chunks(file, "<"):
        if name != b"LIST" or not 4 <= size <= MOST_TAG:
            continue
        content, at = file.read(size), 4
        while content[:4] == b"INFO" and at + 8 <= len(content):
            (length,) = struct.unpack_from("<I", content, at + 4)
            texts.setdefault(content[at : at + 4], []).append(_decoded(content[at + 8 : at + 8 + length]))
            at += 8 + length + (length & 1)
    return _chosen({name: [texts.get(item, [])] for name, item in _RIFF.items()})


def _iff_texts(file: BinaryIO) -> Raw:
    names = {b"NAME": "title", b"AUTH": "artist"}
    return {
        names[name]: [_decoded(file.read(size))]
        for name, size in _chunks(file, ">")
        if name in names and size <= MOST_TAG
    }


def _decoded(content: bytes) -> str:
    """Return a text whose encoding the format does not tell: UTF-8, else Latin-1."""
    content = content.partition(b"\0")[0]
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


_WAVE = {"ID3v2": _id3_chunk("<"), "RIFF INFO": _riff_info}
_MPEG = {"ID3v2": _id3v2, "APEv2": _apev2, "ID3v1": _id3v1}
# Kind of container → what may hold tags in it; the first that has a field counts.
_READERS: dict[str, dict[str, Callable[[BinaryIO], Raw]]] = {
    "FLAC": {"Vorbis comment": _flac, "ID3v2": _id3v2, "ID3v1": _id3v1},
    "OGG": {"Vorbis comment": _ogg},
    "WAV": _WAVE,
    "RF64": _WAVE,
    "BW64": _WAVE,
    "AIFF": {"ID3v2": _id3_chunk(">"), "IFF texts": _iff_texts},
    "MPEG": _MPEG,
    "ADTS": _MPEG,
    "LOAS": _MPEG,
    "MP4": {"MP4": _mp4},
    "ASF": {"ASF": _asf},
}
