"""Variables of the environment that libraries read when they are imported."""

import os

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def prepare() -> None:
    """Set what is not set yet; to be called before numpy is imported.

    One job is one thread unless its rule says otherwise, since the workflow runs jobs side by side. (Snakemake sets
    these variables to the rule's threads.) TensorFlow, which Essentia brings along, logs errors only.
    """
    for variable in THREADS:
        os.environ.setdefault(variable, "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
