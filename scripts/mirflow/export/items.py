"""What is exported: the items of a library's results, and what of them cannot be exported, with the reason."""

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.feature import PROVENANCE
from mirflow.core.layout import STEMS, TrackFiles, track_files
from mirflow.export.settings import MIX, Settings
from mirflow.metadata import split as splits
from mirflow.metadata import tags

SPLITS = ("train", "validation", "test")
SILENT_DB = -60.0  # dBFS: trainers take a sound with a lower peak as silent, and train on another one instead
SURELY_AUDIBLE_DB = -50.0  # dBTP: above it, no sample peak needs to be looked for
SLUG, HASH_DIGITS = 32, 12  # characters of a name
# Words that trainers and loaders of data read in names: splits, and the stems.
_MEANINGFUL = ("train", "test", "valid", "eval", "dev", *STEMS)


@dataclass(frozen=True)
class Excluded:
    """What was planned and is not exported.

    Attributes
    ----------
    track : its id
    crop : the number of the crop; None for a whole track
    reason : one line
    """

    track: str
    crop: int | None
    reason: str


@dataclass(frozen=True, eq=False)
class Item:
    """A sound that a trainer hears, with all that is known of it.

    Attributes
    ----------
    track : the id of its track
    crop : the number of the crop; None for a whole track
    sound : the audio file
    rate, channels, frames : of that file
    valid : frames that hold music; the others, at the end, are padding
    start, total : seconds from the start of the track to that of the item; of the track
    split : one of `SPLITS`
    info : what its ``.INFO`` holds
    track_info : what the ``.INFO`` of its track holds; for a whole track the same
    """

    track: str
    crop: int | None
    sound: Path
    rate: int
    channels: int
    frames: int
    valid: int
    start: float
    total: float
    split: str
    info: Mapping[str, Any] = field(repr=False)
    track_info: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """Its name in exports: see `name_of`."""
        return name_of(self.track, self.crop)

    @property
    def seconds(self) -> float:
        """The duration of its file."""
        return self.frames / self.rate

    @property
    def layout(self) -> tuple[str, ...]:
        """The positions of its channels, empty where the source does not state them."""
        source = (self.track_info.get(PROVENANCE) or {}).get("source") or {}
        stated = tuple((source.get("layout") or "").split())
        return stated if len(stated) == self.channels else ()

    def known(self, key: str) -> Any:
        """Return what is known under a key, of the item or else of its track: for texts and labels, not for numbers."""
        value = self.info.get(key)
        return self.track_info.get(key) if value is None else value


def name_of(track: str, crop: int | None = None) -> str:
    """Return the name of an item's files: unique, stable, and safe for all loaders.

    It has a readable beginning, and ends with a hash of the track's id and the number of the crop. There are only a-z,
    0-9, hyphens and an underscore: dots end a key in WebDataset, upper and lower case are one on some disks, and words
    such as "train", "test" or "bass" decide what loaders take a file for.

    >>> name_of("Artist/Nightline"), name_of("Кино/Bass", 3)
    ('nightline-4ef1f73a52a2', 'track-b20ff2f63f6c_0003')
    """
    title = re.sub("%[0-9A-F]{2}", " ", track.rpartition("/")[2])
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = [word for word in re.split(r"[^a-z0-9]+", plain) if not any(part in word for part in _MEANINGFUL)]
    slug = "-".join(filter(None, words))[:SLUG].strip("-") or "track"
    digest = hashlib.sha256(track.encode(errors="surrogateescape")).hexdigest()[:HASH_DIGITS]
    return f"{slug}-{digest}" + (f"_{crop:04d}" if crop is not None else "")


def gather(
    results: str, tracks: Iterable[str], failed: Mapping[str, str], settings: Settings
) -> tuple[list[Item], list[Excluded]]:
    """Read the results of all tracks.

    Parameters
    ----------
    results : their directory
    tracks : ids of all tracks of the library
    failed : ids of those that are not complete, with the reason

    Returns
    -------
    the items in the order of the tracks, and what is excluded

    Raises
    ------
    MirflowError : tracks of one group of duplicates are in several splits
    """
    items, excluded = [], []
    groups: dict[str, tuple[str, str]] = {}
    for track in tracks:
        for found in [Excluded(track, None, failed[track])] if track in failed else _of_track(results, track, settings):
            (items if isinstance(found, Item) else excluded).append(found)
            if isinstance(found, Item) and (group := found.track_info.get("duplicate_group")) is not None:
                first, split = groups.setdefault(str(group), (track, found.split))
                if split != found.split:
                    raise MirflowError(
                        f"{track} and {first} are duplicates (group {group}), but one is in the split {found.split},"
                        f" the other in {split}: a model would be tested with what it was trained on"
                    )
    return items, excluded


def artists_of(item: Item) -> dict[str, str]:
    """Return the artists of an item by its tags, as they are compared (see `split.fold`) → as they are written."""
    names = item.track_info.get(f"{tags.KEY}artist")
    return splits.people(names.split(tags.JOINT) if isinstance(names, str) else ())


def shared_artists(items: Iterable[Item]) -> list[str]:
    """Return the artists, by the tags, of whom there are tracks in several splits.

    Raises
    ------
    MirflowError : the library was split such that no artist is in two splits (``split.by: artist``)
    """
    first: dict[str, Item] = {}
    found: dict[str, str] = {}
    for item in items:
        for artist, written in artists_of(item).items():
            other = first.setdefault(artist, item)
            if other.split != item.split:
                if _split_by_artist(item) and _split_by_artist(other):
                    raise MirflowError(
                        f"{item.track} and {other.track} are by the same artist ({written}), but one is in the split"
                        f" {item.split}, the other in {other.split}, though split.by is artist: the .INFO of one"
                        " was changed (snakemake -R duplicates splits the library again)"
                    )
                found.setdefault(artist, written)
    return sorted(found.values())


def _split_by_artist(item: Item) -> bool:
    """Whether the split of an item was drawn such that an artist is in one split alone."""
    origins = (item.track_info.get(PROVENANCE) or {}).get("features") or {}
    return ((origins.get("duplicates") or {}).get("split") or {}).get("by") == "artist"


def _of_track(results: str, track: str, settings: Settings) -> Iterator[Item | Excluded]:
    """Yield the items of a complete track."""
    files = track_files(results, track)
    try:
        info = artifacts.read_json(files.info)
        split = info.get("split") or SPLITS[0]
        if split not in SPLITS:
            raise MirflowError(f"{files.info}: the split {split!r} is none of {', '.join(SPLITS)}")
        crops = artifacts.read_json(files.crops) if settings.crops else None
    except (OSError, MirflowError) as error:
        yield Excluded(track, None, _reason(error))
        return
    if crops is None:
        sound = Path(files.full_mix) if settings.sound == MIX else _stem(files, info, settings.sound)
        yield _item(track, None, sound, info, info, split, settings.sound, None)
        return
    if not crops.get("crops"):
        reasons = dict.fromkeys(one["reason"] for one in crops.get("left_out", ()))
        yield Excluded(track, None, ": ".join(filter(None, ["has no crops", ", ".join(reasons)])))
    for crop in crops.get("crops", []):
        index = crop["index"]
        try:
            own = artifacts.read_json(files.crop(index, "INFO"))
        except (OSError, MirflowError) as error:
            yield Excluded(track, index, _reason(error))
            continue
        sound = Path(files.crop(index) if settings.sound == MIX else files.crop_stem(index, settings.sound))
        place = crops["sample_rate"], crops["track_samples"], crop["start_sample"], crop.get("valid_samples")
        yield _item(track, index, sound, own, info, split, settings.sound, place)


def _stem(files: TrackFiles, info: Mapping[str, Any], stem: str) -> Path:
    """Return the file of a stem, in the format that it was written in."""
    written = (info.get(PROVENANCE) or {}).get("stems") or {}
    return Path(f"{files.folder}/{stem}.{written.get('format', 'mp3')}")


def _item(
    track: str,
    crop: int | None,
    sound: Path,
    info: Mapping[str, Any],
    track_info: Mapping[str, Any],
    split: str,
    kind: str,
    place: tuple[int, int, int, int | None] | None,
) -> Item | Excluded:
    """Return an item, or why it is none: its sound cannot be read, or is silent."""
    import soundfile

    try:
        header = soundfile.info(sound)
    except (soundfile.LibsndfileError, OSError) as error:
        return Excluded(track, crop, f"{sound}: cannot be read as audio ({error})")
    if not header.frames:
        return Excluded(track, crop, f"{sound}: has no samples")
    rate, total, start, valid = place or (header.samplerate, header.frames, 0, None)
    made = Item(
        track,
        crop,
        sound,
        header.samplerate,
        header.channels,
        header.frames,
        min(header.frames, round(valid * header.samplerate / rate)) if valid is not None else header.frames,
        start / rate,
        total / rate,
        split,
        info,
        track_info,
    )
    peak = info.get("true_peak") if kind == MIX else None
    if peak is None or peak < SURELY_AUDIBLE_DB:
        try:
            peak = _peak_db(sound)
        except (soundfile.LibsndfileError, OSError) as error:
            return Excluded(track, crop, f"{sound}: cannot be read as audio ({error})")
        if peak < SILENT_DB:
            return Excluded(track, crop, f"silent (no sample above {SILENT_DB:.0f} dBFS)")
    return made


def _peak_db(sound: Path) -> float:
    """Return the level of the largest sample in dBFS."""
    import numpy as np
    import soundfile

    with soundfile.SoundFile(sound) as file:
        blocks = file.blocks(blocksize=1 << 18, dtype="float32", always_2d=True)
        peak = max((float(np.abs(block).max()) for block in blocks), default=0.0)
    return 20 * math.log10(peak) if peak else -math.inf


def _reason(error: Exception) -> str:
    """Return an error in one line."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
