"""Trailing liquidity: a day's volatility and traded value as known at each hour.

Belongs here: the two measured inputs of the impact and spread-tier models. Not here: the models
(`costs`). Sums are taken over blocks of one hour aligned to absolute time and then over the last 24
blocks in a fixed order, so that a value never depends on where a range began.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE_US, TS
from quantlab_pipeline.core.point_in_time import asof_join

BLOCK_MIN = 60
WINDOW_BLOCKS = 24
MIN_MINUTES = 360
"""Fewer valid minutes than this in the last 24 hours: liquidity is unknown."""

_READ = ("symbol", "ts", "available_at", "close", "volume_base", "volume_quote")
COLUMNS = ("sigma_d_bps", "volume_usd")
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def trailing_liquidity(bars: pl.DataFrame) -> pl.DataFrame:
    """One row per symbol and full hour: symbol, ts, available_at, sigma_d_bps, volume_usd.

    `bars` are one-minute bars (symbol, ts = close, available_at, close, volume_base, volume_quote).
    `sigma_d_bps` is sqrt(1440 mean r^2) of one-minute log returns over the last 24 hours, and
    `volume_usd` the traded value per day over them; both null below 360 valid minutes. Traded value
    falls back to volume_base x close where the source has none.
    """
    read = bars.select(_READ).sort("symbol", "ts")
    parts = [
        _of_symbol(symbol[0], group)
        for symbol, group in read.group_by(["symbol"], maintain_order=True)
    ]
    if not parts:
        return pl.DataFrame(
            schema={
                "symbol": pl.String,
                "ts": TS,
                "available_at": TS,
                "sigma_d_bps": pl.Float64,
                "volume_usd": pl.Float64,
            }
        )
    return pl.concat(parts)


def liquidity_at(decisions: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """`decisions` (symbol, ts, ...) with sigma_d_bps and volume_usd as known at each, in order."""
    return asof_join(decisions, trailing_liquidity(bars), list(COLUMNS))


def _of_symbol(symbol: object, bars: pl.DataFrame) -> pl.DataFrame:
    minute = bars["ts"].dt.epoch("us").to_numpy() // MINUTE_US
    known = bars["available_at"].dt.epoch("us").to_numpy()
    close = bars["close"].to_numpy()
    value = bars.select(
        pl.coalesce("volume_quote", pl.col("volume_base") * pl.col("close")).alias("value")
    )["value"].to_numpy()
    ret = np.full(close.size, np.nan)
    ret[1:] = np.where(np.diff(minute) == 1, np.diff(np.log(close)), np.nan)
    block = (minute - 1) // BLOCK_MIN
    first = int(block[0])
    at, n_blocks = block - first, int(block[-1]) - first + 1
    squares = _trailing(at, np.nan_to_num(ret * ret), n_blocks)
    n_ret = _trailing(at, np.isfinite(ret).astype(np.float64), n_blocks)
    n_bars = _trailing(at, np.ones(at.size), n_blocks)
    total = _trailing(at, value, n_blocks)
    enough = n_ret >= MIN_MINUTES
    sigma = np.sqrt(DAY_MINUTES * squares / np.where(enough, n_ret, 1.0)) * 1e4
    volume = total * DAY_MINUTES / np.where(enough, n_bars, 1.0)
    ends = (np.arange(n_blocks) + first + 1) * BLOCK_MIN * MINUTE_US
    return pl.DataFrame(
        {
            "symbol": pl.Series([symbol] * n_blocks, dtype=pl.String),
            "ts": pl.Series(ends).cast(TS),
            "available_at": pl.Series(np.maximum(ends, _known_by(at, known, n_blocks))).cast(TS),
            "sigma_d_bps": pl.Series(np.where(enough, sigma, np.nan)).fill_nan(None),
            "volume_usd": pl.Series(np.where(enough, volume, np.nan)).fill_nan(None),
        }
    )


def _trailing(at: IntArray, values: FloatArray, n_blocks: int) -> FloatArray:
    """Sum of `values` over each block and the 23 before it, oldest first."""
    padded = np.zeros(n_blocks + WINDOW_BLOCKS - 1)
    np.add.at(padded, at + WINDOW_BLOCKS - 1, values)
    out = np.zeros(n_blocks)
    for k in range(WINDOW_BLOCKS):
        out += padded[k : k + n_blocks]
    return out


def _known_by(at: IntArray, known: IntArray, n_blocks: int) -> IntArray:
    """When the last of the rows in each block's window became known, microseconds."""
    latest = np.zeros(n_blocks, dtype=np.int64)
    np.maximum.at(latest, at, known)
    padded = np.concatenate([np.zeros(WINDOW_BLOCKS - 1, dtype=np.int64), latest])
    out = latest.copy()
    for k in range(WINDOW_BLOCKS):
        np.maximum(out, padded[k : k + n_blocks], out=out)
    return out
