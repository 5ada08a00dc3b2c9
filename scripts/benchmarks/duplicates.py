"""Measure what it costs to compare the tracks of a large library and to split it, with made-up fingerprints.

First all tracks are new, then there is one more.
"""

import argparse
import base64
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import measure, program
from mirflow.core import layout
from mirflow.library.scan import Library
from mirflow.metadata import fingerprint, tags
from mirflow.workflow import progress

WORDS = 950  # of a track of two minutes or more
CHANGES = 4  # bits by which a word differs from the one before it


def main(argv: list[str] | None = None) -> None:
    """Print the table line by line."""
    parser = argparse.ArgumentParser(prog="benchmarks.duplicates", description=__doc__)
    parser.add_argument("tracks", type=int, nargs="*", default=[1000, 10_000], help="sizes of libraries (1000 10000)")
    print(f"{'tracks':>7}  {'case':14} {'CPU s':>8} {'GiB':>6}")
    for size in parser.parse_args(argv).tracks:
        with tempfile.TemporaryDirectory(prefix="mirflow-duplicates-") as folder:
            for case, cost in report(Path(folder), size):
                print(f"{size:7}  {case:14} {cost.cpu:8.1f} {cost.memory:6.2f}", flush=True)


def report(folder: Path, tracks: int) -> Iterator[tuple[str, measure.Cost]]:
    """Write results that hold what is compared, and yield what the command costs: (case, cost)."""
    results = folder / "results"
    (folder / "scripts").symlink_to(layout.PROJECT / "scripts")
    library = Library(folder / "music")
    command = [sys.executable, "-m", "mirflow", "duplicates", str(results)]
    random = np.random.default_rng(0)
    for count, case in ((tracks, "all are new"), (1, "one more track")):
        for _ in range(count):
            track = f"Artist {len(library.tracks) // 10}/Track {len(library.tracks)}"
            library.tracks[track] = folder / f"music/{track}.flac"
            write(str(results), track, random)
        progress.write_library(str(results), library)
        yield case, measure.run(command, folder)


def write(results: str, track: str, random: np.random.Generator) -> None:
    """Write what is read of a track; not atomically, that takes a hundred times longer."""
    files = layout.track_files(results, track)
    artist = track.partition("/")[0]
    contents = {
        files.metadata(fingerprint.NAME): {fingerprint.FINGERPRINT: compressed(made_up(random))},
        files.metadata(tags.NAME): {tags.ARTISTS: [artist], f"{tags.KEY}artist": artist},
        files.info: {f"value_{number}": number / 7 for number in range(150)},
    }
    for path, content in contents.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_text(json.dumps(content, indent=2))
    stamp = Path(layout.merge_stamp(results, track))
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.touch()


def made_up(random: np.random.Generator) -> np.ndarray:
    """Return words of which each differs from the one before by a few bits, as those of music do: uint32 [n]."""
    changes = np.zeros(WORDS, np.uint32)
    for _ in range(CHANGES):
        changes ^= np.uint32(1) << random.integers(0, 32, WORDS, np.uint32)
    changes[0] = random.integers(0, 1 << 32, dtype=np.uint32)
    return np.bitwise_xor.accumulate(changes)


def compressed(words: np.ndarray) -> str:
    """Return a fingerprint in the form that `mirflow.metadata.fingerprint.words` reads."""
    changes = np.concatenate([words[:1], words[1:] ^ words[:-1]])
    word, bit = np.nonzero(changes[:, None] >> np.arange(32, dtype=np.uint32) & 1)
    is_first = np.append(True, word[1:] != word[:-1])
    steps = bit + 1 - np.where(is_first, 0, np.append(0, bit[:-1] + 1))  # from one bit that changes to the next
    small = np.zeros(len(steps) + len(words), np.uint8)  # each word ends with a 0
    small[np.arange(len(steps)) + word] = np.minimum(steps, 7)
    parts = (_packed(small, 3), _packed(steps[steps >= 7] - 7, 5))
    return base64.urlsafe_b64encode(bytes([1]) + len(words).to_bytes(3) + b"".join(parts)).decode().rstrip("=")


def _packed(numbers: np.ndarray, width: int) -> bytes:
    """Return numbers of `width` bits each, the lowest bit first."""
    bits = numbers.astype(np.uint8)[:, None] >> np.arange(width, dtype=np.uint8) & 1
    return np.packbits(bits.ravel(), bitorder="little").tobytes()


if __name__ == "__main__":
    sys.exit(program.run(main))
