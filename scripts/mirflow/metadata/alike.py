"""Tracks that sound alike to a trained network: suspects that no fingerprint finds, such as a song in another key.

Of each track the outputs of the network for its patches have a mean, and a spread around it. Two tracks are as far
apart as their means, in units of their spread: 0 where nothing tells them apart, around 1 where they differ as much as
the parts of each do. In these units one threshold holds for all networks and all kinds of music.
"""

import io
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np

from mirflow.core import artifacts
from mirflow.labels.embedding import Patches

NETWORK = "discogs-effnet"
VERSION = 1  # raise it when other pairs come out of the same embeddings
ALIKE = 0.35  # spreads
LEAST_PATCHES = 8  # of a track; with fewer, its mean says little
MOST = 5  # pairs for each track, on average: in a library of equal sounds the closest are enough
BLOCK = 512  # tracks that are compared with all others at a time


@dataclass
class Known:
    """What is known of the embeddings of a library, and which pairs are alike.

    Attributes
    ----------
    stamps : track id → size and time of change of its embedding
    ids : the tracks that can be compared
    means : float32 [track, dimension]
    spreads : float32 [track], root mean square distance of a patch from the mean
    pairs : (track id, track id), the first one sorted before the second → their distance in spreads
    """

    stamps: dict[str, str] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    means: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    spreads: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    pairs: dict[tuple[str, str], float] = field(default_factory=dict)

    def save(self, path: str | PathLike) -> None:
        """Write an .npz file atomically."""
        place = {track: number for number, track in enumerate(self.ids)}
        stream = io.BytesIO()
        np.savez(
            stream,
            version=VERSION,
            ids=_bytes("\n".join(self.ids)),
            stamped=_bytes("\n".join(self.stamps)),
            stamps=_bytes("\n".join(self.stamps.values())),
            means=self.means,
            spreads=self.spreads,
            pairs=np.array([(place[a], place[b]) for a, b in self.pairs], np.int64).reshape(-1, 2),
            distances=np.array(list(self.pairs.values()), np.float64),
        )
        artifacts.write_bytes(path, stream.getvalue())

    @staticmethod
    def load(path: str | PathLike) -> "Known":
        """Read what `save` wrote; a file that is missing, damaged or of another version is as good as empty."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                if stored["version"] != VERSION:
                    return Known()
                ids, stamped, stamps = (_lines(stored[name]) for name in ("ids", "stamped", "stamps"))
                means, spreads = stored["means"], stored["spreads"]
                if not len(ids) == len(means) == len(spreads) or len(stamped) != len(stamps):
                    return Known()
                places, distances = stored["pairs"].tolist(), stored["distances"].tolist()
                pairs = {(ids[a], ids[b]): distance for (a, b), distance in zip(places, distances, strict=True)}
        except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, zipfile.BadZipFile):
            return Known()
        return Known(dict(zip(stamped, stamps, strict=True)), ids, means, spreads, pairs)


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(errors="surrogateescape"), np.uint8)


def _lines(stored: np.ndarray) -> list[str]:
    text = bytes(stored).decode(errors="surrogateescape")
    return text.split("\n") if text else []


def relate(embeddings: Mapping[str, str | PathLike], known: Known) -> Known:
    """Find the pairs of tracks that sound alike.

    Only tracks that are new are compared, with all others; where one has changed or is gone, all are.

    Parameters
    ----------
    embeddings : track id → file (`mirflow.labels.embedding.Patches`); those that cannot be read are left out
    known : what an earlier call returned
    """
    stamps = {track: stamp for track in sorted(embeddings) if (stamp := _stamp(embeddings[track]))}
    same = {track for track, stamp in known.stamps.items() if stamps.get(track) == stamp}
    described = dict(zip(known.ids, zip(known.means, known.spreads, strict=True), strict=True))
    found = {track: described.get(track) if track in same else describe(embeddings[track]) for track in stamps}
    width = max((len(one[0]) for one in found.values() if one), default=0)  # another network has another one
    found = {track: one for track, one in found.items() if one and len(one[0]) == width}
    ids = list(found)
    means = np.array([one[0] for one in found.values()], np.float32).reshape(len(ids), width)
    spreads = np.array([one[1] for one in found.values()], np.float32)
    only_grown = len(same) == len(known.stamps)
    new = [number for number, track in enumerate(ids) if not only_grown or track not in same]
    most = MOST * len(ids)
    pairs = dict(known.pairs) if only_grown else {}
    for one, two, distance in _close(means, spreads, new, most):
        pairs[tuple(sorted((ids[one], ids[two])))] = distance
    closest = sorted(pairs, key=lambda pair: (pairs[pair], pair))[:most]
    return Known(stamps, ids, means, spreads, {pair: pairs[pair] for pair in sorted(closest)})


def _stamp(path: str | PathLike) -> str:
    try:
        status = Path(path).stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def describe(path: str | PathLike) -> tuple[np.ndarray, float] | None:
    """Return mean and spread of an embedding; None where there are too few patches, all equal, or none that are finite.

    Parameters
    ----------
    path : of a file that `mirflow.labels.embedding.Patches` wrote

    Raises
    ------
    MirflowError : it holds something else
    """
    output = Patches.load(path).output
    if output.ndim != 2 or len(output) < LEAST_PATCHES or not np.isfinite(output).all():
        return None
    mean = output.mean(axis=0, dtype=np.float64)
    spread = float(np.sqrt(np.square(output - mean).sum() / (len(output) - 1)))
    return (mean.astype(np.float32), spread) if spread else None


def _close(means: np.ndarray, spreads: np.ndarray, new: list[int], most: int) -> Iterator[tuple[int, int, float]]:
    """Yield pairs with a new track that are less than `ALIKE` apart: two numbers of tracks, and their distance.

    Parameters
    ----------
    most : where there are far more pairs, at least so many are found: the closest ones
    """
    centred = means - means.mean(axis=0) if len(means) else means  # small numbers have small errors
    squares = np.square(centred).sum(axis=1)
    is_new = np.zeros(len(means), bool)
    is_new[new] = True
    limit, found = ALIKE, np.zeros((0, 2), np.int64)
    for begin in range(0, len(new), BLOCK):
        rows = np.array(new[begin : begin + BLOCK])
        rough = squares[rows, None] + squares - 2 * (centred[rows] @ centred.T)
        near = rough < 1.1 * limit**2 * (np.square(spreads[rows])[:, None] + np.square(spreads)) / 2
        near &= ~is_new | (rows[:, None] < np.arange(len(means)))  # of two new ones a pair comes once
        one, two = np.nonzero(near)
        found = np.concatenate([found, np.stack([rows[one], two], axis=1)])
        if len(found) > 2 * most:
            distances = _distances(means, spreads, found)
            found = found[np.argsort(distances, kind="stable")[:most]]
            limit = min(limit, np.sort(distances)[most - 1])
    for (one, two), distance in zip(found.tolist(), _distances(means, spreads, found).tolist(), strict=True):
        if distance < ALIKE:
            yield one, two, distance


def _distances(means: np.ndarray, spreads: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return how far pairs are apart, in spreads: float64 [pair]."""
    found = np.zeros(len(pairs))
    for begin in range(0, len(pairs), BLOCK):
        one, two = pairs[begin : begin + BLOCK].T
        apart = np.square(means[one].astype(np.float64) - means[two]).sum(axis=1)
        spread = (np.square(spreads[one], dtype=np.float64) + np.square(spreads[two], dtype=np.float64)) / 2
        found[begin : begin + BLOCK] = np.sqrt(apart / spread)
    return found


def rows(known: Known, but: Collection[tuple[str, str]]) -> list[tuple]:
    """Return rows for duplicates.tsv (see `mirflow.metadata.duplicates`), the closest first.

    Similarity is 1 less the distance. Offset and tempo are empty.

    Parameters
    ----------
    but : pairs that are left out, since fingerprints say more of them
    """
    found = [(distance, *pair) for pair, distance in known.pairs.items() if pair not in but]
    return [("alike", "", f"{1 - distance:.3f}", "", "", one, two) for distance, one, two in sorted(found)]
