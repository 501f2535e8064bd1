"""Allocation against closed forms, clusters, the book's accounting, and gate P both ways."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.portfolio.allocate import allocate, shrunk_covariance
from quantlab_pipeline.research.portfolio.book import (
    build_portfolio,
    combined_capacity_usd,
    run_book,
    stress_sharpe,
)
from quantlab_pipeline.research.portfolio.clusters import risk_clusters
from quantlab_pipeline.research.portfolio.gate import judge_p
from quantlab_pipeline.research.portfolio.schema import PORTFOLIO
from quantlab_pipeline.research.portfolio.spec import PortfolioSpec, PThresholds

SPEC = PortfolioSpec(
    capital_usd=1e6,
    weight_cap=10.0,
    cluster_cap=10.0,
    gross_cap=10.0,
    risk_aversion=4.0,
    turnover_cost_bps=0.0,
    impact_cost_bps=0.0,
    rebalance_days=5,
    min_history_days=10,
    mean_shrinkage=0.5,
    cluster_correlation=0.7,
    stress_correlation=0.9,
)
THRESHOLDS = PThresholds(
    min_net_bps_per_day=0.0,
    min_stress_sharpe=0.5,
    max_drawdown_bps=2000.0,
    max_turnover_per_day=2.0,
    min_capacity_usd=1e5,
    min_days=5,
)
APART = np.arange(2)


def test_without_costs_the_weights_are_the_textbook_optimum() -> None:
    covariance = np.array([[0.04, 0.01], [0.01, 0.09]])
    mean = np.array([0.05, 0.08])
    chosen = allocate(mean, covariance, np.zeros(2), APART, SPEC)
    assert chosen.failure is None
    assert chosen.weights == pytest.approx(np.linalg.solve(4.0 * covariance, mean), abs=1e-5)


def test_prohibitive_costs_leave_the_book_where_it_is() -> None:
    spec = SPEC.model_copy(update={"turnover_cost_bps": 1e6})
    held = np.array([0.2, 0.1])
    chosen = allocate(np.array([0.05, 0.08]), np.eye(2) * 0.05, held, APART, spec)
    assert chosen.weights == pytest.approx(held, abs=1e-5)


def test_turnover_falls_as_its_cost_rises() -> None:
    moved = []
    for cost_bps in (0.0, 100.0, 1_000.0, 3_000.0):
        spec = SPEC.model_copy(update={"turnover_cost_bps": cost_bps})
        chosen = allocate(np.array([0.05, 0.08]), np.eye(2) * 0.09, np.zeros(2), APART, spec)
        moved.append(chosen.weights.sum())
    assert moved == sorted(moved, reverse=True)
    assert moved[0] > moved[-1]


@pytest.mark.parametrize("cap", ["weight_cap", "cluster_cap", "gross_cap"])
def test_every_cap_binds(cap: str) -> None:
    spec = SPEC.model_copy(update={cap: 0.05})
    chosen = allocate(np.array([0.05, 0.08]), np.eye(2) * 0.05, np.zeros(2), np.zeros(2, int), spec)
    limited = chosen.weights.max() if cap == "weight_cap" else chosen.weights.sum()
    assert limited == pytest.approx(0.05, abs=1e-6)


def test_a_copy_of_a_strategy_shares_its_weight() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(0.001, 0.01, size=(60, 1))
    alone = allocate(one.mean(0), shrunk_covariance(one), np.zeros(1), np.zeros(1, int), SPEC)
    twice = np.hstack([one, one])
    exact = np.full((2, 2), one.var()) + 1e-10 * np.eye(2)
    both = allocate(twice.mean(0), exact, np.zeros(2), np.zeros(2, int), SPEC)
    reference = allocate(one.mean(0), np.array([[one.var()]]), np.zeros(1), np.zeros(1, int), SPEC)
    assert alone.failure is None
    assert both.weights.sum() == pytest.approx(reference.weights[0], rel=1e-3)


def test_covariance_is_positive_definite_with_few_days() -> None:
    returns = np.random.default_rng(1).normal(size=(5, 12))
    assert np.linalg.eigvalsh(shrunk_covariance(returns)).min() > 0


def test_clusters_join_equal_labels_and_correlated_returns() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(size=200)
    near, far = base + 0.1 * rng.normal(size=200), rng.normal(size=200)
    returns = np.column_stack([base, near, far, base * 0])
    labels = [("a", "1h"), ("b", "1h"), ("c", "1h"), ("c", "1h")]
    assert risk_clusters(labels, returns, 0.7).tolist() == [0, 0, 1, 1]


def test_the_book_never_sees_the_day_it_is_judged_on() -> None:
    rng = np.random.default_rng(3)
    returns = rng.normal(0.002, 0.01, size=(40, 3))
    path = run_book(returns, np.arange(3), 20, SPEC)
    poisoned = returns.copy()
    poisoned[25:] = -poisoned[25:]
    again = run_book(poisoned, np.arange(3), 20, SPEC)
    assert np.array_equal(path.weights[:6], again.weights[:6])


def test_weights_drift_between_rebalances_and_costs_are_paid_on_them() -> None:
    spec = SPEC.model_copy(update={"turnover_cost_bps": 10.0})
    returns = np.full((30, 1), 0.01)
    returns[::2] = 0.0
    path = run_book(returns, np.zeros(1, int), 20, spec)
    assert path.cost[0] == pytest.approx(1e-3 * path.turnover[0])
    gain = path.weights[1] * returns[21]
    drifted = path.weights[1] * (1 + returns[21]) / (1 + gain)
    assert path.weights[2] == pytest.approx(drifted)


def test_stress_only_lowers_a_diversified_sharpe() -> None:
    returns = np.random.default_rng(4).normal(0.002, 0.01, size=(60, 4))
    path = run_book(returns, np.arange(4), 30, SPEC)
    calm, tense = (stress_sharpe(path, returns, 30, c) for c in (0.0, 0.9))
    assert calm is not None
    assert tense is not None
    assert abs(tense) < abs(calm)


def test_combined_capacity_is_the_first_full_cluster() -> None:
    weights, capacities = np.array([0.4, 0.2, 0.4]), np.array([1e6, 2e6, 8e5])
    clusters = np.array([0, 0, 1])
    assert combined_capacity_usd(weights, capacities, clusters) == pytest.approx(2e6)
    assert combined_capacity_usd(weights, np.array([1e6, np.nan, 1e6]), clusters) is None


def _daily(mean_bps: float, seed: int = 5) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    days = [date(2025, 1, 1) + timedelta(days=i) for i in range(40)]
    frames = [
        pl.DataFrame(
            {
                "strategy_id": s,
                "day": days,
                "net_bps": rng.normal(mean_bps, 20.0, size=40),
                "segment": ["in_sample"] * 30 + ["holdout"] * 10,
                "capital_usd": 1e4,
            }
        )
        for s in ("s1", "s2")
    ]
    return pl.concat(frames)


NO_TRADES = pl.DataFrame(
    schema={
        "strategy_id": pl.String,
        "symbol": pl.String,
        "side": pl.Int8,
        "decided_at": pl.Datetime("us", "UTC"),
        "left_at": pl.Datetime("us", "UTC"),
        "notional_usd": pl.Float64,
        "sigma_d_bps": pl.Float64,
        "volume_usd": pl.Float64,
    }
)


def _book(
    daily: pl.DataFrame, strategies: pl.DataFrame, trades: pl.DataFrame = NO_TRADES
) -> pl.DataFrame:
    return build_portfolio(daily, trades, strategies, "study", SPEC, 1.0)


STRATEGIES = pl.DataFrame(
    {
        "strategy_id": ["s1", "s2"],
        "event_family": ["x", "y"],
        "horizon": ["1h", "1h"],
        "capacity_usd": [5e6, 5e6],
    }
)


def test_gate_passes_a_book_that_earns_and_stops_one_that_loses() -> None:
    good = _book(_daily(30.0), STRATEGIES)
    PORTFOLIO.validate(good)
    (verdict,) = judge_p(good, THRESHOLDS)
    assert verdict.outcome is Outcome.PASS, verdict
    fading = _daily(30.0).with_columns(
        pl.when(pl.col("segment") == "holdout").then(-30.0).otherwise("net_bps").alias("net_bps")
    )
    (verdict,) = judge_p(_book(fading, STRATEGIES), THRESHOLDS)
    assert verdict.outcome is Outcome.FAIL
    assert "NET_NOT_POSITIVE" in verdict.reasons


def test_a_missing_figure_fails_by_name() -> None:
    unknown = STRATEGIES.with_columns(capacity_usd=pl.lit(None, dtype=pl.Float64))
    (verdict,) = judge_p(_book(_daily(30.0), unknown), THRESHOLDS)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reasons == ("MISSING:book_capacity_usd",)


def test_no_strategies_no_book() -> None:
    empty = _book(_daily(1.0), STRATEGIES.clear())
    assert empty.is_empty()
    assert judge_p(empty, THRESHOLDS) == []
