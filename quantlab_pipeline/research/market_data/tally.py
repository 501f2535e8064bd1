"""Counting rows at fault: the common shape of every check's answer, one row per (symbol, day)."""

from __future__ import annotations

from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import TS, day_of

GROUP = ["symbol", "day"]

_TALLY: dict[str, Any] = {
    "dataset": pl.String,
    "symbol": pl.String,
    "day": pl.Date,
    "check": pl.String,
    "count": pl.Int64,
    "first_ts": TS,
    "detail": pl.String,
    "places": pl.List(TS),
}


def empty_tally() -> pl.DataFrame:
    """No faults."""
    return pl.DataFrame(schema=_TALLY)


def dated(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with the `day` that owns each `ts`."""
    return rows.with_columns(day_of("ts").alias("day"))


def tally(rows: pl.DataFrame, dataset: str, check: str, detail: str | None = None) -> pl.DataFrame:
    """Faults per symbol and day of `rows` (symbol, day, ts; `n` where a row counts for more)."""
    weight = pl.col("n").sum() if "n" in rows.columns else pl.len()
    return (
        rows.group_by(GROUP, maintain_order=True)
        .agg(weight.cast(pl.Int64).alias("count"), pl.col("ts").unique().sort().alias("places"))
        .select(
            pl.lit(dataset).alias("dataset"),
            *GROUP,
            pl.lit(check).alias("check"),
            "count",
            pl.col("places").list.first().alias("first_ts"),
            pl.lit(detail, pl.String).alias("detail"),
            "places",
        )
    )
