"""Rank correlations are scipy's where nothing is missing, and the order of clusters is settled."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab_pipeline.reports.correlations import (
    cluster_order,
    correlations,
    rank_correlations,
)


def groups(seed=5, n=600) -> np.ndarray:
    """Two groups of three rows that share a factor, and one row alone."""
    rng = np.random.default_rng(seed)
    one, two = rng.standard_normal((2, n))
    rows = [one, two, one, two, one, two, np.zeros(n)]
    return np.array([row + 0.4 * rng.standard_normal(n) for row in rows])


def test_without_gaps_it_is_spearmans_rho_with_ties() -> None:
    from scipy.stats import spearmanr

    values = np.round(groups(), 1)
    found = rank_correlations(values)
    np.testing.assert_allclose(found, spearmanr(values.T).statistic, atol=2e-6)
    assert np.allclose(np.diag(found), 1.0)


def test_it_does_not_change_under_a_rising_transformation() -> None:
    values = groups()
    np.testing.assert_array_equal(rank_correlations(values), rank_correlations(np.exp(values)))


def test_gaps_leave_the_pairs_that_are_known() -> None:
    values = groups()
    values[0, :100] = np.nan
    values[1, 50:] = np.nan
    found = rank_correlations(values)
    assert np.isnan(found[0, 1]), "never known together"
    ranks = np.argsort(np.argsort(values[0, 100:])).astype(float)
    others = np.argsort(np.argsort(values[2])).astype(float)[100:]
    assert found[0, 2] == pytest.approx(np.corrcoef(ranks, others)[0, 1], abs=2e-6)


def test_neighbours_belong_together_whatever_the_order_of_the_columns() -> None:
    values, names = groups(), tuple("abcdefg")
    found = correlations(names, values)
    joined = "".join(found.names)
    assert {frozenset(joined[:3]), frozenset(joined[-3:])} & {frozenset("ace"), frozenset("bdf")}
    assert sorted(found.names) == list(names)
    turned = correlations(names[::-1], values[::-1])
    pairs = {(one, other): rho for one, other, rho in found.strongest(100)}
    for one, other, rho in turned.strongest(100):
        assert pairs.get((one, other), pairs.get((other, one))) == rho
    assert found.strongest(3) == correlations(names, values).strongest(3)


def test_what_never_varies_or_never_was_stands_apart() -> None:
    values = np.vstack([groups()[:2], np.full(600, 7.0), np.full(600, np.nan)])
    found = correlations(("a", "b", "flat", "never"), values)
    assert sorted(found.names) == ["a", "b"]
    assert found.apart == ("flat",)


@pytest.mark.parametrize("n_rows", [0, 1, 2])
def test_too_few_rows_have_no_correlation(n_rows: int) -> None:
    found = correlations(("a", "b"), groups()[:2, :n_rows])
    assert found.n_rows == n_rows
    assert not found.strongest(5) or n_rows == 2
    assert cluster_order(np.full((2, 2), np.nan)) == [0, 1]


def test_few_rows_stand_for_many() -> None:
    values = groups(n=50_000)
    some, every = correlations("abcdefg", values, 5_000), correlations("abcdefg", values, 50_000)
    assert some.n_rows == 5_000
    pairs = {frozenset(p[:2]): p[2] for p in every.strongest(100)}
    for one, other, rho in some.strongest(100):
        assert rho == pytest.approx(pairs[frozenset((one, other))], abs=0.05)
