"""Backtest: blueprints that run as they were compiled, daily P&L, stresses."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.records import chain_head
from quantlab_pipeline.research.backtest.backtest import Study, run_backtest
from quantlab_pipeline.research.backtest.blueprint import (
    _one_position,
    compile_blueprint,
    intents_of,
    make_blueprints,
    read_blueprints,
    to_jsonl,
)
from quantlab_pipeline.research.backtest.neighbourhood import hold_neighbours
from quantlab_pipeline.research.backtest.schema import (
    BACKTEST_RETURNS,
    BLUEPRINTS,
    STRESS_RESULTS,
)
from quantlab_pipeline.research.backtest.spec import StressSpec
from quantlab_pipeline.research.backtest.stress import lost_minutes, run_stress
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline_tests.research.bridge.test_execute import entries_of, market
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    funding_of,
)

COSTS = cost_model(fee_bps=4.0, half_bps=1.0)
CANDIDATE = {
    "candidate_id": "edge",
    "event_type": "shock",
    "bucket": "all",
    "template": "up",
    "side": 1,
    "horizon": "1h",
}


def study_of(bars, costs=COSTS, funding=None, n_days=6, holdout=4):
    days = [START.date() + timedelta(days=i) for i in range(n_days)]
    tables = MarketTables(bars, funding=funding)
    return Study(tables, {"BTC": BTC}, costs, days, days[holdout])


def plan_of(overlap="skip", costs=COSTS, horizon="1h"):
    return compile_blueprint({**CANDIDATE, "horizon": horizon}, ["BTC"], overlap, costs)


@pytest.fixture(scope="module")
def planted():
    bars, instants = market(40.0)
    stamps = [START + timedelta(hours=8 * i, minutes=30) for i in range(1, 18)]
    return study_of(bars, funding=funding_of(stamps, 1e-4)), entries_of(instants)


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
    strategies = pl.DataFrame({"candidate_id": ["edge"], "admissible": [False]})
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
    quantity = run.trades["lots"][0] * 1e-6
    assert run.returns["net_usd"].to_list() == pytest.approx(
        [quantity * 1000, quantity * -500, 0.0], abs=1e-9
    )


@pytest.fixture(scope="module")
def stressed(planted):
    study, entries = planted
    return STRESS_RESULTS.validate(run_stress([plan_of()], entries, study, StressSpec()))


def test_every_scenario_has_a_row_per_segment(stressed):
    executed = stressed.filter(pl.col("model") == "executed")["scenario"].unique().sort().to_list()
    assert executed == sorted(
        [
            "base",
            "costs_x1.5",
            "costs_x2",
            "spread_x3",
            "delay_1min",
            "drop_5pct",
            *(f"overlay_{x}bps" for x in (25, 50, 75, 100)),
        ]
    )
    assert stressed.group_by("scenario").len()["len"].unique().to_list() == [2]


def test_stresses_cost_what_they_say(stressed):
    net = dict(
        stressed.filter(pl.col("segment") == "in_sample").select("scenario", "net_bps").iter_rows()
    )
    assert net["base"] - net["overlay_25bps"] == pytest.approx(25.0, abs=1e-9)
    assert net["base"] - net["costs_x2"] == pytest.approx(10.0, abs=0.2)
    assert net["base"] - net["spread_x3"] == pytest.approx(4.0, abs=0.2)
    # One more minute of 40 bps over 30 minutes is lost, give or take the noise.
    assert abs(net["base"] - net["delay_1min"]) < 4.0
    shares = stressed.filter(pl.col("scenario") == "base")["share_of_base"].to_list()
    assert shares == [1.0, 1.0]
    assert abs(net["drop_5pct"] - net["base"]) < 8.0


def test_lost_minutes_are_seeded_and_independent_of_the_range(planted):
    study, _ = planted
    spec = StressSpec()
    whole = lost_minutes("BTC", study, spec)
    assert whole.size / (6 * 1440) == pytest.approx(0.05, abs=0.01)
    short = Study(study.tables, study.instruments, study.costs, study.days[3:], study.days[4])
    assert set(lost_minutes("BTC", short, spec)) <= set(whole.tolist())


def test_the_bar_kernel_and_the_engine_agree_where_there_is_no_book(planted):
    """Two engines, one market: the neighbourhood at 1x equals the engine's trades."""
    study, entries = planted
    run = run_backtest([plan_of()], entries, study)
    feed = list(tapes(study.window(), ["BTC"]))
    rows = hold_neighbours(plan_of(), entries, study, (0.5,), feed)
    bars_net = sum(r["net_bps"] * r["n_trades"] for r in rows if r["scenario"] == "hold_x1")
    assert run.trades.height == sum(r["n_trades"] for r in rows if r["scenario"] == "hold_x1")
    engine_net = run.trades["net_bps"].sum()
    assert bars_net / run.trades.height == pytest.approx(engine_net / run.trades.height, abs=0.05)


def test_no_blueprints_give_empty_tables(planted):
    study, entries = planted
    assert BACKTEST_RETURNS.validate(run_backtest([], entries, study).returns).is_empty()
    assert STRESS_RESULTS.validate(run_stress([], entries, study, StressSpec())).is_empty()
