# For all files of rules: the settings, where artifacts lie, and how a command is called.

import json
import os
import re
import shlex
import sys
import time

from snakemake.logging import logger

SCRIPTS = f"{workflow.basedir}/scripts"
if SCRIPTS not in sys.path:
    sys.path.insert(0, SCRIPTS)

from mirflow import features
from mirflow.core import identity, layout
from mirflow.core.errors import MirflowError
from mirflow.library import scan
from mirflow.metadata import lookup
from mirflow.models import accelerator, catalogue
from mirflow.warm import direct, server
from mirflow.workflow import batches, glance, needs, progress, selection, settings, shares, snakemake_internals

# Users may describe models in the models' folder. Some features follow from these, and settings are checked against all
# features, so this comes first.
catalogue.use(str(config["models"]))
try:
    settings.read(config)
    settings.check(config)
    settings.export(config)
    NEEDED_MODELS = needs.needs(config)
    needs.check_licences(NEEDED_MODELS, config["licences"]["allow"])
    WANTED = features.wanted(config)  # what goes into .INFO
    RESULTS = settings.directory(config["results"], name="results")
    MODELS = settings.directory(config["models"], name="models")
    LIBRARY = scan.scan(settings.path(config["library"]), exclude=RESULTS)
    SHARE = shares.share(config["share"])
    TAKEN = selection.of(LIBRARY.tracks, config["only"])
    TRACKS = SHARE.of(TAKEN)
    # `mirflow run` makes a large library in parts. All files of a track belong to one part; Snakemake's own --batch sorts
    # files by name, and would put the two targets of a track into different parts.
    BATCH = batches.batch()
    if BATCH:
        TRACKS = BATCH.of(TRACKS)
    LIBRARY_ONLY = BATCH is not None and BATCH.of_library  # what concerns all tracks, when every batch is made
except MirflowError as error:
    raise WorkflowError(str(error))


# A track's folder is {parent}{name}: `parent` is empty or ends with a slash, `name` is repeated in <name>.INFO and its like.
wildcard_constraints:
    parent=r"(.+/)?",
    # The last process of several makes nothing of single tracks, and does not plan them either.
    name=r"$^" if LIBRARY_ONLY else r"[^/]+",


pathvars:
    results=RESULTS,
    models=MODELS,
    logs=layout.own(RESULTS, "logs"),
    benchmarks=layout.own(RESULTS, "benchmarks"),


# The files of a track as patterns, for inputs and outputs. mirflow/core/layout.py alone states where they lie.
TRACK = layout.TrackFiles("<results>/{parent}{name}", "{name}", config["stems"]["format"])

# Priorities rise from the audio to the .INFO, so that tracks are completed one after the other instead of all at the end,
# and the audio that several steps of one track read is still in memory.

# With --sdm conda, `python` is that of each job's environment; without, it is the interpreter that runs Snakemake.
CONDA = snakemake_internals.uses_conda(workflow)
PYTHON = "python" if CONDA else shlex.quote(sys.executable)
# In all rules `mirflow` is the package's command line, and it replaces the shell. Where possible it runs in a worker that
# has imported everything and ends with this process (see scripts/warm.py); with --model in the one that keeps models.
CLIENT = f"{PYTHON} -I -S {shlex.quote(SCRIPTS)}/warm.py".replace("{", "{{").replace("}", "}}")
shell.prefix(f'set -euo pipefail; mirflow() {{{{ exec {CLIENT} "$@"; }}}}; ')
server.announce(config["warm"], inner=snakemake_internals.is_inner(workflow))
snakemake_internals.apply(RESULTS, MODELS, conda=CONDA)
snakemake_internals.start_directly(direct.starter, direct.end_all)


def known(wildcards):
    track = wildcards.parent + wildcards.name
    if track not in LIBRARY.tracks:
        raise WorkflowError(f"no track {track!r} in the library {LIBRARY.root}")
    return LIBRARY.tracks[track]


def source(wildcards):
    """The source of a track as an input, only where nothing else can tell that it has changed (see `stamp`).

    For an input that is gone, may not be read, or comes from the future, Snakemake gives up the whole run, and not just
    the track. What it has recorded of a job must stay as it is, or the job would be out of date.
    """
    path = known(wildcards)
    full_mix = layout.track_files(RESULTS, wildcards.parent + wildcards.name).full_mix
    recorded = snakemake_internals.recorded_inputs(workflow, full_mix)
    try:
        changed = os.path.getmtime(path)
        wanted = str(path) in recorded if recorded is not None else changed > os.path.getmtime(full_mix)
    except OSError:
        return []
    usable = changed <= time.time() and os.access(path, os.R_OK) and not scan.reads_as_pattern(path)
    return str(path) if wanted and usable else []


def stamp(path):
    """Size and time of change of a source, the latter as exactly as all file systems keep it: to two seconds."""
    try:
        status = os.stat(path)
    except OSError:  # the job itself will report it
        return ""
    return f"{status.st_size} {int(status.st_mtime) // 2 * 2}"


def due(wildcards):
    """Say that a track is to be looked up again, of which nothing was found long ago (see `recalled`)."""
    fragment = layout.track_files(RESULTS, wildcards.parent + wildcards.name).metadata(lookup.NAME)
    return {"again": "nothing was found"} if lookup.is_due(fragment, time.time()) else {}


def further(paths):
    """Name the files of further stems for the command `stems`."""
    return " ".join(f"--extra {stem} {shlex.quote(path)}" for stem, path in zip(EXTRA, paths))


def transcriptions(track):
    """Return the files of a track that nothing else is made from, and that the settings ask for."""
    files = layout.track_files(RESULTS, track)
    wanted = {
        files.drums_midi: DRUMS,
        files.drums_quantised_midi: DRUMS and TRANSCRIBE["quantise"],
        **dict.fromkeys(files.drum_stems.values(), DRUM_STEMS),
        files.bass_midi: TRANSCRIBE["bass"] != "none",
    }
    return [path for path, is_wanted in wanted.items() if is_wanted]


def complete(wildcards):
    """What was measured of all tracks that can be exported; of their crops, the files that are written last."""
    ready = exports.ready(RESULTS, TAKEN, UNMADE, CROPPING)
    infos = [layout.track_files(RESULTS, track).info for track in ready]
    return infos + [layout.crops_stamp(RESULTS, track) for track in ready if CROPPING]


def overviews(wildcards):
    """What the report draws of all tracks that it is about; where it is made before the report, what there is of it."""
    ready = exports.ready(RESULTS, {track: TAKEN[track] for track in TRACKS} if BATCH else TAKEN, UNMADE, CROPPING)
    paths = [layout.track_files(RESULTS, track).overview for track in ready]
    return paths if BATCH or not exports.is_alone() else [path for path in paths if os.path.exists(path)]


def drawn(wildcards):
    """What was drawn on request, and the page of the library, where they exist."""
    tracks = [layout.track_files(RESULTS, track) for track in TAKEN]
    paths = [path for files in tracks for path in (files.beats_plot, files.drums_plot, files.crops_plot)]
    return [path for path in (layout.report(RESULTS), *paths) if os.path.exists(path)]


def sounds(wildcards):
    """What is heard of all tracks that can be exported; of their crops, the lists."""
    ready = exports.ready(RESULTS, TAKEN, UNMADE, CROPPING)
    tracks = [layout.track_files(RESULTS, track, config["stems"]["format"]) for track in ready]
    if CROPPING:
        return [track.crops for track in tracks]
    return [track.full_mix if EXPORT["sound"] == "mix" else track.stem(EXPORT["sound"]) for track in tracks]
