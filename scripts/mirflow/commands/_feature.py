"""Measure one feature of a track and write its fragment."""

import argparse
import glob
from pathlib import Path
from typing import Any

from mirflow import features
from mirflow.core import artifacts, layout, source
from mirflow.core.errors import MirflowError
from mirflow.labels.embedding import Patches
from mirflow.models import catalogue, loading
from mirflow.transcribe.notes import DrumNotes


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare the inputs, settings and models of feature `name`."""
    made = features.implementation(name)
    feature = made.FEATURE
    parser.description = made.__doc__
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
    parser.add_argument(
        "--model", nargs="*", type=Path, metavar="FILE", help="model files; default: the models' folder"
    )
    parser.add_argument("--device", default="auto", help="auto: the GPU when there is one; cpu")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the fragment, a .json file")


def run(arguments: argparse.Namespace) -> None:
    """Read the inputs, load the model where there is one, measure, write the fragment."""
    made = features.implementation(arguments.feature)
    feature = made.FEATURE
    paths = arguments.inputs
    if len(paths) == 1 < len(feature.inputs):
        paths = [_beside(paths[0], key) for key in feature.inputs]
    if len(paths) != len(feature.inputs):
        raise MirflowError(f"{feature.name}: {len(feature.inputs)} files are needed: {', '.join(feature.inputs)}")
    inputs = {key: read(key, path) for key, path in zip(feature.inputs, paths, strict=True)}
    chosen = {setting.name: getattr(arguments, f"set_{setting.name}") for setting in feature.settings}
    model = None
    if feature.models:
        files = arguments.model or [path for name in feature.models for path in catalogue.path(name)]
        model = loading.load(made.load, files, arguments.device, feature.models)
    artifacts.write_json(arguments.output, features.fragment(feature.name, inputs, chosen, model))


def read(key: str, path: Path) -> Any:
    """Read an input of a feature: times, the output of a network, or audio at the level of the source."""
    if key in layout.GRIDS:
        return artifacts.read_times(path)
    if key == "drum_notes":
        return DrumNotes.load(path)
    if key.startswith(layout.EMBEDDING):
        return Patches.load(path)
    return source.read_at_source_level(path, is_stem=key in layout.STEMS)


def _beside(full_mix: Path, key: str) -> Path:
    """Find an input in the folder of the full mix, for those who run a feature by hand."""
    folder = full_mix.resolve().parent
    if key == "full_mix":
        return full_mix
    track = layout.TrackFiles(".", glob.escape(folder.name), "*")
    found = [
        path
        for path in folder.glob(track.input(key))
        if key not in layout.STEMS or path.suffix.removeprefix(".") in layout.STEM_FORMATS
    ]
    if len(found) != 1:
        raise MirflowError(f"{folder}: {'no' if not found else 'more than one'} file for {key}; name all inputs")
    return found[0]
