"""Compare the declared ranges of features with the values of a library: percentiles, and the share at each end."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import program
from mirflow import features
from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.feature import Field


def main(argv: list[str] | None = None) -> None:
    """Print a line per number that the results hold."""
    parser = argparse.ArgumentParser(prog="benchmarks.ranges", description=__doc__)
    parser.add_argument("results", type=Path, help="the results of a run")
    for line in report(parser.parse_args(argv).results):
        print(line)


def report(results: Path) -> Iterator[str]:
    """Read all fragments, and give the table line by line.

    Raises
    ------
    MirflowError : there are no fragments
    """
    fragments: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in results.rglob("features/*.json"):
        fragments[path.stem].append(artifacts.read_json(path))
    if not fragments:
        raise MirflowError(f"{results}: no fragments below this directory")
    columns = f"{'p1':>10} {'p50':>10} {'p99':>10}  {'range':>16} {'<= low':>7}  {'>= top':>7}"
    yield f"{'key':34} {'n':>6} {'null':>6} {columns}"
    for feature in features.all_features():
        for field in feature.fields:
            values = [fragment[field.key] for fragment in fragments[feature.name] if field.key in fragment]
            if values and field.kind in (float, int):
                yield row(field, values)
    yield "b: this end is also the bound of the quantity; nothing lies beyond it, so nothing is lost there"


def row(field: Field, values: list[float | None]) -> str:
    """Return the line of a key."""
    numbers = np.array([value for value in values if value is not None], dtype=float)
    text = f"{field.key:34} {len(numbers):6} {len(values) - len(numbers):6}"
    if not len(numbers):
        return text
    text += "".join(f" {value:10.4g}" for value in np.percentile(numbers, [1, 50, 99]))
    if not field.range:
        return text
    low, top = field.range
    shares = (np.mean(numbers <= low), np.mean(numbers >= top))
    ends = (f"{share:7.1%}{_mark(field, end)}" for end, share in enumerate(shares))
    return f"{text}  {f'{low:g}..{top:g}':>16} {' '.join(ends)}"


def _mark(field: Field, end: int) -> str:
    return "b" if field.bounds and field.bounds[end] == field.range[end] else " "


if __name__ == "__main__":
    sys.exit(program.run(main))
