"""SPA and StepM on gains: arch on the same draws, a naive loop, the sign, and the size."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.research.validation.bootstrap import day_weights, resampled_sums
from quantlab_pipeline.research.validation.step_down import family_wise
from quantlab_pipeline_tests.oracles import resampling as oracle

RECENTRINGS = ("lower", "consistent", "upper")


def _judged(pnl, weights, recentring="consistent"):
    """`family_wise` of daily gains [D, K] as a reader holds them."""
    series = np.ascontiguousarray(pnl.T)
    return family_wise(
        series.sum(axis=1), resampled_sums(series, weights), pnl.shape[0], recentring
    )


def _arch_weights(n_days, block, reps, seed):
    """The draws that arch makes with this seed, as multiplicities."""
    from arch.bootstrap import StationaryBootstrap

    resampler = StationaryBootstrap(block, np.arange(n_days), seed=seed)
    draws = [draw[0][0] for draw in resampler.bootstrap(reps)]
    return np.array([np.bincount(d, minlength=n_days) for d in draws], dtype=np.float64)


def _gains(seed, n_days=300, n_rows=25, planted=0.15):
    """Daily gains with a common shock, three planted and five bad columns, of different scales."""
    rng = np.random.default_rng(seed)
    pnl = rng.standard_normal((n_days, n_rows)) + 0.5 * rng.standard_normal((n_days, 1))
    pnl[:, :3] += planted
    pnl[:, 3:8] -= 0.4
    return pnl * rng.uniform(0.1, 10.0, n_rows)


def _unit(pnl, weights):
    """Gains over the deviation of their draws: arch does not divide by it, we do."""
    sums = resampled_sums(np.ascontiguousarray(pnl.T), weights)
    return pnl / (np.sqrt(np.mean((sums - pnl.sum(axis=0)[:, None]) ** 2, axis=1)) / len(pnl))


@pytest.mark.parametrize("seed", range(4))
def test_p_values_equal_those_of_arch_on_the_same_draws(seed):
    from arch.bootstrap import SPA

    pnl, reps = _gains(seed, planted=0.08), 300
    weights = _arch_weights(len(pnl), 5, reps, seed)
    losses = -_unit(pnl, weights)
    test = SPA(np.zeros(len(pnl)), losses, block_size=5, reps=reps, seed=seed)
    test.compute()
    for recentring in RECENTRINGS:
        exceeded = round(test.pvalues[recentring] * reps)
        assert _judged(pnl, weights, recentring).spa_p == (1 + exceeded) / (1 + reps)


@pytest.mark.parametrize("seed", range(3))
def test_the_step_down_keeps_those_that_arch_keeps(seed):
    from arch.bootstrap import StepM

    pnl, reps = _gains(seed), 400
    weights = _arch_weights(len(pnl), 5, reps, seed)
    losses = -_unit(pnl, weights)
    p = _judged(pnl, weights).step_down_p
    for size in (0.05, 0.2):
        test = StepM(np.zeros(len(pnl)), losses, size=size, block_size=5, reps=reps, seed=seed)
        test.compute()
        assert np.flatnonzero(p <= size).tolist() == test.superior_models


def _naive(pnl, weights, tolerated):
    """Statistic, centre and counts from the definitions; weakest first."""
    totals = pnl.sum(axis=0)
    sums = np.array([[float(draw @ column) for draw in weights] for column in pnl.T])
    scale = np.sqrt(np.mean((sums - totals[:, None]) ** 2, axis=1))
    statistic = totals / scale
    order = np.argsort(statistic)
    centre = np.where(statistic >= tolerated, totals, 0.0)
    counts = oracle.step_down(sums, centre, scale, np.maximum(statistic, 0.0), order)
    p = np.empty(len(order))
    p[order] = np.maximum.accumulate((1 + counts[::-1]) / (1 + len(weights)))[::-1]
    return p


def test_adjusted_p_values_equal_a_loop_over_draws_and_candidates():
    pnl = _gains(11, n_days=80, n_rows=12)
    weights = day_weights(60, 80, 3.0, generator(1, "test"))
    tolerated = -np.sqrt(2 * np.log(np.log(80)))
    expected = _naive(pnl, weights, tolerated)
    found = _judged(pnl, weights)
    np.testing.assert_allclose(found.step_down_p, expected, rtol=1e-12)
    assert found.spa_p == expected.min()
    upper = _judged(pnl, weights, "upper").step_down_p
    np.testing.assert_allclose(upper, _naive(pnl, weights, -np.inf), rtol=1e-12)


def test_a_wrong_sign_is_seen():
    """METHOD 2.4, with its data: losses where gains belong hide the planted series."""
    pnl = np.random.default_rng(0).normal(0.0, 1.0, (400, 20))
    pnl[:, 3] += 0.25
    weights = day_weights(500, 400, 5.0, generator(1, "test"))
    right, wrong = _judged(pnl, weights), _judged(-pnl, weights)
    assert right.spa_p < 0.01
    assert wrong.spa_p > 0.2
    assert np.flatnonzero(right.step_down_p < 0.05).tolist() == [3]
    assert not (wrong.step_down_p < 0.05).any()


def test_scale_and_order_of_candidates_change_nothing():
    pnl = _gains(4, n_days=120)
    weights = day_weights(200, 120, 2.0, generator(2, "test"))
    found = _judged(pnl, weights)
    shuffle = np.random.default_rng(0).permutation(pnl.shape[1])
    mixed = _judged(pnl[:, shuffle] * 2.0 ** np.arange(-12, 13), weights)
    assert mixed.spa_p == found.spa_p
    np.testing.assert_array_equal(mixed.step_down_p, found.step_down_p[shuffle])


def test_bad_candidates_cost_power_only_where_they_are_recentred():
    pnl = _gains(5, n_days=200, n_rows=300, planted=0.12)
    pnl[:, 3:] -= 20.0 * pnl[:, 3:].std(axis=0) / np.sqrt(200)
    weights = day_weights(300, 200, 2.0, generator(3, "test"))
    lower, consistent, upper = (_judged(pnl, weights, r).spa_p for r in RECENTRINGS)
    assert lower <= consistent < upper


def test_a_family_of_losers_is_no_better_than_nothing():
    pnl = np.random.default_rng(1).normal(-1.0, 1.0, (100, 10))
    found = _judged(pnl, day_weights(100, 100, 2.0, generator(4, "test")))
    assert found.spa_p == 1.0
    assert (found.step_down_p == 1.0).all()


def test_constant_and_missing_candidates_are_left_out():
    pnl = _gains(6, n_days=90, n_rows=6)
    weights = day_weights(100, 90, 2.0, generator(5, "test"))
    alone = _judged(pnl, weights)
    series = np.ascontiguousarray(pnl.T)
    totals, sums = series.sum(axis=1), resampled_sums(series, weights)
    more_totals = np.concatenate([totals, [5.0, np.nan]])
    more_sums = np.concatenate([sums, np.full((1, 100), 5.0), np.full((1, 100), np.nan)])
    found = family_wise(more_totals, more_sums, 90)
    assert found.spa_p == alone.spa_p
    np.testing.assert_array_equal(found.step_down_p[:6], alone.step_down_p)
    assert np.isnan(found.step_down_p[6:]).all()
    nobody = family_wise(more_totals[6:], more_sums[6:], 90)
    assert np.isnan(nobody.spa_p)
    assert np.isnan(nobody.step_down_p).all()


def test_the_size_under_the_null_is_nominal():
    """Correlated noise of 60 days, 20 candidates: at 10 %, both tests within a binomial band."""
    from scipy.stats import binom

    rng, worlds, level = np.random.default_rng(12), 400, 0.1
    rejected = 0
    for seed in range(worlds):
        pnl = rng.standard_normal((60, 20)) + 0.7 * rng.standard_normal((60, 1))
        weights = day_weights(199, 60, 1.0, generator(seed, "size"))
        found = _judged(pnl, weights)
        rejected += found.spa_p <= level
        assert (found.step_down_p >= found.spa_p).all()
    low, high = binom.ppf([5e-4, 1 - 5e-4], worlds, level)
    assert low <= rejected <= high
