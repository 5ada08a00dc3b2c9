"""Statistics of the numbers of a library. Each is computed by a library that is made for it, and rests on all tracks
that have the values that it needs: two keys are compared over the tracks that have both (pairwise complete).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas

FEW = 20  # tracks: with fewer, statistics mean nothing, and are no findings
PERCENTILES = (0.5, 99.5)  # the ends of the range that is proposed
BINS = 40  # of a histogram
MARGIN = 0.25  # of the range that is proposed, which a histogram shows beyond each of its ends
OUTLYING, OUTLYING_OF_FEW = 6.0, 60.0  # robust z from which a value is an outlier, and what 1 / tracks adds to that
BY_CHANCE = 0.05  # expected number of outliers in the whole library that are none
OUTLYING_SHARE = 0.02  # of the values, at most; what more tracks have is a kind of music
SKEW_PERCENTILES = (10, 90)  # that are made symmetric about the median
POWERS = (0, 2)  # of the transform; beyond the logarithm at either end it has a largest value, and nothing is far
INFLATED = 10.0  # variance inflation above which the others predict a key
LEAST_EIGENVALUE = 1e-9  # of a correlation matrix: what is smaller is 0 with rounding errors
CORRELATED = 0.9  # Spearman's |rho| above which two keys count as one
MAD_TO_SIGMA = 0.6744898  # the third quartile of the normal distribution, Iglewicz & Hoaglin 1993


def describe(values: "pandas.DataFrame", ranges: Mapping[str, tuple[float, float]]) -> dict[str, dict[str, Any]]:
    """Describe each column by itself.

    Parameters
    ----------
    values : a row for each track, a column for each key; NaN where there is no value
    ranges : key → conditioning range, of the keys that have one

    Returns
    -------
    key → its statistics:

    count, mean, std (of a sample), min, q1, median, q3, max, iqr : None without values (std: with one)
    mad : median absolute deviation from the median
    p0_5, p99_5 : percentiles, linearly interpolated
    mode, mode_share : the most frequent value, and its share of the values
    clipped_below, clipped_above : number of values outside of the range
    histogram : ``counts`` of equal bins from ``low`` to ``high``, and how many values are ``below`` and ``above``
    """
    from scipy.stats import median_abs_deviation

    found = {}
    for key in values.columns:
        column = values[key].dropna().to_numpy()
        if not len(column):
            found[key] = {"count": 0}
            continue
        percents = (PERCENTILES[0], 25, 50, 75, PERCENTILES[1])
        low, q1, median, q3, high = np.percentile(column, percents).tolist()
        distinct, counts = np.unique(column, return_counts=True)
        one = {
            "count": len(column),
            "mean": float(column.mean()),
            "std": float(column.std(ddof=1)) if len(column) > 1 else None,
            "min": float(column.min()),
            "p0_5": low,
            "q1": q1,
            "median": median,
            "q3": q3,
            "p99_5": high,
            "max": float(column.max()),
            "iqr": q3 - q1,
            "mad": float(median_abs_deviation(column)),
            "distinct": len(distinct),
            "mode": float(distinct[counts.argmax()]),
            "mode_share": float(counts.max() / len(column)),
            "histogram": _histogram(column, low, high),
        }
        if key in ranges:
            one["clipped_below"] = int((column < ranges[key][0]).sum())
            one["clipped_above"] = int((column > ranges[key][1]).sum())
        found[key] = one
    return found


def _histogram(column: np.ndarray, low: float, high: float) -> dict[str, Any]:
    """Count all values, but for those that are so far from the percentiles that the others would share few bins."""
    margin = MARGIN * (high - low)
    low, high = max(column.min(), low - margin), min(column.max(), high + margin)
    counts, edges = np.histogram(column, BINS, (low, high))  # of equal values the bins are from 0.5 below to 0.5 above
    return {
        "low": edges[0],
        "high": edges[-1],
        "counts": counts.tolist(),
        "below": int((column < low).sum()),
        "above": int((column > high).sum()),
    }


def robust_z(values: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return the modified z-score of each value: 0.6745 (x - median) / MAD; NaN where the MAD is 0.

    The MAD of a key is 0 where more than half of its values are equal. Then nothing says how far is far.

    Source: B. Iglewicz and D. Hoaglin 1993, How to detect and handle outliers.
    """
    deviations = values - values.median()
    mad = deviations.abs().median()
    return MAD_TO_SIGMA * deviations / mad.where(mad > 0)


def outliers(values: "pandas.DataFrame") -> dict[str, list[tuple[str, float, float]]]:
    """Return key → (track, value, robust z) of the values that are far from all others, the farthest first.

    Many quantities are skewed or have long tails, which are no errors. So a value must be far in two ways: as it is,
    and after a power transform that makes the middle of the distribution symmetric. There it must also be farther than
    tails that fall exponentially, as the upper quarter of the distances does, would reach by chance in any key.

    Sources: robust z as in `robust_z`; D. Hinkley 1975, On power transformations to symmetry, Biometrika 62; I. Yeo and
    R. Johnson 2000, A new family of power transformations, Biometrika 87.
    """
    found = {}
    for key, column in robust_z(values).items():
        z = column.dropna()
        least = OUTLYING + OUTLYING_OF_FEW / max(1, len(z))
        if len(z) < FEW or z.abs().max() <= least:
            continue
        distance = np.abs(_symmetric(z.to_numpy()))
        quarter, eighth = np.quantile(distance, (0.75, 0.875))
        reach = quarter + (eighth - quarter) / np.log(2) * np.log(len(z) / 4 * len(values.columns) / BY_CHANCE)
        far = z[(z.abs() > least) & (distance > max(least, reach))].sort_values(
            key=lambda one: -one.abs(), kind="stable"
        )
        if 0 < len(far) <= max(1, OUTLYING_SHARE * len(z)):
            found[key] = [(track, float(values.at[track, key]), float(one)) for track, one in far.items()]
    return found


def _symmetric(z: np.ndarray) -> np.ndarray:
    """Return robust z after the power transform that makes z as symmetric as it can."""
    from scipy.optimize import brentq
    from scipy.stats import median_abs_deviation, yeojohnson

    ends = np.percentile(z, SKEW_PERCENTILES)

    def skew(power: float) -> float:
        return yeojohnson(ends, power).sum()  # the median stays 0

    low, high = POWERS
    if skew(low) * skew(high) < 0:
        power = brentq(skew, low, high)
    else:
        power = min(POWERS, key=lambda one: abs(skew(one)))
    changed = yeojohnson(z, power)
    return MAD_TO_SIGMA * (changed - np.median(changed)) / median_abs_deviation(changed)


def correlation(values: "pandas.DataFrame", method: str = "spearman") -> "pandas.DataFrame":
    """Return the correlation of each pair of keys, over the tracks that have both.

    NaN where fewer than `FEW` tracks have both, or one of the keys is constant there.

    Parameters
    ----------
    method : "spearman", of ranks, or "pearson"
    """
    return values.corr(method=method, min_periods=FEW)


def comparable(r: "pandas.DataFrame") -> list[str]:
    """Return the keys that can be compared with each other: of pairs that cannot, the key with more such pairs goes."""
    unknown = r.isna()
    while unknown.any(axis=None):
        worst = unknown.sum().idxmax()
        unknown = unknown.drop(index=worst, columns=worst)
    return list(unknown.columns)


def clusters(rho: "pandas.DataFrame") -> list[list[str]]:
    """Return the groups of keys that are connected by pairs with ``|rho| > CORRELATED``, the largest first."""
    from scipy.sparse.csgraph import connected_components

    count, member = connected_components(np.abs(rho.fillna(0).to_numpy()) > CORRELATED, directed=False)
    groups = [sorted(rho.columns[member == one]) for one in range(count)]
    return sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), group))


def order(rho: "pandas.DataFrame") -> list[str]:
    """Return the keys such that those that go together stand together: leaves of a tree of 1 - |rho|."""
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    if len(rho) < 3:
        return list(rho.columns)
    distance = 1 - np.abs(rho.fillna(0).to_numpy())
    np.fill_diagonal(distance, 0)
    tree = hierarchy.linkage(squareform(distance.clip(0), checks=False), "average")
    return [rho.columns[place] for place in hierarchy.leaves_list(tree)]


def inflation(r: "pandas.DataFrame", tracks: int) -> dict[str, float]:
    """Return the variance inflation factor of each key: how much of it all others together predict linearly.

    It is the diagonal of the inverse of the correlation matrix, corrected for the number of keys (adjusted R²): of
    unrelated keys it is 1 on average, whatever their number.

    Parameters
    ----------
    r : Pearson's correlations, without NaN. That they rest on different tracks can make eigenvalues negative; what is
        smaller than the largest of these cannot be told from 0, and counts as that
    tracks : how many each correlation rests on, at least; more than there are keys

    Source: D. Belsley, E. Kuh and R. Welsch 1980, Regression Diagnostics.
    """
    from scipy import linalg

    if r.empty:
        return {}
    eigenvalues, vectors = linalg.eigh(r.to_numpy())
    inverse = 1 / np.maximum(eigenvalues, max(LEAST_EIGENVALUE, -eigenvalues[0]))
    factors = (vectors**2 * inverse).sum(axis=1) * (tracks - len(r)) / (tracks - 1)
    return dict(zip(r.columns, factors.tolist(), strict=True))


def left_out(r: "pandas.DataFrame", tracks: int) -> list[str]:
    """Return which keys to leave out, until the variance inflation of no other one exceeds `INFLATED`.

    One key after the other is left out, that with the largest inflation first.
    """
    out: list[str] = []
    while (found := inflation(r, tracks)) and max(found.values()) > INFLATED:
        out.append(max(found, key=found.get))
        r = r.drop(index=out[-1], columns=out[-1])
    return out


def information(values: "pandas.DataFrame", bins: int = 10) -> "pandas.DataFrame":
    """Return the mutual information of each pair of keys in nats, over the tracks that have both.

    Each key is divided into `bins` classes with equally many tracks. The bias of the estimate by Miller and Madow is
    subtracted. On the diagonal is the entropy of the classes.

    NaN where fewer than ``bins ** 2`` tracks have both keys.

    Source: G. Miller 1955, Note on the bias of information estimates; computed by scikit-learn.
    """
    import pandas as pd
    from sklearn.metrics import mutual_info_score

    classes = {}
    for key in values.columns:
        coded = pd.qcut(values[key], bins, labels=False, duplicates="drop").to_numpy()
        classes[key] = coded[:, None] == np.arange(bins)  # NaN belongs to no class
    keys = list(values.columns)
    coded = np.concatenate([classes[key] for key in keys], axis=1).astype(np.float32) if keys else np.zeros((0, 0))
    joint = (coded.T @ coded).reshape(len(keys), bins, len(keys), bins)
    found = np.full((len(keys), len(keys)), np.nan)
    for one in range(len(keys)):
        for two in range(one, len(keys)):
            table = joint[one, :, two].astype(np.int64)
            tracks = table.sum()
            if tracks >= bins**2:
                rows, columns, cells = (np.count_nonzero(one) for one in (table.sum(1), table.sum(0), table))
                bias = max(0, cells - rows - columns + 1) / (2 * tracks)
                found[one, two] = mutual_info_score(None, None, contingency=table) - bias
    found = np.fmax(found, found.T)
    return pd.DataFrame(found, index=keys, columns=keys)


def components(rho: "pandas.DataFrame") -> list[float]:
    """Return which share of the variance of standardised keys each principal component carries, the largest first.

    Parameters
    ----------
    rho : correlations without NaN. That they rest on different tracks can make the smallest components negative; these
        count as 0
    """
    from scipy import linalg

    if rho.empty:
        return []
    variances = linalg.eigvalsh(rho.to_numpy())[::-1].clip(0)
    return (variances / variances.sum()).tolist()


def carrying(shares: Sequence[float], share: float) -> int:
    """Return how many of the first components carry a share of the variance."""
    return int(np.searchsorted(np.cumsum(shares), share - 1e-9) + 1) if shares else 0


def label_counts(
    labels: Iterable[Mapping[str, float]], thresholds: Sequence[float] = (0.1, 0.3, 0.5)
) -> dict[str, list[int]]:
    """Return label → number of tracks in which it is at least as likely as each threshold; the most frequent first.

    Parameters
    ----------
    labels : of each track, label → probability
    """
    counts: dict[str, list[int]] = {}
    for found in labels:
        for label, probability in found.items():
            if probability >= thresholds[0]:
                one = counts.setdefault(label, [0] * len(thresholds))
                for place, threshold in enumerate(thresholds):
                    one[place] += probability >= threshold
    return dict(sorted(counts.items(), key=lambda pair: ([-count for count in pair[1][::-1]], pair[0])))
