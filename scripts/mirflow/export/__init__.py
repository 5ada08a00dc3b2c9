"""Exports: trees of files that trainers load as they are, one module of `mirflow.export.targets` per trainer; tables.

An export has items: crops where the settings make crops, else whole tracks. `build.build` makes a tree beside its place
and moves it there when it is whole.
"""
