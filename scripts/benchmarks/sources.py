"""Measure how far values move between sources of one recording: codecs, sampling rates, gain, polarity, a delay.

Every recording becomes a track per variant, all are made by the workflow, and each number is compared with that of the
lossless source. The table says by how much a key moves at most, in percent of its range, over all recordings.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import program, project
from mirflow import features
from mirflow.core import artifacts, audio
from mirflow.core.errors import MirflowError
from mirflow.core.feature import Field

REFERENCE = "flac"
GAIN_DB, DELAY = -20.0, 0.010  # of the variants that are called like this
LEVELS = ("LUFS", "dBFS", "dBTP")  # units of values that a gain changes
NEAR = 0.010  # s: a beat, downbeat or onset that has none so near in the other source counts as moved
GRIDS = ("BEATS_GRID", "DOWNBEATS", "ONSETS")


@dataclass(frozen=True)
class Variant:
    """A source of a recording.

    Attributes
    ----------
    suffix : of its file
    encode : writes float32 [channel, n] at a rate in Hz to a file
    change : what is done to the samples before
    rate : Hz, of the file; None: that of the recording
    """

    suffix: str
    encode: Callable[[Path, np.ndarray, int], None]
    change: Callable[[np.ndarray, int], np.ndarray] = lambda samples, rate: samples
    rate: int | None = None


def _flac(path: Path, samples: np.ndarray, rate: int) -> None:
    import soundfile

    soundfile.write(path, samples.T, rate, subtype="PCM_24")


def _vorbis(path: Path, samples: np.ndarray, rate: int) -> None:
    with audio.open_for_writing(
        path, rate, len(samples), format="OGG", subtype="VORBIS", compression_level=0.4
    ) as file:
        for at in range(0, samples.shape[1], 65536):  # libsndfile crashes on minutes of Vorbis in one call
            file.write(samples[:, at : at + 65536].T)


def _coded(codec: str, kbits: int, **options: str) -> Callable[[Path, np.ndarray, int], None]:
    """Return what encodes with FFmpeg, in the container of the suffix."""

    def encode(path: Path, samples: np.ndarray, rate: int) -> None:
        import av

        planar = codec != "libopus"
        layout = {1: "mono", 2: "stereo"}[len(samples)]
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, options=options)
            context = stream.codec_context
            context.layout, context.bit_rate, context.format = layout, 1000 * kbits, "fltp" if planar else "flt"
            context.open()
            size = context.frame_size or 4096
            for at in range(0, samples.shape[1], size):
                part = samples[:, at : at + size]
                part = np.ascontiguousarray(part if planar else part.T.reshape(1, -1))
                frame = av.AudioFrame.from_ndarray(part, format=context.format.name, layout=layout)
                frame.rate, frame.pts = rate, at
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    return encode


def _delayed(samples: np.ndarray, rate: int) -> np.ndarray:
    return np.pad(samples, ((0, 0), (round(DELAY * rate), 0)))


VARIANTS = {
    REFERENCE: Variant("flac", _flac),
    "mp3 320": Variant("mp3", _coded("libmp3lame", 320)),
    "mp3 128": Variant("mp3", _coded("libmp3lame", 128)),
    "m4a 256": Variant("m4a", _coded("aac", 256)),
    "ogg q6": Variant("ogg", _vorbis),
    "opus 160": Variant("opus", _coded("libopus", 160), rate=48000),
    "44.1 kHz": Variant("flac", _flac, rate=44100),
    "48 kHz": Variant("flac", _flac, rate=48000),
    "96 kHz": Variant("flac", _flac, rate=96000),
    "20 dB less": Variant("flac", _flac, lambda samples, rate: samples * np.float32(10 ** (GAIN_DB / 20))),
    "inverted": Variant("flac", _flac, lambda samples, rate: -samples),
    "swapped": Variant("flac", _flac, lambda samples, rate: samples[::-1]),
    "10 ms": Variant("flac", _flac, _delayed),
}


def main(argv: list[str] | None = None) -> None:
    """Print the table line by line."""
    parser = argparse.ArgumentParser(prog="benchmarks.sources", description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", help="recordings, at best lossless ones (default: the demo)")
    parser.add_argument("--variants", default="", help=f"only these, separated by commas: {', '.join(VARIANTS)}")
    parser.add_argument("--seconds", type=float, default=30, help="of each recording, from its start (%(default)g)")
    parser.add_argument("--least", type=float, default=2, help="%% of the range that a key must move (%(default)g)")
    parser.add_argument("--folder", type=Path, help="keep the variants and their results here, and go on from there")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count(), help="how many jobs at once (all cores)")
    arguments = parser.parse_args(argv)
    chosen = [name.strip() for name in arguments.variants.split(",") if name.strip()] or list(VARIANTS)
    if unknown := set(chosen) - set(VARIANTS):
        raise MirflowError(f"--variants: there is no {', '.join(sorted(unknown))}")
    chosen = [name for name in VARIANTS if name == REFERENCE or name in chosen]
    with tempfile.TemporaryDirectory(prefix="mirflow-sources-") as temporary:
        folder = arguments.folder or Path(temporary)
        library, results = folder / "library", folder / "results"
        for number, file in enumerate(arguments.files or project.demo_files()):
            make_variants(
                file, library / f"{number:03} {file.parent.name} {file.stem}"[:100], chosen, arguments.seconds
            )
        run(library, results, folder, arguments.jobs)
        for line in report(results, arguments.least):
            print(line)


def make_variants(file: Path, folder: Path, chosen: list[str], seconds: float) -> None:
    """Write the variants of the first seconds of a recording into a folder; those that are there are kept."""
    recording = audio.read(file)
    samples = recording.samples[:2, : round(seconds * recording.rate)]
    folder.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        variant = VARIANTS[name]
        path = folder / f"{name}.{variant.suffix}"
        if path.exists() or (variant.rate == recording.rate and variant.suffix == "flac"):
            continue
        rate = variant.rate or recording.rate
        changed = audio.resample(variant.change(samples, recording.rate), recording.rate, rate)
        unfinished = path.with_stem(".unfinished")  # an interrupted program leaves no variant that is cut short
        variant.encode(unfinished, changed, rate)
        unfinished.rename(path)


def run(library: Path, results: Path, folder: Path, jobs: int) -> None:
    """Make all tracks with the default settings, with a copy of the project in `folder`.

    Raises
    ------
    MirflowError : a track failed
    """
    copy = project.copy(folder / "project")
    command = project.snakemake(library.absolute(), results.absolute(), "-j", str(jobs), "--logger", "mirflow")
    finished = subprocess.run(command, cwd=copy, env=os.environ | {"PYTHONPATH": str(copy / "scripts")})
    if finished.returncode:
        raise MirflowError(f"{library}: not all tracks could be made")


def report(results: Path, least: float) -> Iterator[str]:
    """Compare the variants of all recordings, and give the table line by line.

    Parameters
    ----------
    results : of a run, with a folder for each recording, which holds a track for each variant
    least : percent; keys that move by less are only counted
    """
    recordings = sorted(path.parent for path in results.glob(f"*/{REFERENCE}"))
    fields = [field for feature in features.all_features() for field in feature.fields if field.range]
    largest: dict[str, dict[str, tuple[float, str]]] = {}
    for recording in recordings:
        reference = recording / REFERENCE
        for track in sorted(recording.iterdir()):
            if track == reference or not (track / f"{track.name}.INFO").exists():
                continue
            for key, percent, said in movements(reference, track, fields):
                found = largest.setdefault(key, {})
                found[track.name] = max(found.get(track.name, (0.0, "")), (percent, f"{recording.name}: {said}"))
    names = [name for name in VARIANTS if any(name in found for found in largest.values())]
    yield f"largest movement in % of the range, over {len(recordings)} recordings"
    yield f"{'key':32}" + "".join(f"{name:>11}" for name in names) + "  worst"
    for key, found in largest.items():
        worst = max(found, key=lambda name: found[name][0])
        if found[worst][0] >= least:
            cells = "".join(f"{found[name][0]:11.1f}" for name in names)
            yield f"{key:32}{cells}  {worst}, {found[worst][1]}"
    unmoved = sum(max(percent for percent, _ in found.values()) < least for found in largest.values())
    yield f"{unmoved} of {len(largest)} move by less than {least:g} %; 100 where one of two values is null"


def movements(reference: Path, track: Path, fields: list[Field]) -> Iterator[tuple[str, float, str]]:
    """Yield each key with its movement in percent of its range, and the two values in words.

    The gain and the delay of a variant are taken out before. For grids it is the share of times without a counterpart.
    """
    values, others = (artifacts.read_json(path / f"{path.name}.INFO") for path in (reference, track))
    for field in fields:
        if field.key not in values or field.key not in others:
            continue
        value, other = values[field.key], others[field.key]
        said = f"{_said(value)} → {_said(other)}"
        if value is None or other is None:
            yield field.key, 0.0 if value is other else 100.0, said
            continue
        if track.name == "20 dB less" and field.unit in LEVELS:
            other -= GAIN_DB
        yield field.key, 100 * abs(other - value) / (field.range[1] - field.range[0]), said
    for grid in GRIDS:
        times, moved = (artifacts.read_times(path / f"{path.name}.{grid}") for path in (reference, track))
        moved = moved - DELAY if track.name == "10 ms" else moved
        apart = [_apart(times, moved), _apart(moved, times)]
        missing = sum(int((gaps > NEAR).sum()) for gaps in apart)
        yield grid, 100 * missing / max(len(times) + len(moved), 1), f"{len(times)} → {len(moved)}, {missing} apart"


def _said(value: float | None) -> str:
    return "null" if value is None else f"{value:.5g}"


def _apart(times: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how far the nearest of the others is from each time, in s [k]."""
    if not len(others):
        return np.full(len(times), np.inf)
    place = np.clip(np.searchsorted(others, times), 1, max(len(others) - 1, 1))
    nearest = np.minimum(place, len(others) - 1)
    return np.minimum(np.abs(times - others[place - 1]), np.abs(times - others[nearest]))


if __name__ == "__main__":
    sys.exit(program.run(main))
