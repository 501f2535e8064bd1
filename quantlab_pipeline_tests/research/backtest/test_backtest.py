"""Backtest: blueprints that run as they were compiled, daily P&L, stresses."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.records import chain_head
from quantlab_pipeline.research.backtest.assumptions import assumption_rows
from quantlab_pipeline.research.backtest.backtest import run_backtest
from quantlab_pipeline.research.backtest.blueprint import (
    _one_position,
    intents_of,
    make_blueprints,
    read_blueprints,
    to_jsonl,
)
from quantlab_pipeline.research.backtest.risk import build_risk
from quantlab_pipeline.research.backtest.schema import (
    ASSUMPTION_LEDGER,
    BACKTEST_RETURNS,
    BACKTEST_RISK,
    BACKTEST_TRADES,
    BLUEPRINTS,
    STRESS_RESULTS,
)
from quantlab_pipeline.research.backtest.spec import BacktestSpec, MonteCarloSpec, StressSpec
from quantlab_pipeline.research.backtest.stress import run_stress
from quantlab_pipeline_tests.research.backtest.builders import (
    CANDIDATE,
    COSTS,
    plan_of,
    planted_market,
    study_of,
)
from quantlab_pipeline_tests.research.bridge.test_execute import entries_of
from quantlab_pipeline_tests.simulation.builders import START, bars_of, cost_model


@pytest.fixture(scope="module")
def planted():
    return planted_market()


@given(
    st.lists(st.tuples(st.integers(0, 500), st.sampled_from([1, -1])), max_size=40),
    st.integers(1, 60),
    st.sampled_from(["skip", "extend"]),
)
def test_a_strategy_never_holds_two_positions_in_a_symbol(signals, hold, overlap):
    signals = sorted(signals)
    at = np.array([s[0] for s in signals], dtype=np.int64)
    side = np.array([s[1] for s in signals])
    kept, ends = _one_position(at, side, hold, overlap)
    for (i, end), j in zip(zip(kept, ends, strict=True), kept[1:], strict=False):
        assert at[j] >= end
        inside = [k for k in range(i, j) if at[k] < end and side[k] == side[i]]
        wanted = at[i] + hold
        if overlap == "extend":
            assert end >= wanted
            assert end <= at[inside[-1]] + hold
        else:
            assert end == wanted


def test_an_overlapping_signal_is_skipped_or_moves_the_exit_as_declared():
    at = [START + timedelta(hours=13), START + timedelta(hours=13, minutes=30)]
    entries = entries_of(at, horizon_min=60)
    skip, extend = (intents_of(plan_of(rule), entries) for rule in ("skip", "extend"))
    assert skip["exit_ts"].to_list() == [START + timedelta(hours=14)]
    assert extend["exit_ts"].to_list() == [START + timedelta(hours=14, minutes=30)]


def test_a_blueprint_read_back_from_its_line_runs_to_the_same_records(planted):
    study, entries = planted
    strategies = pl.DataFrame({"candidate_id": ["edge"], "admissible": [False], "entry": ["taker"]})
    candidates = pl.DataFrame([{**CANDIDATE, "admissible": True}])
    table = BLUEPRINTS.validate(make_blueprints(strategies, candidates, ["BTC"], "skip", COSTS))
    assert not table["admissible"][0]
    again = read_blueprints(to_jsonl(table).splitlines())
    assert again == [plan_of()]
    heads = [
        chain_head(run_backtest([plan], entries, study).records["edge"])
        for plan in (plan_of(), again[0])
    ]
    assert heads[0] == heads[1]


def test_a_blueprint_made_under_another_cost_model_is_refused(planted):
    study, entries = planted
    with pytest.raises(SpecError, match="another cost model"):
        run_backtest([plan_of(costs=cost_model(fee_bps=9.0))], entries, study)


def test_daily_returns_cover_every_day_and_sum_to_the_trades(planted):
    study, entries = planted
    run = run_backtest([plan_of()], entries, study)
    returns = BACKTEST_RETURNS.validate(run.returns)
    assert returns["day"].to_list() == study.days
    assert returns["segment"].to_list() == ["in_sample"] * 4 + ["holdout"] * 2
    total = run.trades["net_usd"].sum()
    assert returns["net_usd"].sum() == pytest.approx(total, abs=1e-8)
    assert returns["fee_usd"].sum() == pytest.approx(run.trades["fee_usd"].sum(), abs=1e-9)
    assert returns["funding_usd"].sum() == pytest.approx(run.trades["funding_usd"].sum(), abs=1e-9)
    assert returns["funding_usd"].sum() != 0
    assert returns["n_entries"].sum() == run.trades["net_usd"].count()
    assert returns["net_bps"].mean() > 0
    cash = run.records["edge"][-1].balance_units / 1e8
    assert cash == pytest.approx(total, abs=1e-3)


def test_a_position_over_midnight_is_marked_at_the_days_close():
    close = np.full(3 * 1440, 50_000.0)
    close[1440 - 1 :] = 51_000.0
    close[1440 + 200 :] = 50_500.0
    study = study_of(bars_of(close), cost_model(fee_bps=0.0, half_bps=0.0), n_days=3, holdout=2)
    plan = plan_of(costs=study.costs, horizon="24h")
    entries = entries_of([START + timedelta(hours=20)], horizon_min=1440)
    run = run_backtest([plan], entries, study)
    quantity = run.trades["quantity_base"][0]
    assert run.returns["net_usd"].to_list() == pytest.approx(
        [quantity * 1000, quantity * -500, 0.0], abs=1e-9
    )


def test_every_intent_has_a_row_whose_parts_make_its_net(planted):
    study, entries = planted
    trades = BACKTEST_TRADES.validate(run_backtest([plan_of()], entries, study).trades)
    assert trades["trade"].to_list() == list(range(trades.height))
    assert trades["segment"].unique(maintain_order=True).to_list() == ["in_sample", "holdout"]
    assert trades["decided_at"].is_sorted()
    assert trades.height == intents_of(plan_of(), entries).height
    closed = trades.filter(pl.col("net_usd").is_not_null())
    net = closed["gross_usd"] - closed["spread_usd"] - closed["slippage_usd"] - closed["fee_usd"]
    assert (net + closed["funding_usd"]).to_list() == pytest.approx(closed["net_usd"].to_list())
    value = closed["side"] * closed["quantity_base"]
    cash = value * (closed["exit_price"] - closed["entry_price"]) - closed["fee_usd"]
    assert (cash + closed["funding_usd"]).to_list() == pytest.approx(closed["net_usd"].to_list())
    held_out = (closed["decided_at"] - timedelta(microseconds=1)).dt.date() >= study.holdout_from
    assert (closed["segment"] == "holdout").to_list() == held_out.to_list()
    assert (closed["entry_at"] > closed["decided_at"]).all()


def test_a_trade_that_never_was_has_a_status_and_no_money():
    study = study_of(bars_of(np.full(2 * 1440, 50_000.0)), n_days=2, holdout=1)
    late = entries_of([START + timedelta(hours=20), START + timedelta(hours=47, minutes=30)])
    trades = BACKTEST_TRADES.validate(run_backtest([plan_of()], late, study).trades)
    assert trades["status"].to_list() == ["filled", "truncated"]
    assert trades["net_usd"].is_null().to_list() == [False, True]
    assert trades["measured"].to_list() == [False, None]


@pytest.mark.parametrize("bar_min", [15, 60, 1440])
def test_pnl_by_bar_sums_to_pnl_by_day(planted, bar_min):
    study, entries = planted
    run = run_backtest([plan_of()], entries, study, bar_min)
    by_day = run.bars["edge"].reshape(len(study.days), -1).sum(axis=1)
    assert by_day == pytest.approx(run.returns["net_bps"].to_numpy(), abs=1e-9)


def test_an_hour_is_marked_at_its_last_close():
    close = np.full(1440, 50_000.0)
    close[779:] = 51_000.0
    close[839:] = 50_500.0
    study = study_of(bars_of(close), cost_model(fee_bps=0.0, half_bps=0.0), n_days=1, holdout=0)
    plan = plan_of(costs=study.costs, horizon="4h")
    run = run_backtest([plan], entries_of([START + timedelta(hours=12)]), study)
    bps = run.trades["quantity_base"][0] / plan.capital_usd * 1e4
    hours = np.zeros(24)
    # The rise to 51,000 closes the minute that ends at 13:00, the fall that of 14:00.
    hours[12], hours[13] = 1000 * bps, -500 * bps
    assert run.bars["edge"] == pytest.approx(hours, abs=1e-9)


def test_a_blueprint_alone_trades_as_it_does_among_others(planted):
    study, entries = planted
    other = plan_of(candidate_id="other", horizon="15m", side=-1)
    moved = entries.with_columns(
        pl.lit("other").alias("candidate_id"), pl.col("ts") + timedelta(minutes=7)
    )
    both = pl.concat([entries, moved])
    among = run_backtest([other, plan_of()], both, study)
    for plan in (plan_of(), other):
        alone = run_backtest([plan], both, study)
        name = plan.strategy_id
        assert chain_head(alone.records[name]) == chain_head(among.records[name])
        for one, all_ in ((alone.trades, among.trades), (alone.returns, among.returns)):
            assert one.equals(all_.filter(pl.col("strategy_id") == name))
        np.testing.assert_array_equal(alone.bars[name], among.bars[name])


def test_no_blueprints_give_empty_tables(planted):
    study, entries = planted
    assert BACKTEST_RETURNS.validate(run_backtest([], entries, study).returns).is_empty()
    assert BACKTEST_TRADES.validate(run_backtest([], entries, study).trades).is_empty()
    assert STRESS_RESULTS.validate(run_stress([], entries, study, StressSpec())).is_empty()
    assert ASSUMPTION_LEDGER.validate(
        assumption_rows([], entries, study, BacktestSpec())
    ).is_empty()
    empty = build_risk(BACKTEST_RETURNS.empty(), BACKTEST_TRADES.empty(), {}, MonteCarloSpec())
    assert BACKTEST_RISK.validate(empty).is_empty()
