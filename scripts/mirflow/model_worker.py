"""The model worker: keeps a loaded model, and runs one command at a time.

``python -m mirflow.model_worker SOCKET RUN READY_FD`` is started by ``scripts/warm.py --model``. It is a worker like
the other (mirflow.worker), with one child, in which the model stays that it loaded (`mirflow.resident`), and in front
of which commands wait. The worker itself imports and holds nothing: when the child crashes, or its client goes away -
since nothing else stops native code - the next command gets a new child.
"""

import sys

from mirflow.worker import Worker, allow_files, begin


class ModelWorker(Worker):
    """Serves the commands of one run that need a model, one after another."""

    MOST = 1
    STAYS = True


def main(argv: list[str]) -> None:
    """Listen, say so, serve."""
    path, run, ready = argv[0], argv[1], int(argv[2])
    allow_files()
    begin(ModelWorker(path, run), ready)


if __name__ == "__main__":
    main(sys.argv[1:])
