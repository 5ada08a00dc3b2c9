"""Essentia's algorithms, without its chatter and without threads."""

import os
import sys
from types import ModuleType


def standard() -> ModuleType:
    """Return `essentia.standard`; its errors still reach stderr, its information and TensorFlow's do not.

    The algorithms that run TensorFlow graphs are not in it (for those see `mirflow.tensorflow`). Its import makes one
    of every algorithm, and the first of these starts TensorFlow's threads: a fork of such a process that runs a graph
    waits for them for ever.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read by the TensorFlow in Essentia's wheel when it is loaded
    import essentia

    essentia.log.infoActive = essentia.log.warningActive = False
    if "essentia.standard" not in sys.modules:
        from essentia import _essentia

        every = _essentia.keys
        _essentia.keys = lambda: [name for name in every() if not _runs_graphs(name)]
        try:
            import essentia.standard
        finally:
            _essentia.keys = every
    return essentia.standard


def _runs_graphs(algorithm: str) -> bool:
    return algorithm.startswith("Tensorflow") or algorithm in ("PitchCREPE", "TempoCNN")
