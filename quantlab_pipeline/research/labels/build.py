"""Make `labels_fwd`: what a long, entered one delay after each minute, earned and went through.

The only verb that looks forward. It knows prices and label specs, neither features nor events.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import (
    MINUTE,
    MINUTE_US,
    TS,
    day_of,
    day_start,
    minute_index,
    to_us,
)
from quantlab_pipeline.research.labels.schema import LABELS_FWD
from quantlab_pipeline.research.labels.spec import LabelSpecs
from quantlab_pipeline.simulation.prices import price_matrix, reference_price


def build_labels(
    bars_perp: pl.DataFrame,
    tob_1m_agg: pl.DataFrame,
    specs: LabelSpecs,
    days: Sequence[date],
    symbols: Sequence[str],
) -> pl.DataFrame:
    """One row per symbol and minute of `days` that has a reference price, of schema `labels_fwd`.

    `bars_perp` and `tob_1m_agg` hold `days` and the two days after (less at the sample's end, where
    the horizons that did not resolve are null). A label is null if its entry or exit has no price
    within the spec's tolerance, or if too much of its path is missing; after a delisting no exit
    has a price. `available_at` is the end of the longest horizon. A row's values do not depend on
    what other days are in the run.
    """
    prices = reference_price(bars_perp, tob_1m_agg).filter(pl.col("symbol").is_in(list(symbols)))
    rows = _with_entry_source(
        prices.filter(day_of().is_in(list(days))), prices, specs.entry_delay_min
    )
    if rows.is_empty():
        return LABELS_FWD.empty()
    first, last = day_start(min(days)) + MINUTE, _latest(prices)
    grid = pl.datetime_range(first, last, MINUTE, eager=True, time_unit="us").cast(TS)
    parts = []
    for part in rows.partition_by("symbol", maintain_order=True):
        matrix = price_matrix(prices, [part["symbol"][0]], grid)
        minutes = part.select(minute_index()).to_series().to_numpy()
        at = minutes - to_us(first) // MINUTE_US
        paths = path_labels(matrix.prices[0], matrix.fresh[0], specs)[:, :, at]
        parts.append(part.with_columns(_columns(paths, specs)))
    known_after = timedelta(minutes=specs.entry_delay_min + specs.longest_min)
    table = pl.concat(parts).with_columns((pl.col("ts") + known_after).alias("available_at"))
    return LABELS_FWD.conform(table)


def path_labels(
    prices: npt.NDArray[np.float64], fresh: npt.NDArray[np.bool_], specs: LabelSpecs
) -> npt.NDArray[np.float64]:
    """float64[K, 3, T]: fwd_ret, mfe, mae of each horizon for a decision at each minute.

    `prices` [T] is carried over gaps (NaN outside the symbol's life), `fresh` [T] marks observed
    minutes. NaN where a label is null.
    """
    from quantlab_pipeline.kernels.label_windows import forward_windows

    horizons = np.array([h.length_min for h in specs.horizons], np.int64)
    gaps = gap_lengths(fresh)
    return forward_windows(
        np.log(prices),
        fresh,
        gaps <= specs.max_entry_gap_min,
        gaps <= specs.max_exit_gap_min,
        horizons,
        np.floor(horizons * specs.max_missing_frac + 1e-9).astype(np.int64),
        specs.entry_delay_min,
    )


def gap_lengths(fresh: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """int64[T]: length in minutes of the gap that each minute lies in, 0 where it has a price.

    A gap that is open at either end (before the first price, after the last) is without limit: its
    length is not known yet, and an unresolved minute must not be taken for a short gap.
    """
    n = len(fresh)
    at = np.arange(n)
    before = np.maximum.accumulate(np.where(fresh, at, -1))
    after = np.minimum.accumulate(np.where(fresh, at, n)[::-1])[::-1]
    closed = (before >= 0) & (after < n)
    length = np.where(fresh, 0, after - before - 1)
    return np.where(closed, length, np.iinfo(np.int64).max)


def _with_entry_source(rows: pl.DataFrame, prices: pl.DataFrame, delay_min: int) -> pl.DataFrame:
    """`rows` with the price source of the entry; where the entry has none, of the decision."""
    at_entry = prices.select(
        "symbol",
        (pl.col("ts") - timedelta(minutes=delay_min)).alias("ts"),
        pl.col("price_source").alias("_entry_source"),
    )
    return rows.join(at_entry, on=["symbol", "ts"], how="left", maintain_order="left").with_columns(
        pl.coalesce("_entry_source", "price_source").alias("price_source")
    )


def _columns(paths: npt.NDArray[np.float64], specs: LabelSpecs) -> list[pl.Series]:
    return [
        pl.Series(f"{label.name}_{horizon.name}", paths[k, j]).fill_nan(None)
        for k, horizon in enumerate(specs.horizons)
        for j, label in enumerate(specs.labels)
    ]


def _latest(prices: pl.DataFrame) -> datetime:
    latest: datetime = prices.select(pl.col("ts").max()).item()
    return latest
