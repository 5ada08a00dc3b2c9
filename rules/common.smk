# What all rule files use - settings, where things lie, and how a command is called.

import json
import os
import re
import shlex
import sys
import time

from snakemake.io import IOFile
from snakemake.logging import logger
from snakemake_interface_executor_plugins.settings import DeploymentMethod

SCRIPTS = f"{workflow.basedir}/scripts"
if SCRIPTS not in sys.path:
    sys.path.insert(0, SCRIPTS)

from mirflow import accelerator, library, models, progress, registry, settings, worker
from mirflow.errors import MirflowError

# Models may be described in their own folder, and features follow from them: before the settings are checked.
models.use(str(config["models"]))
try:
    settings.read(config)
    settings.check(config)
    settings.share(config)
    RESULTS = settings.directory(config["results"], name="results")
    MODELS = settings.directory(config["models"], name="models")
    LIBRARY = library.scan(settings.path(config["library"]), exclude=RESULTS)
    # Of a large library `mirflow run` has a part made at a time. What belongs to a track is always in one of them;
    # Snakemake's own --batch sorts files by name, and would put a track's two targets in different ones.
    BATCH = progress.batch()
    TRACKS = BATCH.of(LIBRARY.tracks) if BATCH else list(LIBRARY.tracks)
except MirflowError as error:
    raise WorkflowError(str(error))


# A track's folder is {parent}{name}: `parent` is empty or ends with a slash, `name` is repeated in <name>.INFO and its like.
wildcard_constraints:
    parent=r"(.+/)?",
    name=r"[^/]+",


pathvars:
    results=RESULTS,
    models=MODELS,
    logs=f"{RESULTS}/.mirflow/logs",
    benchmarks=f"{RESULTS}/.mirflow/benchmarks",


# Priorities rise from the audio to the .INFO, so that tracks are completed one after the other instead of all at the end,
# and what several steps of one track read is still in memory.

# With --sdm conda, `python` is that of the rule's environment; without, it is the one that runs Snakemake.
CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
PYTHON = "python" if CONDA else shlex.quote(sys.executable)
# In all rules `mirflow` is the package's command line, and the last that the shell does. It runs warm where it can: in a
# worker that lives as long as this process (see scripts/warm.py).
CLIENT = f"{PYTHON} -I -S {shlex.quote(SCRIPTS)}/warm.py".replace("{", "{{").replace("}", "}}")
shell.prefix(f'set -euo pipefail; mirflow() {{{{ exec {CLIENT} "$@"; }}}}; ')
worker.announce(config["warm"], inner=not workflow.is_main_process)


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
    full_mix = f"{RESULTS}/{wildcards.parent}{wildcards.name}/full_mix.flac"
    recorded = workflow.persistence.input(IOFile(full_mix))
    try:
        changed = os.path.getmtime(path)
        wanted = str(path) in recorded if recorded is not None else changed > os.path.getmtime(full_mix)
    except OSError:
        return []
    usable = changed <= time.time() and os.access(path, os.R_OK) and not library.reads_as_pattern(path)
    return str(path) if wanted and usable else []


def stamp(wildcards):
    """Size and time of change of a source, the latter as exactly as all file systems keep it: to two seconds."""
    try:
        status = os.stat(known(wildcards))
    except OSError:  # its own job will say so
        return ""
    return f"{status.st_size} {int(status.st_mtime) // 2 * 2}"
