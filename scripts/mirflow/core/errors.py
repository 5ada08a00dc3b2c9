"""The one kind of error that a user is meant to read."""

ERROR = "mirflow: error: "  # how the last line of a command that failed begins


class MirflowError(Exception):
    """Something a person can act on: the message is one line that names the file and what is wrong with it.

    Commands print it without a traceback and exit with status 1; the summary at the end of a run repeats it.
    """
