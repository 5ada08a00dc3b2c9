"""Tracks that sound alike to a trained network: suspects that no fingerprint finds, such as a song in another key.

Two tracks are compared by the angle between the means of the network's outputs for their patches (cosine similarity: 1
where they point the same way, whatever their level). All pairs are: for 10 000 tracks that is a product of matrices.
"""

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
# Cosine similarity. Measured with MusiCNN on 13 pieces: 0.87 at most between two of them; of variants of one (cut,
# filtered, in a hall, 6 dB lower, 4 % faster) nearly all had more than 0.95, of those a semitone higher a third.
ALIKE = 0.95
LEAST_PATCHES = 8  # of a track, about as many seconds; with fewer, its mean says little
MOST = 5  # pairs for each track, on average: in a library of equal sounds the closest are enough
ROUNDING = 1e-4  # of similarities in float32
BLOCK = 512  # tracks that are compared with all others at a time


@dataclass
class Known:
    """What is known of the embeddings of a library, and which pairs are alike.

    Attributes
    ----------
    stamps : track id → size and time of change of its embedding
    ids : the tracks that can be compared
    means : float32 [track, dimension], each of length 1
    pairs : (track id, track id), the first one sorted before the second → their similarity
    """

    stamps: dict[str, str] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    means: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    pairs: dict[tuple[str, str], float] = field(default_factory=dict)

    def save(self, path: str | PathLike) -> None:
        """Write an .npz file atomically."""
        place = {track: number for number, track in enumerate(self.ids)}
        with artifacts.atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                version=VERSION,
                ids=_bytes("\n".join(self.ids)),
                stamped=_bytes("\n".join(self.stamps)),
                stamps=_bytes("\n".join(self.stamps.values())),
                means=self.means,
                pairs=np.array([(place[a], place[b]) for a, b in self.pairs], np.int64).reshape(-1, 2),
                similarities=np.array(list(self.pairs.values()), np.float64),
            )

    @staticmethod
    def load(path: str | PathLike) -> "Known":
        """Read what `save` wrote; a file that is missing, damaged or of another version is as good as empty."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                if stored["version"] != VERSION:
                    return Known()
                ids, stamped, stamps = (_lines(stored[name]) for name in ("ids", "stamped", "stamps"))
                means = stored["means"]
                if len(ids) != len(means) or len(stamped) != len(stamps):
                    return Known()
                places, similarities = stored["pairs"].tolist(), stored["similarities"].tolist()
                pairs = {(ids[a], ids[b]): value for (a, b), value in zip(places, similarities, strict=True)}
        except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, zipfile.BadZipFile):
            return Known()
        return Known(dict(zip(stamped, stamps, strict=True)), ids, means, pairs)


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
    described = dict(zip(known.ids, known.means, strict=True))
    found = {track: described.get(track) if track in same else describe(embeddings[track]) for track in stamps}
    # Another network has another width.
    width = max((len(mean) for mean in found.values() if mean is not None), default=0)
    found = {track: mean for track, mean in found.items() if mean is not None and len(mean) == width}
    ids = list(found)
    means = np.array(list(found.values()), np.float32).reshape(len(ids), width)
    only_grown = len(same) == len(known.stamps)
    new = [number for number, track in enumerate(ids) if not only_grown or track not in same]
    most = MOST * len(ids)
    pairs = dict(known.pairs) if only_grown else {}
    for one, two, similarity in _close(means, new, most):
        pairs[tuple(sorted((ids[one], ids[two])))] = similarity
    closest = sorted(pairs, key=lambda pair: (-pairs[pair], pair))[:most]
    return Known(stamps, ids, means, {pair: pairs[pair] for pair in sorted(closest)})


def _stamp(path: str | PathLike) -> str:
    try:
        status = Path(path).stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def describe(path: str | PathLike) -> np.ndarray | None:
    """Return the mean of an embedding: float32 [dimension], of length 1.

    None where there are too few patches, where one is not finite, or where the mean is zero.

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
    length = np.linalg.norm(mean)
    return (mean / length).astype(np.float32) if length else None


def _close(means: np.ndarray, new: list[int], most: int) -> Iterator[tuple[int, int, float]]:
    """Yield pairs with a new track that are more alike than `ALIKE`: two numbers of tracks, and their similarity.

    Parameters
    ----------
    most : where there are far more pairs, at least so many are found: the closest ones
    """
    is_new = np.zeros(len(means), bool)
    is_new[new] = True
    limit, found = ALIKE, np.zeros((0, 2), np.int64)
    for begin in range(0, len(new), BLOCK):
        rows = np.array(new[begin : begin + BLOCK])
        near = means[rows] @ means.T > limit - ROUNDING
        near &= ~is_new | (rows[:, None] < np.arange(len(means)))  # of two new ones a pair comes once
        one, two = np.nonzero(near)
        found = np.concatenate([found, np.stack([rows[one], two], axis=1)])
        if len(found) > 2 * most:
            similarities = _similarities(means, found)
            order = np.argsort(-similarities, kind="stable")[:most]
            found, limit = found[order], max(limit, similarities[order[-1]])
    for (one, two), similarity in zip(found.tolist(), _similarities(means, found).tolist(), strict=True):
        if similarity > ALIKE:
            yield one, two, similarity


def _similarities(means: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the cosine similarity of pairs: float64 [pair], the same in whatever block they were found."""
    found = np.zeros(len(pairs))
    for begin in range(0, len(pairs), BLOCK):
        one, two = pairs[begin : begin + BLOCK].T
        found[begin : begin + BLOCK] = np.einsum("nd,nd->n", means[one], means[two], dtype=np.float64)
    return np.minimum(found, 1.0)


def rows(known: Known, but: Collection[tuple[str, str]]) -> list[tuple]:
    """Return rows for duplicates.tsv (see `mirflow.metadata.duplicates`), the closest first; no offset, no tempo.

    Parameters
    ----------
    but : pairs that are left out, since fingerprints say more of them
    """
    found = sorted((-similarity, *pair) for pair, similarity in known.pairs.items() if pair not in but)
    return [("alike", "", f"{-similarity:.3f}", "", "", one, two) for similarity, one, two in found]
