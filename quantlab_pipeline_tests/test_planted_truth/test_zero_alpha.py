"""PT-09: on a martingale a random order loses its spread, two fees and its funding, and no more.

A book of one quote a second, two basis points wide, on a driftless walk. Three quarters of the
trades are long, so that funding does not cancel; they never overlap, so that their errors are
independent. A settlement falls into every fifteenth trade.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import TS, to_us
from quantlab_pipeline.simulation.costs import CostScale
from quantlab_pipeline.simulation.engine import RunSettings, simulate
from quantlab_pipeline.simulation.tape import MarketTables, Tape, tapes
from quantlab_pipeline.simulation.trades import INTENTS
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    funding_of,
    quotes_of,
)

N_QUICK, N_FULL = 20_000, 400_000
SPREAD_BPS, FEE_BPS, RATE = 2.0, 4.0, 2e-4
SIGMA_BPS = 0.5
"""Of a second."""

WARM_S, EVERY_S, HELD_S = 12 * 3600, 4, 2
COSTS = cost_model(fee_bps=FEE_BPS)
FINE = BTC.model_copy(update={"tick_size": Decimal("0.000001")})
"""Ticks so fine that rounding against the trader is no part of the sum."""


@dataclass(frozen=True)
class Market:
    """The tables, the orders, and what each of them loses in expectation, bps."""

    tables: MarketTables
    intents: pl.DataFrame
    expected: np.ndarray

    def tape(self, **changes) -> Tape:
        tables = MarketTables(self.tables.bars, self.tables.quotes, **changes)
        return next(tapes(tables, ["BTC"]))


def martingale(n_trades, seed):
    rng = np.random.default_rng(seed)
    n = WARM_S + EVERY_S * n_trades + 120
    step = SIGMA_BPS / 1e4
    mid = 50_000 * np.exp(np.cumsum(rng.normal(-step * step / 2, step, n)))
    second = timedelta(seconds=1)
    quotes = quotes_of(mid[WARM_S:], SPREAD_BPS, start=START + WARM_S * second)
    bars = bars_of(mid[59::60])
    # A minute's settlement falls two seconds into it, between the two fills of the trade there.
    stamp_s = np.arange(WARM_S + 62, n - 60, 60)
    stamps = pl.Series(to_us(START) + stamp_s * 1_000_000).cast(TS)
    funding = funding_of(stamps, RATE, interval_h=1).with_columns(
        mark_price=pl.Series(mid[stamp_s])
    )
    at_s = WARM_S + EVERY_S * np.arange(1, n_trades + 1)
    side = np.where(rng.random(n_trades) < 0.75, 1, -1)
    in_s, out_s = at_s + 1, at_s + HELD_S + 1
    met = np.searchsorted(stamp_s, out_s, "right") - np.searchsorted(stamp_s, in_s, "right")
    intents = pl.DataFrame(
        {
            "strategy_id": ["s"] * n_trades,
            "symbol": ["BTC"] * n_trades,
            "ts": pl.Series(to_us(START) + at_s * 1_000_000).cast(TS),
            "exit_ts": pl.Series(to_us(START) + (at_s + HELD_S) * 1_000_000).cast(TS),
            "side": side,
            "event_id": [f"e{i:06d}" for i in range(n_trades)],
            "stress": [False] * n_trades,
        }
    ).select(pl.col(name).cast(dtype) for name, dtype in INTENTS.items())
    lost = SPREAD_BPS + 2 * FEE_BPS + 1e4 * RATE * side * met
    return Market(MarketTables(bars, quotes, funding), intents, -lost)


def z_of(market, tape, way=None):
    """How many standard errors the mean result is off its expectation."""
    way = way or RunSettings(1.0, "base")
    trades = simulate(market.intents, [tape], {"BTC": FINE}, COSTS, [way])[0].trades
    assert trades["status"].unique().to_list() == ["filled"]
    off = trades["net_bps"].to_numpy() - market.expected
    return float(off.mean() / (off.std(ddof=1) / math.sqrt(off.size)))


@pytest.fixture(scope="module")
def quick():
    market = martingale(N_QUICK, 11)
    return market, market.tape(funding=market.tables.funding)


def test_random_orders_on_a_martingale_lose_spread_two_fees_and_funding(quick):
    market, tape = quick
    # Some trades settle, some do not, and the sides do not balance.
    assert 0.05 < np.mean(market.expected != -(SPREAD_BPS + 2 * FEE_BPS)) < 0.09
    assert market.expected.mean() < -10.05
    assert abs(z_of(market, tape)) < 3.0


def test_what_is_not_luck_is_exact_trade_by_trade(quick):
    market, tape = quick
    few = market.intents.head(500)
    trades = simulate(few, [tape], {"BTC": FINE}, COSTS, [RunSettings(1.0, "base")])[0].trades
    paid = (trades["net_bps"] - trades["gross_bps"]).to_numpy()
    np.testing.assert_allclose(paid, market.expected[:500], atol=2e-3)


@pytest.mark.parametrize("mutant", ["fee on one side", "fills at mid", "funding ignored"])
def test_an_engine_that_forgets_a_cost_is_found_out(quick, mutant):
    market, tape = quick
    # A fee that is paid on one side alone is half of both.
    scales = {
        "fee on one side": CostScale(fee=0.5),
        "fills at mid": CostScale(spread=0.0),
        "funding ignored": CostScale(),
    }
    way = RunSettings(1.0, "base", scales[mutant])
    if mutant == "funding ignored":
        tape = market.tape()
    assert abs(z_of(market, tape, way)) > 6.0


@pytest.mark.calibrate
def test_400_000_random_orders_on_a_martingale_lose_what_they_must():
    market = martingale(N_FULL, 12)
    assert abs(z_of(market, market.tape(funding=market.tables.funding))) < 3.0
