"""Make the page of a library: its statistics, and what is drawn of its tracks, in one file."""

import argparse
from pathlib import Path

from mirflow.core import artifacts
from mirflow.report.page import build


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("statistics", type=Path, help="statistics.json")
    parser.add_argument("--results", required=True, help="the results of a run")
    parser.add_argument("--stem-format", default="mp3", help="suffix of the stems' files")
    parser.add_argument("-o", "--output", type=Path, required=True, help="report.html")


def run(arguments: argparse.Namespace) -> None:
    """Read, build, write."""
    statistics = artifacts.read_json(arguments.statistics)
    made = build.of_library(statistics, arguments.results, arguments.stem_format)
    artifacts.write_bytes(arguments.output, made)
