"""Run every step once on a moment of noise: what is compiled for that is kept on disk (part of the installation)."""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(arguments: argparse.Namespace) -> None:
    """Warm up."""
    from mirflow import warmup

    warmup.run()
