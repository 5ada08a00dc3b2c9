"""Tags of every format come back as they were written, and what is wrong with them stays out."""

import struct

import mutagen
import numpy as np
import pytest
from mutagen import apev2, asf, flac, id3, mp4, oggopus, oggvorbis

from audio_files import encoded, id3v2, music, written
from mirflow import info
from mirflow.core import artifacts
from mirflow.library import full_mix
from mirflow.metadata import tags

SOUND = music(0.3)
MBID = "b1a9c0e9-d987-4042-ae91-78d6a3267d69"
PLAIN = {
    "artist": "Сплин", "title": "Ænima – “live”", "album": "L'été, 2ème", "date": "1998-03-21", "genre": "Drum & Bass",
    "label": "Fat Cat", "isrc": "ISA470012345", "bpm": "127.5", "composer": "J. S. Bach", "language": "isl",
}  # fmt: skip
EXPECTED = {
    "artist": "Сплин", "title": 'Ænima - "live"', "album": "L'été, 2ème", "year": 1998, "genre": "Drum & Bass",
    "label": "Fat Cat", "isrc": "ISA470012345", "musicbrainz_id": MBID, "bpm": 127.5, "key": "F# minor",
    "composer": "J. S. Bach", "language": "isl",
}  # fmt: skip


def frames(version: int = 4) -> list[id3.Frame]:
    texts = {id3.TPE1: "artist", id3.TIT2: "title", id3.TALB: "album", id3.TCON: "genre", id3.TPUB: "label",
             id3.TSRC: "isrc", id3.TBPM: "bpm", id3.TCOM: "composer", id3.TLAN: "language"}  # fmt: skip
    date = [id3.TDRC] if version == 4 else []
    made = [kind(encoding=1, text=[PLAIN[name]]) for kind, name in texts.items()]
    made += [kind(encoding=1, text=[PLAIN["date"]]) for kind in date]
    made += [] if date else [id3.TYER(encoding=1, text=["1998"]), id3.TDAT(encoding=1, text=["2103"])]
    return [*made, id3.TKEY(encoding=0, text=["F#m"]), id3.UFID("http://musicbrainz.org", MBID.encode()),
            id3.APIC(encoding=0, mime="image/png", type=3, desc="", data=bytes(300_000))]  # fmt: skip


def tag_id3(path, version=4):
    tag = id3.ID3()
    for frame in frames(version):
        tag.add(frame)
    tag.save(path, v1=0, v2_version=version)


def tag_named(kind, names):
    def write(path):
        file = kind(path)
        if file.tags is None:
            file.add_tags()
        for name, field in names.items():
            file.tags[name] = [PLAIN.get(field, field)]
        file.save()

    return write


VORBIS = {name.upper(): name for name in PLAIN} | {"INITIALKEY": "F#m", "MUSICBRAINZ_TRACKID": MBID}
ASF = {
    "Author": "artist", "Title": "title", "WM/AlbumTitle": "album", "WM/Year": "date", "WM/Genre": "genre",
    "WM/Publisher": "label", "WM/ISRC": "isrc", "WM/BeatsPerMinute": "bpm", "WM/Composer": "composer",
    "WM/Language": "language", "WM/InitialKey": "F#m", "MusicBrainz/Track Id": MBID,
}  # fmt: skip


def tag_mp4(path):
    file = mp4.MP4(path)
    atoms = {"\xa9ART": "artist", "\xa9nam": "title", "\xa9alb": "album", "\xa9day": "date", "\xa9gen": "genre",
             "\xa9wrt": "composer"}  # fmt: skip
    free = {"LABEL": PLAIN["label"], "ISRC": PLAIN["isrc"], "BPM": PLAIN["bpm"], "initialkey": "F#m",
            "LANGUAGE": PLAIN["language"], "MusicBrainz Track Id": MBID}  # fmt: skip
    for atom, field in atoms.items():
        file[atom] = [PLAIN[field]]
    for name, text in free.items():
        file[f"----:com.apple.iTunes:{name}"] = [mp4.MP4FreeForm(text.encode())]
    file["covr"] = [mp4.MP4Cover(bytes(300_000))]
    file.save()


def tag_ape(path):
    tag = apev2.APEv2()
    for name, field in VORBIS.items():
        tag[name] = PLAIN.get(field, field)
    tag["Cover Art (Front)"] = apev2.APEValue(b"a.jpg\0" + bytes(1000), apev2.BINARY)
    tag.save(path)


def chunk(name: bytes, content: bytes, order: str = "<") -> bytes:
    return name + struct.pack(order + "I", len(content)) + content + b"\0" * (len(content) & 1)


def with_chunks(sound: bytes, *chunks: bytes, order: str = "<") -> bytes:
    whole = sound[:8] + sound[8:] + b"".join(chunks)
    return whole[:4] + struct.pack(order + "I", len(whole) - 8) + whole[8:]


def id3_bytes(tmp_path) -> bytes:
    tag_id3(tmp_path / "tag")
    return (tmp_path / "tag").read_bytes()


WAV, AIFF = written(SOUND, "WAV"), written(SOUND, "AIFF")


def rf64(wav: bytes) -> bytes:
    """Return a WAV file in the form of BW64, its sizes in the chunk ds64."""
    data = wav.index(b"data")
    (size,) = struct.unpack_from("<I", wav, data + 4)
    sizes = chunk(b"ds64", struct.pack("<QQQI", len(wav), size, 0, 0))
    return b"BW64" + b"\xff" * 4 + b"WAVE" + sizes + wav[12 : data + 4] + b"\xff" * 4 + wav[data + 8 :]


FORMATS = {
    "a.flac": (lambda: written(SOUND, "FLAC"), tag_named(flac.FLAC, VORBIS)),
    "a.ogg": (lambda: written(SOUND, "OGG", "VORBIS"), tag_named(oggvorbis.OggVorbis, VORBIS)),
    "a.opus": (lambda: written(SOUND, "OGG", "OPUS", 48000), tag_named(oggopus.OggOpus, VORBIS)),
    "v24.mp3": (lambda: written(SOUND, "MP3"), tag_id3),
    "v23.mp3": (lambda: written(SOUND, "MP3"), lambda path: tag_id3(path, 3)),
    "ape.mp3": (lambda: written(SOUND, "MP3"), tag_ape),
    "a.aac": (lambda: encoded(SOUND, "aac", "adts"), tag_id3),
    "a.m4a": (lambda: encoded(SOUND, "aac", "mp4"), tag_mp4),
    "a.wma": (lambda: encoded(SOUND, "wmav2", "asf"), tag_named(asf.ASF, ASF)),
    "a.wav": (lambda: WAV, None),
    "bw64.wav": (lambda: rf64(WAV), None),
    "a.aiff": (lambda: AIFF, None),
}


@pytest.mark.parametrize("name", FORMATS)
def test_tags_of_every_format_come_back(name, tmp_path):
    make, write = FORMATS[name]
    path = tmp_path / name
    sound = make()
    if write is None:
        order = ">" if name.endswith("aiff") else "<"
        block = chunk(b"ID3 " if order == ">" else b"id3 ", id3_bytes(tmp_path), order)
        sound = sound + block if b"BW64" in sound[:4] else with_chunks(sound, block, order=order)
    path.write_bytes(sound)
    if write:
        write(path)
    record = full_mix.make(path, tmp_path / "full_mix.flac")
    content, warnings = tags.fragment(path, record["format"])
    assert {key.removeprefix(tags.KEY): content[key] for key in tags.KEYS if key in content} == EXPECTED
    assert warnings == [] and len(artifacts.json_bytes(content)) < 3000, "cover art must stay out"


def test_texts_of_riff_and_aiff(tmp_path):
    texts = {b"IART": "Björk".encode(), b"INAM": "Кино не для всех".encode("cp1251"), b"ICRD": b"1995\0", b"ISRC": b"x"}
    info_list = chunk(b"LIST", b"INFO" + b"".join(chunk(name, text) for name, text in texts.items()))
    (tmp_path / "a.wav").write_bytes(with_chunks(WAV, info_list))
    found = tags.read(tmp_path / "a.wav", "WAV").values
    assert found == {"artist": ["Björk"], "title": ["Кино не для всех"], "year": [1995]}
    (tmp_path / "a.aif").write_bytes(with_chunks(AIFF, chunk(b"NAME", b"Song", ">"), order=">"))
    assert tags.read(tmp_path / "a.aif", "AIFF").values == {"title": ["Song"]}


def id3v1(title: bytes, artist: bytes, genre: int) -> bytes:
    return b"TAG" + title.ljust(30, b"\0") + artist.ljust(30, b" ") + bytes(30) + b"1987" + bytes(30) + bytes([genre])


def test_blocks_complete_each_other_and_the_newest_counts(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(written(SOUND, "MP3"))
    tag = id3.ID3()
    tag.add(id3.TIT2(encoding=3, text=["A title of more than thirty characters"]))
    tag.save(path, v1=0)
    with path.open("ab") as file:
        file.write(id3v1(b"A title of more than thirty ch", "Группа крови".encode("cp1251"), 17))
    found = tags.read(path, "MPEG")
    assert found.values["title"] == ["A title of more than thirty characters"]
    assert found.values["artist"] == ["Группа крови"] and found.repaired == ["artist"]
    assert found.values["genre"] == ["Rock"] and found.values["year"] == [1987]
    assert found.blocks == ["ID3v2", "ID3v1"]


@pytest.mark.parametrize("text, meant", [
    ("BjÃ¶rk", "Björk"), ("itâ€™s", "it’s"), ("Ð\u0098Ð³Ð¾Ñ\u0080Ñ\u008c", "Игорь"),
    ("Çåìôèðà", "Земфира"), ("Ãðàæäàíñêàÿ Îáîðîíà - 12", "Гражданская Оборона - 12"),
])  # fmt: skip
def test_certain_mistakes_of_encoding_are_repaired(text, meant):
    assert tags.repair(text) == meant and tags.repair(meant) == meant


@pytest.mark.parametrize("text", [
    "Déjà Vu", "Ågætis byrjun", "ÅÄÖ ÄÖÅ", "Ööö Äää", "Åêè", "東京", "Сплин", "Ãð",
    "Μουσική Θεσσαλονίκης".encode("cp1253").decode("latin-1"), "Кино Группа".encode("koi8-r").decode("latin-1"),
    "周杰倫".encode("gbk").decode("latin-1"), "ΘΕΟΔΩΡΑΚΗΣ".encode("cp1253").decode("latin-1"),
])  # fmt: skip
def test_what_is_not_certain_stays(text):
    assert tags.repair(text) == text


@pytest.mark.parametrize("field, text, value", [
    ("year", "2005-04-01", 2005), ("year", "20050401", 2005), ("year", "01.04.1999", 1999), ("year", "0000", None),
    ("year", "05", None), ("year", "198x", None),
    ("bpm", "128", 128.0), ("bpm", "127,98", 127.98), ("bpm", "0", None), ("bpm", "fast", None),
    ("key", "Am", "A minor"), ("key", "Bb", "Bb major"), ("key", "F# minor", "F# minor"), ("key", "EbM", "Eb major"),
    ("key", "8A", "A minor"), ("key", "8B", "C major"), ("key", "12A", "C# minor"), ("key", "1m", "A minor"),
    ("key", "6d", "B major"), ("key", "o", None), ("key", "H?", None),
    ("isrc", "is-a47-00-12345", "ISA470012345"), ("isrc", "0123", None),
    ("musicbrainz_id", MBID.upper(), MBID), ("musicbrainz_id", "7", None),
    ("artist", "Unknown Artist", None), ("artist", "  A\u200b\x07 \n B ", "A B"), ("artist", "", None),
    ("title", "x " * 500, ("x " * 125).strip()), ("language", "XXX", None), ("language", "ENG", "eng"),
])  # fmt: skip
def test_values(field, text, value):
    assert tags.value_of(field, text) == value


def test_several_values_are_joined_and_kept_one_by_one(tmp_path):
    path = tmp_path / "a.flac"
    path.write_bytes(written(SOUND, "FLAC"))
    file = mutagen.File(path)
    file["artist"], file["albumartist"] = ["Earth, Wind & Fire", "AC/DC", "AC/DC"], ["Various Artists"]
    file.save()
    content, _ = tags.fragment(path, "FLAC")
    assert content["track_metadata_artist"] == "Earth, Wind & Fire; AC/DC"
    assert content["_artists"] == ["Earth, Wind & Fire", "AC/DC"] and content["_album_artists"] == ["Various Artists"]


def test_damaged_tags_give_a_warning_and_no_error(tmp_path):
    path = tmp_path / "a.mp3"
    tag = id3v2(100)
    path.write_bytes(tag[:6] + b"\xff\xff\xff\xff" + tag[10:] + written(SOUND, "MP3"))
    content, warnings = tags.fragment(path, "MPEG")
    assert not set(content) & set(tags.KEYS) and len(warnings) <= 1
    random = np.random.default_rng(0)
    for name, kind in (("a.flac", "FLAC"), ("a.m4a", "MP4"), ("a.wma", "ASF"), ("a.ogg", "OGG"), ("v24.mp3", "MPEG")):
        make, write = FORMATS[name]
        path = tmp_path / name
        path.write_bytes(make())
        write(path)
        good = path.read_bytes()
        for _ in range(10):
            bad = bytearray(good)
            for place in random.integers(0, min(len(bad), 3000), 8):
                bad[place] = random.integers(0, 256)
            path.write_bytes(bad)
            _, warnings = tags.fragment(path, kind)
            assert all("\n" not in warning and name in warning for warning in warnings)


def test_a_tag_that_is_removed_leaves_the_info():
    def merged(existing, **values):
        origin = {"feature": "tags", "version": 1}
        return info.merge(existing, [{**values, "_optional": list(tags.KEYS), "_provenance": origin}], {})

    first = merged({"mine": 1}, track_metadata_artist="A", track_metadata_bpm=120.0)
    assert list(first) == ["track_metadata_artist", "track_metadata_bpm", "mine", "_provenance"]
    second = merged(first, track_metadata_artist="B")
    assert second["track_metadata_artist"] == "B" and "track_metadata_bpm" not in second and second["mine"] == 1
