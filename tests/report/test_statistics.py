"""Statistics against answers that are known beforehand."""

import numpy as np
import pandas as pd
import pytest

from mirflow.report import relations, statistics

RNG = np.random.default_rng(1)


def test_missing_values_do_not_move_others_to_another_track():
    """Over the tracks that have both, b falls as a rises; paired by position without the missing ones, it would not."""
    a = pd.Series(np.arange(60.0))
    b = -a + 100
    a[::3], b[1::3] = np.nan, np.nan
    table = pd.DataFrame({"a": a, "b": b, "c": RNG.permutation(60.0 * np.ones(60).cumsum())})
    both = table[["a", "b"]].dropna()
    assert len(both) == 20 and not table.dropna(subset=["a"])["b"].notna().all()
    assert statistics.correlation(table).at["a", "b"] == pytest.approx(-1)
    by_position = np.corrcoef(a.dropna().sample(frac=1, random_state=0)[:40], b.dropna()[:40])[0, 1]
    assert abs(by_position) < 0.5
    # A third key with other gaps changes nothing: no track is left out for it.
    table["d"] = np.where(np.arange(60) < 30, np.nan, 1.0 * np.arange(60))
    assert statistics.correlation(table).at["a", "b"] == pytest.approx(-1)
    assert np.isnan(statistics.correlation(table[:15]).at["a", "b"])  # too few


def test_a_description_of_known_numbers():
    values = pd.DataFrame({"x": [*range(1, 101), np.nan], "same": [3.0] * 101, "none": [np.nan] * 101})
    found = statistics.describe(values, {"x": (10, 90)})
    x = found["x"]
    assert (x["count"], x["mean"], x["median"], x["q1"], x["q3"], x["iqr"], x["mad"]) == (
        100,
        50.5,
        50.5,
        25.75,
        75.25,
        49.5,
        25,
    )
    assert (x["p0_5"], x["p99_5"]) == pytest.approx((1.495, 99.505))
    assert x["std"] == pytest.approx(np.sqrt(100 * 101 / 12))
    assert (x["clipped_below"], x["clipped_above"]) == (9, 10)
    assert sum(x["histogram"]["counts"]) == 100 and found["same"]["mode_share"] == 1
    assert found["none"] == {"count": 0}


def test_robust_z_is_that_of_iglewicz_and_hoaglin_and_nothing_where_the_mad_is_0():
    values = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 6, 100], "mostly 0": [0.0, 0, 0, 0, 0, 5, 7]})
    z = statistics.robust_z(values)
    assert z["x"].iloc[-1] == pytest.approx(0.6745 * 96 / 2, rel=1e-4)
    assert z["mostly 0"].isna().all()


@pytest.mark.parametrize("shape", ["normal", "exponential", "lognormal", "beta"])
def test_an_outlier_is_found_in_any_shape_and_none_where_there_is_none(shape):
    """A long tail is no error."""
    draw = {
        "normal": lambda: RNG.normal(size=300),
        "exponential": lambda: RNG.exponential(size=300),
        "lognormal": lambda: np.exp(RNG.normal(size=300)),
        "beta": lambda: RNG.beta(5, 1, size=300),
    }[shape]
    values = pd.DataFrame({f"key {index}": draw() for index in range(40)})
    assert statistics.outliers(values) == {}
    values.loc[7, "key 3"] = 5000.0
    assert [(place, value) for place, value, _ in statistics.outliers(values)["key 3"]] == [(7, 5000.0)]


def test_clusters_are_chains_and_stand_together():
    x, y = RNG.normal(size=(2, 200))
    values = pd.DataFrame({"a": x, "y": y, "b": np.exp(x), "c": -(x**3), "z": RNG.normal(size=200)})
    rho = statistics.correlation(values)
    assert statistics.clusters(rho) == [["a", "b", "c"]]
    order = statistics.order(rho)
    assert max(order.index(key) for key in "abc") - min(order.index(key) for key in "abc") == 2


def test_inflation_of_two_keys_follows_from_their_correlation():
    r = pd.DataFrame([[1, 0.8], [0.8, 1]], index=["a", "b"], columns=["a", "b"])
    assert statistics.inflation(r, 10**9) == pytest.approx({"a": 1 / 0.36, "b": 1 / 0.36}, rel=1e-6)
    assert statistics.left_out(r, 10**9) == []


def test_inflation_of_unrelated_keys_is_1_however_many_and_that_of_a_sum_is_not():
    values = pd.DataFrame(RNG.normal(size=(300, 100)))
    found = statistics.inflation(statistics.correlation(values, "pearson"), 300)
    assert np.mean(list(found.values())) == pytest.approx(1, abs=0.1)
    values["sum"] = values[[0, 1, 2]].sum(axis=1) + 0.01 * RNG.normal(size=300)
    r = statistics.correlation(values, "pearson")
    assert statistics.inflation(r, 300)["sum"] > 1000
    assert len(statistics.left_out(r, 300)) == 1


def test_mutual_information_of_equal_unrelated_and_folded_keys():
    x = np.linspace(-1, 1, 4000)
    found = statistics.information(
        pd.DataFrame({"x": x, "same": 3 * x, "other": RNG.normal(size=4000), "folded": x**2})
    )
    assert found.at["x", "same"] == found.at["x", "x"] == pytest.approx(np.log(10), abs=1e-6)
    assert found.at["x", "other"] == pytest.approx(0, abs=0.01)
    assert found.at["x", "folded"] == pytest.approx(np.log(5), abs=0.01)
    assert np.isnan(statistics.information(pd.DataFrame({"x": x[:99], "y": x[:99]})).at["x", "y"])


def test_components_of_keys_that_are_two_things():
    x, y = RNG.normal(size=(2, 500))
    shares = statistics.components(
        statistics.correlation(pd.DataFrame({"a": x, "b": 2 * x, "c": y, "d": -y}), "pearson")
    )
    assert statistics.carrying(shares, 0.95) == 2 and sum(shares) == pytest.approx(1)
    assert statistics.carrying([0.5, 0.45, 0.05], 0.95) == 2


def test_keys_that_cannot_be_compared_are_left_out():
    values = pd.DataFrame(RNG.normal(size=(60, 3)), columns=["a", "b", "c"])
    values.loc[:49, "b"] = np.nan
    assert statistics.comparable(statistics.correlation(values)) == ["a", "c"]


def test_labels_are_counted_at_each_threshold():
    tracks = [{"House": 0.6, "Techno": 0.3}, {"House": 0.5, "Rock": 0.1}, {"Rock": 0.09}]
    assert statistics.label_counts(tracks) == {"House": [2, 2, 2], "Techno": [1, 1, 0], "Rock": [1, 0, 0]}


def test_known_relations_are_named():
    chroma = [f"chroma_{index}" for index in range(12)]
    assert relations.free([*chroma, "bpm"]) == [*chroma[:-1], "bpm"] and relations.free(chroma[:5]) == chroma[:5]
    assert "bass stem" in relations.explanation(["lufs_bass", "stem_rms_bass"]) and not relations.explanation(
        ["lufs", "bpm"]
    )
