"""Write the .INFO of each crop of a track; keys that belong to nobody here stay as they are."""

import argparse
from pathlib import Path

from mirflow import info
from mirflow.core import artifacts
from mirflow.core.layout import TrackFiles
from mirflow.crops import folder
from mirflow.crops import info as crop_info


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("crops", type=Path, help="crops/crops.json")
    parser.add_argument("--features", type=Path, required=True, help="crops/features.json")
    parser.add_argument("--info", type=Path, required=True, help="the .INFO of the track")
    parser.add_argument("--track", required=True, help="the id of the track")
    parser.add_argument(
        "--record",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "FILE"),
        help="what another step says of itself, such as `source source.json`",
    )


def run(arguments: argparse.Namespace) -> None:
    """Merge into each."""
    listed = artifacts.read_json(arguments.crops)
    found = artifacts.read_json(arguments.features)["features"]
    of_track = artifacts.read_json(arguments.info)
    records = {name: artifacts.read_json(path) for name, path in arguments.record}
    records["crop"] = {"version": listed["version"], "mode": listed["mode"]}
    files = TrackFiles(str(arguments.crops.resolve().parents[1]), arguments.info.name.removesuffix(".INFO"))
    crops = folder.listed(listed)
    for index, crop in enumerate(crops):
        own = crop_info.place(crop, listed["sample_rate"], listed["track_samples"], arguments.track)
        new = {
            "own": artifacts.to_json_values(own),
            "fragments": [one["crops"][index] for one in found.values()],
            "track": of_track,
            "records": records,
        }
        kept = folder.kept(files, crop)
        info.rewrite(files.crop(index, "INFO"), lambda now, kept=kept, new=new: crop_info.merge(kept | now, **new))
    folder.restored(files, crops)
