"""Small markets and accounts for the venue's tests: an instrument of whole units, rows in ticks."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import TS, from_us, to_us
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.simulation.account import AccountSpec
from quantlab_pipeline.simulation.venue import Terms, VenueOrder, run_orders
from quantlab_pipeline.simulation.venue_tape import bar_market, quote_market
from quantlab_pipeline_tests.simulation.builders import START

COIN = Instrument(symbol="COIN", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
UNIT = 10_000
"""Cash units of one lot of COIN at one tick."""

T0 = to_us(START)
MINUTE = 60_000_000
FREE = Terms(maker_bps=0.0, taker_bps=0.0)
PERP = AccountSpec(kind="perp_margin", cash_usd=Decimal(1_000_000))
SPOT = AccountSpec(kind="spot_cash", cash_usd=Decimal(1_000_000))


def bars_in_ticks(rows, tick=0.1):
    """One-minute bars from (open, high, low, close) in ticks; None is a price nobody knows."""
    ts = [START + timedelta(minutes=i + 1) for i in range(len(rows))]
    columns = list(zip(*rows, strict=True)) if rows else [[]] * 4
    prices = {
        name: pl.Series([None if t is None else t * tick for t in column], dtype=pl.Float64)
        for name, column in zip(("open", "high", "low", "close"), columns, strict=True)
    }
    return pl.DataFrame(
        {
            "ts": pl.Series(ts, dtype=TS),
            "open_ts": pl.Series([t - timedelta(minutes=1) for t in ts], dtype=TS),
            **prices,
        }
    )


def quotes_in_ticks(rows, tick=0.1, lot=0.001):
    """Quotes from (second, bid ticks, bid lots, ask ticks, ask lots)."""
    at, bid, bid_lots, ask, ask_lots = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "ts": pl.Series(T0 + np.array(at, dtype=np.int64) * 1_000_000).cast(TS),
            "bid_px": np.array(bid) * tick,
            "bid_qty": np.array(bid_lots) * lot,
            "ask_px": np.array(ask) * tick,
            "ask_qty": np.array(ask_lots) * lot,
            "quote_age_s": np.zeros(len(at)),
        }
    )


def marks_in_ticks(rows, tick=0.1):
    """Marks from (microseconds since T0, ticks)."""
    return pl.DataFrame(
        {
            "ts": pl.Series([from_us(T0 + at) for at, _ in rows], dtype=TS),
            "mark_price": [ticks * tick for _, ticks in rows],
        }
    )


def on_bars(rows, orders, account=SPOT, terms=FREE, watch="none", **market):
    """Orders, arriving at microseconds since T0, on bars; a perpetual's mark is 1,000 ticks."""
    if account.kind == "perp_margin":
        market.setdefault("marks", marks_in_ticks([(-1, 1_000)]))
    return run_orders(
        bar_market(COIN, bars_in_ticks(rows), **market), moved(orders), account, terms, watch
    )


def on_quotes(rows, orders, account=SPOT, terms=FREE, watch="none", **market):
    """The same on quotes."""
    if account.kind == "perp_margin":
        market.setdefault("marks", marks_in_ticks([(-1, 1_000)]))
    return run_orders(
        quote_market(COIN, quotes_in_ticks(rows), **market), moved(orders), account, terms, watch
    )


def moved(orders):
    """Orders whose instants count from T0."""
    return [
        VenueOrder(
            arrive_us=T0 + o.arrive_us,
            lots=o.lots,
            kind=o.kind,
            price_ticks=o.price_ticks,
            expire_us=None if o.expire_us is None else T0 + o.expire_us,
            parent=o.parent,
            oco=o.oco,
            reduce_only=o.reduce_only,
            event_id=o.event_id,
        )
        for o in orders
    ]


def filled(run):
    """(order, minute or second since T0 in microseconds, lots, ticks) of each fill."""
    rows = run.fills.select("order", "at_us", "lots", "price_ticks").rows()
    return [(o, at - T0, lots, ticks) for o, at, lots, ticks in rows]


def outcomes(run):
    """(status, reason) of each order."""
    return run.orders.select("status", "reason").rows()
