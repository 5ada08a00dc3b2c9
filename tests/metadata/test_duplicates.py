"""Tracks that are the same recording: what is found, what is not, and that both stay when a library grows."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from audio_files import encoded
from conftest import RATE
from mirflow.core.audio import Audio, decode
from mirflow.library import full_mix
from mirflow.metadata import duplicates, fingerprint
from mirflow.metadata.duplicates import Known, compare, groups, relate

RANDOM = np.random.default_rng(0)
CHORDS = ((0, 4, 7), (-3, 0, 4), (-7, -3, 0), (-5, -1, 2))


def song(seed: int, seconds: float = 40, tempo: float = 112, transposed: int = 0) -> np.ndarray:
    """Return chords, a melody and drums: float64 [n, 2]; other seeds give other melodies on the same chords."""
    random, beat, n = np.random.default_rng(seed), 60 / tempo, int(seconds * RATE)
    time = np.arange(n) / RATE
    chords = np.array(CHORDS)[(time / (2 * beat)).astype(int) % 4] + transposed
    notes = random.integers(0, 3, (int(seconds / beat * 2) + 1))[(time / beat * 2).astype(int)]
    octave = random.choice([12, 14, 24], int(seconds / beat * 2) + 1)[(time / beat * 2).astype(int)]

    def tone(pitch):
        return np.sin(2 * np.pi * 220 * 2 ** (pitch / 12) * time)

    melody = tone(np.take_along_axis(chords, notes[:, None], 1)[:, 0] + octave) * np.exp(-(time % (beat / 2)) * 6)
    hat = random.standard_normal(n) * np.exp(-(time % (beat / 2)) / 0.02)
    mix = 0.08 * sum(tone(voice) for voice in chords.T) + 0.15 * tone(chords[:, 0] - 24) + 0.2 * melody + 0.06 * hat
    return np.stack([mix, 0.9 * mix], axis=1) * 0.6


def printed(samples: np.ndarray, rate: int = RATE) -> str:
    return fingerprint.compute(Audio(np.ascontiguousarray(samples.T, dtype=np.float32), rate))


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Known:
    """One song in several encodings, a faster version of it, and two other songs, one of them on the same chords."""
    folder, one = tmp_path_factory.mktemp("songs"), song(1)

    def decoded(content: bytes, name: str) -> str:
        (folder / name).write_bytes(content)
        full_mix.make(folder / name, folder / "full_mix.flac")
        return fingerprint.compute(decode(folder / "full_mix.flac"))

    return relate(
        {
            "flac": printed(one),
            "mp3 cut by 3 s": decoded(encoded(one[3 * RATE :], "libmp3lame", "mp3"), "a.mp3"),
            "m4a 6 dB softer": decoded(encoded(one / 2, "aac", "mp4"), "a.m4a"),
            "22 kHz mono": printed(resample_poly(one[:, :1], 1, 2), RATE // 2),
            "30 s of it": printed(one[: 30 * RATE]),
            "2 % faster": printed(song(1, tempo=112 * 1.02)),
            "same chords": printed(song(2)),
            "another key": printed(song(3, tempo=97, transposed=5)),
        }.items(),
        Known(),
    )


SAME = {"flac", "mp3 cut by 3 s", "m4a 6 dB softer", "22 kHz mono", "30 s of it"}


def test_encodings_of_one_recording_are_a_group_and_variants_are_suspects(library):
    named = groups(library, {})
    assert set(named) == SAME and len(set(named.values())) == 1
    variant = library.pairs["2 % faster", "flac"]
    assert variant.kind == "suspect" and variant.tempo == pytest.approx(1 / 1.02, abs=0.004)
    assert not any("another key" in pair for pair in library.pairs)
    related = {match.kind for pair, match in library.pairs.items() if "same chords" in pair}
    assert related <= {"suspect"}, "the accompaniment is the same, the song is not"
    match = library.pairs["flac", "mp3 cut by 3 s"]
    assert match.offset * fingerprint.WORD_SECONDS == pytest.approx(3, abs=0.13)


def test_the_table_lists_pairs_by_group(library):
    rows = duplicates.rows(library, groups(library, {}))
    kinds = [row[0] for row in rows]
    assert kinds == sorted(kinds, key=("same", "excerpt", "suspect").index)
    assert {row[5] for row in rows if row[1]} | {row[6] for row in rows if row[1]} == SAME
    assert len(duplicates.HEADER) == len(rows[0])


def words(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 32, count, np.uint32)


def with_errors(original: np.ndarray, share: float, seed: int = 9) -> np.ndarray:
    """Return words in which a share of the bits is wrong."""
    wrong = np.random.default_rng(seed).random((len(original), 32)) < share
    return original ^ np.packbits(wrong, axis=1).view(np.uint32)[:, 0]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.12, 0.2, 0.29])
def test_similarity_is_one_less_twice_the_share_of_wrong_bits(share):
    one = words(900, 1)
    match = compare(one[40:], with_errors(one, share)[:-10])
    assert match.similarity == pytest.approx(1 - 2 * share, abs=0.02) and match.offset == -40
    assert match.kind == ("same" if share < 0.125 else "suspect")


def test_unrelated_short_and_uniform_fingerprints():
    assert compare(words(900, 1), words(900, 2)).kind is None
    assert compare(words(10, 1), words(10, 1)) is None
    silence = np.full(300, fingerprint.SILENCE, np.uint32)
    one, two = (np.concatenate([silence, words(600, seed)]) for seed in (1, 2))
    assert compare(one, two).kind is None, "digital silence at the beginning is no likeness"
    drone = np.full(900, 12345, np.uint32)
    other = with_errors(drone, 0.01)
    assert compare(drone, drone).kind == "same" and compare(drone, with_errors(drone, 0.06)).kind == "suspect"
    assert compare(drone, other).similarity < 0.95


def known(**tracks: np.ndarray) -> Known:
    found = Known({name: f"{name:0<20}" for name in tracks}, dict(sorted(tracks.items())))
    for one in found.words:
        for two in found.words:
            match = compare(found.words[one], found.words[two]) if one < two else None
            if match and match.kind:
                found.pairs[one, two] = match
    return found


def test_a_medley_and_a_shared_beginning_join_no_songs():
    one, two = words(900, 1), words(900, 2)
    medley = np.concatenate([one[:450], two[:450]])
    assert groups(known(one=one, two=two, medley=medley), {}) == {}
    intro = words(300, 3)
    first, second = (np.concatenate([intro, song[:600]]) for song in (one, two))
    both = known(first=first, second=second, excerpt=intro)
    assert both.pairs["excerpt", "first"].kind == both.pairs["excerpt", "second"].kind == "excerpt"
    assert groups(both, {}) == {}
    only = groups(known(first=first, copy=with_errors(first, 0.05), second=second, excerpt=first[200:500]), {})
    assert set(only) == {"first", "copy"}, "an excerpt that begins later than the reach is not found"
    assert set(groups(known(first=first, copy=with_errors(first, 0.05), excerpt=first[20:320]), {})) == {
        "first", "copy", "excerpt",
    }  # fmt: skip


def test_groups_keep_their_names():
    one, two = words(900, 1), words(900, 2)
    begun = groups(known(m=one, n=with_errors(one, 0.03), x=two), {})
    assert begun == {"m": "m00000000000", "n": "m00000000000"}, "by the smallest hash of a fingerprint"
    grown = groups(known(a=with_errors(one, 0.02), m=one, n=with_errors(one, 0.03), x=two, y=two), begun)
    assert grown == {"a": "m00000000000", "m": "m00000000000", "n": "m00000000000", "x": "x00000000000",
                     "y": "x00000000000"}  # fmt: skip
    assert groups(known(m=one, y=two, x=two), grown) == {"x": "x00000000000", "y": "x00000000000"}
    apart = groups(known(a=one, m=one, n=two, y=two), {"a": "g", "m": "g", "n": "g", "y": "g"})
    assert apart["a"] == apart["m"] != apart["n"] == apart["y"] and "g" in apart.values()


def test_growing_a_library_gives_what_making_it_at_once_gives(library, monkeypatch):
    table = {"base": words(900, 1), "other": words(700, 2)}
    for number in range(30):
        table[f"{number:02}"] = with_errors(table["base" if number % 3 else "other"], 0.02 * (number % 9), number)
        table[f"x{number:02}"] = words(400 + number, 100 + number)
    monkeypatch.setattr(fingerprint, "words", lambda text: table[text])
    at_once = relate([(name, name) for name in table], Known())
    monkeypatch.setattr(duplicates, "BLOCK", 7)  # as in a library of more tracks than one index holds
    assert relate([(name, name) for name in reversed(table)], Known()).pairs == at_once.pairs
    compared = []
    monkeypatch.setattr(duplicates, "compare", lambda *two, **more: compared.append(1) or compare(*two, **more))
    grown = Known()
    for count in (1, 5, 20, 61, 61, 62):
        compared.clear()
        grown = relate([(name, name) for name in list(table)[:count]], grown)
    assert grown.pairs == at_once.pairs and len(at_once.pairs) > 100
    assert len(compared) < 40, "only the last track was new"
    fewer = relate([(name, name) for name in table if name != "base"], grown)
    assert fewer.pairs == {pair: match for pair, match in at_once.pairs.items() if "base" not in pair}


def test_what_is_known_is_stored_and_a_damaged_file_is_as_good_as_none(library, tmp_path):
    path = tmp_path / "fingerprints.npz"
    library.save(path)
    again = Known.load(path)
    assert again.pairs == library.pairs and again.digests == library.digests
    assert all((again.words[track] == library.words[track]).all() for track in library.words)
    content = path.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"x" * 1000):
        path.write_bytes(damaged)
        assert Known.load(path) == Known()
    Known().save(path)
    assert Known.load(path) == Known() and Known.load(tmp_path / "none") == Known()
