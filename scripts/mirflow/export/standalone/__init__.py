"""Programs that are copied into exports. They use the standard library alone, and nothing of mirflow."""

import inspect
from types import ModuleType


def text(module: ModuleType) -> str:
    """Return the source of one of these programs."""
    return inspect.getsource(module)
