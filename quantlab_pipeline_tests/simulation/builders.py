"""Small markets for the simulation's tests: flat or walking books, bars, settlements."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US, TS, to_us
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.fills import FillModel
from quantlab_pipeline.simulation.latency import LatencyModel
from quantlab_pipeline.simulation.trades import INTENTS

START = datetime(2025, 1, 6, tzinfo=UTC)
BTC = Instrument(symbol="BTC", tick_size=Decimal("0.01"), lot_size=Decimal("0.000001"))


def cost_model(fee_bps=4.0, impact_y=0.0, half_bps=1.0, latency=(1.0,), maker_bps=0.0, **fill):
    """Both profiles alike: fees of one venue, Y and assumed half-spread given, no stress."""
    rates = {"volume_from_usd": 0.0, "maker_bps": maker_bps, "taker_bps": fee_bps}
    profile = {
        "impact_y": impact_y,
        "stress_spread_multiplier": 2.0,
        "spread_tiers": [{"volume_from_usd": 0.0, "half_spread_bps": half_bps}],
    }
    return CostModel.model_validate(
        {
            "venue": "here",
            "fees": {"here": {"tiers": [rates]}},
            "profiles": {"base": profile, "conservative": profile},
            "notional_usd": 10_000.0,
            "execution": {
                "latency": LatencyModel(latency_s=latency).model_dump(),
                "fill": FillModel(**fill).model_dump(),
            },
        }
    )


def bars_of(close, symbol="BTC", start=START, volume=100.0, opens=None):
    """One-minute bars of closes; each opens at the close before (the first at its own close)."""
    close = np.asarray(close, dtype=np.float64)
    opened = np.concatenate([close[:1], close[:-1]]) if opens is None else np.asarray(opens)
    closed_us = to_us(start) + np.arange(1, close.size + 1) * MINUTE_US
    ts = pl.Series(closed_us).cast(TS)
    return pl.DataFrame(
        {
            "symbol": [symbol] * close.size,
            "ts": ts,
            "available_at": ts,
            "open_ts": pl.Series(closed_us - MINUTE_US).cast(TS),
            "open": opened,
            "high": np.maximum(opened, close),
            "low": np.minimum(opened, close),
            "close": close,
            "volume_base": np.full(close.size, volume),
            "volume_quote": volume * close,
        }
    )


def quotes_of(mid, spread_bps, symbol="BTC", start=START, size=1e6, step_s=1):
    """One quote per `step_s` from `start` on, of one relative spread."""
    mid = np.asarray(mid, dtype=np.float64)
    ts = pl.Series(to_us(start) + np.arange(mid.size) * step_s * 1_000_000).cast(TS)
    return pl.DataFrame(
        {
            "symbol": [symbol] * mid.size,
            "leg": ["perp"] * mid.size,
            "ts": ts,
            "bid_px": mid * (1 - spread_bps / 2e4),
            "bid_qty": np.full(mid.size, float(size)),
            "ask_px": mid * (1 + spread_bps / 2e4),
            "ask_qty": np.full(mid.size, float(size)),
            "quote_age_s": np.zeros(mid.size),
        }
    )


def funding_of(stamps, rate, mark=None, symbol="BTC", interval_h=8):
    """Settlements of one rate at `stamps`; `interval_h` of all or of each."""
    hours = interval_h if isinstance(interval_h, list) else [interval_h] * len(stamps)
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(stamps),
            "ts": pl.Series(stamps, dtype=TS),
            "settled_rate": [float(rate)] * len(stamps),
            "interval_h": pl.Series(hours, dtype=pl.Int64),
            "mark_price": pl.Series([mark] * len(stamps), dtype=pl.Float64),
        }
    )


def intents_of(rows, strategy_id="s", symbol="BTC"):
    """Intents from (ts, exit_ts, side)."""
    return pl.DataFrame(
        [
            (strategy_id, symbol, ts, exit_ts, side, f"e{i}", False)
            for i, (ts, exit_ts, side) in enumerate(rows)
        ],
        schema=INTENTS,
        orient="row",
    )
