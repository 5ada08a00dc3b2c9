# What every rule file uses: settings, where things lie, and how a command is called.

import os
import shlex
import sys

from snakemake.logging import logger
from snakemake_interface_executor_plugins.settings import DeploymentMethod

SCRIPTS = f"{workflow.basedir}/scripts"
if SCRIPTS not in sys.path:
    sys.path.insert(0, SCRIPTS)

from mirflow import progress, registry, settings, worker
from mirflow.errors import MirflowError

try:
    settings.check(config)
    RESULTS = settings.directory(config["results"])
except MirflowError as error:
    raise WorkflowError(str(error))


# A track's folder is {parent}{name}: `parent` is empty or ends with a slash, `name` is repeated in <name>.INFO and its like.
wildcard_constraints:
    parent=r"(.+/)?",
    name=r"[^/]+",


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/.mirflow/logs",
    benchmarks=f"{RESULTS}/.mirflow/benchmarks",


# With --sdm conda, `python` is that of the rule's environment; without, it is the one that runs Snakemake.
CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
PYTHON = "python" if CONDA else shlex.quote(sys.executable)
# Every command runs warm where it can: in a worker that lives as long as this process (see scripts/warm.py).
MIRFLOW = f"{PYTHON} -I -S {shlex.quote(SCRIPTS)}/warm.py"
# Commands that load a model run one after another in a process that keeps it (see scripts/mirflow/model_worker.py).
MIRFLOW_MODEL = f"{MIRFLOW} --model"
os.environ["MIRFLOW_RUN"] = worker.identity()
os.environ["MIRFLOW_WARM"] = str(int(config["warm"] and sys.platform == "linux"))
