"""What Snakemake records of artifacts, in the results: one file for all artifacts of a track.

A file for each artifact would be a third of all files of a library, and file systems of clusters count them.
"""

import contextlib
import fcntl
import functools
import json
import os
import threading
import zlib
from collections.abc import Iterator

from mirflow.core import artifacts, layout

NAME = "records.json"
KEPT = 256  # files whose contents are remembered: all records of a track are asked for about at the same time
SLOTS = 1 << 20  # bytes of the lock's file, one of which stands for each file of records


class Records:
    """The records of all artifacts below the results.

    Artifacts are named by their paths below the results. Two runs may write records of tracks that share a file.
    """

    def __init__(self, results: str) -> None:
        self.results = results
        self._lock = threading.Lock()
        self._read = functools.lru_cache(KEPT)(self._read_file)

    def place(self, artifact: str) -> str:
        """Return the file that holds the record of an artifact: that of the track, or else of its folder."""
        folder = os.path.dirname(artifact)
        if folder.split("/")[0] == layout.OWN_FOLDER:  # .mirflow/<what>/<track>
            folder = "/".join(folder.split("/")[2:])
        while os.path.basename(folder) in layout.TRACK_FOLDERS:
            folder = os.path.dirname(folder)
        return "/".join((os.path.dirname(layout.merge_stamp(self.results, folder)), NAME))

    def read(self, artifact: str) -> dict:
        """Return the record of an artifact, {} where there is none."""
        return self._read(self.place(artifact)).get(artifact, {})

    def write(self, artifact: str, record: dict) -> None:
        """Set the record of an artifact, whole or not at all.

        Raises
        ------
        OSError : the file cannot be written
        """
        with self._changed(artifact) as all_records:
            all_records[artifact] = record

    def delete(self, artifact: str) -> bool:
        """Remove the record of an artifact; return whether there was one."""
        if not self.read(artifact):
            return False
        with self._changed(artifact) as all_records:
            return all_records.pop(artifact, None) is not None

    @contextlib.contextmanager
    def _changed(self, artifact: str) -> Iterator[dict]:
        path = self.place(artifact)
        with self._lock, self._alone(path):
            self._read.cache_clear()
            content = self._read_file(path)
            yield content
            # On a full disk, half a file would be artifacts without records. The name has the machine's, since others
            # may have a process with this number.
            new = f"{os.path.dirname(path)}/{artifacts.TEMPORARY}{os.uname().nodename}-{os.getpid()}"
            try:
                with open(new, "w") as file:
                    file.write(json.dumps(content))  # json.dump is several times slower
                os.replace(new, path)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.unlink(new)
                raise OSError(error.errno, f"{path}: cannot be written ({error.strerror})") from error

    @contextlib.contextmanager
    def _alone(self, path: str) -> Iterator[None]:
        """Hold the lock of a file of records, against other processes and machines."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        slot = zlib.crc32(os.path.relpath(path, self.results).encode(errors="surrogateescape")) % SLOTS
        with open(layout.own(self.results, "records.lock"), "a") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX, 1, slot)
            yield

    @staticmethod
    def _read_file(path: str) -> dict:
        try:
            with open(path, "rb") as file:
                content = json.loads(file.read())
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
