"""What the page shows of single tracks beyond their numbers: pictures over time, labels, texts, sounds."""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.layout import TrackFiles, track_files
from mirflow.report.values import is_caption

# A page with more would open slowly. A track takes some 10 kB, so this is about three quarters of 20 MB.
MOST_BYTES = 14_000_000
MOST_LABELS = 20  # of a head


def of_track(results: str, track: str, stem_format: str) -> dict[str, Any]:
    """Return the details of a track.

    Returns
    -------
    overview : see `mirflow.report.page.overview`; None where there is none
    labels : head → label → probability, the most likely ones
    texts : key → description in words
    sounds : files in the folder of the track that can be played, those that exist
    pictures : files in the folder of the track that can be looked at, those that exist
    """
    files = track_files(results, track, stem_format)
    info = artifacts.read_json(files.info)
    heads = {key: value for key, value in info.items() if isinstance(value, dict) and not key.startswith("_")}
    heads = {key: value for key, value in heads.items() if value and all(_is_share(p) for p in value.values())}
    sounds = [files.full_mix, *files.stems.values(), files.instrumental, files.beats_audio, files.drums_audio]
    return {
        "overview": _overview(files),
        "labels": {
            key: dict(sorted(value.items(), key=lambda pair: -pair[1])[:MOST_LABELS]) for key, value in heads.items()
        },
        "texts": {key: value for key, value in info.items() if is_caption(key) and isinstance(value, str)},
        "sounds": _present(files, sounds),
        "pictures": _present(files, [files.beats_plot, files.crops_plot, files.drums_plot]),
    }


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _overview(files: TrackFiles) -> dict[str, Any] | None:
    try:
        return artifacts.read_json(files.overview)
    except (FileNotFoundError, MirflowError):
        return None


def _present(files: TrackFiles, paths: Sequence[str]) -> list[str]:
    """Return those of some files that exist, as paths in the folder of the track."""
    return [path.removeprefix(f"{files.folder}/") for path in paths if os.path.exists(path)]


def chosen(sizes: Mapping[str, int], first: Collection[str], most: int = MOST_BYTES) -> set[str]:
    """Return the tracks whose details the page holds: those of `first`, then as many others as fit, evenly spread.

    Parameters
    ----------
    sizes : track → bytes of its details, in the order of the library
    first : tracks that somebody will want to look at
    most : bytes in all
    """
    if sum(sizes.values()) <= most:
        return set(sizes)
    kept: set[str] = set()
    named = [track for track in sizes if track in first]
    others = [track for track in sizes if track not in first]
    left = most
    for track in [*named, *spread(others)]:
        if sizes[track] <= left:
            left -= sizes[track]
            kept.add(track)
    return kept


def spread(tracks: Sequence[str]) -> list[str]:
    """Return tracks in such an order that the first ones, however many, are evenly spread over all.

    >>> spread(list("abcdefgh"))
    ['a', 'e', 'c', 'g', 'b', 'f', 'd', 'h']
    """
    bits = max(len(tracks) - 1, 1).bit_length()
    turned = (int(f"{place:0{bits}b}"[::-1], 2) for place in range(1 << bits))
    return [tracks[place] for place in turned if place < len(tracks)]
