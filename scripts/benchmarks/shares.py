"""Measure what it costs to divide a library: shares of it, one after the other, beside one plain run."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import measure, program, project
from benchmarks.measure import Cost
from benchmarks.overhead import compare, make_library


def main(argv: list[str] | None = None) -> None:
    """Print the table line by line."""
    parser = argparse.ArgumentParser(prog="benchmarks.shares", description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", help="audio files to make tracks of (default: the demo)")
    parser.add_argument("--minutes", type=float, default=4, help="of audio in all, at least (default: %(default)g)")
    parser.add_argument("--length", type=float, default=30, help="s of a track (default: %(default)g)")
    parser.add_argument("--shares", type=int, default=3, help="how many (default: %(default)s)")
    arguments = parser.parse_args(argv)
    files = arguments.files or project.demo_files()
    with tempfile.TemporaryDirectory(prefix="mirflow-shares-") as folder:
        for line in report(files, Path(folder), arguments.minutes, arguments.length, arguments.shares):
            print(line, flush=True)


def report(files: list[Path], folder: Path, minutes: float, length: float, shares: int) -> Iterator[str]:
    """Measure below `folder`, and give the table line by line.

    Parameters
    ----------
    files : what the tracks are made of
    minutes : of audio in all, at least
    length : s of a track, 0: as the files are
    shares : into how many the library is divided

    Raises
    ------
    MirflowError : a run failed, or the shares' files differ from those of the plain run
    """
    library, copy = folder / "library", project.copy(folder / "project")
    made = sum(make_library(files, library, minutes, length)) / 60
    measure.run([sys.executable, "-m", "mirflow.warm.preload"], copy)

    def run(results: str, *options: str) -> Cost:
        command = [
            sys.executable,
            "-m",
            "mirflow",
            "run",
            "--library",
            str(library),
            "--results",
            str(folder / results),
        ]
        return measure.run([*command, *options], copy, workers=True)

    plain = run("plain").cpu
    divided = sum(run("shares", "--share", f"{index}/{shares}").cpu for index in range(1, shares + 1))
    last = run("shares", "--finish").cpu
    compare(folder / "plain", folder / "shares")
    yield f"{'':34} {'CPU s / min':>12} {'ratio':>6}"
    cases = {"one plain run": plain, f"{shares} shares": divided, "what concerns all tracks": last}
    for name, cpu in cases.items():
        yield f"{name:34} {cpu / made:12.2f} {cpu / plain:6.2f}"


if __name__ == "__main__":
    sys.exit(program.run(main))
