"""A library of made-up tracks: .INFO files with every number that features declare, of as many kinds as music has.

``python -m benchmarks.synthetic RESULTS 1000`` writes one, and prints what its statistics cost.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mirflow import features
from mirflow.commands import main
from mirflow.core import artifacts, layout
from mirflow.workflow import progress

# Distributions, each with most of its values between 0 and 1.
SHAPES: tuple[Callable[[np.random.Generator], float], ...] = (
    lambda rng: rng.normal(0.5, 0.12),
    lambda rng: rng.uniform(0.05, 0.95),
    lambda rng: rng.beta(2, 5),
    lambda rng: rng.beta(6, 2),
    lambda rng: 0.1 * np.exp(rng.normal(0, 0.6)),
    lambda rng: rng.gamma(3, 0.06),
)


def infos(tracks: int, seed: int = 0, nulls: float = 0.03) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield track id and .INFO of varied tracks, of which nothing is to be found but that they are varied.

    Parameters
    ----------
    tracks : how many
    nulls : share of the values that do not exist, of keys that may be null
    """
    rng = np.random.default_rng(seed)
    declared = [field for feature in features.of_modules() if not feature.on_request for field in feature.fields]
    for index in range(tracks):
        values: dict[str, Any] = {}
        for place, field in enumerate(declared):
            if field.undefined and rng.random() < nulls:
                values[field.key] = None
            elif field.kind is str:
                values[field.key] = ("major", "minor")[rng.integers(2)]
            elif field.range is not None:
                low, high = field.range
                share = float(np.clip(SHAPES[place % len(SHAPES)](rng), 0, 1))
                values[field.key] = (
                    low + (high - low) * share if field.kind is float else round(low + (high - low) * share)
                )
        values |= {f"chroma_{index}": share for index, share in enumerate(rng.dirichlet(np.full(12, 4.0)))}
        values |= {"saturation_ratio": 0.08 * rng.random(), "bpm_is_defined": int(rng.random() < 0.9)}
        values |= {f"stem_silence_{stem}": 0.9 * rng.random() for stem in layout.STEMS}
        values |= {"split": "train" if rng.random() < 0.9 else "validation", "duplicate_group": None}
        values["track_metadata_artist"] = f"Artist {index}"
        source = {"source": f"{index}.flac", "sha256": f"{seed:032x}{index:032x}", "rate": 44100, "channels": 2}
        values["_provenance"] = {"source": {**source, "duration": 200.0}, "features": {}}
        yield f"Artist {index}/Song {index}", values


def write(results: Path, made: Iterator[tuple[str, dict[str, Any]]]) -> list[str]:
    """Write .INFO files as a run leaves them, with the list of tracks; return the ids."""
    rows = []
    for track, values in made:
        info = Path(layout.track_files(str(results), track).info)
        stamp = Path(layout.merge_stamp(str(results), track))
        for path, content in ((info, artifacts.json_bytes(artifacts.to_json_values(values))), (stamp, b"")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)  # not atomically: that takes a hundred times longer
        rows.append((track, f"/music/{track}.flac", "track", ""))
    progress.write_table(Path(layout.own(str(results), "library.tsv")), ("track", "source", "status", "reason"), rows)
    return [row[0] for row in rows]


def run() -> None:
    """Write a library, and print what statistics.json of it costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("tracks", type=int, nargs="?", default=1000)
    arguments = parser.parse_args()
    if not arguments.results.exists():
        write(arguments.results, infos(arguments.tracks))
    before, began = time.process_time(), time.monotonic()
    output = layout.statistics(str(arguments.results))
    main(["statistics", "--results", str(arguments.results), "-o", output])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'tracks':>8} {'CPU s':>8} {'s':>8} {'peak MB':>8} {'JSON MB':>8}")
    spent, passed = time.process_time() - before, time.monotonic() - began
    size = Path(output).stat().st_size / 1e6
    print(f"{arguments.tracks:>8} {spent:>8.1f} {passed:>8.1f} {peak:>8.0f} {size:>8.2f}")


if __name__ == "__main__":
    run()
