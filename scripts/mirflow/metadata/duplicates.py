"""Tracks of a library that are the same recording, or may be.

Two fingerprints are compared at the offset where the fewest of their bits differ. Similarity is 1 - 2 x the share of
differing bits: 1 for equal words, near 0 for unrelated music. An index of the words names the few pairs that are worth
a comparison; all would be 50 million for 10 000 tracks. Whether two tracks are compared depends on these two alone, so
a library that grows has the pairs of one that was made at once.
"""

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike

import numpy as np

from mirflow.core import artifacts
from mirflow.metadata import fingerprint

VERSION = 1  # raise it when other pairs or groups come out of the same fingerprints
SAME = 0.75  # AcoustID takes two fingerprints with this similarity for one recording
SUSPECT = 0.4
REACH = 80  # words, 9.9 s: how far the beginnings of two tracks may be apart
LEAST_WORDS = 16  # to compare, 2 s beyond the shortest track; and half of the shorter fingerprint
WHOLE = 0.75  # share of the longer fingerprint that both have, where neither is an excerpt of the other
LEAST_EXCERPT = 120  # words, 15 s
VARIANT = 0.15  # unrelated music is hardly ever more alike; from here on other tempi are tried
TEMPI = tuple(1 + step / 200 for step in range(-10, 11) if step)  # up to 5 % faster or slower, in steps of 0.5 %
COARSE = 4  # of the words, every so many are compared to find offset and tempo

# The index finds words that agree in their upper bits, at most `REACH` apart. Of 1500 pairs of unrelated tracks 1 % had
# 3 such words or more; of variants of one recording with a similarity of 0.4 most had 8 or more.
KEY_BITS, POSITION_BITS, TRACK_BITS = 24, 12, 28
LEAST_HITS = 4  # 3 for fingerprints shorter than `SHORT`
SHORT = 200  # words, 25 s
BLOCK = 1 << 14  # tracks in an index, which is 8 bytes for each of their words
GROUP_DIGITS = 12  # of a group's name


@dataclass(frozen=True)
class Match:
    """How alike two fingerprints are.

    Attributes
    ----------
    similarity : at most 1
    offset : words, position of a moment in the first less that in the second
    words : number of words that were compared
    covered : share of the longer fingerprint that both have
    tempo : of the second over the first; 1 where they run alike
    """

    similarity: float
    offset: int
    words: int
    covered: float
    tempo: float = 1.0

    @property
    def kind(self) -> str | None:
        """How they are related; None: not at all.

        "same" recording; "excerpt" of at least 15 s, one of the other; "suspect": a variant, a medley, or chance.
        """
        if self.similarity >= SAME and self.tempo == 1:
            if self.covered >= WHOLE:
                return "same"
            return "excerpt" if self.words >= LEAST_EXCERPT else None
        return "suspect" if self.similarity >= SUSPECT else None


def compare(one: np.ndarray, two: np.ndarray) -> Match | None:
    """Compare two fingerprints, uint32 [n] and [m]; None where too little of them can be compared."""
    best = _match(one, two, 1.0)
    if best is None or not VARIANT <= best.similarity < SAME:
        return best
    _, tempo = max((_coarse(one, two, tempo)[0], tempo) for tempo in TEMPI)
    stretched = _match(one, two, tempo)
    return best if stretched is None or stretched.similarity <= best.similarity else stretched


def _least(one: np.ndarray, two: np.ndarray) -> int:
    """Return how many words must be compared."""
    return max(LEAST_WORDS, min(len(one), len(two)) // 2)


def _coarse(one: np.ndarray, two: np.ndarray, tempo: float) -> tuple[float, int]:
    """Return similarity and offset where they fit best, from a part of the words."""
    from mirflow.metadata.kernels import alignment

    step = COARSE if min(len(one), len(two)) >= SHORT else 1
    similarity, offset, _, _ = alignment(one, two, 0, REACH, tempo, step, _least(one, two) // step)
    return similarity, offset


def _match(one: np.ndarray, two: np.ndarray, tempo: float) -> Match | None:
    from mirflow.metadata.kernels import alignment

    _, offset = _coarse(one, two, tempo)
    similarity, offset, count, spanned = alignment(one, two, offset, 2, tempo, 1, _least(one, two))
    if not count:
        return None
    if similarity >= SUSPECT:
        # AcoustID's rule: where words hardly change (a drone), similarity counts less; in full where half are distinct.
        distinct = (len(np.unique(words >> np.uint32(16))) / len(words) + 10 / len(words) for words in (one, two))
        variety = min(1.0, min(distinct) + 0.5)
        similarity **= 8 - 7 * variety
    return Match(similarity, offset, count, spanned / max(len(one), len(two)), tempo)


@dataclass
class Known:
    """The fingerprints of a library with all pairs among them that are alike.

    Attributes
    ----------
    digests : track id → hash of its fingerprint
    words : track id → words of its fingerprint, uint32 [n]
    pairs : (track id, track id), the first one sorted before the second → their match
    """

    digests: dict[str, str] = field(default_factory=dict)
    words: dict[str, np.ndarray] = field(default_factory=dict)
    pairs: dict[tuple[str, str], Match] = field(default_factory=dict)

    def save(self, path: str | PathLike) -> None:
        """Write an .npz file atomically."""
        ids = list(self.words)
        place = {track: number for number, track in enumerate(ids)}
        numbers = [(m.similarity, m.offset, m.words, m.covered, m.tempo) for m in self.pairs.values()]
        with artifacts.atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                version=VERSION,
                ids=_bytes("\n".join(ids)),
                digests=_bytes("\n".join(self.digests[track] for track in ids)),
                words=np.concatenate([*self.words.values(), np.zeros(0, np.uint32)]),
                lengths=np.array([len(self.words[track]) for track in ids], np.int64),
                pairs=np.array([(place[a], place[b]) for a, b in self.pairs], np.int64).reshape(-1, 2),
                matches=np.array(numbers, np.float64).reshape(-1, 5),
            )

    @staticmethod
    def load(path: str | PathLike) -> "Known":
        """Read what `save` wrote; a file that is missing, damaged or of another version is as good as empty."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                if stored["version"] != VERSION:
                    return Known()
                ids, digests = (bytes(stored[name]).decode().split("\n") for name in ("ids", "digests"))
                lengths = stored["lengths"]
                if len(lengths) != len(ids) or len(digests) != len(ids):
                    return Known()
                parts = np.split(stored["words"], np.cumsum(lengths)[:-1])
                pairs = {
                    (ids[a], ids[b]): Match(float(m[0]), int(m[1]), int(m[2]), float(m[3]), float(m[4]))
                    for (a, b), m in zip(stored["pairs"], stored["matches"], strict=True)
                }
        except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, zipfile.BadZipFile):
            return Known()
        return Known(dict(zip(ids, digests, strict=True)), dict(zip(ids, parts, strict=True)), pairs)


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def relate(fingerprints: Iterable[tuple[str, str]], known: Known) -> Known:
    """Find all pairs of tracks that are alike; only tracks that are new or have changed are compared.

    Parameters
    ----------
    fingerprints : track id and fingerprint, as `mirflow.metadata.fingerprint.compute` gives it. They are taken one by
        one: those of a large library need not be in memory all at once
    known : what an earlier call returned
    """
    digests, words, new = {}, {}, set()
    for track, text in fingerprints:
        digests[track] = hashlib.sha256(text.encode()).hexdigest()
        if known.digests.get(track) == digests[track]:
            words[track] = known.words[track]
        else:
            words[track] = fingerprint.words(text)[: 1 << POSITION_BITS]
            new.add(track)
    ids = sorted(words)
    pairs = {pair: match for pair, match in known.pairs.items() if new.isdisjoint(pair) and words.keys() >= set(pair)}
    for one, two, hits in _candidates([words[t] for t in ids], [number for number, t in enumerate(ids) if t in new]):
        first, second = words[ids[one]], words[ids[two]]
        if hits >= (LEAST_HITS if min(len(first), len(second)) >= SHORT else LEAST_HITS - 1):
            match = compare(first, second)
            if match is not None and match.kind:
                pairs[ids[one], ids[two]] = match
    return Known({t: digests[t] for t in ids}, {t: words[t] for t in ids}, dict(sorted(pairs.items())))


def _candidates(words: list[np.ndarray], new: list[int]) -> Iterator[tuple[int, int, int]]:
    """Yield the pairs (i < j) with a new track that have words in common, and how many (see `KEY_BITS`).

    An index of all tracks would be larger than all of their words. So it is one of `BLOCK` tracks at a time.
    """
    is_new = np.zeros(len(words), bool)
    is_new[new] = True
    low = np.uint64((1 << POSITION_BITS) - 1)
    for begin in range(0, len(words) if new else 0, BLOCK):
        size = min(BLOCK, len(words) - begin)
        entries = np.concatenate([_entries(words[begin + number], number) for number in range(size)])
        entries.sort()
        is_old = ~is_new[begin : begin + size]
        for number in new:
            # Of two new tracks each finds the ones after it.
            wanted = is_old | (np.arange(begin, begin + size) > number)
            if not wanted.any():
                continue
            mine = np.sort(_entries(words[number], 0)) >> np.uint64(TRACK_BITS)  # neighbours are found faster
            position, key = mine & low, mine & ~low
            first = key | (position - np.minimum(position, np.uint64(REACH)))
            last = key | np.minimum(position + np.uint64(REACH), low)
            start = np.searchsorted(entries, first << np.uint64(TRACK_BITS))
            count = np.searchsorted(entries, (last + np.uint64(1)) << np.uint64(TRACK_BITS)) - start
            place = np.repeat(start - np.cumsum(count) + count, count) + np.arange(count.sum())
            hits = np.bincount((entries[place] & np.uint64((1 << TRACK_BITS) - 1)).astype(np.int64), minlength=size)
            for other in np.flatnonzero((hits >= LEAST_HITS - 1) & wanted).tolist():
                yield min(number, begin + other), max(number, begin + other), int(hits[other])


def _entries(words: np.ndarray, number: int) -> np.ndarray:
    """Return what stands in the index of a track: uint64 with key, position and track, the first of equal words."""
    key = (words >> np.uint32(32 - KEY_BITS)).astype(np.uint64)
    is_first = np.ones(len(key), bool)
    is_first[1:] = key[1:] != key[:-1]
    position = np.flatnonzero(is_first & (words != fingerprint.SILENCE)).astype(np.uint64)
    return (key[position] << np.uint64(POSITION_BITS) | position) << np.uint64(TRACK_BITS) | np.uint64(number)


def groups(known: Known, before: Mapping[str, str | None]) -> dict[str, str]:
    """Return track id → name of its group, for tracks that are the same recording as another one.

    Tracks with a chain of pairs that are the same are one group. An excerpt joins it where all that contain it are in
    this group: an excerpt with the beginning that two songs share must not make these one.

    Parameters
    ----------
    before : the names that tracks have now. A group keeps its name when it grows; of several, the one of most tracks.
        A new one is named by a hash of its fingerprints, whatever the files are called
    """
    parent = {track: track for track in known.words}

    def root(track: str) -> str:
        while parent[track] != track:
            parent[track] = track = parent[parent[track]]
        return track

    def join(one: str, two: str) -> None:
        one, two = sorted((root(one), root(two)))
        parent[two] = one

    for (one, two), match in known.pairs.items():
        if match.kind == "same":
            join(one, two)
    containing: dict[str, set[str]] = {}  # excerpt → what contains it
    for (one, two), match in known.pairs.items():
        if match.kind == "excerpt":
            short, long = sorted((one, two), key=lambda track: (len(known.words[track]), track))
            containing.setdefault(root(short), set()).add(long)
    for short in sorted(containing, key=lambda track: (-len(known.words[track]), track)):
        others = {root(track) for track in containing[short]} - {root(short)}
        if len(others) == 1:
            join(short, others.pop())

    members: dict[str, list[str]] = {}
    for track in sorted(known.words):
        members.setdefault(root(track), []).append(track)
    found, taken = {}, set()
    several = sorted((tracks for tracks in members.values() if len(tracks) > 1), key=lambda t: (-_named(t, before), t))
    for tracks in several:
        names = [before[track] for track in tracks if before.get(track)]
        own = sorted(set(names) - taken, key=lambda name: (-names.count(name), name))
        name = own[0] if own else min(known.digests[track] for track in tracks)[:GROUP_DIGITS]
        while name in taken:  # two groups had been one
            name = hashlib.sha256(name.encode()).hexdigest()[:GROUP_DIGITS]
        taken.add(name)
        found.update(dict.fromkeys(tracks, name))
    return found


def _named(tracks: list[str], before: Mapping[str, str | None]) -> int:
    """Return how many of these tracks have the name of a group."""
    return sum(bool(before.get(track)) for track in tracks)


HEADER = ("kind", "group", "similarity", "offset_seconds", "tempo", "track", "other_track")


def rows(known: Known, named: Mapping[str, str]) -> list[tuple]:
    """Return the rows of duplicates.tsv, a pair each: the same ones by group, then the others by similarity."""
    found = []
    for (one, two), match in known.pairs.items():
        group = named.get(one, "") if named.get(one) == named.get(two) else ""
        offset = match.offset * fingerprint.WORD_SECONDS
        numbers = (f"{match.similarity:.3f}", f"{offset:.1f}", f"{match.tempo:.3f}")
        found.append((match.kind, group, *numbers, one, two))
    return sorted(found, key=lambda row: (not row[1], row[1], row[0] != "same", -float(row[2]), row[5:]))
