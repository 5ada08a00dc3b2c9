"""A map of a library: tracks that sound alike lie near each other."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mirflow.core.layout import track_files
from mirflow.labels import embedding

FEWEST = 3  # tracks
NAMED = 2  # keys that name an axis
CONSTANT = 1e-9  # relative; a number whose standard deviation is smaller is a constant
FARTHEST = 8.0  # standard deviations; values that are farther from the mean would decide the whole map


def of_library(
    results: str, tracks: Sequence[str], columns: Mapping[str, Sequence[float | None]]
) -> dict[str, Any] | None:
    """Lay out the tracks of a library: by the first network whose output all of them have, else by their numbers.

    Parameters
    ----------
    results : where the artifacts of the tracks lie
    tracks : ids
    columns : see `of_numbers`

    Returns
    -------
    as `of_numbers`
    """
    for network in embedding.names():
        paths = [track_files(results, track).embedding(network) for track in tracks]
        if paths and all(map(os.path.exists, paths)):
            outputs = [embedding.Patches.load(path).output for path in paths]
            found = of_embeddings([output.mean(axis=0) if output.size else None for output in outputs], network)
            if found:
                return found
    return of_numbers(columns)


def of_numbers(columns: Mapping[str, Sequence[float | None]]) -> dict[str, Any] | None:
    """Lay out tracks by the two first principal components of their standardised numbers.

    Parameters
    ----------
    columns : key → a number for each track, None where there is none: there the mean of the others stands

    Returns
    -------
    rows : the tracks that are on the map, as places in the columns
    x, y : where they are
    axes : what the axes are, with the share of the variance
    says : one sentence on what the map is

    None for fewer than `FEWEST` tracks, or fewer than two numbers that vary
    """
    if not columns:
        return None
    values = np.array(list(columns.values()), dtype=float)  # [key, track]; None becomes NaN
    count = np.isfinite(values).sum(axis=1, keepdims=True)
    known = np.nan_to_num(values)
    mean = known.sum(axis=1, keepdims=True) / np.maximum(count, 1)
    centred = np.where(np.isfinite(values), values - mean, 0)
    deviation = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / np.maximum(count, 1))
    varied = deviation[:, 0] > CONSTANT * np.abs(mean[:, 0])
    if values.shape[1] < FEWEST or varied.sum() < 2:
        return None
    standard = np.clip(centred[varied] / deviation[varied], -FARTHEST, FARTHEST)
    return _layout(standard.T, [key for key, varies in zip(columns, varied, strict=True) if varies]) | {
        "says": f"The first two principal components of {varied.sum()} standardised numbers: tracks that measure alike"
        " lie near each other."
    }


def of_embeddings(vectors: Sequence[np.ndarray | None], network: str) -> dict[str, Any] | None:
    """Lay out tracks by the two first principal components of a network's output.

    Parameters
    ----------
    vectors : for each track its mean embedding [dimension], None where there is none
    network : its name

    Returns
    -------
    as `of_numbers`
    """
    rows = [row for row, vector in enumerate(vectors) if vector is not None]
    if len(rows) < FEWEST:
        return None
    found = _layout(np.array([vectors[row] for row in rows], dtype=float))
    return found | {
        "rows": rows,
        "says": f"The first two principal components of the embeddings of {network}: tracks that sound alike to this"
        " network lie near each other.",
    }


def _layout(values: np.ndarray, keys: Sequence[str] = ()) -> dict[str, Any]:
    """Return the map of rows of numbers [track, dimension]."""
    from sklearn.decomposition import PCA

    # The full decomposition draws no random numbers, and sets the signs of components by their largest entries.
    model = PCA(2, svd_solver="full")
    places = model.fit_transform(values)
    axes = []
    for place, (share, loadings) in enumerate(zip(model.explained_variance_ratio_, model.components_, strict=True)):
        strongest = [keys[index] for index in np.argsort(-np.abs(loadings), kind="stable")[:NAMED]] if keys else []
        about = f", most of all {' and '.join(strongest)}" if strongest else ""
        axes.append(f"component {place + 1}, {share:.0%} of the variance{about}")
    return {"rows": list(range(len(values))), "x": places[:, 0].tolist(), "y": places[:, 1].tolist(), "axes": axes}
