"""The bridge on planted moves: what survives bid and ask, what does not, and why."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.records import chain_head
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.bridge.execute import run_bridge
from quantlab_pipeline.research.bridge.gate import judge_b
from quantlab_pipeline.research.bridge.schema import BRIDGE_RESULTS, ENTRY_COLUMNS
from quantlab_pipeline.research.bridge.spec import BThresholds
from quantlab_pipeline.simulation.accounting import keep_books
from quantlab_pipeline.simulation.tape import MarketTables
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    quotes_of,
)

N_DAYS = 6
DAYS = [START.date() + timedelta(days=i) for i in range(N_DAYS)]
EVERY = 120
MINUTE = timedelta(minutes=1)
THRESHOLDS = BThresholds(min_trades=30)


def market(drift_bps, seed=5):
    """Closes with `drift_bps` from 2 to 32 minutes after each event, and the events' instants."""
    n = N_DAYS * 1440
    moves = np.random.default_rng(seed).normal(0, 2e-4, n)
    at = np.arange(12 * 60, n - 60, EVERY)
    for t in at:
        moves[t + 2 : t + 32] += drift_bps / 30 / 1e4
    return bars_of(50_000 * np.exp(np.cumsum(moves))), [START + int(t) * MINUTE for t in at]


def entries_of(instants, candidate="edge", side=1, horizon_min=35):
    rows = [
        (candidate, "BTC", t, side, horizon_min, f"{candidate}-{i}") for i, t in enumerate(instants)
    ]
    return pl.DataFrame(rows, schema=ENTRY_COLUMNS, orient="row")


def survivors(*ids):
    return pl.DataFrame({"candidate_id": list(ids), "admissible": [True] * len(ids)})


def bridge(bars, entries, ids=("edge",), costs=None, quotes=None, thresholds=THRESHOLDS):
    tables = MarketTables(bars, quotes)
    costs = costs or cost_model(fee_bps=4.0, impact_y=0.7)
    return run_bridge(survivors(*ids), entries, tables, {"BTC": BTC}, costs, thresholds, DAYS)


def test_a_planted_drift_beyond_its_costs_passes_and_its_mirror_fails():
    bars, instants = market(40.0)
    entries = pl.concat([entries_of(instants), entries_of(instants, "mirror", -1)])
    run = bridge(bars, entries, ("edge", "mirror", "silent"))
    rows = {r["strategy_id"]: r for r in BRIDGE_RESULTS.validate(run.results).to_dicts()}
    assert rows["edge"]["status"] == "PASS"
    assert rows["edge"]["gross_bps"] == pytest.approx(40.0, abs=4.0)
    assert rows["edge"]["spread_source"] == "assumed"
    assert rows["edge"]["admissible"]
    assert rows["mirror"]["reason_codes"].startswith("EXPECTANCY_NOT_POSITIVE")
    assert rows["silent"]["reason_codes"] == "NO_ENTRIES"
    assert rows["silent"]["status"] == "NOT_EVALUABLE"
    assert rows["silent"]["net_bps"] is None


def test_the_parts_of_a_row_add_up_and_its_records_keep_books():
    bars, instants = market(40.0)
    run = bridge(bars, entries_of(instants))
    row = run.results.row(0, named=True)
    parts = row["gross_bps"] - row["spread_bps"] - row["slippage_bps"] - row["fee_bps"]
    assert parts + row["funding_bps"] == pytest.approx(row["net_bps"], abs=1e-9)
    assert chain_head(run.records["edge"]) == row["records_head"]
    keep_books(run.records["edge"], {"BTC": BTC})


def test_an_edge_that_its_costs_eat_fails_on_expectancy():
    bars, instants = market(6.0)
    verdict = judge_b(bridge(bars, entries_of(instants)).results, THRESHOLDS)[0]
    assert verdict.outcome is Outcome.FAIL
    assert "EXPECTANCY_NOT_POSITIVE" in verdict.reasons


def test_too_few_trades_are_underpowered_and_never_a_pass():
    bars, instants = market(40.0)
    verdict = judge_b(bridge(bars, entries_of(instants[:10])).results, THRESHOLDS)[0]
    assert verdict.outcome is Outcome.UNDERPOWERED
    assert verdict.reasons == ("TOO_FEW_TRADES",)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"max_turnover_per_day": 1.0}, "TURNOVER_HIGH"),
        ({"min_capacity_usd": 1e12}, "CAPACITY_LOW"),
    ],
)
def test_each_threshold_stops_by_its_own_reason(change, reason):
    bars, instants = market(40.0)
    thresholds = THRESHOLDS.model_copy(update=change)
    run = bridge(bars, entries_of(instants), thresholds=thresholds)
    verdict = judge_b(run.results, thresholds)[0]
    assert (verdict.outcome, verdict.reasons) == (Outcome.FAIL, (reason,))
    assert run.results["reason_codes"][0] == reason


def test_entries_that_find_no_quote_lower_the_fill_rate():
    bars, instants = market(40.0)
    seconds = np.repeat(bars["close"].to_numpy(), 60)
    second = np.arange(seconds.size)
    silent = (second // 3600 % 4 == 0) & (second % 3600 > 0)
    quotes = quotes_of(seconds, 1.0).with_columns(
        bid_px=pl.Series(np.where(silent, np.nan, seconds * 0.99995))
    )
    run = bridge(bars, entries_of(instants), quotes=quotes)
    row = run.results.row(0, named=True)
    assert row["spread_source"] == "measured"
    assert row["n_not_filled"] > 0
    assert "FILL_RATE_LOW" in row["reason_codes"]


def test_the_row_is_the_worst_latency_tried():
    bars, instants = market(0.0)
    # A drop of 30 bps within the first seconds: a buyer who waits buys cheaper and gains.
    seconds = np.repeat(bars["close"].to_numpy(), 60)
    for t in instants:
        start = int((t - START).total_seconds())
        seconds[start : start + 4] *= 1.0030
    costs = cost_model(fee_bps=4.0, latency=(1.0, 5.0))
    run = bridge(bars, entries_of(instants), costs=costs, quotes=quotes_of(seconds, 1.0))
    assert run.results["worst_latency_s"][0] == 1.0
    costs = cost_model(fee_bps=4.0, latency=(5.0, 6.0))
    late = bridge(bars, entries_of(instants), costs=costs, quotes=quotes_of(seconds, 1.0))
    assert late.results["net_bps"][0] - run.results["net_bps"][0] == pytest.approx(30.0, abs=1.0)


def test_nothing_after_the_window_is_read():
    bars, instants = market(40.0)
    entries = entries_of([*instants, START + timedelta(days=N_DAYS, minutes=-10)])
    inside = bridge(bars, entries)
    assert inside.results["n_skipped"][0] == 1
    later = bars_of(np.full(1440, 1.0), start=START + timedelta(days=N_DAYS))
    poisoned = bridge(pl.concat([bars, later]), entries)
    assert poisoned.results.equals(inside.results)


def test_capacity_meets_the_planted_truth_under_known_impact():
    """PT-13: with the true edge and Y, size is 4/9 ((e - c) / (2 Y sigma))^2 of a day's volume."""
    bars, instants = market(40.0)
    costs = cost_model(fee_bps=4.0, impact_y=0.7)
    row = bridge(bars, entries_of(instants), costs=costs).results.row(0, named=True)
    sigma_d = 1e4 * np.diff(np.log(bars["close"].to_numpy())).std() * np.sqrt(1440)
    volume = 1440 * 100 * 50_000
    truth = 4 / 9 * ((row["gross_bps"] - 10.0) / (2 * 0.7 * sigma_d)) ** 2 * volume
    assert row["capacity_usd"] == pytest.approx(truth, rel=0.1)


def test_the_same_inputs_in_another_order_give_the_same_bytes():
    bars, instants = market(40.0)
    entries = entries_of(instants)
    shuffled = entries.sample(fraction=1.0, shuffle=True, seed=3)
    assert bridge(bars, shuffled).results.equals(bridge(bars, entries).results)


def test_a_waiver_upstream_is_never_admissible():
    bars, instants = market(40.0)
    tainted = pl.DataFrame({"candidate_id": ["edge"], "admissible": [False]})
    run = run_bridge(
        tainted,
        entries_of(instants).with_columns(pl.col("ts").cast(TS)),
        MarketTables(bars),
        {"BTC": BTC},
        cost_model(fee_bps=4.0, impact_y=0.7),
        THRESHOLDS,
        DAYS,
    )
    assert run.results["status"][0] == "PASS"
    assert not run.results["admissible"][0]


def test_no_survivors_give_an_empty_table():
    bars, instants = market(0.0)
    run = bridge(bars, entries_of(instants), ids=())
    assert BRIDGE_RESULTS.validate(run.results).is_empty()
