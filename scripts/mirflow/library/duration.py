"""How long a source is, as its header says: an estimate that costs some milliseconds."""

import os


def estimate(path: str | os.PathLike) -> float:
    """Return the duration of a sound file in seconds as its header states it, 0 where it states none.

    Only decoding can tell for certain; an estimate of how much work a library is needs no certainty.
    """
    import av

    try:
        with av.open(os.fspath(path), metadata_errors="ignore") as container:
            return (container.duration or 0) / av.time_base
    except (av.FFmpegError, OSError, ValueError):
        return 0.0
