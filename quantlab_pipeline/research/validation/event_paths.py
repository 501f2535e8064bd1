"""The mean price path around each event type, with the calendar-time band; for reports.

Belongs here: what prices did before and after the events of a type, gross, for a long. Not here:
anything that a verdict reads. Unlike a candidate's curve (`event_study`) a path is anchored at the
decision, not at the entry, and knows neither costs, nor funding, nor a side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US, minute_grid
from quantlab_pipeline.core.point_in_time import decision_minute
from quantlab_pipeline.research.validation.event_study import path_point
from quantlab_pipeline.simulation.prices import PriceGrid, price_matrix

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

PATH_MINUTES = (*range(-60, -10, 5), *range(-10, 15), *range(15, 245, 5))
"""Where a path is measured: minutes from the decision, every one of them near it."""
MAX_MISSING_FRAC = 0.05
"""Largest share of an event's window without an observed price: the rule of the labels."""

_SCHEMA = {
    "event_type": pl.String,
    "minute": pl.Int64,
    "mean_bps": pl.Float64,
    "se_bps": pl.Float64,
    "low_bps": pl.Float64,
    "high_bps": pl.Float64,
    "n_events": pl.Int64,
}


def event_paths(
    events: pl.DataFrame,
    prices: pl.DataFrame,
    days: Sequence[date],
    symbols: Sequence[str],
    minutes: Sequence[int] = PATH_MINUTES,
    max_missing_frac: float = MAX_MISSING_FRAC,
) -> pl.DataFrame:
    """Mean price of every event type at `minutes` from the decision t0, relative to that at t0.

    `events` are rows of schema `events`, `prices` of `reference_price`; `days` are consecutive.
    Columns: event_type, minute (rising), mean_bps, se_bps, low_bps, high_bps (95 %, pointwise),
    n_events. After t0 `mean_bps` is the mean simple return of a long since t0; before it, minus
    that of a long up to t0; at 0 it is 0. The standard error is that of the calendar-time estimator
    (METHOD 1.1: the position's return, minute by minute, HC0 or Bartlett-5, the larger): events
    that share minutes are not independent. All points of a path are of the same events: those with
    an observed price at t0 whose whole window lies inside `days` and the symbol's prices, and lacks
    at most `max_missing_frac` of its minutes. A type without any has no rows.
    """
    from quantlab_pipeline.kernels.calendar_time import market

    grid = minute_grid(list(days))
    laid = price_matrix(prices, symbols, grid)
    world = market(laid.prices, np.zeros_like(laid.prices))
    y = np.empty(laid.prices.shape[1])
    before, after = max(0, -min(minutes)), max(0, *minutes)
    rows: list[tuple[object, ...]] = []
    for event_type, every_symbol, every_t0 in _decisions(events, symbols, grid):
        whole = _is_whole(laid, every_symbol, every_t0, before, after, max_missing_frac)
        symbol, t0 = every_symbol[whole], every_t0[whole]
        for minute in sorted(set(minutes)) if t0.size else ():
            long = np.ones(t0.size)
            rows.append((event_type, *path_point(world, symbol, t0, long, minute, y)))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _decisions(
    events: pl.DataFrame, symbols: Sequence[str], grid: pl.Series
) -> Iterator[tuple[str, IntArray, IntArray]]:
    """Each type with its events' symbols and minutes of `grid`, sorted by both."""
    first = int(grid.dt.epoch("us")[0])
    order = {symbol: i for i, symbol in enumerate(symbols)}
    rows = (
        events.filter(pl.col("symbol").is_in(list(symbols)))
        .with_columns(decided_at=decision_minute())
        .filter(pl.col("decided_at").is_between(grid[0], grid[-1]))
        .select(
            "event_type",
            pl.col("symbol").replace_strict(order, return_dtype=pl.Int64),
            ((pl.col("decided_at").dt.epoch("us") - first) // MINUTE_US).alias("at"),
        )
        .sort("event_type", "symbol", "at")
    )
    for part in rows.partition_by("event_type", maintain_order=True):
        yield part["event_type"][0], part["symbol"].to_numpy(), part["at"].to_numpy()


def _is_whole(
    laid: PriceGrid, symbol: IntArray, t0: IntArray, before: int, after: int, max_missing: float
) -> BoolArray:
    """Which events have their whole window inside the grid, priced at its ends and nearly full."""
    whole: BoolArray = (t0 - before >= 0) & (t0 + after < laid.prices.shape[1])
    i, at = symbol[whole], t0[whole]
    seen = np.cumsum(laid.fresh, axis=1)
    missing = before + after - (seen[i, at + after] - seen[i, at - before])
    # Between a symbol's first and last price every minute has one, carried where it was missing.
    priced = np.isfinite(laid.prices[i, at - before]) & np.isfinite(laid.prices[i, at + after])
    few_missing = missing <= math.floor(max_missing * (before + after) + 1e-9)
    whole[whole] = laid.fresh[i, at] & priced & few_missing
    return whole
