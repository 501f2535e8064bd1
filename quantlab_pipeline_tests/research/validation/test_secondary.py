"""HAC and two-way clustering: statsmodels, loops over pairs, and where they are undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.research.validation.evaluate import evaluate_family
from quantlab_pipeline.research.validation.secondary import hac_variance, two_way_variance
from quantlab_pipeline.research.validation.spec import V1Thresholds
from quantlab_pipeline_tests.oracles import calendar_time
from quantlab_pipeline_tests.oracles import clustering as oracle
from quantlab_pipeline_tests.research.validation import builders


def _list_of_events(seed, n=120):
    """Symbols, days, entries (not in order) and returns with a common part by day."""
    rng = np.random.default_rng(seed)
    symbol, day = np.sort(rng.integers(0, 4, n)), rng.integers(0, 12, n)
    entry = 1440 * day + rng.integers(0, 1440, n)
    return symbol, day, entry, rng.standard_normal(12)[day] + rng.standard_normal(n)


@pytest.mark.parametrize("horizon", [5, 60, 1440])
def test_hac_equals_statsmodels_on_the_grid(horizon):
    from statsmodels.stats.sandwich_covariance import S_hac_simple

    _, _, entry, gross = _list_of_events(horizon)
    series = np.bincount(entry, weights=gross - gross.mean(), minlength=12 * 1440)
    expected = S_hac_simple(series[:, None], nlags=math.ceil(1.5 * horizon))
    assert hac_variance(entry, gross, horizon) == pytest.approx(float(np.squeeze(expected)))


@pytest.mark.parametrize("seed", range(4))
def test_two_way_equals_statsmodels_and_the_loop_over_pairs(seed):
    import statsmodels.api as sm
    from statsmodels.stats.sandwich_covariance import cov_cluster_2groups

    symbol, day, _, gross = _list_of_events(seed)
    found = two_way_variance(symbol, day, gross)
    fit = sm.OLS(gross, np.ones(gross.size)).fit()
    both, *_ = cov_cluster_2groups(fit, symbol, day, use_correction=False)
    assert found == pytest.approx(gross.size**2 * float(np.squeeze(both)), rel=1e-9)
    assert found == pytest.approx(oracle.two_way(symbol, day, gross), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 3), st.integers(1, 4))
def test_two_way_is_never_negative(seed, n, n_symbols, n_days):
    """Where the difference is not positive, the larger of the two one-way variances."""
    rng = np.random.default_rng(seed)
    symbol, day = rng.integers(0, n_symbols, n), rng.integers(0, n_days, n)
    gross = rng.standard_normal(n)
    found, both_ways = two_way_variance(symbol, day, gross), oracle.two_way(symbol, day, gross)
    scores = gross - gross.mean()
    floor = 1e-9 * float(scores @ scores)
    if both_ways > floor:
        assert found == pytest.approx(both_ways, rel=1e-6)
    elif both_ways < -floor:
        one_way = [
            sum(scores[group == k].sum() ** 2 for k in np.unique(group)) for group in (symbol, day)
        ]
        assert found == pytest.approx(max(one_way), rel=1e-6, abs=floor)
    assert found >= 0.0


def test_one_symbol_is_clustered_by_day_alone():
    """V_symbol is the rounding of a zero and V_both is V_day: what is left would be noise."""
    _, day, _, gross = _list_of_events(9)
    scores = gross - gross.mean()
    by_day = sum(scores[day == d].sum() ** 2 for d in range(12))
    assert two_way_variance(np.zeros(120, np.int64), day, gross) == pytest.approx(by_day)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_what_does_not_vary_has_no_variance(n):
    zero, gross = np.zeros(n, np.int64), np.full(n, 0.1)
    assert two_way_variance(zero, zero, gross) == 0.0
    assert hac_variance(zero, gross, 60) == 0.0


def _row(made, side=1):
    costs = builders.cost_model(impact_y=0.0)
    frame = evaluate_family(
        builders.inputs_of(made), builders.family(), costs, V1Thresholds(), 10_000
    )
    return frame.filter(event_type="calm_drop", side=side).row(0, named=True)


@pytest.mark.parametrize("side", [1, -1])
def test_the_columns_are_net_of_cost(side):
    made = builders.world(7, n_symbols=2, n_days=10)
    row = _row(made, side)
    events = [(i, k + 1) for i, k in made.events["calm_drop"] if k + 61 < made.prices.shape[1]]
    free = np.zeros(made.prices.shape[1])
    gross = [calendar_time.simple_return(made.prices[i], free, k, 60) for i, k in events]
    symbols, days = [i for i, _ in events], [(k - 1) // 1440 for _, k in events]
    net = side * math.fsum(gross) - 3e-4 * len(events)
    scores = np.array(gross) - np.mean(gross)
    hac = oracle.sparse_bartlett([k for _, k in events], scores.tolist(), 90)
    assert row["z_hac"] == pytest.approx(net / math.sqrt(hac), rel=1e-8)
    two_way = oracle.two_way(symbols, days, gross)
    assert row["z_two_way"] == pytest.approx(net / math.sqrt(two_way), rel=1e-8)


def test_clustering_by_symbol_alone_over_rejects_where_shocks_are_common():
    """METHOD 1.3: with market-wide shocks symbols are not independent, days nearly are.

    200 null worlds of 6 symbols with a common part of 0.6: the deviation of the mean over its
    standard error, against 1.
    """
    rng = np.random.default_rng(5)
    symbol, day = np.repeat(np.arange(6), 40), np.tile(np.arange(40), 6)
    by_symbol, both_ways = [], []
    for _ in range(200):
        common = np.sqrt(0.6) * rng.standard_normal(40)
        gross = common[day] + np.sqrt(0.4) * rng.standard_normal(240)
        own = two_way_variance(symbol, np.arange(240), gross)
        by_symbol.append(gross.sum() / math.sqrt(own))
        both_ways.append(gross.sum() / math.sqrt(two_way_variance(symbol, day, gross)))
    assert np.mean(np.abs(by_symbol) > 1.96) > 0.25
    assert np.mean(np.abs(both_ways) > 1.96) < 0.12
