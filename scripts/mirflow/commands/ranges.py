"""Compare the conditioning ranges with a library's own values: median, 1st and 99th percentile, share on an end."""

import argparse
from pathlib import Path

import numpy as np

from mirflow import artifacts, registry
from mirflow.errors import MirflowError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("results", type=Path, help="the results of a run")


def _mark(field: registry.Field, end: int) -> str:
    return "b" if field.bounds and field.bounds[end] == field.range[end] else " "


def run(arguments: argparse.Namespace) -> None:
    """Read all fragments and print a line per key."""
    print(
        f"{'key':34} {'n':>6} {'null':>6} {'p1':>10} {'p50':>10} {'p99':>10}  {'range':>16} {'<= low':>7} {'>= top':>7}"
    )
    found = 0
    for feature in registry.features():
        fragments = [artifacts.read_json(path) for path in arguments.results.rglob(f"features/{feature.name}.json")]
        found += len(fragments)
        for field in feature.fields:
            if field.kind not in (float, int):
                continue
            values = [fragment[field.key] for fragment in fragments if field.key in fragment]
            numbers = np.array([value for value in values if value is not None], dtype=float)
            line = f"{field.key:34} {len(numbers):6} {len(values) - len(numbers):6}"
            if len(numbers):
                line += "".join(f" {value:10.4g}" for value in np.percentile(numbers, [1, 50, 99]))
                if field.range:
                    low, high = field.range
                    ends = f"{low:g}..{high:g}"
                    line += f"  {ends:>16} {np.mean(numbers <= low):7.1%}{_mark(field, 0)}"
                    line += f" {np.mean(numbers >= high):7.1%}{_mark(field, 1)}"
            print(line)
    print("b: this end is the quantity's own bound; nothing lies beyond it, so nothing is lost there")
    if not found:
        raise MirflowError(f"{arguments.results}: no fragments below this directory")
