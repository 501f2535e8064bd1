"""Open interest: five-minute buckets, stamped by the venue at their start, known after their end.

Belongs here: the bucket's two clocks and its faults. Files may be unsorted, doubled or full of
holes; holes are `qa`'s to count, and nothing is carried over them.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.research.market_data.parsed import (
    Origin,
    ParsedTable,
    not_negative,
    one_row_each,
    set_aside,
    within,
)
from quantlab_pipeline.research.market_data.schema import OPEN_INTEREST

RAW_OPEN_INTEREST = {"bucket_start": TS, "oi_base": pl.Float64, "oi_usd": pl.Float64}
"""What a source gives, in file order; `oi_usd` may be null."""

BUCKET = timedelta(minutes=5)


def build_open_interest(raw: pl.DataFrame, origin: Origin, delay_s: int = 60) -> ParsedTable:
    """Buckets of `origin.days` (schema OPEN_INTEREST) from RAW_OPEN_INTEREST rows.

    `ts` is the bucket's end and `available_at` lies `delay_s` seconds after it. Set aside and
    counted: starts off the five minutes (`misaligned`), values that are missing or not above zero
    (`non_positive_oi`), repeated buckets after the first (`duplicates`). Rows out of order are
    sorted and counted (`non_monotone`). A missing or negative `oi_usd` is null.
    """
    stamped = raw.with_columns((pl.col("bucket_start") + BUCKET).alias("ts"))
    rows, findings = one_row_each(within(stamped, origin.days), origin)
    off_grid = pl.col("bucket_start") != pl.col("bucket_start").dt.truncate("5m")
    empty = ~not_negative("oi_base") | (pl.col("oi_base") <= 0)
    for check, faulty in (("misaligned", off_grid), ("non_positive_oi", empty)):
        rows, found = set_aside(rows, faulty, origin, check)
        findings += found
    frame = rows.with_columns(
        pl.lit(origin.symbol).alias("symbol"),
        (pl.col("ts") + timedelta(seconds=delay_s)).alias("available_at"),
        pl.when(not_negative("oi_usd")).then("oi_usd").alias("oi_usd"),
    )
    return ParsedTable(OPEN_INTEREST.conform(frame), tuple(findings))
