"""The trainers that exports are made for: one module for each, found by being here."""

import importlib
import pkgutil

from mirflow.core.errors import MirflowError
from mirflow.export.build import Target


def names() -> tuple[str, ...]:
    """Return the names of all targets, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def target(name: str) -> Target:
    """Return the module of a target.

    Raises
    ------
    MirflowError : there is none of that name
    """
    if name not in names():
        raise MirflowError(f"no export {name!r}; there are {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")
