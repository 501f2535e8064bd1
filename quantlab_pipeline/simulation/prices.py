"""The reference price that every stage marks to, and its matrix over a grid of instants.

Belongs here: which price stands for a symbol at a minute, and how gaps are carried. Fills (at which
price one trades) are the fill models' matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US, TS, to_us
from quantlab_pipeline.core.errors import SchemaError

REFERENCE_PRICE_SCHEMA = {
    "symbol": pl.String,
    "ts": TS,
    "price": pl.Float64,
    "price_source": pl.String,
}


class PriceGrid(NamedTuple):
    """Prices of I symbols at T instants.

    `prices` float64[I, T]: the newest price at or before each instant of the grid; NaN before the
    symbol's first price and after its last one (a delisted symbol has no price). `fresh`
    bool[I, T]: the price was observed at that very instant.
    """

    prices: npt.NDArray[np.float64]
    fresh: npt.NDArray[np.bool_]


class ReferenceMinutes(NamedTuple):
    """Reference prices of I symbols at T minutes in a row, nothing carried.

    `prices` float64[I, T]: NaN at a minute without a price. `is_mid` bool[I, T]: a book gave it.
    """

    prices: npt.NDArray[np.float64]
    is_mid: npt.NDArray[np.bool_]


def reference_price(bars_perp: pl.DataFrame, tob_1m_agg: pl.DataFrame) -> pl.DataFrame:
    """One row per (symbol, ts) that has a price: (symbol, ts, price, price_source), sorted.

    The perpetual book's last valid mid of the minute (`mid`), else the bar's close (`close`: an
    assumed mid, off by up to half a spread). Quote units. Either frame may be empty. Absent and
    non-finite or non-positive prices give no row.
    """
    closes = bars_perp.select("symbol", "ts", "close")
    if tob_1m_agg.is_empty():
        both = closes.with_columns(pl.lit(None, pl.Float64).alias("mid_last"))
    else:
        mids = tob_1m_agg.filter((pl.col("leg") == "perp") & _usable("mid_last"))
        both = closes.join(
            mids.select("symbol", "ts", "mid_last"), on=["symbol", "ts"], how="full", coalesce=True
        )
    has_mid = pl.col("mid_last").is_not_null()
    return (
        both.select(
            "symbol",
            "ts",
            pl.coalesce("mid_last", "close").alias("price"),
            pl.when(has_mid).then(pl.lit("mid")).otherwise(pl.lit("close")).alias("price_source"),
        )
        .filter(_usable("price"))
        .sort("symbol", "ts")
    )


def reference_minutes(
    bars_perp: pl.DataFrame,
    tob_1m_agg: pl.DataFrame,
    symbols: Sequence[str],
    first: datetime,
    n_minutes: int,
) -> ReferenceMinutes:
    """`reference_price` laid on `n_minutes` minutes from `first` on, without a join.

    Row i is `symbols[i]`. Off the grid and doubled keys: as `minute_matrix`.
    """
    closes = minute_matrix(bars_perp, "close", symbols, first, n_minutes)
    if tob_1m_agg.is_empty():
        return ReferenceMinutes(closes, np.zeros(closes.shape, dtype=np.bool_))
    perp = tob_1m_agg.filter(pl.col("leg") == "perp")
    mids = minute_matrix(perp, "mid_last", symbols, first, n_minutes)
    is_mid = ~np.isnan(mids)
    return ReferenceMinutes(np.where(is_mid, mids, closes), is_mid)


def minute_matrix(
    frame: pl.DataFrame, column: str, symbols: Sequence[str], first: datetime, n_minutes: int
) -> npt.NDArray[np.float64]:
    """float64[I, T]: a price of `frame` (symbol, ts, `column`) at T minutes from `first` on.

    NaN where it is absent, not finite or not positive. Rows of other symbols, outside the minutes
    or between two of them are left out. A doubled key raises SchemaError.
    """
    matrix = np.full((len(symbols), n_minutes), np.nan)
    parts = frame.select("symbol", "ts", column).partition_by("symbol", as_dict=True)
    for row, symbol in zip(matrix, symbols, strict=True):
        if (part := parts.get((symbol,))) is None:
            continue
        since_us = part["ts"].dt.epoch("us").to_numpy() - to_us(first)
        at = since_us // MINUTE_US
        values = part[column].to_numpy()
        kept = (at >= 0) & (at < n_minutes) & (at * MINUTE_US == since_us)
        kept &= np.isfinite(values) & (values > 0)
        row[at[kept]] = values[kept]
        _refuse_doubled(~np.isnan(row), values[kept])
    return matrix


def price_matrix(frame: pl.DataFrame, symbols: Sequence[str], grid: pl.Series) -> PriceGrid:
    """`frame` (symbol, ts, price; unique keys) laid on `grid` (sorted instants), as a `PriceGrid`.

    Row i is `symbols[i]`; a symbol without rows is all NaN. Rows off the grid and rows of other
    symbols are left out, so that nothing is carried in from before the grid. An unsorted grid or a
    doubled key raises SchemaError.
    """
    instants = grid.cast(TS).dt.epoch("us").to_numpy()
    if np.any(np.diff(instants) <= 0):
        raise SchemaError(
            "The price grid is not strictly increasing.", "Give sorted, unique instants."
        )
    shape = (len(symbols), len(instants))
    prices = np.full(shape, np.nan)
    rows, columns, values = _positions(frame, symbols, instants)
    prices[rows, columns] = values
    fresh = ~np.isnan(prices)
    _refuse_doubled(fresh, values)
    return PriceGrid(_carried(prices, fresh), fresh)


def _refuse_doubled(fresh: npt.NDArray[np.bool_], values: npt.NDArray[np.float64]) -> None:
    if np.count_nonzero(fresh) != len(values):
        raise SchemaError(
            "Two prices have one (symbol, ts).", "Deduplicate the price frame at its source."
        )


def _usable(column: str) -> pl.Expr:
    return pl.col(column).is_not_null() & pl.col(column).is_finite() & (pl.col(column) > 0)


def _positions(
    frame: pl.DataFrame, symbols: Sequence[str], instants: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    index = {symbol: i for i, symbol in enumerate(symbols)}
    kept = frame.filter(pl.col("symbol").is_in(list(index)) & _usable("price"))
    rows = kept["symbol"].replace_strict(index, return_dtype=pl.Int64).to_numpy()
    at = kept["ts"].cast(TS).dt.epoch("us").to_numpy()
    columns = np.searchsorted(instants, at)
    on_grid = columns < len(instants)
    on_grid[on_grid] = instants[columns[on_grid]] == at[on_grid]
    return rows[on_grid], columns[on_grid], kept["price"].to_numpy()[on_grid]


def _carried(
    prices: npt.NDArray[np.float64], fresh: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    n_instants = prices.shape[1]
    at = np.arange(n_instants)
    newest = np.maximum.accumulate(np.where(fresh, at, -1), axis=1)
    last = newest[:, -1:] if n_instants else newest
    alive = (newest >= 0) & (at <= last)
    filled = np.take_along_axis(prices, np.maximum(newest, 0), axis=1)
    return np.where(alive, filled, np.nan)
