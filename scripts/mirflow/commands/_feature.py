"""Measure one feature of a track and write its fragment."""

import argparse
import importlib.metadata
from pathlib import Path
from typing import Any

from mirflow import __version__, artifacts, audio, registry
from mirflow.errors import MirflowError
from mirflow.info import PROVENANCE

SUFFIXES = {"beats": "BEATS_GRID", "downbeats": "DOWNBEATS", "onsets": "ONSETS"}


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare the inputs and settings of feature `name`."""
    feature = registry.feature(name)
    parser.description = registry.module(name).__doc__
    parser.set_defaults(feature=name)
    parser.add_argument(
        "inputs",
        type=Path,
        nargs="+",
        metavar="FILE",
        help=f"{' '.join(feature.inputs)}, in this order; or full_mix.flac alone: the others are looked for beside it",
    )
    for setting in feature.settings:
        kind = (lambda text: text.lower() == "true") if isinstance(setting.default, bool) else type(setting.default)
        parser.add_argument(f"--set-{setting.name}", type=kind, default=setting.default, help=setting.meaning)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the fragment, a .json file")


def run(arguments: argparse.Namespace) -> None:
    """Read the inputs, measure, write the fragment."""
    feature = registry.feature(arguments.feature)
    paths = arguments.inputs
    if len(paths) == 1 < len(feature.inputs):
        paths = [_beside(paths[0], key) for key in feature.inputs]
    if len(paths) != len(feature.inputs):
        raise MirflowError(f"{feature.name}: {len(feature.inputs)} files are needed: {', '.join(feature.inputs)}")
    inputs = {
        key: artifacts.read_times(path) if key in registry.GRIDS else audio.read(path)
        for key, path in zip(feature.inputs, paths, strict=True)
    }
    chosen = {setting.name: getattr(arguments, f"set_{setting.name}") for setting in feature.settings}
    artifacts.write_json(arguments.output, fragment(feature, inputs, chosen))


def fragment(feature: registry.Feature, inputs: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """Measure a feature; return what its fragment holds: the values, and where they come from.

    Parameters
    ----------
    inputs : as `registry.measure` takes them
    chosen : a value for each of the feature's settings
    """
    values = registry.measure(feature.name, inputs, chosen)
    origin = {"feature": feature.name, "version": feature.version}
    origin["backend"] = feature.backend or "mirflow"
    origin["backend_version"] = importlib.metadata.version(feature.backend) if feature.backend else __version__
    differing = {s.name: chosen[s.name] for s in feature.settings if chosen[s.name] != s.default}
    if differing:
        origin["settings"] = differing
    return {**values, PROVENANCE: origin}


def _beside(full_mix: Path, key: str) -> Path:
    """Find an input in the folder of the full mix, for those who run a feature by hand."""
    folder = full_mix.resolve().parent
    if key == "full_mix":
        return full_mix
    found = [folder / f"{folder.name}.{SUFFIXES[key]}"] if key in SUFFIXES else sorted(folder.glob(f"{key}.*"))
    found = [path for path in found if path.is_file() and path.suffix != ".json"]
    if len(found) != 1:
        raise MirflowError(f"{folder}: {'no' if not found else 'more than one'} file for {key}; name all inputs")
    return found[0]
