"""Risk rows: which series each figure is of, in which segment, and why some are null."""

import json

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.seeds import child_seed
from quantlab_pipeline.research.backtest.backtest import run_backtest
from quantlab_pipeline.research.backtest.risk import build_risk
from quantlab_pipeline.research.backtest.schema import BACKTEST_RISK
from quantlab_pipeline.research.backtest.spec import MonteCarloSpec
from quantlab_pipeline.simulation import metrics
from quantlab_pipeline.simulation.resampling import Blocks, resample
from quantlab_pipeline_tests.research.backtest.builders import plan_of, planted_market

SPEC = MonteCarloSpec(paths=2_000)


@pytest.fixture(scope="module")
def run():
    study, entries = planted_market()
    return run_backtest([plan_of()], entries, study)


@pytest.fixture(scope="module")
def rows(run):
    table = BACKTEST_RISK.validate(build_risk(run.returns, run.trades, run.bars, SPEC))
    return {row["segment"]: row for row in table.iter_rows(named=True)}


@pytest.mark.parametrize("segment", ["in_sample", "holdout", "both"])
def test_every_figure_is_of_its_segments_own_days_and_trades(run, rows, segment):
    row = rows[segment]
    within = pl.lit(True) if segment == "both" else pl.col("segment") == segment
    days = run.returns.filter(within)["net_bps"].to_numpy()
    trades = run.trades.filter(within)["net_usd"].drop_nulls().to_numpy()
    assert (row["n_days"], row["n_trades"]) == (days.size, trades.size)
    assert row["net_bps_per_day"] == days.mean()
    assert row["sharpe"] == metrics.sharpe(days).value
    assert row["sortino"] == metrics.sortino(days).value
    assert row["max_drawdown_bps"] == metrics.max_drawdown(days).value
    assert row["time_to_recovery_days"] == metrics.time_to_recovery(days).value
    assert row["day_p5_bps"] == metrics.tail_5pct(days).value
    assert row["day_worst_1pct_bps"] == days.min()
    assert row["win_rate"] == metrics.win_rate(trades).value
    assert row["profit_factor"] == metrics.profit_factor(trades).value
    assert row["legacy_drawdown_of_peak"] < 0.1


def test_the_holdouts_hours_are_resampled_apart(run, rows):
    hours = run.bars["edge"].reshape(6, 24)[4:].ravel()
    seed = child_seed(SPEC.seed, "monte_carlo", "edge", "holdout")
    found = resample(hours, Blocks(2_000, 20, 60, 24), seed)
    row = rows["holdout"]
    assert row["mc_paths"] == 2_000
    assert row["max_drawdown_p95_bps"] == found.max_drawdown_p95.value
    assert row["profit_factor_p5"] == found.profit_factor_p5.value
    assert row["sharpe_p5"] == found.sharpe_p5.value
    assert row["sharpe_p5_error"] == found.sharpe_p5.error


def test_a_null_has_its_reason_and_a_value_has_none(run, rows):
    lost = run.returns.with_columns(pl.lit(0.0).alias("net_bps"))
    table = build_risk(lost, run.trades.clear(), {"edge": np.zeros(6 * 24)}, SPEC)
    for row in [*rows.values(), *table.iter_rows(named=True)]:
        nulls = {name for name, value in row.items() if value is None}
        assert set(json.loads(row["reasons"])) == nulls
    flat = table.row(0, named=True)
    assert flat["max_drawdown_bps"] == 0.0
    assert json.loads(flat["reasons"])["sharpe"] == "NO_VARIATION"
    assert json.loads(flat["reasons"])["win_rate"] == "NO_TRADES"
