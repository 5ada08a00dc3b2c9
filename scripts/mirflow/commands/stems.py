"""Separate a full mix into drums, bass, other and vocals."""

import argparse
import importlib
import importlib.metadata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np

from mirflow import accelerator, artifacts, audio, models, resident, separators, stems
from mirflow.dsp import separation
from mirflow.errors import MirflowError

TRAINED = tuple(separators.BACKENDS)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("full_mix", help="audio file written by this workflow")
    parser.add_argument(
        "-o",
        "--output",
        nargs=4,
        required=True,
        metavar=("DRUMS", "BASS", "OTHER", "VOCALS"),
        help="the stems to write",
    )
    parser.add_argument("--format", choices=stems.FORMATS, help="default: by the suffix of the outputs")
    parser.add_argument("--bitrate", type=int, default=192, help="kbit/s of mp3 and ogg (default: %(default)s)")
    parser.add_argument("--record", help="JSON file for backend, version, gain and format of what was written")
    configure_backend(parser)


def configure_backend(parser: argparse.ArgumentParser) -> None:
    """Declare what chooses and runs a separator."""
    parser.add_argument(
        "--backend", choices=("dsp", *TRAINED), default="dsp", help="what separates (default: %(default)s)"
    )
    trained = parser.add_argument_group("trained separators")
    trained.add_argument("--model", nargs="+", type=Path, metavar="FILE", help="files; default: those of the entry")
    trained.add_argument("--entry", help="their name in config/models.yaml: they are compared with the hashes there")
    trained.add_argument(
        "--device", choices=accelerator.CHOICES, default="auto", help="auto: the GPU when there is one"
    )
    trained.add_argument("--shifts", type=int, default=separators.DEFAULTS["shifts"], help="runs to take the mean of")
    trained.add_argument("--overlap", type=float, default=separators.DEFAULTS["overlap"], help="share of a segment")
    trained.add_argument(
        "--segment", type=float, default=separators.DEFAULTS["segment"], help="seconds; 0: the model's"
    )
    trained.add_argument("--precision", choices=separators.PRECISIONS, default=separators.DEFAULTS["precision"])


def run(arguments: argparse.Namespace) -> None:
    separate, made_by = chosen(arguments)
    full_mix = audio.read(arguments.full_mix)
    try:
        parts = separate(full_mix)
    except MirflowError as error:
        raise MirflowError(f"{arguments.full_mix}: {error}") from error
    written = stems.write(parts, full_mix.rate, arguments.output, arguments.format, arguments.bitrate)
    if arguments.record:
        artifacts.write_json(arguments.record, made_by | written)


def chosen(arguments: argparse.Namespace) -> tuple[Callable[[audio.Audio], dict[str, np.ndarray]], dict]:
    """Return what separates, loaded if it is a trained one, and what it says of itself."""
    if arguments.backend == "dsp":
        return stems.separate, {"backend": "dsp", "version": separation.VERSION}
    held = load(arguments)
    settings = {name: getattr(arguments, name) for name in separators.DEFAULTS}
    running = {name: value for name, value in settings.items() if name != "segment"}
    return partial(separators.separate, separator=held.separator, **running), {
        "backend": arguments.backend,
        "backend_version": importlib.metadata.version(backend(arguments.backend).PACKAGE),
        "model": {"name": arguments.entry or arguments.model[0].name, "sha256": held.sha256},
        "settings": {name: value for name, value in settings.items() if value != separators.DEFAULTS[name]},
    }


def backend(name: str) -> ModuleType:
    """Return the module of a trained backend."""
    return importlib.import_module(f"mirflow.separators.{name}")


def load(arguments: argparse.Namespace) -> separators.Loaded:
    """Return the separator, loaded unless this process holds it."""
    if not arguments.model and not arguments.entry:
        arguments.entry = separators.entry(arguments.backend)
    files = [Path(file).resolve() for file in arguments.model or models.path(arguments.entry)]
    about = models.entry(separators.entry(arguments.backend, arguments.entry))["separator"] if arguments.entry else {}
    weights = {"weights": about["weights"]} if "weights" in about else {}

    def fresh() -> separators.Loaded:
        if arguments.entry:
            known = models.files(arguments.entry)
            if len(known) != len(files):
                raise MirflowError(f"{arguments.entry} has {len(known)} files, not {len(files)}")
            sha256 = {file.name: models.verify(file, at=at) for file, at in zip(known, files, strict=True)}
        elif missing := [str(file) for file in files if not file.is_file()]:
            raise MirflowError(f"{', '.join(missing)}: no such file")
        else:
            sha256 = {file.name: models.sha256(file) for file in files}
        device = accelerator.device(arguments.device)
        separator = backend(arguments.backend).load(files, device, segment=arguments.segment, **weights)
        return separators.Loaded(separator, sha256)

    changed = tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)
    key = (arguments.backend, tuple(map(str, files)), changed, arguments.device, arguments.segment, str(weights))
    return resident.get(key, fresh)
