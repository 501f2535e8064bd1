"""Leaks of funding, open interest, mark and premium: facts used before they were out."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from quantlab_pipeline.calibration.leak_zoo.pair import Pair, each, known
from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE, day_of
from quantlab_pipeline.research.features.inputs import FeatureInputs

BUCKET = timedelta(minutes=5)
OI_AGE = timedelta(minutes=7)
FUNDING_AGE = timedelta(minutes=540)
MARK_AGE = timedelta(minutes=2)
SETTLED, OI = "settled_rate", "oi_base"


def _minutes_until_next() -> pl.Expr:
    return (pl.col("next_funding_ts") - pl.col("ts")).dt.total_seconds() / 60


def next_funding(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The funding rate of the settlement to come: an as-of join with direction forward."""
    facts = inputs.funding.select("symbol", "ts", SETTLED).sort("ts")
    rows = grid.with_row_index("row").sort("ts")
    joined = rows.join_asof(
        facts, on="ts", by="symbol", strategy="forward", check_sortedness=False
    )  # fmt: skip
    return joined.sort("row")[SETTLED]


def estimated_funding(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The estimate of the funding rate of the settlement to come."""
    return known(inputs.funding_state, grid, "predicted_rate")["predicted_rate"]


def realised_as_predicted(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """How far the predicted rate is above the last; lost predictions were filled in afterwards."""
    settled = inputs.funding.unique(["symbol", "ts"], keep="first", maintain_order=True)
    rows = grid.join(settled, on=["symbol", "ts"], how="left", maintain_order="left")
    predicted, last = pl.col(SETTLED).backward_fill(), pl.col(SETTLED).forward_fill()
    return each(predicted - last, rows)


def predicted_as_streamed(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """How far the predicted rate is above the last, both as they were known."""
    rows = known(inputs.funding_state, grid, "predicted_rate", "last_settled_rate")
    return rows["predicted_rate"] - rows["last_settled_rate"]


def snapped_funding(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The settled rate from its snapped stamp on, some milliseconds before it was out."""
    snapped = inputs.funding.with_columns(available_at="ts")
    return known(snapped, grid, SETTLED, age=FUNDING_AGE)[SETTLED]


def settled_funding(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The settled rate from its raw stamp on."""
    return known(inputs.funding, grid, SETTLED, age=FUNDING_AGE)[SETTLED]


def funding_of_the_date(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The sum of the day's funding rates, joined to its date."""
    first = inputs.funding.sort("available_at").unique(
        ["symbol", "ts"], keep="first", maintain_order=True
    )
    daily = first.group_by("symbol", day_of().alias("day")).agg(pl.col(SETTLED).sum())
    rows = grid.with_columns(day_of().alias("day"))
    return rows.join(daily, on=["symbol", "day"], how="left", maintain_order="left")[SETTLED]


def funding_of_the_day_before(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The sum of the funding rates of the last whole day, once its last settlement was out."""
    first = inputs.funding.sort("available_at").unique(
        ["symbol", "ts"], keep="first", maintain_order=True
    )
    end = day_of().cast(pl.Datetime("us", "UTC")) + timedelta(days=1)
    daily = (
        first.sort("symbol", "ts")
        .group_by("symbol", end.alias("end"), maintain_order=True)
        .agg(pl.col(SETTLED).sum(), pl.col("available_at").max(), pl.col("ts").max())
        .filter(pl.col("ts") == pl.col("end"))
    )
    return known(daily, grid, SETTLED, age=timedelta(days=1))[SETTLED]


def next_interval(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The funding interval in force, read off the settlement that ends it: known before a change.

    Of the interval's length an honest row knows only what was announced.
    """
    facts = inputs.funding.select("symbol", "ts", "interval_h").sort("ts")
    rows = grid.with_row_index("row").sort("ts")
    joined = rows.join_asof(
        facts, on="ts", by="symbol", strategy="forward", check_sortedness=False
    )  # fmt: skip
    return joined.sort("row")["interval_h"]


def announced_interval(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The funding interval in force, as far as it was known."""
    return known(inputs.funding_state, grid, "interval_h")["interval_h"]


def rescheduled_settlement(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Minutes to the next settlement, by the schedule as it was corrected in the end."""
    final = inputs.funding_state.sort("ts", "available_at").unique(
        ["symbol", "ts"], keep="last", maintain_order=True
    )
    rows = grid.join(final, on=["symbol", "ts"], how="left", maintain_order="left")
    return rows.select(_minutes_until_next()).to_series()


def scheduled_settlement(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Minutes to the next settlement, by the schedule as it was known."""
    rows = known(inputs.funding_state, grid, "next_funding_ts")
    return rows.select(_minutes_until_next()).to_series()


def oi_on_bucket_start(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Open interest on the venue's stamp, which is the start of its bucket."""
    start = pl.col("ts") - BUCKET
    stamped = inputs.open_interest.with_columns(start, start.alias("available_at"))
    return known(stamped, grid, OI, age=OI_AGE)[OI]


def oi_published(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Open interest from its publication on."""
    return known(inputs.open_interest, grid, OI, age=OI_AGE)[OI]


def oi_change_on_bucket_end(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The change of open interest, joined on `ts`: a minute before the venue published it."""
    stamped = inputs.open_interest.with_columns(available_at="ts")
    rows = known(stamped, grid, OI, age=OI_AGE)
    return each(pl.col(OI) / pl.col(OI).shift(5) - 1.0, rows)


def oi_change_published(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The change of open interest, joined on `available_at`."""
    rows = known(inputs.open_interest, grid, OI, age=OI_AGE)
    return each(pl.col(OI) / pl.col(OI).shift(5) - 1.0, rows)


def nearest_oi(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The value of open interest at the nearest stamp, before or after."""
    facts = inputs.open_interest.select("symbol", "oi_usd", ts="available_at").sort("ts")
    rows = grid.with_row_index("row").sort("ts")
    joined = rows.join_asof(
        facts, on="ts", by="symbol", strategy="nearest", check_sortedness=False,
        tolerance="7m",
    )  # fmt: skip
    return joined.sort("row")["oi_usd"]


def last_oi(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The value of open interest at the last stamp."""
    return known(inputs.open_interest, grid, "oi_usd", age=OI_AGE)["oi_usd"]


def oi_interpolated(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Open interest by the minute: straight lines from each bucket to the next."""
    facts = inputs.open_interest.select("symbol", OI, ts="available_at")
    facts = facts.unique(["symbol", "ts"], keep="first", maintain_order=True)
    rows = grid.join(facts, on=["symbol", "ts"], how="left", maintain_order="left")
    return each(pl.col(OI).interpolate(), rows)


def oi_extrapolated(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Open interest by the minute: the line through the last two buckets goes on."""
    rows = known(inputs.open_interest, grid, OI, age=OI_AGE)
    step = (pl.col(OI) - pl.col(OI).shift(5)) / 5
    since = pl.col("ts").dt.minute().cast(pl.Float64) % 5
    return each(pl.col(OI) + step * since, rows)


def restated_oi(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Open interest after its restatements: rows sorted by stamp, the last of each kept."""
    final = inputs.open_interest.sort("ts", "available_at").unique(
        ["symbol", "ts"], keep="last", maintain_order=True
    )
    published = final.with_columns(available_at=pl.col("ts") + MINUTE)
    return known(published, grid, OI, age=OI_AGE)[OI]


def oi_as_first_published(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Open interest before any restatement: the first row of each stamp, from its arrival on."""
    first = inputs.open_interest.sort("available_at").unique(
        ["symbol", "ts"], keep="first", maintain_order=True
    )
    return known(first, grid, OI, age=OI_AGE)[OI]


def mark_on_open_stamp(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The mark price of the minute's kline, joined on the stamp at which the minute opens."""
    opened = inputs.mark_index.with_columns(
        ts=pl.col("ts") - MINUTE, available_at=pl.col("available_at") - MINUTE
    )
    return known(opened, grid, "mark_price", age=MARK_AGE)["mark_price"]


def mark_at_the_close(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The mark price at the minute's close."""
    return known(inputs.mark_index, grid, "mark_price", age=MARK_AGE)["mark_price"]


def premium_of_the_interval(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The mean premium of the eight hours that the row lies in, to their end."""
    rows = known(inputs.mark_index, grid, "premium_index").with_columns(
        pl.col("ts").sub(MINUTE).dt.truncate("8h").alias("since")
    )
    return rows.select(pl.col("premium_index").mean().over("symbol", "since")).to_series()


def premium_so_far(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The mean premium of the eight hours that the row lies in, up to the row."""
    rows = known(inputs.mark_index, grid, "premium_index").with_columns(
        pl.col("ts").sub(MINUTE).dt.truncate("8h").alias("since")
    )
    total = pl.col("premium_index").cum_sum() / pl.col("premium_index").cum_count()
    return rows.select(total.over("symbol", "since")).to_series()


RATE = ("funding.settled_rate",)
INTERVAL = ("funding.interval_h",)
ESTIMATE = ("funding_state.predicted_rate", "funding_state.last_settled_rate")
KNOWN_INTERVAL = ("funding_state.interval_h",)
SCHEDULE = ("funding_state.next_funding_ts",)
BASE = ("open_interest.oi_base",)
VALUE = ("open_interest.oi_usd",)
MARK = ("mark_index.mark_price",)
PREMIUM = ("mark_index.premium_index",)

PAIRS = (
    Pair(next_funding, estimated_funding, RATE, 0, twin_reads=ESTIMATE[:1]),
    Pair(realised_as_predicted, predicted_as_streamed, RATE, 540, twin_reads=ESTIMATE),
    Pair(snapped_funding, settled_funding, RATE, 540),
    Pair(funding_of_the_date, funding_of_the_day_before, RATE, 2 * DAY_MINUTES),
    Pair(next_interval, announced_interval, INTERVAL, 0, twin_reads=KNOWN_INTERVAL),
    Pair(rescheduled_settlement, scheduled_settlement, SCHEDULE, 0),
    Pair(oi_on_bucket_start, oi_published, BASE, 7),
    Pair(oi_change_on_bucket_end, oi_change_published, BASE, 12),
    Pair(nearest_oi, last_oi, VALUE, 7),
    Pair(oi_interpolated, oi_extrapolated, BASE, 12),
    Pair(restated_oi, oi_as_first_published, BASE, 7),
    Pair(mark_on_open_stamp, mark_at_the_close, MARK, 2),
    Pair(premium_of_the_interval, premium_so_far, PREMIUM, 8 * 60 - 1),
)
"""Every leak of this room."""
