"""How well beats and downbeats are found, by the field's measures (mir_eval)."""

import warnings

import numpy as np

TRIMMED = 5.0  # s at the beginning that do not count, for beats and for downbeats: mir_eval's default


def score(truth: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """Return F-measure (within 70 ms), CMLt and AMLt of times in seconds, without the first `TRIMMED` seconds."""
    from mir_eval import beat

    truth, found = beat.trim_beats(truth, TRIMMED), beat.trim_beats(found, TRIMMED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mir_eval warns of empty grids, which score 0
        _, correct, _, allowed = beat.continuity(truth, found)
        return beat.f_measure(truth, found), correct, allowed
