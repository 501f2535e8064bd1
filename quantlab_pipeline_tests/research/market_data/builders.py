"""Small market tables for the tests of the market_data stage."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from quantlab_pipeline.core.clocks import TS, day_start, minute_grid
from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline.research.market_data.parsed import Origin
from quantlab_pipeline.research.market_data.spec import D0Thresholds

DAY = date(2025, 2, 3)
SYMBOL = "BTCUSDT"
GATES = Path(__file__).parents[3] / "specs" / "gates.yaml"


def thresholds(**changes) -> D0Thresholds:
    return D0Thresholds(**(yaml.safe_load(GATES.read_text())["d0"] | changes))


def origin(dataset: str = "bars_1m_perp", days=(DAY,)) -> Origin:
    return Origin(dataset, SYMBOL, tuple(days))


def path(days=(DAY,), seed: int = 1, bps: float = 5.0, start: float = 100.0) -> np.ndarray:
    """A random walk of closes, one a minute."""
    steps = np.random.Generator(np.random.PCG64(seed)).normal(0, bps / 1e4, 1440 * len(days))
    return start * np.exp(np.cumsum(steps))


def bars(
    closes: np.ndarray, days=(DAY,), symbol: str = SYMBOL, volume: float = 2.0
) -> pl.DataFrame:
    """Bars of whole days whose close is `closes`; open is the close before."""
    ts = minute_grid(list(days))
    opens = np.concatenate([closes[:1], closes[:-1]])
    frame = pl.DataFrame({"ts": ts, "open": opens, "close": closes}).with_columns(
        pl.lit(symbol).alias("symbol"),
        pl.col("ts").alias("available_at"),
        (pl.col("ts") - timedelta(minutes=1)).alias("open_ts"),
        pl.max_horizontal("open", "close").alias("high"),
        pl.min_horizontal("open", "close").alias("low"),
        pl.lit(volume).alias("volume_base"),
        (pl.col("close") * volume).alias("volume_quote"),
        pl.lit(10, pl.Int64).alias("n_trades"),
        pl.lit(volume / 2).alias("taker_buy_base"),
    )
    return schema.BARS_1M_PERP.conform(frame)


def marks(closes: np.ndarray, days=(DAY,), symbol: str = SYMBOL) -> pl.DataFrame:
    ts = minute_grid(list(days))
    frame = pl.DataFrame({"ts": ts, "mark_price": closes, "index_price": closes}).with_columns(
        pl.lit(None, pl.Float64).alias("premium_index"),
        pl.lit(None, pl.Float64).alias("predicted_rate"),
        pl.lit(None, TS).alias("next_funding_ts"),
    )
    return schema.MARK_INDEX.conform(
        frame.with_columns(pl.lit(symbol).alias("symbol"), pl.col("ts").alias("available_at"))
    )


def quotes(rows, leg: str = "perp", symbol: str = SYMBOL, day: date = DAY) -> pl.DataFrame:
    """Quotes from (seconds after the day's start, bid, bid size, ask, ask size)."""
    start = day_start(day)
    stamps = [start + timedelta(seconds=r[0]) for r in rows]
    columns = {
        n: [float(r[i]) for r in rows]
        for i, n in enumerate(("bid_px", "bid_qty", "ask_px", "ask_qty"), start=1)
    }
    frame = pl.DataFrame({"ts": pl.Series(stamps, dtype=TS), **columns})
    return frame.with_columns(pl.lit(symbol).alias("symbol"), pl.lit(leg).alias("leg"))


def found(report: pl.DataFrame) -> dict[tuple[str, str], int]:
    """(dataset, check) -> count of everything that is not 0."""
    rows = report.filter(pl.col("count") > 0)
    return {(d, c): n for d, c, n in rows.select("dataset", "check", "count").iter_rows()}
