"""Perold's shortfall: a golden order, parts that sum, and the engine's trades against ticks."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.simulation.engine import RunSettings
from quantlab_pipeline.simulation.shortfall import (
    SHORTFALL,
    OrderFills,
    shortfall,
    shortfall_of,
)
from quantlab_pipeline.simulation.tape import MarketTables
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    intents_of,
    quotes_of,
)
from quantlab_pipeline_tests.simulation.test_engine import run


def of(**values):
    return shortfall_of(OrderFills(**{k: np.array([float(v)]) for k, v in values.items()}))


def test_a_half_filled_order_meets_its_golden_parts():
    """Buy 10 at 100.00: 6 filled, the market moved 0.10 away before and closed at 101."""
    got = of(
        side=1, ordered=10, filled=6, decided=100, end=101,
        mid=100.10, touch=100.15, price=100.20, fee=0.30,
    )  # fmt: skip
    # 6 x 0.20 + 4 x 1 + 0.30 = 5.50 on 1,000.
    np.testing.assert_allclose([float(x[0]) for x in got], [55, 6, 3, 3, 3, 40], atol=1e-9)


price = st.floats(10.0, 1e5)


@given(
    st.sampled_from([-1.0, 1.0]), st.floats(1e-3, 1e4), st.floats(0.0, 1.0), price,
    st.lists(st.floats(0.98, 1.02), min_size=4, max_size=4), st.floats(-1e-3, 1e-3),
)  # fmt: skip
def test_the_parts_sum_to_the_whole(side, ordered, share, decided, moves, fee_rate):
    end, mid, touch, paid = (decided * m for m in moves)
    filled = share * ordered
    got = of(
        side=side, ordered=ordered, filled=filled, decided=decided, end=end,
        mid=mid, touch=touch, price=paid, fee=fee_rate * filled * paid,
    )  # fmt: skip
    assert sum(float(x[0]) for x in got[1:]) == pytest.approx(float(got.total[0]), abs=1e-9)


def test_an_order_without_a_fill_reads_no_price_of_one():
    got = of(
        side=-1, ordered=2, filled=0, decided=50, end=49,
        mid=np.nan, touch=np.nan, price=np.nan, fee=0,
    )  # fmt: skip
    assert float(got.total[0]) == float(got.opportunity[0]) == pytest.approx(200.0)


@pytest.fixture(scope="module")
def traded():
    """Trades on a book that rises 1 bp a minute; from 15:00 on, no quote is usable for an hour."""
    n = 17 * 60
    seconds = 50_000 * (1 + 1e-4 * np.arange(n * 60) / 60)
    quotes = quotes_of(seconds, 2.0, size=0.1)
    hour = pl.col("ts").dt.hour() == 15
    quotes = quotes.with_columns(bid_qty=pl.when(hour).then(0.0).otherwise("bid_qty"))
    tables = MarketTables(bars_of(seconds[59::60]), quotes)
    minute = timedelta(minutes=1)
    rows = [(START + a * minute, START + (a + 30) * minute, s) for a in (780, 800) for s in (1, -1)]
    rows += [(START + 910 * minute, START + 930 * minute, s) for s in (1, -1)]
    rows.append((START + 1015 * minute, START + 1045 * minute, 1))
    return run(intents_of(rows), tables, cost_model(fee_bps=4.0, impact_y=0.5))[0].trades


def test_the_engine_s_trades_fall_short_of_paper_by_what_their_fills_say(traded):
    """Both orders of each trade again, from ticks and mids, through Perold's formula."""
    closed = traded.filter(pl.col("status") == "filled")
    assert closed.height == 4
    tick, lot = float(BTC.tick_size), float(BTC.lot_size)
    quantity, side = closed["lots"].to_numpy() * lot, closed["side"].to_numpy().astype(float)
    got = shortfall(closed)
    total = np.zeros(closed.height)
    value = quantity * closed["decision_mid"].to_numpy()
    for sign, decided, mid, ticks in (
        (1.0, "decision_mid", "entry_mid", "entry_ticks"),
        (-1.0, "leave_mid", "exit_mid", "exit_ticks"),
    ):
        at, paid = closed[decided].to_numpy(), closed[ticks].to_numpy() * tick
        orders = OrderFills(
            sign * side, quantity, quantity, at, at,
            closed[mid].to_numpy(), closed[mid].to_numpy(), paid, 4e-4 * quantity * paid,
        )  # fmt: skip
        total += shortfall_of(orders).total * quantity * at / value
    np.testing.assert_allclose(got["shortfall_bps"], total, atol=1e-9)
    np.testing.assert_allclose(got.select(SHORTFALL[1:]).sum_horizontal(), total, atol=1e-9)
    # The book rises: buying late is dear, selling late is not; both cross the spread twice.
    assert (got["delay_bps"].abs() < 0.1).all()
    np.testing.assert_allclose(got["spread_cost_bps"], 2.0, atol=0.02)


def test_what_a_resting_order_did_not_get_is_opportunity():
    """It gets 2 of the 10 that it asks for; 1 bp of spread is earned on them, 10 bps are missed."""
    n = 14 * 60
    seconds = np.full(n * 60, 50_000.0)
    at = 13 * 3600
    seconds[at + 30 :] = 50_050.0
    book = quotes_of(seconds, 2.0, size=1.0).with_row_index("second")
    left = pl.when(pl.col("second") > at + 5).then(0.96).otherwise(1.0)
    tables = MarketTables(bars_of(seconds[59::60]), book.with_columns(bid_qty=left).drop("second"))
    decided = START + timedelta(seconds=at)
    intents = intents_of([(decided, decided + timedelta(minutes=10), 1)])
    costs = cost_model(fee_bps=0.0, passive={"queue_multiple": 0.0, "traded_share": 1.0})
    trades = run(intents, tables, costs, RunSettings(1.0, "base", entry="queue"))[0].trades
    row, got = trades.row(0, named=True), shortfall(trades).row(0, named=True)
    share = row["lots"] / row["ordered_lots"]
    assert share == pytest.approx(0.2, abs=0.01)
    assert got["opportunity_bps"] == pytest.approx((1 - share) * 10.0, rel=1e-9)
    paper = row["side"] * (row["leave_mid"] - row["decision_mid"])
    real = share * row["net_usd"] / row["notional_usd"] * row["entry_mid"]
    whole = 1e4 * (paper - real) / row["decision_mid"]
    assert got["shortfall_bps"] == pytest.approx(whole, abs=1e-9)
    assert sum(got[name] for name in SHORTFALL[1:]) == pytest.approx(whole, abs=1e-9)


def test_a_missed_order_costs_the_move_it_missed_and_one_never_sent_is_unknown(traded):
    got = shortfall(traded).with_columns(traded["status"])
    missed = got.filter(pl.col("status") == "not_filled")
    move = missed["opportunity_bps"].to_list()
    assert move[0] == -move[1] > 15.0
    assert missed["shortfall_bps"].to_list() == move
    assert missed["delay_bps"].to_list() == [0.0, 0.0]
    assert got.filter(pl.col("status") == "truncated")["shortfall_bps"].to_list() == [None]
