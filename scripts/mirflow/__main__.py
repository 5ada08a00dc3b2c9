"""``python -m mirflow COMMAND``: every rule runs one of the commands in `mirflow.commands`, and each works by hand."""

import sys

from mirflow.core import environment

environment.prepare()

from mirflow.commands import main  # numpy reads the variables when it is imported

if __name__ == "__main__":
    sys.exit(main())
