"""What the report of a large library costs: makes one of synthetic tracks, and prints times and sizes.

``python -m benchmarks.report 1000 folder`` leaves the results in the folder, to open report.html there.
"""

import argparse
import base64
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mirflow import features
from mirflow.core import artifacts, layout
from mirflow.report import build, values
from mirflow.report.page import build as page
from mirflow.report.page import overview

GENRES = ("House", "Techno", "Ambient", "Jazz", "Rock", "Folk", "Hip Hop", "Classical", "Drum and Bass", "Soul")
TEXT = "A slow piece in which a piano plays broken chords over a soft bass, and strings join in the second half. "


def main() -> None:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracks", type=int, nargs="?", default=1000, help="how many (default: %(default)s)")
    parser.add_argument("folder", type=Path, nargs="?", help="where the results stay (default: nowhere)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        results = str(arguments.folder or temporary)
        tracks = make(results, arguments.tracks)
        steps = {}
        began = time.process_time()
        library = values.read(results, tracks, {})
        steps["read .INFO files"] = time.process_time() - began
        began = time.process_time()
        content = build.build(library, build.Captions(128, lambda text: len(text) // 4, exact=False))
        build.write(layout.statistics(results), content)
        steps["statistics.json"] = time.process_time() - began
        began = time.process_time()
        made = page.of_library(artifacts.read_json(layout.statistics(results)), results)
        artifacts.write_bytes(layout.report(results), made)
        steps["report.html"] = time.process_time() - began
        print(f"{arguments.tracks} tracks")
        for step, seconds in steps.items():
            print(f"  {step:<18} {seconds:6.1f} s of CPU time")
        for path in (layout.statistics(results), layout.report(results)):
            print(f"  {Path(path).name:<18} {Path(path).stat().st_size / 1e6:6.1f} MB")


def make(results: str, count: int) -> dict[str, str]:
    """Write the .INFO and the overview of synthetic tracks; return their ids with their sources."""
    rng = np.random.default_rng(0)
    declared = [field for feature in features.built_in() for field in feature.fields]
    tracks = {}
    for index in range(count):
        track = f"Artist {index % 97}/Album {index % 211}/Title {index}"
        tracks[track] = f"/music/{track}.flac"
        files = layout.track_files(results, track)
        artifacts.write_json(files.info, _info(rng, index, tracks[track], declared))
        measured = artifacts.to_json_values(_overview(rng))
        artifacts.write_bytes(files.overview, json.dumps(measured, separators=(",", ":")).encode())
    return tracks


def _info(rng: np.random.Generator, index: int, source: str, declared: list) -> dict[str, Any]:
    common = rng.standard_normal(4)  # what several numbers of a track have in common
    info: dict[str, Any] = {}
    for place, field in enumerate(declared):
        if field.kind in (float, int) and (span := field.range or field.bounds):
            low, high = span
            shape = 0.6 * common[place % 4] + 0.8 * rng.standard_normal()
            value = np.clip(low + (high - low) * (0.5 + 0.16 * shape), *(field.bounds or span))
            is_null = field.undefined is not None and rng.random() < 0.03
            info[field.key] = None if is_null else round(float(value)) if field.kind is int else float(value)
    scores = np.sort(rng.dirichlet(np.full(len(GENRES), 0.3)))[::-1]
    names = rng.permutation(GENRES)
    return info | {
        "tonic": int(rng.integers(12)),
        "tonic_scale": str(rng.choice(["major", "minor"])),
        "split": "validation" if index % 20 == 0 else "train",
        "essentia_genre": {str(n): float(s) for n, s in zip(names, scores, strict=True) if s >= 0.1},
        "music_flamingo_full": f"{TEXT * 4}It is number {index}.",
        "_provenance": {"source": {"source": source, "duration": 240.0, "sha256": f"{index:064x}"}},
    }


def _overview(rng: np.random.Generator) -> dict[str, Any]:
    """Return an overview as large as that of a track of four minutes."""

    def coded(count: int, low: float, high: float) -> str:
        curve = low + (high - low) * (0.5 + 0.4 * np.sin(np.linspace(0, rng.uniform(3, 30), count)))
        return base64.b64encode((curve + rng.uniform(-3, 3, count)).clip(0, 255).astype(np.uint8).tobytes()).decode()

    period = int(rng.integers(30, 100))
    beats = [period] * (24000 // period)
    return {
        "seconds": 240.0,
        "peak": 0.9,
        "waveform": coded(overview.WAVEFORM, 20, 255),
        "loudness": {name: coded(overview.LOUDNESS, 70, 125) for name in ("mix", *layout.STEMS)},
        "chroma": coded(6 * overview.CHROMA, 0, 255),
        "beats": beats,
        "downbeats": [period, *[4 * period] * (len(beats) // 4 - 1)],
        "crops": [edge for start in range(0, 23000, 1000) for edge in (start, start + 1000)],
    }


if __name__ == "__main__":
    main()
