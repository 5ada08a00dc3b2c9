"""Measure what the report draws of a track."""

import argparse
import json
from pathlib import Path
from typing import Any

from mirflow.commands import _feature
from mirflow.core import artifacts
from mirflow.core.errors import MirflowError
from mirflow.core.layout import STEMS
from mirflow.crops import folder
from mirflow.report.page import overview


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    parser.add_argument("--stems", type=Path, nargs=4, required=True, metavar="FILE", help=" ".join(STEMS))
    parser.add_argument("--beats", type=Path, required=True, metavar="FILE", help="beat grid")
    parser.add_argument("--downbeats", type=Path, required=True, metavar="FILE", help="downbeats")
    parser.add_argument("--crops", type=Path, nargs="*", default=[], metavar="FILE", help="crops.json")
    parser.add_argument("-o", "--output", type=Path, required=True, help="overview.json")


def run(arguments: argparse.Namespace) -> None:
    """Read, measure, write.

    Sounds that cannot be read any more keep no other track out of the report: this file then says what is wrong.
    """
    try:
        measured = artifacts.to_json_values(_measured(arguments))
    except MirflowError as error:
        measured = {"failed": str(error)}
    artifacts.write_bytes(arguments.output, json.dumps(measured, separators=(",", ":")).encode())


def _measured(arguments: argparse.Namespace) -> dict[str, Any]:
    mix = _feature.read("full_mix", arguments.full_mix)
    stems = {name: _feature.read(name, path) for name, path in zip(STEMS, arguments.stems, strict=True)}
    grids = {name: artifacts.read_times(getattr(arguments, name)) for name in ("beats", "downbeats")}
    crops = [
        (crop.start / mix.rate, crop.end / mix.rate)
        for path in arguments.crops
        for crop in folder.listed(artifacts.read_json(path))
    ]
    return overview.measure(mix, stems, crops=crops, **grids)
