"""The kernels of one family agree where their semantics do, and the differences are these.

`execution.fill_on_quotes` knows no account and no order but the taker's: it fills the whole size at
once, never rests, and settles what must be filled by force where the tape ends. With depth enough
and no impact its instants and prices are the venue's.

`bar_backtest.sweep` trades a fixed notional of fractional size; the venue trades whole lots and
prices whole ticks. With lots fine enough their equities agree to 1e-9 of the notional; a
half-spread, which the venue rounds up to a tick, may cost it one tick a fill more.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.kernels import bar_backtest, execution
from quantlab_pipeline.simulation.account import AccountSpec
from quantlab_pipeline.simulation.venue import Terms, VenueOrder, run_orders
from quantlab_pipeline.simulation.venue_tape import bar_market, quote_market
from quantlab_pipeline_tests.simulation.venue_builders import (
    COIN,
    FREE,
    MINUTE,
    PERP,
    T0,
    bars_in_ticks,
    marks_in_ticks,
)

BIG = AccountSpec(kind="perp_margin", cash_usd=Decimal(10**9), leverage=Decimal(10))


def hostile_quotes(rng, n):
    bid = 1_000 + np.cumsum(rng.integers(-4, 5, n))
    ask = bid + rng.choice([1, 1, 3, 0, -1], n)
    sizes = np.where(rng.random((n, 2)) < 0.05, 0, 10_000)
    bid_px = np.where(rng.random(n) < 0.05, np.nan, bid * 0.1)
    return pl.DataFrame(
        {
            "ts": pl.Series(T0 + np.cumsum(rng.integers(1, 4, n)) * 1_000_000).cast(TS),
            "bid_px": bid_px,
            "bid_qty": sizes[:, 0] * 0.001,
            "ask_px": ask * 0.1,
            "ask_qty": sizes[:, 1] * 0.001,
            "quote_age_s": rng.choice([0.0, 1.0, 30.0], n, p=[0.8, 0.1, 0.1]),
        }
    )


def test_market_orders_on_quotes_are_filled_as_takers_are_by_the_execution_kernel():
    rng = np.random.default_rng(3)
    quotes = hostile_quotes(rng, 2_000)
    arrive = np.sort(T0 + rng.integers(0, 4_000_000_000, 300))
    wait = rng.choice([0, 1_500_000, 60_000_000], 300)
    side = rng.choice([-1, 1], 300)
    floats = [quotes[c].to_numpy() for c in ("bid_px", "bid_qty", "ask_px", "ask_qty")]
    age = np.rint(quotes["quote_age_s"].to_numpy() * 1e6).astype(np.int64)
    book = execution.Book(quotes["ts"].dt.epoch("us").to_numpy(), *floats, age)
    none = np.zeros(300)
    taker = execution.Orders(
        arrive, side.astype(np.int8), none + 0.005, none, none, wait, none + 1.0
    )
    want = execution.fill_on_quotes(book, taker, execution.Limits(15_000_000, 0.0, 1.0, 50.0))
    market = quote_market(COIN, quotes, marks_in_ticks([(-1, 1_000)]))
    orders = [
        VenueOrder(int(a), int(5 * s), expire_us=int(a + w))
        for a, s, w in zip(arrive, side, wait, strict=True)
    ]
    got = run_orders(market, orders, PERP, FREE)
    filled = np.flatnonzero(want.state == execution.FILLED)
    assert 0 < filled.size < 300
    by_order = got.fills.sort("order")
    assert by_order["order"].to_list() == filled.tolist()
    assert by_order["at_us"].to_list() == want.at_us[filled].tolist()
    assert by_order["price_ticks"].to_list() == np.rint(want.price[filled] / 0.1).tolist()


@pytest.fixture(scope="module")
def walk():
    rng = np.random.default_rng(11)
    close = 10_000 + np.cumsum(rng.integers(-12, 13, 600))
    opened = np.concatenate([[10_000], close[:-1] + rng.integers(-1, 2, 599)])
    target = np.repeat(rng.integers(-1, 2, 60), 10).astype(np.int8)
    return opened.astype(np.float64), close.astype(np.float64), target


def settled(n):
    stamps = [T0 + (i + 1) * MINUTE for i in range(99, n, 100)]
    return pl.DataFrame(
        {"stamp_us": stamps, "rate": [1e-4] * len(stamps), "mark_price": [1_000.0] * len(stamps)}
    )


def by_the_venue(walk, notional, away_ticks):
    """Equity path over the notional of a target strategy, sized at the open as the sweep sizes."""
    opened, close, target = walk
    rows = [
        (o, max(o, c), min(o, c), c)
        for o, c in zip(opened.astype(int).tolist(), close.astype(int).tolist(), strict=True)
    ]
    orders, held, want = [], 0, 0
    for t in range(1, len(rows)):
        if target[t - 1] == want:
            continue
        want = int(target[t - 1])
        lots = round(want * notional / (rows[t][0] * 0.1 * 0.001))
        orders.append(VenueOrder(T0 + t * MINUTE, lots - held))
        held = lots
    market = bar_market(
        COIN,
        bars_in_ticks(rows),
        marks_in_ticks([(-1, 10_000)]),
        settled(len(rows)),
        concession_bps=away_ticks / opened * 1e4,
    )
    run = run_orders(market, orders, BIG, Terms(0.0, 5.0), "closes")
    path = (run.equity["equity_units"].to_numpy() - run.opening_units) / (notional * 1e8)
    return path, run.fills.height


def by_the_sweep(walk, half_spread_bps):
    opened, close, target = walk
    n = close.size
    rate = np.zeros(n)
    rate[99::100] = 1e-4
    tape = bar_backtest.BarTape(
        opened * 0.1, close * 0.1, np.full(n, 1_000.0), rate, np.zeros(n, dtype=np.int64)
    )
    costs = bar_backtest.BarCosts(5.0, np.full(1, half_spread_bps), np.zeros(1), 0.0)
    stats = bar_backtest.sweep(tape, target.reshape(1, -1), costs)
    return bar_backtest.trace(tape, target, costs).equity, int(stats.n_fills[0])


def test_a_target_strategy_has_the_sweeps_equity_at_every_close(walk):
    # A lot is 1e-8 of the notional; what rounding to lots moves is that much of a price move.
    path, fills = by_the_venue(walk, 1e8, 0)
    want, _ = by_the_sweep(walk, 0.0)
    assert fills > 20
    np.testing.assert_allclose(path, want, atol=1e-9)


def test_a_half_spread_costs_what_the_sweep_says_but_for_its_rounding_to_ticks(walk):
    path, _ = by_the_venue(walk, 1e8, 1.5)
    want, sides = by_the_sweep(walk, 1.5 / 10_000 * 1e4)
    least = walk[0].min()
    assert (path <= want + 1e-5).all()
    assert (path >= want - sides * (1.0 / least)).all()
