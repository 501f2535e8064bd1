"""The reference price that every stage marks to, and its matrix over a grid of instants.

Belongs here: which price stands for a symbol at a minute, and how gaps are carried. Fills (at which
price one trades) are the fill models' matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import TS
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
    if np.count_nonzero(fresh) != len(values):
        raise SchemaError(
            "Two prices have one (symbol, ts).", "Deduplicate the price frame at its source."
        )
    return PriceGrid(_carried(prices, fresh), fresh)


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
