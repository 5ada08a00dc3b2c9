"""What this workflow changes of Snakemake itself, each change with its reason: all of it is here, and nowhere else.

Two kinds. *Protections* decide what is made again and keep other people's data: without them the workflow would do
harm, so they are applied to any version, and one whose target is gone stops the run. *Accelerations* give the same
answers with less work; they are applied to `KNOWN_VERSION` only, since another one may have other answers.

Each could be an option of Snakemake; until it is, `replace` says loudly when what it replaces has gone.
"""

import contextlib
import functools
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import snakemake
import snakemake.api  # before its parts, which import one another
import snakemake.benchmark
from snakemake.dag import DAG
from snakemake.exceptions import WorkflowError
from snakemake.executors import local
from snakemake.io import IOFile
from snakemake.jobs import Job
from snakemake.logging import logger
from snakemake.output_index import OutputIndex
from snakemake.persistence import NO_PARAMS_CHANGE, FileBackupMixin, ParamsChange, PersistenceBase
from snakemake.persistence.file import FilePersistence
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.shell import shell
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from mirflow.core import identity, layout
from mirflow.labels import heads
from mirflow.models import download
from mirflow.workflow import upgrades
from mirflow.workflow.records import Records

KNOWN_VERSION = "9.27.1"
FILES = re.compile(r"'[\w.+-]+:[0-9a-f]*( [\w.+-]+:[0-9a-f]*)*'")  # what version 0.1.0 recorded of a model


def replace(owner: Any, name: str, by: Any) -> Any:
    """Set an attribute of Snakemake that exists; return what it was.

    Raises
    ------
    WorkflowError : it does not exist in this version
    """
    if not hasattr(owner, name):
        where = getattr(owner, "__qualname__", getattr(owner, "__name__", owner))
        raise WorkflowError(
            f"Snakemake {snakemake.__version__} has no {where}.{name}, which mirflow replaces;"
            f" use Snakemake {KNOWN_VERSION} (envs/base.txt), or adapt {__name__}"
        )
    before = getattr(owner, name)
    setattr(owner, name, by)
    return before


def apply(results: str, models: str, conda: bool) -> None:
    """Apply what belongs before the rules.

    Parameters
    ----------
    results, models : directories, as they stand in the paths of artifacts
    conda : whether the rules run in environments of their own (``--sdm conda``)
    """
    keep_outputs()
    take_any_name()
    decide_by_meaning()
    keep_records(results, models)
    if snakemake.__version__ == KNOWN_VERSION:
        plan_faster(conda)
        schedule_faster()
    else:
        logger.warning(
            f"mirflow: Snakemake {snakemake.__version__} is not the version that was measured ({KNOWN_VERSION}):"
            " planning and scheduling are slower"
        )


def finish(workflow: Any) -> None:
    """Apply what belongs after the rules: their $TMPDIR is the one that they have already.

    Snakemake would evaluate an expression for each job to find that out, a tenth of what a plan costs. An option would
    be a constant as the default of the resource `tmpdir`.
    """
    for rule in workflow.rules:
        if getattr(rule.resources.get("tmpdir"), "raw", None) == "system_tmpdir":
            rule.resources["tmpdir"] = None


# --- What the rules ask -----------------------------------------------------------------------------------------------


def uses_conda(workflow: Any) -> bool:
    """Whether the jobs run in conda environments of their own (``--sdm conda``)."""
    return DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method


def is_inner(workflow: Any) -> bool:
    """Whether another Snakemake started this one, for a job or for the jobs of a group."""
    return not workflow.is_main_process


def recorded_inputs(workflow: Any, path: str) -> list[str] | None:
    """Return the inputs that were recorded when an output was made, None where nothing is recorded."""
    return workflow.persistence.input(IOFile(path))


def planned(workflow: Any, rule: str) -> list[str]:
    """Return the tracks for which a run is to do the job of a rule."""
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name == rule]
    return [job.wildcards.parent + job.wildcards.name for job in jobs]


# --- Protections ------------------------------------------------------------------------------------------------------


def keep_outputs() -> None:
    """Leave outputs that are updated alone when their job fails.

    Before it updates an output Snakemake copies it, and when the job fails it writes the copy back over it, or removes
    it where it has none. So a full disk could leave half an .INFO, keys that somebody added meanwhile would be lost,
    and a clock that was set back deleted the file. The merge is atomic: after a failure there is nothing to restore. An
    option would be ``update(..., atomic=True)``.
    """
    replace(FileBackupMixin, "backup_output", lambda *_: None)
    replace(FileBackupMixin, "restore_output", lambda *_: True)


def take_any_name() -> None:
    """Let tracks be called anything.

    Snakemake gives up the whole run where a wildcard repeats itself twenty times (``Noooooooooooooooooooooo.flac``),
    which is how it recognises rules that make their own input again and again. No rule here does. An option would be to
    look for such rules only.
    """
    replace(DAG, "check_periodic_wildcards", lambda *_: None)


def decide_by_meaning() -> None:
    """Let jobs be out of date by what decides their values: inputs, and the parameter ``made_by``.

    Snakemake also compares the text of the command, of the environment's file, and all parameters. So a renamed option,
    a new package beside the others, or a parameter such as the number of threads would recompute a library, with the
    same values. Here `mirflow.core.identity.made_by` holds the versions and settings that count. Rules without that
    parameter are compared as ever. An option would be a flag on parameters, as there is on inputs (`ancient`).
    """
    for name in ("_code_changed", "_software_stack_changed"):
        unchanged_where_meant(name)

    every_param = replace(PersistenceBase, "_params", None)
    PersistenceBase._params = lambda persistence, job: meant(job) or every_param(persistence, job)

    every_change = replace(PersistenceBase, "params_changed", None)

    def params_changed(persistence: Any, job: Any, file: str | None = None) -> Any:
        if not meant(job):
            return every_change(persistence, job, file)
        changes = NO_PARAMS_CHANGE
        for output in [file] if file is not None else job.output:
            recorded = persistence.params(output)
            if recorded is not None:
                known = recalled(recorded, job.params.made_by)
                old, new = set(upgrades.renewed(known, str(output))), set(meant(job))
                changes |= ParamsChange(only_old=old - new, only_new=new - old, files={output})
        return changes

    PersistenceBase.params_changed = params_changed


def keep_records(results: str, models: str) -> None:
    """Keep the records of artifacts in the results, in terms that hold wherever these lie.

    Snakemake keeps them in ``.snakemake`` of the working directory, under the paths that were given. Without them
    nothing is out of date but by its time: after an upgrade in a new directory, or with ``results=../out`` instead of
    ``results=/data/out``, a new version or setting would make nothing again, without a word. Records that are still in
    ``.snakemake`` are read as well. An option would be ``--metadata-directory``, with paths relative to it.
    """
    records, prefix = Records(results), f"{results}/"
    folder = layout.own(results, layout.RECORDS)
    record_path = FilePersistence._record_path
    read = replace(FilePersistence, "_io_read", None)
    write = replace(FilePersistence, "_io_write", None)
    delete = replace(FilePersistence, "_io_delete", None)

    def is_kept(persistence: FilePersistence, subject: str, output: str) -> bool:
        return subject == persistence._metadata_path and output.startswith(prefix)

    def earlier_paths(persistence: FilePersistence, output: str) -> Iterator[str]:
        """Yield where the record of an artifact lay in earlier versions: in the results, in the working directory."""
        for where, name in ((folder, output.removeprefix(prefix)), (persistence._metadata_path, output)):
            if has_any(where):
                persistence._fetch_max_len(where)  # of a folder that exists
                yield record_path(persistence, where, name)

    @functools.cache
    def has_any(folder: str) -> bool:
        with contextlib.suppress(OSError):
            return any(os.scandir(folder))
        return False

    def read_kept(persistence: FilePersistence, subject: str, output: str) -> dict:
        if not is_kept(persistence, subject, output):
            return read(persistence, subject, output)
        if found := records.read(output.removeprefix(prefix)):
            return found
        for path in earlier_paths(persistence, output):
            with contextlib.suppress(OSError, ValueError), open(path) as earlier:
                return json.load(earlier)
        return {}

    def write_kept(persistence: FilePersistence, subject: str, content: dict, output: str, **mode: int) -> None:
        if not is_kept(persistence, subject, output):
            return write(persistence, subject, content, output, **mode)
        # The text of the environment's file decides nothing (see `decide_by_meaning`), and is a third of all records.
        records.write(output.removeprefix(prefix), content | {"conda_env": None})

    def delete_kept(persistence: FilePersistence, subject: str, output: str) -> bool:
        if not is_kept(persistence, subject, output):
            return delete(persistence, subject, output)
        for path in earlier_paths(persistence, output):
            Path(path).unlink(missing_ok=True)
        return records.delete(output.removeprefix(prefix))

    FilePersistence._io_read, FilePersistence._io_write, FilePersistence._io_delete = read_kept, write_kept, delete_kept

    def portable(paths: Iterable[str]) -> list[str]:
        for where, name in ((prefix, "<results>/"), (f"{models}/", "<models>/")):
            paths = [name + path.removeprefix(where) if path.startswith(where) else path for path in paths]
        return sorted(paths)

    inputs = replace(PersistenceBase, "_input", None)
    PersistenceBase._input = lambda persistence, job: portable(inputs(persistence, job))

    def input_changed(persistence: PersistenceBase, job: Any, file: str | None = None) -> bool:
        recorded = persistence.input(file)
        if recorded is None:
            return False
        then, now = portable(recorded), persistence._input(job)
        # The metadata of a graph was an input once; what it said is a part of `made_by` now.
        metadata = {path.removesuffix(".pb") + heads.METADATA for path in now if path.startswith("<models>/")}
        return [path for path in then if path in now or path not in metadata] != now

    replace(PersistenceBase, "_input_changed", input_changed)


def unchanged_where_meant(name: str) -> None:
    """Let one of Snakemake's questions about what has changed be answered with no, for jobs with ``made_by``."""
    every = replace(PersistenceBase, name, None)
    setattr(PersistenceBase, name, lambda persistence, job, file=None: not meant(job) and every(persistence, job, file))


def meant(job: Any) -> list[str]:
    """Return what a job's artifact depends on beside its inputs, as it is recorded; of other rules nothing."""
    made_by = job.params.get("made_by")
    return sorted(f"{name}: {value}" for name, value in made_by.items()) if isinstance(made_by, dict) else []


def recalled(recorded: list[str], made_by: dict[str, str]) -> list[str]:
    """Return what was recorded of an artifact, as it would be recorded today.

    Code that was edited then may have been released since; hashes of model files may have become known; and version
    0.1.0 recorded all parameters, a hash of the sources among them (see "0.1.0" in versions.json).
    """
    if any(item.startswith("version: ") for item in recorded):
        found = {name: value for name, _, value in (item.partition(": ") for item in recorded)}
        model = found.get("model", "")
    else:
        model = " ".join(item.strip("'") for item in recorded if FILES.fullmatch(item))
        found = identity.translate([_recalled_text(item, made_by) for item in recorded], made_by)
    for name, value in found.items():
        if name.endswith("version"):
            found[name] = identity.unify(value)
        elif name == "model" and value != made_by.get("model", value):
            found[name] = download.recalled(value, made_by["model"])
        elif name == "sha256" and not value:  # of a model file itself
            found[name] = made_by.get("sha256", "")
    found.pop("again", None)  # what was to be done again for this reason is done
    if "classes" in made_by and "classes" not in found:
        found["classes"] = heads.recalled_classes(model, made_by["classes"])
    return [f"{name}: {value}" for name, value in found.items()]


def _recalled_text(recorded: str, made_by: dict[str, str]) -> str:
    """Return a value that version 0.1.0 recorded, as Python writes it; one that names a model's files as of today."""
    if "model" not in made_by or not FILES.fullmatch(recorded):
        return recorded
    return repr(download.recalled(recorded.strip("'"), made_by["model"]))


# --- Accelerations ----------------------------------------------------------------------------------------------------


def plan_faster(conda: bool) -> None:
    """Plan with a fifth less CPU time (with 1000 tracks there are 22 000 jobs)."""
    # Every job asks anew which rule makes each of its inputs, for full_mix.flac a dozen times a track.
    replace(OutputIndex, "match_producers", functools.cache(OutputIndex.match_producers))

    # A job is valid when the paths of its log and its benchmark can be told. Both are kept since the job was made.
    replace(Job, "is_valid", lambda job: (job.benchmark, job.log))

    # What environment a job needs decides nothing in a dry run without --sdm conda, but asking evaluates all
    # parameters.
    update_conda_envs = replace(DAG, "update_conda_envs", None)
    DAG.update_conda_envs = lambda dag: None if dag.workflow.dryrun and not conda else update_conda_envs(dag)

    check_directory_outputs = replace(DAG, "check_directory_outputs", None)

    def check_nested_outputs(dag: DAG) -> None:
        """Look for an output below another one as Snakemake does, only if one is a folder of any: mostly none is."""
        outputs = {os.path.abspath(path) for job in dag.jobs for path in job.output}
        folders = set()
        for folder in map(os.path.dirname, outputs):
            while folder not in folders:
                folders.add(folder)
                folder = os.path.dirname(folder)
        if not outputs.isdisjoint(folders):
            check_directory_outputs(dag)

    DAG.check_directory_outputs = check_nested_outputs


def schedule_faster() -> None:
    """Keep one timer of the scheduler, and measure no process that only waits."""
    # After each of its rounds the scheduler starts a timer for the next one, in a second, for jobs that the limit of
    # starts a second may have held back; that one starts a timer again. So every job leaves a timer for good, and after
    # some hundreds of jobs the scheduler makes hundreds of rounds a second. One timer does the same.
    waiting: dict[Any, threading.Timer] = {}

    def look_again(scheduler: JobScheduler, seconds: float) -> None:
        def due() -> None:
            del waiting[scheduler, seconds]
            scheduler._open_jobs.release()

        if (scheduler, seconds) not in waiting:
            waiting[scheduler, seconds] = timer = threading.Timer(seconds, due)
            timer.daemon = True  # when all is done nobody waits for it
            timer.start()

    replace(JobScheduler, "_schedule_reevalutation", look_again)

    # Of each job's process Snakemake notes CPU time and memory, for which it looks at all processes of the machine,
    # twice a job. A warm job's process does nothing but wait for the worker; how long it waited is told as ever.
    @contextlib.contextmanager
    def timed(pid: int | None = None, benchmark_record: Any = None, interval: float | None = None) -> Iterator[Any]:
        benchmark_record.process_gone = True  # the other columns: NA
        began = time.time()
        try:
            yield benchmark_record
        finally:
            benchmark_record.running_time = time.time() - began

    # Not where all is cold, whatever the settings say: mirflow.warm.server.announce.
    if os.environ["MIRFLOW_WARM"] == "1":
        replace(snakemake.benchmark, "benchmarked", timed)


def start_directly(starter: Callable[[str], Callable[..., Any]], end_all: Callable[[], None]) -> None:
    """Let warm commands of jobs be started without a shell, where possible, and end them with the run.

    Parameters
    ----------
    starter : what stands before all commands → what starts one, in place of ``subprocess.Popen``
    end_all : ends all commands that were started directly; Ctrl-C in a terminal reaches processes alone
    """
    if snakemake.__version__ != KNOWN_VERSION or os.environ["MIRFLOW_WARM"] != "1":
        return
    start = starter(shell._process_prefix)
    replace(sys.modules[shell.__module__], "sp", SimpleNamespace(**{**vars(subprocess), "Popen": start}))

    cancel = replace(local.Executor, "cancel", None)

    def end_and_cancel(executor: local.Executor) -> None:
        end_all()
        cancel(executor)

    local.Executor.cancel = end_and_cancel
