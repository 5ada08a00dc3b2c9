"""What concerns all tracks of a library at once: which are the same recording, and which are kept from training.

Both change when other tracks are added. So they are no fragments that the rule `info` merges: a new track would merge
all others again. Instead they are written into those .INFO files that have other values, after all merges.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from mirflow import info
from mirflow.core import artifacts, layout
from mirflow.core.errors import MirflowError
from mirflow.core.feature import PROVENANCE
from mirflow.metadata import alike, duplicates, fingerprint, split, tags
from mirflow.workflow import progress

NAME = "duplicates"


def update(
    results: str, rule: split.Rule, changed: Callable[[str], None] = lambda track: None, by_embedding: bool = False
) -> None:
    """Find the duplicates of a library, split it, and write both into the .INFO files and the table of duplicates.

    Parameters
    ----------
    changed : is called for each track whose .INFO was written and whose crops were up to date before
    by_embedding : whether to compare the embeddings of all tracks too (`alike.NETWORK`)

    Raises
    ------
    MirflowError : an .INFO cannot be read or written; all others are up to date then. Or the results cannot be
    """
    folder = Path(layout.own(results, NAME))
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        tracks = {track: layout.track_files(results, track) for track in known_tracks(results)}
        found = duplicates.relate(_fingerprints(tracks), duplicates.Known.load(folder / "fingerprints.npz"))
        state = _State.load(folder / "tracks.json", rule)
        groups = duplicates.groups(found, state.groups)
        members = {track: _member(files, groups.get(track)) for track, files in tracks.items()}
        splits = split.assign(members, rule, state.splits)
        problems, ours = [], info.keys()
        for track, files in tracks.items():
            had_crops = is_newer(layout.crops_stamp(results, track), files.info)
            try:
                if _write(files.info, groups.get(track), splits[track], rule, ours) and had_crops:
                    changed(track)
            except (MirflowError, OSError) as error:
                problems.append(str(error))
        found.save(folder / "fingerprints.npz")
        _State(state.groups | {track: groups.get(track) for track in tracks}, state.splits | splits).save(
            folder / "tracks.json", rule
        )
        if problems:
            raise MirflowError("\n".join(problems))
        rows = duplicates.rows(found, groups)
        if by_embedding:
            embeddings = {track: files.embedding(alike.NETWORK) for track, files in tracks.items()}
            near = alike.relate(embeddings, alike.Known.load(folder / "embeddings.npz"))
            near.save(folder / "embeddings.npz")
            rows += alike.rows(near, but=found.pairs)
        progress.write_table(Path(layout.duplicates_table(results)), duplicates.HEADER, rows)


def known_tracks(results: str) -> list[str]:
    """Return the ids of the library's tracks whose .INFO was merged; the library is what the last run wrote down.

    Raises
    ------
    MirflowError : there was no run
    """
    return [track for track in progress.read_library(results).tracks if progress.is_merged(results, track)]


def _fingerprints(tracks: dict[str, layout.TrackFiles]) -> Iterator[tuple[str, str]]:
    """Yield the fingerprints of those tracks that have one."""
    for track, files in tracks.items():
        if text := _fragment(files.metadata(fingerprint.NAME)).get(fingerprint.FINGERPRINT):
            yield track, text


def _member(files: layout.TrackFiles, group: str | None) -> split.Track:
    """Return what decides the split of a track."""
    said = _fragment(files.metadata(tags.NAME))
    artists, album_artists = (tuple(said.get(name, ())) for name in (tags.ARTISTS, tags.ALBUM_ARTISTS))
    return split.Track(artists, album_artists, said.get(f"{tags.KEY}album", ""), group)


def _fragment(path: str) -> dict:
    """Read a fragment; one that is missing (skipped) or damaged holds nothing."""
    try:
        return artifacts.read_json(path)
    except (OSError, MirflowError):
        return {}


def _write(path: str, group: str | None, drawn: str, rule: split.Rule, ours: tuple[str, ...]) -> bool:
    """Write the keys of a track into its .INFO; return whether it had others."""
    origin = {"feature": NAME, "version": duplicates.VERSION, "split_version": split.VERSION, "split": asdict(rule)}
    found = {"duplicate_group": group, "split": drawn, PROVENANCE: artifacts.to_json_values(origin)}
    return info.add(path, found, ours)


def is_newer(one: str, two: str) -> bool:
    """Whether a file exists and is not older than another one."""
    try:
        return os.stat(one).st_mtime_ns >= os.stat(two).st_mtime_ns
    except OSError:
        return False


class _State:
    """What groups and splits the tracks have, also those that are gone: a track that comes back is where it was."""

    def __init__(self, groups: dict[str, str | None], splits: dict[str, str]) -> None:
        self.groups, self.splits = groups, splits

    @classmethod
    def load(cls, path: Path, rule: split.Rule) -> "_State":
        """Read what `save` wrote; by another rule all tracks are drawn anew."""
        content = _fragment(str(path))
        tracks = content.get("tracks", {})
        same = content.get("split") == artifacts.to_json_values(asdict(rule) | {"version": split.VERSION})
        groups = {track: known[0] for track, known in tracks.items()}
        return cls(groups, {track: known[1] for track, known in tracks.items()} if same else {})

    def save(self, path: Path, rule: split.Rule) -> None:
        """Write a JSON file."""
        tracks = {track: [self.groups.get(track), drawn] for track, drawn in sorted(self.splits.items())}
        artifacts.write_json(path, {"split": asdict(rule) | {"version": split.VERSION}, "tracks": tracks})
