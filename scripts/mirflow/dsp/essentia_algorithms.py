"""Essentia's algorithms, without its log messages and without TensorFlow's threads."""

import os
import sys
from types import ModuleType


def standard() -> ModuleType:
    """Return the module `essentia.standard`. It prints errors to stderr, but no warnings and no information.

    The module lacks the algorithms that run TensorFlow graphs (see `mirflow.models.graphs` for those). The import of
    `essentia.standard` creates one instance of every algorithm, and those would start the threads of TensorFlow. A
    forked process does not inherit threads, so a graph that runs in it would wait for them forever.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the TensorFlow in Essentia's wheel reads it when it is loaded
    import essentia

    essentia.log.infoActive = essentia.log.warningActive = False
    if "essentia.standard" not in sys.modules:
        from essentia import _essentia

        all_names = _essentia.keys
        _essentia.keys = lambda: [name for name in all_names() if not _runs_tensorflow(name)]
        try:
            import essentia.standard
        finally:
            _essentia.keys = all_names
    return essentia.standard


def _runs_tensorflow(algorithm: str) -> bool:
    return algorithm.startswith("Tensorflow") or algorithm in ("PitchCREPE", "TempoCNN")
