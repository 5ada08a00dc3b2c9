"""Which tracks are provably complete, so that Snakemake need not be asked about them.

Snakemake's answer that nothing is to be done costs 20 CPU seconds for 1000 tracks. So after a run it is written down of
each complete track what that answer depends on, in two parts: what holds for all tracks (the code, the rules, the
settings, the files of models), and the state of the track's source and of every file in its folder. Where both are as
they were, the answer is as well; where anything differs, Snakemake is asked. It may be asked in vain, but no change is
ever overlooked that it would have seen.
"""

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from mirflow.core import artifacts, layout
from mirflow.core.errors import MirflowError
from mirflow.library.scan import Library
from mirflow.metadata import lookup
from mirflow.workflow.shares import FOLDER, Share

NAME = "complete.json"
DIGITS = 16  # of the hashes
_STAMPS = re.compile(rf"^{re.escape(layout.OWN_FOLDER)}/(merged|cropped)/")
# Options of Snakemake that decide neither what is made nor what is out of date; the second ones are followed by values.
PLAIN = {"-n", "--dry-run", "--dryrun", "-k", "--keep-going", "-q", "--quiet", "--nocolor", "--verbose"}
SETTINGS = {"--config", "-C", "--configfile", "--configfiles"}
WITH_VALUES = {"--resources", "--res", "--retries", "-T", *SETTINGS}


def can_be_told(options: Iterable[str]) -> bool:
    """Whether what is out of date follows from the state of files and settings, with these options of Snakemake.

    It does not with targets, with ``--forcerun`` and the like, nor with options that are not known here.
    """
    values_follow = False
    for option in options:
        if option.startswith("-"):
            name = option.partition("=")[0]
            if name not in PLAIN | WITH_VALUES:
                return False
            values_follow = name in WITH_VALUES
        elif not values_follow:
            return False
    return True


def _status(path: str | os.PathLike) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return "-"
    return f"{status.st_size} {status.st_mtime_ns}"


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:DIGITS]


def state_of_all(options: Collection[str]) -> str:
    """Return a hash of what the state of every track depends on: the options of Snakemake, the code, all settings.

    Of files and folders that settings name, and of the models, size and time count.
    """
    parts = list(_of_settings(options))
    for folder in ("scripts/mirflow", "rules", "profiles", "config", "envs"):
        for where, folders, names in os.walk(layout.PROJECT / folder):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(names):
                path = os.path.join(where, name)
                parts.append(f"{os.path.relpath(path, layout.PROJECT)} {_status(path)}")
    parts.append(_status(layout.PROJECT / "Snakefile"))
    named = sorted({path for settings in _settings(options) for path in _named(settings)})
    for path in named:
        parts.append(f"{path} {_status(path)}")
        parts += [f"{entry.name} {_status(entry.path)}" for entry in _entries(path)]
    return _hash(parts)


def _of_settings(options: Iterable[str]) -> Iterator[str]:
    """Yield those options that are settings: all others of those that `can_be_told` knows make nothing out of date.

    Neither does `only`: what it leaves out stays as it is.
    """
    chosen = False
    for option in options:
        if option.startswith("-"):
            chosen = option.partition("=")[0] in SETTINGS
        if chosen and not option.startswith("only="):
            yield option


def _settings(options: Iterable[str]) -> Iterator[dict]:
    """Yield the settings of the project, of files of settings, and of ``--config``; they are not merged."""
    import yaml

    yield yaml.safe_load((layout.PROJECT / "config/config.yaml").read_text())
    for option in options:
        name, given, value = option.partition("=")
        with contextlib.suppress(OSError, ValueError, yaml.YAMLError):  # Snakemake will say what is wrong with it
            if given:
                yield {name: yaml.safe_load(value)}
            elif os.path.isfile(option):
                yield {"file": option}
                yield {"settings": yaml.safe_load(Path(option).read_text())}


def _named(settings: dict) -> Iterator[str]:
    """Yield paths of files and folders that are values of settings, but for the library, the results and `only`."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _named(value)
        elif isinstance(value, str) and value and name not in ("library", "results", "only"):
            path = os.path.expanduser(value)
            if os.path.exists(path):
                yield path


def _entries(folder: str) -> list[os.DirEntry]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []


def state_of(track: str, library: Library, results: str, parents: Collection[str]) -> str:
    """Return a hash of the state of a track: of its source, and of all files in its folder.

    Parameters
    ----------
    parents : folders of tracks, below the results, and all folders above them: other tracks, where they lie in the
        folder of this one
    """
    source = library.tracks[track]
    parts = [library.relative(source), _status(source)]
    # The one thing that is out of date by time alone.
    parts += ["due"] if lookup.is_due(layout.track_files(results, track).metadata(lookup.NAME), time.time()) else []
    todo = [f"{results}/{track}"]
    todo += [os.path.dirname(stamp(results, track)) for stamp in (layout.merge_stamp, layout.crops_stamp)]
    while todo:
        for entry in _entries(todo.pop()):
            if entry.is_dir(follow_symlinks=False):
                below = re.sub(_STAMPS, "", entry.path[len(results) + 1 :])
                if below not in parents:
                    todo.append(entry.path)
            elif not entry.name.endswith(".lock"):
                parts.append(f"{entry.path[len(results) :]} {_status(entry.path)}")
    return _hash(parts)


class Ledger:
    """What is written down of the complete tracks of some results.

    Each share writes down its own tracks; what all have written down counts.
    """

    def __init__(self, results: str, library: Library, share: Share, of_all: str) -> None:
        self.results, self.library, self.of_all = results, library, of_all
        self.path = Path(share.own(results, NAME))
        self._parents = {track.rsplit("/", n)[0] for track in library.tracks for n in range(track.count("/") + 1)}
        self._noted: dict[str, str] = {}
        self._library = ""
        others = Path(layout.own(results, FOLDER)).glob(f"*/{NAME}")
        for path in sorted({Path(layout.own(results, NAME)), *others, self.path}, key=_age):
            self._noted |= self._read(path)

    def _read(self, path: Path) -> dict[str, str]:
        try:
            content = artifacts.read_json(path)
        except (OSError, MirflowError):
            return {}
        tracks = content.get("tracks")
        if content.get("of_all") != self.of_all or not isinstance(tracks, dict):
            return {}
        self._library = content.get("library", "")
        return tracks

    def _state(self, track: str) -> str:
        return state_of(track, self.library, self.results, self._parents)

    def pending(self, tracks: Iterable[str]) -> list[str]:
        """Return those tracks that are not provably complete; what was written down of them is forgotten."""
        found = [track for track in tracks if self._noted.get(track, "") != self._state(track)]
        for track in found:
            self._noted.pop(track, None)
        return found

    def states(self, tracks: Iterable[str]) -> dict[str, str]:
        """Return the state of tracks as it is now."""
        return {track: self._state(track) for track in tracks}

    def note(self, found: dict[str, str]) -> None:
        """Write down that Snakemake had nothing to do for these tracks.

        Parameters
        ----------
        found : their states before it was asked. Where a state is another one by now, nobody knows what it has seen
        """
        self._noted |= {track: state for track, state in found.items() if state == self._state(track)}
        self._noted = {track: state for track, state in self._noted.items() if track in self.library.tracks}
        self._write()

    def knows_library(self) -> bool:
        """Whether all tracks are as they were when what concerns all of them was made, and so is that.

        All of them were asked for with `pending` before.
        """
        return bool(self._library) and self._library == self._state_of_library()

    def note_library(self) -> None:
        """Write down that what concerns all tracks is made."""
        self._library = self._state_of_library()
        self._write()

    def _state_of_library(self) -> str:
        """Return a hash of the states of all tracks and of what concerns all; "" while some are not complete."""
        if set(self._noted) != set(self.library.tracks):
            return ""
        states = (f"{track} {state}" for track, state in sorted(self._noted.items()))
        return _hash([*states, _status(layout.duplicates_table(self.results))])

    def _write(self) -> None:
        content = {"of_all": self.of_all, "tracks": self._noted, "library": self._library}
        artifacts.write_bytes(self.path, json.dumps(content).encode())


def _age(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
