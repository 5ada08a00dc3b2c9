"""Stand-ins for packages that trainers import, and that loading their data does not need."""

import importlib.abc
import importlib.machinery
import sys
import types


class _Module(types.ModuleType):
    """A module that has every attribute: a class where the name begins with a capital letter, else such a module.

    It can also be called, as a decorator.
    """

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {}) if name[0].isupper() else _Module(name)

    def __call__(self, *arguments, **more):
        return arguments[0] if arguments and callable(arguments[0]) else self


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, packages):
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.packages:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Module(spec.name)

    def exec_module(self, module):
        pass


def install(*packages):
    """Let these packages, where they are not installed, be imported as stand-ins."""
    sys.meta_path.append(_Finder(packages))
