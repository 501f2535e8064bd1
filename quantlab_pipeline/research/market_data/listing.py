"""When each symbol traded, and where one stopped for good while the market went on.

Belongs here: what bars tell of a symbol's beginning and end. An end is not damage: the minutes
after it are no gap, and the last day, with the fall that often comes before, counts like any other.
What an end means for membership is `universe`'s and `survivorship`'s matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.research.market_data.tally import GROUP, dated

LISTING: Mapping[str, Any] = {"symbol": pl.String, "first_day": pl.Date, "last_day": pl.Date}
"""Columns of a listing: one row per symbol, its first and last day with a bar."""

ENDS: Mapping[str, Any] = {"symbol": pl.String, "day": pl.Date, "ended_at": TS}
"""Columns of ends: one row per symbol that stopped for good, its last day and its last bar."""

ABSENCE = ("gaps", "mark_index_gap", "oi_holes", "missing_settlement")
"""Checks whose places are instants without a row."""


def listing_of(spans: Mapping[str, tuple[date, date] | None]) -> pl.DataFrame:
    """A listing from each symbol's first and last day, as a source's `days` says them."""
    rows = [(symbol, *span) for symbol, span in sorted(spans.items()) if span is not None]
    return pl.DataFrame(rows, schema=dict(LISTING), orient="row")


def listing(bars: pl.DataFrame) -> pl.DataFrame:
    """The first and last day of each symbol of `bars` (symbol, ts), sorted by symbol."""
    day = pl.col("day")
    return (
        dated(bars)
        .group_by("symbol")
        .agg(day.min().alias("first_day"), day.max().alias("last_day"))
        .sort("symbol")
    )


def ended_at(bars: pl.DataFrame) -> pl.DataFrame:
    """(symbol, day, ended_at): the last bar of a symbol that has none on the next day.

    It needs the next day: others must trade on it, else nothing is known and the day has no row. An
    outage that begins inside one day and lasts over the whole next one looks the same.
    """
    last = dated(bars).group_by(GROUP).agg(pl.col("ts").max().alias("ended_at")).sort(GROUP)
    goes_on = last.select(pl.col("day").dt.offset_by("-1d")).unique()
    traded_next = last.select("symbol", pl.col("day").dt.offset_by("-1d"))
    return last.join(goes_on, on="day", how="semi", maintain_order="left").join(
        traded_next, on=GROUP, how="anti", maintain_order="left"
    )


def until_the_end(rows: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """`rows` (symbol, day, ts) that lie not after their symbol's end, as `ended_at` found it."""
    known = rows.join(ends, on=GROUP, how="left", maintain_order="left")
    over = (pl.col("ts") > pl.col("ended_at")).fill_null(value=False)
    return known.filter(~over).drop("ended_at")


def beside_the_ends(found: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """Tallies without what an end explains: of the ABSENCE checks, the places after it.

    `found` has the columns of `tally` and may hold any checks; a row without a place left is gone.
    """
    absence = pl.col("check").is_in(ABSENCE)
    places = found.filter(absence).explode("places").drop("first_ts").rename({"places": "ts"})
    left = (
        until_the_end(places, ends)
        .group_by("dataset", *GROUP, "check", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("count"),
            pl.col("ts").min().alias("first_ts"),
            pl.col("detail").first(),
            pl.col("ts").alias("places"),
        )
    )
    return pl.concat([found.filter(~absence), left.select(found.columns)])
