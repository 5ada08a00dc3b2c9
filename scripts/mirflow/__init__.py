"""mirflow: a directory of music becomes conditioning data for music generators.

How music becomes ``.INFO``: `library` finds the tracks, the rules in ``rules/`` run one command of `commands` per
artifact, `features` holds one module per feature, `info` merges their fragments.
"""

__version__ = "0.2.0"
