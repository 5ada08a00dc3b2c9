"""Essentia's algorithms, without its chatter."""

import os
from types import ModuleType


def standard() -> ModuleType:
    """Return `essentia.standard`; its errors still reach stderr, its information and TensorFlow's do not."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read by the TensorFlow in Essentia's wheel when it is loaded
    import essentia

    essentia.log.infoActive = essentia.log.warningActive = False
    import essentia.standard

    return essentia.standard
