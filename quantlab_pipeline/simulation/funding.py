"""Funding: who pays whom at a settlement, and which settlements a position meets.

One named model: payment = -side x quantity x mark x rate, charged iff entry < stamp <= exit. At one
instant funding comes before fills, so that an entry at the stamp pays nothing and an exit at it
still does. Only published settlements are charged: where the data ends, so does funding, and no
stale rate is charged on. A settlement that is due and of which there is no rate fails closed: it is
`unsettled`, and a position held across it has no known result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE, TS
from quantlab_pipeline.core.point_in_time import asof_join

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
HOUR_US = 3_600_000_000

FUNDING_READ: dict[str, Any] = {
    "symbol": pl.String,
    "ts": TS,
    "settled_rate": pl.Float64,
    "interval_h": pl.Int64,
    "mark_price": pl.Float64,
}
"""What a simulation reads of the `funding` table."""


def settled_between(stamps_us: IntArray, entry_us: int, exit_us: int) -> slice:
    """The settlements with entry < stamp <= exit, as a slice of `stamps_us` (sorted)."""
    first = int(np.searchsorted(stamps_us, entry_us, side="right"))
    last = int(np.searchsorted(stamps_us, exit_us, side="right"))
    return slice(first, max(first, last))


def payment_usd(quantity_base: float, mark_price: float, rate: float) -> float:
    """Cash that a signed position receives (+) or pays (-) at one settlement, quote units."""
    return -quantity_base * mark_price * rate


def settlements(funding: pl.DataFrame, mark_index: pl.DataFrame | None = None) -> pl.DataFrame:
    """Published settlements with a finite rate: symbol, stamp_us, rate, mark_price, sorted.

    The mark is the one published with the settlement, else the mark minute bar that closed last at
    or before it within two minutes, else NaN: the engine then takes the last price it traded on and
    says so in its findings.
    """
    rows = (
        funding.filter(pl.col("settled_rate").is_finite())
        .select(
            "symbol",
            "ts",
            pl.col("ts").dt.epoch("us").alias("stamp_us"),
            pl.col("settled_rate").alias("rate"),
            "mark_price",
        )
        .sort("symbol", "ts")
    )
    if mark_index is not None and mark_index.height:
        # The venue charged on the mark as it was, whenever its bar came to be known.
        marks = mark_index.select("symbol", "ts", minute_mark="mark_price", available_at="ts")
        rows = asof_join(rows, marks, ["minute_mark"], max_age=2 * MINUTE).with_columns(
            pl.coalesce("mark_price", "minute_mark")
        )
    return rows.select("symbol", "stamp_us", "rate", pl.col("mark_price").fill_null(np.nan))


def unsettled(funding: pl.DataFrame, first_us: int, last_us: int) -> IntArray:
    """Stamps in (first_us, last_us] at which one symbol's settlement was due and has no rate.

    `funding` has `FUNDING_READ`; the instants are those between which the symbol traded. Due is
    what each row's `interval_h`, the hours since the settlement before it, calls for back to the
    row before, and the last row's from there on; an interval that switches is so followed as it was
    published. Rows without a finite rate are due themselves. Without any row nothing is known to be
    due: then the market has no funding, which its own document says. Sorted, microseconds.
    """
    rows = funding.sort("ts")
    stamps = rows["ts"].dt.epoch("us").to_list()
    if not stamps:
        return np.zeros(0, dtype=np.int64)
    rated = rows["settled_rate"].is_finite().fill_null(value=False).to_list()
    steps = [hours * HOUR_US for hours in rows["interval_h"].to_list()]
    due = [stamp for stamp, known in zip(stamps, rated, strict=True) if not known]
    before = [first_us, *stamps[:-1]]
    for start, stamp, step in zip(before, stamps, steps, strict=True):
        due += range(stamp - step, start, -step)
    due += range(stamps[-1] + steps[-1], last_us + 1, steps[-1])
    found = np.array(sorted(due), dtype=np.int64)
    return found[(found > first_us) & (found <= last_us)]
