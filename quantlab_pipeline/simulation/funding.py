"""Funding: who pays whom at a settlement, and which settlements a position meets.

One named model: payment = -side x quantity x mark x rate, charged iff entry < stamp <= exit. At one
instant funding comes before fills, so that an entry at the stamp pays nothing and an exit at it
still does. Only published settlements are charged: where the data ends, so does funding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE
from quantlab_pipeline.core.point_in_time import asof_join

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def settled_between(stamps_us: IntArray, entry_us: int, exit_us: int) -> slice:
    """The settlements with entry < stamp <= exit, as a slice of `stamps_us` (sorted)."""
    first = int(np.searchsorted(stamps_us, entry_us, side="right"))
    last = int(np.searchsorted(stamps_us, exit_us, side="right"))
    return slice(first, max(first, last))


def payment_usd(quantity_base: float, mark_price: float, rate: float) -> float:
    """Cash that a signed position receives (+) or pays (-) at one settlement, quote units."""
    return -quantity_base * mark_price * rate


def settlements(funding: pl.DataFrame, mark_index: pl.DataFrame | None = None) -> pl.DataFrame:
    """Published settlements: symbol, stamp_us, rate, mark_price, sorted.

    The mark is the one published with the settlement, else the mark minute bar that closed last at
    or before it within two minutes, else NaN: the engine then takes the last price it traded on and
    says so in its findings.
    """
    rows = funding.select(
        "symbol",
        "ts",
        pl.col("ts").dt.epoch("us").alias("stamp_us"),
        pl.col("settled_rate").alias("rate"),
        "mark_price",
    ).sort("symbol", "ts")
    if mark_index is not None and mark_index.height:
        # The venue charged on the mark as it was, whenever its bar came to be known.
        marks = mark_index.select("symbol", "ts", minute_mark="mark_price", available_at="ts")
        rows = asof_join(rows, marks, ["minute_mark"], max_age=2 * MINUTE).with_columns(
            pl.coalesce("mark_price", "minute_mark")
        )
    return rows.select("symbol", "stamp_us", "rate", pl.col("mark_price").fill_null(np.nan))
