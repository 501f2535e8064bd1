"""Small markets for the feature tests: every dataset, with holes where asked."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from quantlab_pipeline.core.clocks import MINUTE, TS, days_between, minute_grid
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.spec import FeatureSpecs
from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline.research.market_data.funding_state import funding_state

SPEC_FILE = Path(__file__).parents[3] / "specs" / "feature_specs.yaml"
FIRST = date(2025, 3, 1)


def shipped_specs() -> FeatureSpecs:
    """The specs that the project ships."""
    return FeatureSpecs.model_validate(yaml.safe_load(SPEC_FILE.read_text()))


def market(
    n_days: int, symbols: list[str], seed: int = 1, holes: bool = False, first: date = FIRST
) -> FeatureInputs:
    """Every table over `n_days`; with `holes`, rows vanish at random and in runs."""
    days = days_between(first, first + timedelta(days=n_days - 1))
    minutes = minute_grid(days)
    parts = [_symbol_tables(symbol, minutes, generator(seed, symbol)) for symbol in symbols]
    frames = {table: pl.concat([part[table] for part in parts]) for table in parts[0]}
    if holes:
        rng = generator(seed, "holes")
        frames = {table: _with_holes(frame, rng) for table, frame in frames.items()}
    return FeatureInputs().with_tables(frames)


def _with_holes(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    keep = rng.random(frame.height) > 0.03
    for start in rng.integers(0, frame.height, 4):
        keep[start : start + frame.height // 40] = False
    return frame.filter(pl.Series(keep))


def _symbol_tables(
    symbol: str, minutes: pl.Series, rng: np.random.Generator
) -> dict[str, pl.DataFrame]:
    n = minutes.len()
    sigma = 5e-4 * np.exp(np.sin(np.arange(n) / 700.0))
    close = 100.0 * np.exp(np.cumsum(sigma * rng.standard_t(5, n)))
    open_ = np.concatenate([[100.0], close[:-1]])
    wobble = close * sigma
    high = np.maximum(open_, close) + wobble * rng.random(n)
    low = np.minimum(open_, close) - wobble * rng.random(n)
    volume = rng.gamma(1.0, 50.0, n) * (rng.random(n) > 0.02)
    head = pl.DataFrame({"ts": minutes}).select(
        pl.lit(symbol).alias("symbol"), "ts", pl.col("ts").alias("available_at")
    )
    bars = head.with_columns(
        (pl.col("ts") - MINUTE).alias("open_ts"),
        open=open_, high=high, low=low, close=close, volume_base=volume,
        volume_quote=volume * close, n_trades=pl.lit(5, pl.Int64),
        taker_buy_base=volume / 2,
    )  # fmt: skip
    basis = np.cumsum(rng.normal(0, 0.5, n)) * 0.02 + rng.normal(0, 1.0, n)
    index = close * np.exp(-basis / 1e4)
    settled = _funding(symbol, minutes, rng)
    marks = head.with_columns(
        mark_price=close, index_price=index, premium_index=np.log(close / index),
        predicted_rate=pl.lit(None, pl.Float64), next_funding_ts=pl.lit(None, TS),
    )  # fmt: skip
    return {
        "bars_1m_perp": bars,
        "bars_1m_spot": bars.with_columns(close=index),
        "funding": settled,
        "mark_index": marks,
        "funding_state": funding_state(settled, marks),
        "open_interest": _open_interest(symbol, minutes, rng),
        "tob_1m_agg": _book(head, close, rng),
        "basis_state": head.with_columns(
            perp_mid=close, spot_mid=index, basis_bps=basis,
            basis_source=pl.lit("mid"), skew_s=pl.lit(0.1),
        ),
    }  # fmt: skip


def _funding(symbol: str, minutes: pl.Series, rng: np.random.Generator) -> pl.DataFrame:
    at = minutes.filter((minutes.dt.minute() == 0) & (minutes.dt.hour() % 8 == 0))
    jitter = pl.Series(rng.integers(0, 50_000, at.len())).cast(pl.Duration("us"))
    rate = rng.normal(2e-5, 5e-5, at.len())
    return pl.DataFrame({"ts": at}).select(
        pl.lit(symbol).alias("symbol"), "ts",
        (pl.col("ts") + jitter).alias("available_at"), (pl.col("ts") + jitter).alias("raw_ts"),
        settled_rate=pl.Series(rate), interval_h=pl.lit(8, pl.Int64),
        next_funding_ts=pl.col("ts") + timedelta(hours=8),
        mark_price=pl.lit(None, pl.Float64),
    )  # fmt: skip


def _open_interest(symbol: str, minutes: pl.Series, rng: np.random.Generator) -> pl.DataFrame:
    end = minutes.filter(minutes.dt.minute() % 5 == 0)
    return pl.DataFrame({"ts": end}).select(
        pl.lit(symbol).alias("symbol"), "ts", (pl.col("ts") + MINUTE).alias("available_at"),
        (pl.col("ts") - 5 * MINUTE).alias("bucket_start"),
        oi_base=pl.Series(1e5 + np.cumsum(rng.normal(0, 50, end.len()))),
        oi_usd=pl.lit(None, pl.Float64),
    )  # fmt: skip


def _book(head: pl.DataFrame, mid: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    n = head.height
    spread = np.round(np.exp(rng.normal(0.5, 0.4, n)), 1)
    depth = np.exp(rng.normal(11, 0.3, n))
    perp = head.with_columns(
        leg=pl.lit("perp"), spread_bps_mean=spread, spread_bps_median=spread,
        spread_bps_max=spread * 2, depth_usd_mean=depth, depth_usd_min=depth / 2,
        imbalance_mean=np.clip(rng.normal(0, 0.3, n), -1, 1), imbalance_std=pl.lit(0.1),
        bid_last=mid * 0.9999, ask_last=mid * 1.0001, mid_last=mid,
        n_updates=pl.lit(60, pl.Int64), n_locked=pl.lit(0, pl.Int64),
        n_crossed=pl.lit(0, pl.Int64), n_stale=pl.lit(0, pl.Int64),
        n_invalid=pl.lit(0, pl.Int64), valid_frac=pl.lit(1.0), staleness_s=pl.lit(0.5),
    )  # fmt: skip
    spot = perp.with_columns(leg=pl.lit("spot"), spread_bps_mean=pl.lit(99.0))
    return pl.concat([perp, spot]).select(schema.TOB_1M_AGG.names).cast({"ts": TS})
