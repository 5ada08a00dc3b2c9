"""Find the tracks of a library that are the same recording, split the library, and write both into the .INFO files."""

import argparse
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from mirflow.commands import crop_info
from mirflow.core import layout
from mirflow.metadata import alike, split
from mirflow.workflow import settings, whole_library


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    default = split.Rule()
    parser.add_argument("results", help="the results of a run")
    parser.add_argument("--by", choices=split.UNITS, default=default.by, help="what stays in one split")
    parser.add_argument("--validation", type=float, default=default.validation, help="share of the library")
    parser.add_argument("--test", type=float, default=default.test, help="share of the library")
    parser.add_argument("--seed", type=int, default=default.seed, help="another one draws other tracks")
    parser.add_argument("--embeddings", action="store_true", help=f"compare labels/{alike.NETWORK}.npz as well")


def run(arguments: argparse.Namespace) -> None:
    """Compare, split, write."""
    rule = split.Rule(arguments.by, arguments.validation, arguments.test, arguments.seed)
    results = settings.directory(arguments.results)
    whole_library.update(results, rule, lambda track: hand_down(results, track), arguments.embeddings)


def with_crops(results: str, track: str, write: Callable[[str], bool]) -> None:
    """Let `write` change the .INFO of a track, and its crops inherit what has changed, if they were up to date."""
    path = layout.track_files(results, track).info
    had_crops = whole_library.is_newer(layout.crops_stamp(results, track), path)
    if write(path) and had_crops:
        hand_down(results, track)


def hand_down(results: str, track: str) -> None:
    """Let the crops of a track inherit its new keys, as the rule `crop_info` would."""
    files = layout.track_files(results, track)
    records = {"source": files.source_record, "stems": files.stems_record, "beats": files.beats_record}
    with FileLock(f"{layout.crops_stamp(results, track)}.lock"):  # the last one to change the .INFO hands down all
        crop_info.run(
            argparse.Namespace(
                crops=Path(files.crops),
                features=Path(files.crop_features),
                info=Path(files.info),
                track=track,
                record=list(records.items()),
            )
        )
    # The .INFO of the track is newer now than what the rule made of it: Snakemake looks at both of these.
    for made in (layout.crops_stamp(results, track), f"{layout.benchmark_folder(results, track)}/crop_info.jsonl"):
        with contextlib.suppress(FileNotFoundError):
            os.utime(made)
