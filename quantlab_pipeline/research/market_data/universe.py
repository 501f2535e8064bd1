"""The universe: which symbols a day may be researched on, and how liquid they were known to be.

Belongs here: membership of a day after gate D0, and selection by what was known before the day. The
gate itself is upstream; the verb receives only what it admitted. A symbol that is not a member has
no row; why it has none, over a range of days, is `membership`'s matter, and whether a list of
symbols was chosen with hindsight is `survivorship`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.market_data.parsed import within
from quantlab_pipeline.research.market_data.schema import UNIVERSE
from quantlab_pipeline.research.market_data.tally import GROUP, dated

LIQUIDITY_DAYS = 7
"""The days before its own that a day of the universe knows."""

SILENCE = "1h"
"""A symbol whose last bar lies longer than this before the day's end has ended."""

MARKET_START = "MARKET_START"
LISTED = "LISTED"
BACK_AFTER_D0 = "BACK_AFTER_D0"
D0_ADMITTED = "D0_ADMITTED"
DELISTED = "DELISTED"
_KEY = ["symbol", "day"]


def build_universe(
    admitted: pl.DataFrame, bars: pl.DataFrame, days: Sequence[date]
) -> pl.DataFrame:
    """One row (schema UNIVERSE) per admitted symbol and day, stamped at the day's end.

    `admitted` is the part of the QA report that gate D0 admits (rows with symbol and ts); `bars`
    are the perpetual bars that D0 admits, of `days` and of LIQUIDITY_DAYS before. A row knows these
    LIQUIDITY_DAYS days and its own, so that it does not depend on how a range was cut.

    `valid_from` opens the first bar of the unbroken days of membership up to this one; of a member
    for longer, the first bar of the oldest day known. `valid_to` is the last bar where more than an
    hour of the day has none after it, else null. `liquidity_usd` is the median traded value of the
    days before that have bars, close times base volume where the source has no value; null without
    such a day. A day's value is a sum of whole dollars a minute: its order does not matter.
    `liquidity_rank` counts from the most liquid, equal ones by symbol; null without liquidity.

    `reason`: DELISTED where `valid_to` is there; else D0_ADMITTED of a member of the day before,
    BACK_AFTER_D0 of a member of some day before that; else LISTED, or MARKET_START where nothing is
    known of any symbol. An absence of more than LIQUIDITY_DAYS days ends in LISTED.
    """
    members = dated(within(admitted, days)).select(_KEY).unique().sort(_KEY)
    daily = _daily(bars)
    spans = members.join(daily, on=_KEY, how="left", maintain_order="left")
    end = pl.col("day").cast(TS).dt.offset_by("1d")
    frame = (
        _with_the_days_before(spans, daily)
        .with_columns(
            end.alias("ts"),
            end.alias("available_at"),
            pl.coalesce("since", "first_open", pl.col("day").cast(TS)).alias("valid_from"),
            pl.when(pl.col("last_close") < end.dt.offset_by(f"-{SILENCE}"))
            .then("last_close")
            .alias("valid_to"),
        )
        .with_columns(
            _reason().alias("reason"),
            pl.col("liquidity_usd")
            .rank("ordinal", descending=True)
            .over("day")
            .cast(pl.Int64)
            .alias("liquidity_rank"),
        )
    )
    return UNIVERSE.conform(frame)


def top_liquid(universe: pl.DataFrame, n: int) -> pl.DataFrame:
    """The rows of each day's `n` most liquid members, by the rank that was known before the day.

    Of days on which fewer have a rank, those; none of a market's first day. Rows of `universe`
    (schema UNIVERSE) may be of some symbols alone. SpecError unless `n` is at least 1.
    """
    if n < 1:
        raise SpecError(f"A universe of {n} symbols is none.", "Ask for at least 1.", top_n=n)
    ranked = universe.filter(pl.col("liquidity_rank").is_not_null())
    best = pl.col("liquidity_rank").rank("ordinal").over("ts") <= n
    return UNIVERSE.conform(ranked.filter(best))


def _reason() -> pl.Expr:
    return (
        pl.when(pl.col("valid_to").is_not_null())
        .then(pl.lit(DELISTED))
        .when(pl.col("before") == 1)
        .then(pl.lit(D0_ADMITTED))
        .when(pl.col("before").is_not_null())
        .then(pl.lit(BACK_AFTER_D0))
        .when(pl.col("market_before"))
        .then(pl.lit(LISTED))
        .otherwise(pl.lit(MARKET_START))
    )


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


def _with_the_days_before(members: pl.DataFrame, daily: pl.DataFrame) -> pl.DataFrame:
    """`members` with what LIQUIDITY_DAYS days before tell of each.

    `liquidity_usd`; `before`: days since the last with bars; `since`: first bar of the unbroken
    days with bars that reach the day, itself included (null without bars); `market_before`: whether
    any symbol has bars.
    """
    past = pl.concat(
        daily.select(
            "symbol",
            pl.col("day").dt.offset_by(f"{n}d"),
            "value",
            "first_open",
            pl.lit(n).alias("ago"),
        )
        for n in range(LIQUIDITY_DAYS + 1)
    ).sort("symbol", "day", "ago")
    # In an unbroken run the k-th row looking back, the day itself first, lies k days ago.
    unbroken = pl.col("ago") == pl.int_range(pl.len())
    earlier = pl.col("ago") > 0
    known = past.group_by(_KEY, maintain_order=True).agg(
        pl.col("value").filter(earlier).median().alias("liquidity_usd"),
        pl.col("ago").filter(earlier).min().alias("before"),
        pl.col("first_open").filter(unbroken).min().alias("since"),
    )
    others = past.filter(earlier).select("day").unique().with_columns(market_before=pl.lit(True))
    return members.join(known, on=_KEY, how="left", maintain_order="left").join(
        others, on="day", how="left", maintain_order="left"
    )
