"""Look a track up in MusicBrainz and AcoustID, and write what is certain into its .INFO."""

import argparse
from pathlib import Path

from mirflow import info
from mirflow.commands import duplicates
from mirflow.core import artifacts
from mirflow.core.feature import PROVENANCE
from mirflow.metadata import lookup, services


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("tags", type=Path, help="metadata/tags.json")
    parser.add_argument("--fingerprint", type=Path, nargs="*", default=[], help="metadata/fingerprint.json")
    parser.add_argument("--record", type=Path, required=True, help="source.json")
    parser.add_argument("--service", choices=("musicbrainz", "acoustid"), default="musicbrainz", help="acoustid: both")
    parser.add_argument("--cache", type=Path, required=True, help="the folder of answers")
    parser.add_argument("--results", required=True, help="the results that the track belongs to")
    parser.add_argument("--track", required=True, help="its id")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the fragment, a .json file")


def run(arguments: argparse.Namespace) -> None:
    """Look up, merge, write."""
    printed = {key: value for path in arguments.fingerprint for key, value in artifacts.read_json(path).items()}
    fragment = lookup.look_up(
        artifacts.read_json(arguments.tags),
        printed,
        artifacts.read_json(arguments.record)["duration"],
        services.Services(arguments.cache),
        by_sound=arguments.service == "acoustid",
    )
    merged = {key: fragment[key] for key in (*lookup.KEYS, PROVENANCE)}
    duplicates.with_crops(arguments.results, arguments.track, lambda path: info.add(path, merged))
    artifacts.write_json(arguments.output, fragment)
