"""How every program here starts and ends."""

import sys
from collections.abc import Callable

from mirflow.core.errors import ERROR, MirflowError


def run(main: Callable[[], None]) -> int:
    """Run a program; return its exit status: 0, or 1 after an error that a person can act on, which is printed."""
    try:
        main()
    except MirflowError as error:
        print(f"{ERROR}{error}", file=sys.stderr)
        return 1
    return 0
