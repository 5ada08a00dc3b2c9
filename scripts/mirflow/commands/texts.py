"""Gather the texts of a track into one fragment, with their contradictions to the measurements and their provenance."""

import argparse
from pathlib import Path

from mirflow.core import artifacts
from mirflow.describe import fragment


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("texts", nargs="+", type=Path, help="texts/*.txt, each with its record NAME.json beside it")
    parser.add_argument("--identity", type=Path, required=True, help="what describe_model wrote about the model")
    parser.add_argument("--measured", type=Path, nargs="*", help="fragments with bpm and tonic, to compare with")
    parser.add_argument("--tokenizer", type=Path, nargs="*", help="tokenizer.json of T5, to count tokens with")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the fragment, a .json file")


def run(arguments: argparse.Namespace) -> None:
    """Gather, compare, write."""
    texts = {path.stem: path.read_text(encoding="utf-8").rstrip("\n") for path in arguments.texts}
    records = {path.stem: artifacts.read_json(path.with_suffix(".json")) for path in arguments.texts}
    measured = {key: value for path in arguments.measured or [] for key, value in artifacts.read_json(path).items()}
    model = artifacts.read_json(arguments.identity)
    tokenizer = arguments.tokenizer[0] if arguments.tokenizer else None
    content = fragment.assemble(texts, records, model, measured if arguments.measured else None, tokenizer)
    artifacts.write_json(arguments.output, content)
