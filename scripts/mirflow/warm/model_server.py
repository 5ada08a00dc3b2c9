"""The model server: keeps a loaded model, and runs one command at a time.

``python -m mirflow.warm.model_server SOCKET RUN READY_FD`` is started by ``scripts/warm.py --model``. It is a server
like `mirflow.warm.server`, with a single executor that keeps its loaded model (`mirflow.models.cache`); commands wait
for it. The server imports and loads nothing itself. When the executor crashes, or is ended because its client has gone
away (nothing else stops native code), the next command gets a new one.
"""

import sys

from mirflow.warm.server import Server, allow_files, begin


class ModelServer(Server):
    """Serves the commands of one run that need a model, one after another."""

    MOST = 1
    STAYS = True


def main(argv: list[str]) -> None:
    """Listen, say so, serve."""
    path, run, ready = argv[0], argv[1], int(argv[2])
    allow_files()
    begin(ModelServer(path, run), ready)


if __name__ == "__main__":
    main(sys.argv[1:])
