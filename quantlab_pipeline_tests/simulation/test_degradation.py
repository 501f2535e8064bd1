"""Stress: later, thinner, further behind and wider, for the trades that were decided under it."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.simulation.degradation import Degradation, conditions
from quantlab_pipeline.simulation.engine import RunSettings
from quantlab_pipeline.simulation.tape import MarketTables
from quantlab_pipeline_tests.simulation.builders import (
    START,
    bars_of,
    cost_model,
    intents_of,
    quotes_of,
)
from quantlab_pipeline_tests.simulation.test_engine import run

MODEL = Degradation(depth_share=0.5, queue_multiple=2.0)


def test_stress_doubles_the_delay_halves_the_depth_and_leaves_calm_orders_alone():
    met = conditions(np.array([False, True]), 1.5, 2.0, 1.75, MODEL)
    assert met.latency_us.tolist() == [1_500_000, 3_000_000]
    assert met.depth_share.tolist() == [1.0, 0.5]
    assert met.queue_multiple.tolist() == [1.0, 2.0]
    assert met.spread_multiple.tolist() == [1.0, 1.75]


@given(
    st.floats(0.001, 10), st.floats(1, 5), st.floats(1, 5), st.floats(0.01, 1), st.floats(1, 9),
)  # fmt: skip
def test_stress_never_helps(latency, later, wider, share, queue):
    model = Degradation(depth_share=share, queue_multiple=queue)
    met = conditions(np.array([False, True]), latency, later, wider, model)
    assert met.latency_us[1] >= met.latency_us[0]
    assert met.depth_share[1] <= met.depth_share[0]
    assert met.queue_multiple[1] >= met.queue_multiple[0]
    assert met.spread_multiple[1] >= met.spread_multiple[0]


@pytest.fixture(scope="module")
def rising():
    """A book that rises 1 bp a second: each second of delay is 1 bp at entry."""
    seconds = 50_000 * np.exp(1e-4 * np.arange(14 * 3600))
    return MarketTables(bars_of(seconds[59::60]), quotes_of(seconds, 0.02))


def decided(stress):
    at = START + timedelta(hours=13)
    rows = [(at, at + timedelta(minutes=10), 1)] * 2
    return intents_of(rows).with_columns(stress=pl.Series(stress))


def test_an_order_that_was_decided_under_stress_arrives_later(rising):
    trades = run(decided([False, True]), rising, cost_model(fee_bps=0.0))[0].trades
    waited = (trades["entry_us"] - trades["decide_us"]).to_list()
    assert waited == (trades["arrive_us"] - trades["decide_us"]).to_list()
    assert waited == [1_000_000, 2_000_000]
    paid = np.log(trades["entry_mid"].to_numpy() / trades["decision_mid"].to_numpy()) * 1e4
    np.testing.assert_allclose(paid, [1.0, 2.0], atol=1e-6)


def test_a_run_may_take_every_moment_for_a_stressed_one(rising):
    way = RunSettings(1.0, "base", stressed=True)
    trades = run(decided([False, True]), rising, cost_model(), way)[0].trades
    assert trades["stress"].all()
    assert (trades["entry_us"] - trades["decide_us"]).unique().to_list() == [2_000_000]


def test_an_assumed_spread_is_wider_under_stress_and_a_measured_one_is_as_wide_as_it_was(rising):
    costs, stressed = cost_model(half_bps=1.0), decided([False, True])
    on_bars = run(stressed, MarketTables(rising.bars), costs)[0].trades
    np.testing.assert_allclose(on_bars["spread_bps"], [2.0, 4.0], rtol=0.05)
    on_book = run(stressed, rising, costs)[0].trades
    np.testing.assert_allclose(on_book["spread_bps"], 0.02, rtol=0.1)


def flat(**columns):
    """A still book of 0.4 coins a side; an order of 10,000 is 0.2 coins."""
    n = 14 * 3600
    quotes = quotes_of(np.full(n, 50_000.0), 2.0, size=0.4).with_columns(**columns)
    return MarketTables(bars_of(np.full(n // 60, 50_000.0)), quotes)


def test_under_stress_less_of_the_size_shown_is_there():
    """0.15 of 0.15 coins shown are enough for nobody: calm walks 0.05 beyond, stressed 0.125."""
    shown = pl.lit(0.15)
    tables = flat(bid_qty=shown, ask_qty=shown)
    costs = cost_model(fee_bps=0.0, beyond_depth_bps=4.0)
    trades = run(decided([False, True]), tables, costs)[0].trades

    def walk(depth):
        return 4.0 * (0.2 - depth) / (2 * depth) * (0.2 - depth) / 0.2

    expected = [2 * walk(0.15), 2 * walk(0.075)]
    np.testing.assert_allclose(trades["slippage_bps"], expected, rtol=1e-2, atol=2e-3)


def test_under_stress_the_queue_ahead_is_longer():
    """0.4 coins stand before it; 0.7 trade away: calm is through by then, stressed waits on."""
    n = 14 * 3600
    second = np.arange(n)
    start = 13 * 3600 + 5
    # Each second 0.1 trade and as much joins: the size shown falls on odd and rises on even ones.
    size = np.where((second >= start) & (second < start + 14) & (second % 2 == 1), 0.3, 0.4)
    tables = flat(bid_qty=pl.Series(size))
    costs = cost_model(fee_bps=0.0, passive={"traded_share": 1.0, "max_wait_s": 60.0})
    way = RunSettings(1.0, "base", entry="queue")
    trades = run(decided([False, True]), tables, costs, way)[0].trades
    assert trades["status"].to_list() == ["filled", "not_filled"]
