"""Measure the features of all crops of a track."""

import argparse
import hashlib
import json
from pathlib import Path

from mirflow import features
from mirflow.commands import _feature
from mirflow.core import artifacts, identity
from mirflow.core.errors import MirflowError
from mirflow.core.layout import GRIDS, STEMS, TrackFiles
from mirflow.crops import folder, measure
from mirflow.crops.plan import Crop

MADE_BY = "made_by"  # in the output: what the values of a feature depend on


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("full_mix", type=Path)
    parser.add_argument("--stems", type=Path, nargs=4, required=True, metavar="FILE", help=" ".join(STEMS))
    for grid in GRIDS:
        parser.add_argument(f"--{grid}", type=Path, required=True, metavar="FILE", help="times in seconds")
    parser.add_argument("--drum-notes", type=Path, metavar="FILE", help="transcribe/drum_notes.json, if there is one")
    parser.add_argument("--crops", type=Path, required=True, help="crops.json")
    parser.add_argument("--features", nargs="*", default=[], metavar="NAME", help="what to measure")
    parser.add_argument("--settings", type=json.loads, default={}, metavar="JSON", help="feature → its settings")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the values (.json); those in it that still hold are kept"
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure what the output does not have yet."""
    crops = folder.listed(artifacts.read_json(arguments.crops))
    paths = {"full_mix": arguments.full_mix, **dict(zip(STEMS, arguments.stems, strict=True))}
    paths |= {grid: getattr(arguments, grid) for grid in GRIDS}
    paths |= {"drum_notes": arguments.drum_notes} if arguments.drum_notes else {}
    made_by = _made_by(arguments, paths, crops)
    found = {name: one for name, one in _earlier(arguments.output).items() if one[MADE_BY] == made_by.get(name)}
    missing = [name for name in arguments.features if name not in found]
    if missing:
        needed = {"full_mix", *(key for name in missing for key in features.declared(name).inputs)}
        inputs = {key: _feature.read(key, path) for key, path in paths.items() if key in needed}
        try:
            new = measure.measure(missing, crops, inputs, arguments.settings)
        except MirflowError as error:
            raise MirflowError(f"{arguments.full_mix}: {error}") from error
        found |= {name: {MADE_BY: made_by[name], "crops": of_crops} for name, of_crops in new.items()}
    artifacts.write_json(arguments.output, {"features": {name: found[name] for name in sorted(arguments.features)}})


def _earlier(output: Path) -> dict[str, dict]:
    """Return the values that were measured before; none if they cannot be read."""
    try:
        return artifacts.read_json(output)["features"]
    except (OSError, KeyError, MirflowError):
        return {}


def _made_by(arguments: argparse.Namespace, paths: dict[str, Path], crops: list[Crop]) -> dict[str, str]:
    """Return a text for each feature that changes when a value of a crop could: the content of files counts, not times.

    So a feature that is added, skipped or changed later does not have all others measured again.
    """
    track = TrackFiles(str(arguments.full_mix.parent), arguments.full_mix.parent.name)
    levels = [Path(record) for record in (track.source_record, track.stems_record) if Path(record).is_file()]
    digests = {key: _digest(path) for key, path in paths.items()}
    common = [identity.version("crop_features"), *map(_digest, levels), *((crop.start, crop.end) for crop in crops)]
    return {
        name: hashlib.sha256(
            json.dumps(
                [
                    common,
                    identity.version(f"feature_{name}"),
                    arguments.settings.get(name, {}),
                    digests["full_mix"],
                    *(digests[key] for key in features.declared(name).inputs),
                ]
            ).encode()
        ).hexdigest()
        for name in arguments.features
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
