"""The universe: which symbols a day may be researched on, and how liquid they were known to be.

Belongs here: membership after gate D0. The gate itself is upstream; this verb receives only what it
admitted. A symbol that is not a member has no row, and the reason stands in its D0 verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.research.market_data.parsed import within
from quantlab_pipeline.research.market_data.schema import UNIVERSE
from quantlab_pipeline.research.market_data.tally import GROUP, dated

LIQUIDITY_DAYS = 7
_KEY = ["symbol", "day"]


def build_universe(
    admitted: pl.DataFrame, bars: pl.DataFrame, days: Sequence[date], reason: str = "D0_ADMITTED"
) -> pl.DataFrame:
    """One row (schema UNIVERSE) per admitted symbol and day, stamped at the day's end.

    `admitted` is the part of the QA report that gate D0 admits (rows with symbol and ts); `bars`
    are perpetual bars of `days` and of LIQUIDITY_DAYS before. Membership runs from the day's first
    bar; it ends at the last bar where more than an hour of the day has none after it (a
    delisting), else it lasts (null). `liquidity_usd` is the median traded value of the up to
    LIQUIDITY_DAYS days before, close times base volume where the source has no value; null without
    a day before. A day's value is a sum of whole dollars a minute: its order does not matter.
    """
    members = dated(within(admitted, days)).select(_KEY).unique().sort(_KEY)
    daily = _daily(bars)
    spans = members.join(daily, on=_KEY, how="left", maintain_order="left")
    end = pl.col("day").cast(TS).dt.offset_by("1d")
    frame = (
        _with_liquidity(spans, daily)
        .with_columns(
            end.alias("ts"),
            end.alias("available_at"),
            pl.coalesce("first_open", pl.col("day").cast(TS)).alias("valid_from"),
            pl.when(pl.col("last_close") < end.dt.offset_by("-1h"))
            .then("last_close")
            .alias("valid_to"),
            pl.lit(reason).alias("reason"),
        )
        .with_columns(
            pl.col("liquidity_usd")
            .rank("ordinal", descending=True)
            .over("day")
            .cast(pl.Int64)
            .alias("liquidity_rank")
        )
    )
    return UNIVERSE.conform(frame)


def _daily(bars: pl.DataFrame) -> pl.DataFrame:
    value = pl.coalesce("volume_quote", pl.col("close") * pl.col("volume_base"))
    return (
        dated(bars)
        .sort("symbol", "ts")
        .group_by(GROUP, maintain_order=True)
        .agg(
            value.round().cast(pl.Int64).sum().alias("value"),
            pl.col("open_ts").min().alias("first_open"),
            pl.col("ts").max().alias("last_close"),
        )
    )


def _with_liquidity(members: pl.DataFrame, daily: pl.DataFrame) -> pl.DataFrame:
    """`members` with the median of `value` over the days before; a day without bars has none."""
    past = [
        daily.select("symbol", pl.col("day").dt.offset_by(f"{n}d"), "value")
        for n in range(1, LIQUIDITY_DAYS + 1)
    ]
    known = pl.concat(past).group_by(_KEY).agg(pl.col("value").median().alias("liquidity_usd"))
    return members.join(known, on=_KEY, how="left", maintain_order="left")
