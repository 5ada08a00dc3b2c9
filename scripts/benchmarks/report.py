"""What the report of a large library costs: ``python -m benchmarks.report RESULTS 1000``.

It writes a library of made-up tracks with labels, texts and pictures, unless it is there already, makes its report, and
prints a table. RESULTS/report.html can then be opened.
"""

import argparse
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import synthetic
from mirflow.commands import main
from mirflow.core import layout
from mirflow.report.page import overview

GENRES = ("House", "Techno", "Ambient", "Jazz", "Rock", "Folk", "Hip Hop", "Classical", "Drum and Bass", "Soul")
TEXT = "A slow piece in which a piano plays broken chords over a soft bass, and strings join in the second half. "
SECONDS = 240.0  # of a track


def infos(tracks: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield track id and .INFO of made-up tracks with labels and texts."""
    rng = np.random.default_rng(1)
    for index, (track, values) in enumerate(synthetic.infos(tracks)):
        scores = rng.dirichlet(np.full(len(GENRES), 0.3))
        labels = {genre: float(score) for genre, score in zip(GENRES, scores, strict=True) if score >= 0.1}
        texts = {"music_flamingo_full": f"{TEXT * 4}It is number {index}.", "music_flamingo_mood": f"Calm, {index}."}
        yield track, values | {"essentia_genre": labels} | texts


def write_overviews(results: Path, tracks: list[str]) -> None:
    """Write what is drawn of tracks; it is as large as that of music."""
    rng = np.random.default_rng(2)

    def curve(count: int, low: float, high: float) -> str:
        values = low + (high - low) * (0.5 + 0.4 * np.sin(np.linspace(0, rng.uniform(3, 30), count)))
        return base64.b64encode((values + rng.uniform(-3, 3, count)).clip(0, 255).astype(np.uint8).tobytes()).decode()

    for track in tracks:
        period = int(rng.integers(30, 100))
        beats = [period] * int(100 * SECONDS / period)
        content = {
            "seconds": SECONDS,
            "peak": 0.9,
            "waveform": curve(overview.WAVEFORM, 20, 255),
            "loudness": {name: curve(overview.LOUDNESS, 70, 125) for name in ("mix", *layout.STEMS)},
            "chroma": curve(6 * overview.CHROMA, 0, 255),
            "beats": beats,
            "downbeats": [period, *[4 * period] * (len(beats) // 4 - 1)],
            "crops": [edge for start in range(0, 23000, 1000) for edge in (start, start + 1000)],
        }
        # Not atomically: that takes a hundred times longer.
        path = Path(layout.track_files(str(results), track).overview)
        path.write_text(json.dumps(content, separators=(",", ":")))


def run() -> None:
    """Write a library, make its report, and print what that costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("tracks", type=int, nargs="?", default=1000)
    arguments = parser.parse_args()
    results = str(arguments.results)
    if not arguments.results.exists():
        write_overviews(arguments.results, synthetic.write(arguments.results, infos(arguments.tracks)))
    statistics, page = layout.statistics(results), layout.report(results)
    commands = {
        statistics: ["statistics", "--results", results, "-o", statistics],
        page: ["report", statistics, "--results", results, "-o", page],
    }
    print(f"{'':18} {'CPU s':>8} {'MB':>8}")
    for path, command in commands.items():
        began = time.process_time()
        main(command)
        print(f"{Path(path).name:18} {time.process_time() - began:8.1f} {Path(path).stat().st_size / 1e6:8.1f}")


if __name__ == "__main__":
    run()
