"""Funding settlements: raw stamps, the grid they belong to, and what was known of the next one.

Belongs here: the snapping of jittered stamps and the interval where a source does not publish it.
What a position pays is `simulation`'s matter.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.research.market_data.parsed import (
    Origin,
    ParsedTable,
    one_row_each,
    positive,
    set_aside,
    within,
)
from quantlab_pipeline.research.market_data.schema import FUNDING

RAW_FUNDING = {
    "raw_ts": TS,
    "settled_rate": pl.Float64,
    "interval_h": pl.Int64,
    "mark_price": pl.Float64,
}
"""What a source gives, all that it has, in file order; the last two may be null."""

INTERVALS_H = (1, 2, 4, 8)
MAX_JITTER = timedelta(seconds=30)


def snapped(column: str = "raw_ts") -> pl.Expr:
    """The minute nearest to a jittered stamp."""
    return pl.col(column).dt.offset_by("30s").dt.truncate("1m")


def build_funding(raw: pl.DataFrame, origin: Origin) -> ParsedTable:
    """Settlements of `origin.days` (schema FUNDING) from RAW_FUNDING rows of any range.

    `ts` is the stamp snapped to the minute, `available_at` the raw stamp: a rate is never known
    before it was published. A missing interval is the spacing from the settlement before (one of
    1, 2, 4, 8 hours), or the last known where a settlement is missing, so `raw` should hold more
    than the days asked for. `next_funding_ts` is one interval after `ts`, as far as this settlement
    knew. Set aside and counted: rates that are no number (`funding_out_of_range`), stamps further
    than 30 s from a whole hour (`misaligned`), repeated settlements (`duplicates`).
    """
    stamped = raw.with_columns(snapped().alias("ts"))
    findings = one_row_each(within(stamped, origin.days), origin)[1]
    rows = stamped.unique("ts", keep="first", maintain_order=True).sort("ts")
    rows = rows.with_columns(_intervals(rows))
    rows = within(rows, origin.days)
    hourly = pl.col("ts") == pl.col("ts").dt.round("1h")
    for check, faulty in (
        ("misaligned", ~hourly),
        ("funding_out_of_range", ~pl.col("settled_rate").is_finite()),
    ):
        rows, found = set_aside(rows, faulty, origin, check)
        findings += found
    frame = rows.with_columns(
        pl.lit(origin.symbol).alias("symbol"),
        pl.col("raw_ts").alias("available_at"),
        (pl.col("ts") + pl.duration(hours=pl.col("interval_h"))).alias("next_funding_ts"),
        pl.when(positive("mark_price")).then("mark_price").alias("mark_price"),
    )
    return ParsedTable(FUNDING.conform(frame), tuple(findings))


def _intervals(rows: pl.DataFrame) -> pl.Series:
    """Interval of each sorted row: published, else from the spacing, else carried (8 at first)."""
    spacing = rows["ts"].diff().dt.total_minutes().to_list()
    published = rows["interval_h"].to_list()
    allowed = {hours * 60: hours for hours in INTERVALS_H}
    first = next((allowed[s] for s in spacing if s in allowed), max(INTERVALS_H))
    out, current = [], first
    for hours, minutes in zip(published, spacing, strict=True):
        current = hours or allowed.get(minutes, current)
        out.append(current)
    return pl.Series("interval_h", out, pl.Int64)
