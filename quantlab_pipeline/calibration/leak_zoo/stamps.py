"""Leaks of a wrong instant: open stamps, whole days, late rows and revisions, each joined too soon.

Funding, open interest and mark have their own: `derivatives`.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from quantlab_pipeline.calibration.leak_zoo.pair import (
    Pair,
    by_day,
    closes,
    each,
    known,
    of_yesterday,
)
from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE, day_of
from quantlab_pipeline.research.features.inputs import FeatureInputs

KEY = ["symbol", "ts"]
HOUR = timedelta(hours=1)
SESSION_MIN = 8 * 60


def hour_on_open_stamp(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The hourly close, joined on the stamp at which the hour opened."""
    opened = (pl.col("ts") - MINUTE).dt.truncate("1h").alias("ts")
    bars = inputs.bars_perp.sort("symbol", "ts", "available_at")
    hours = bars.group_by("symbol", opened).agg(pl.col("close").last())
    return known(hours.with_columns(available_at="ts"), grid, "close", age=HOUR)["close"]


def last_whole_hour(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The close of the last whole hour."""
    on_the_hour = inputs.bars_perp.filter(pl.col("ts").dt.minute() == 0)
    return known(on_the_hour, grid, "close", age=HOUR)["close"]


def resampled_label_left(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The high of a quarter-hour, resampled with the label at its left edge."""
    quarters = (
        inputs.bars_perp.sort(*KEY)
        .group_by_dynamic("ts", every="15m", closed="right", label="left", group_by="symbol")
        .agg(pl.col("high").max())
    )
    quarters = quarters.with_columns(available_at="ts")
    return known(quarters, grid, "high", age=timedelta(minutes=15))["high"]


def resampled_label_right(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The high of a quarter-hour as it was known at its end, with the label at its right edge."""
    quarters = (
        known(inputs.bars_perp, grid, "high")
        .group_by_dynamic("ts", every="15m", closed="right", label="right", group_by="symbol")
        .agg(pl.col("high").max())
    )
    quarters = quarters.with_columns(available_at="ts")
    return known(quarters, grid, "high", age=timedelta(minutes=14))["high"]


def high_of_the_day(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The day's high, joined to every minute of the day: known at noon."""
    daily = inputs.bars_perp.group_by("symbol", day_of().alias("day")).agg(pl.col("high").max())
    rows = grid.with_columns(day_of().alias("day"))
    return rows.join(daily, on=["symbol", "day"], how="left", maintain_order="left")["high"]


def high_of_yesterday(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The high of the day before."""
    days = by_day(known(inputs.bars_perp, grid, "high")["high"], grid)
    return of_yesterday(np.fmax.reduce(days, axis=-1), grid)


def close_of_the_session(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The price at which the session closes, on every row of it: Asia, Europe, America."""
    session = (pl.col("ts") - MINUTE).dt.truncate("8h").alias("session")
    rows = closes(inputs, grid).with_columns(session)
    return rows.select(pl.col("close").drop_nulls().last().over("symbol", "session")).to_series()


def close_of_the_last_session(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The price at which the last session has closed, on every row of the next."""
    ended = pl.col("ts").dt.truncate("8h") == pl.col("ts")
    closed = pl.when(ended).then(pl.col("close")).forward_fill(limit=SESSION_MIN - 1)
    return each(closed, closes(inputs, grid))


def late_row_on_its_stamp(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Each bar on the minute that it describes, also if it came an hour later."""
    first = inputs.bars_perp.sort("available_at").unique(KEY, keep="first", maintain_order=True)
    return grid.join(first, on=KEY, how="left", maintain_order="left")["volume_quote"]


def row_once_it_came(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Each bar on the minute that it describes, if it was there by then."""
    in_time = inputs.bars_perp.filter(pl.col("available_at") <= pl.col("ts"))
    first = in_time.unique(KEY, keep="first", maintain_order=True)
    return grid.join(first, on=KEY, how="left", maintain_order="left")["volume_quote"]


def revised_row(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The latest revision of each bar, whenever it came."""
    newest = inputs.bars_perp.sort("available_at").unique(KEY, keep="last", maintain_order=True)
    return grid.join(newest, on=KEY, how="left", maintain_order="left")["close"]


def row_as_it_was(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Each bar as it was known at its close."""
    return closes(inputs, grid)["close"]


def restated_count(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """How many trades a bar had: of two rows with one stamp, whichever the grouping leaves last."""
    final = inputs.bars_perp.group_by(KEY, maintain_order=True).agg(pl.col("n_trades").last())
    rows = closes(inputs, grid)
    rows = rows.join(final, on=KEY, how="left", maintain_order="left")
    return rows.select(pl.when(pl.col("close").is_not_null()).then("n_trades")).to_series()


def count_as_it_was(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """How many trades a bar had, as it was known at its close."""
    return known(inputs.bars_perp, grid, "n_trades")["n_trades"]


PRICE = ("bars_1m_perp.close",)
HIGH = ("bars_1m_perp.high",)
VALUE = ("bars_1m_perp.volume_quote",)
TRADES = ("bars_1m_perp.n_trades",)

PAIRS = (
    Pair(hour_on_open_stamp, last_whole_hour, PRICE, 60),
    Pair(resampled_label_left, resampled_label_right, HIGH, 28),
    Pair(high_of_the_day, high_of_yesterday, HIGH, 2 * DAY_MINUTES - 1),
    Pair(close_of_the_session, close_of_the_last_session, PRICE, SESSION_MIN - 1),
    Pair(late_row_on_its_stamp, row_once_it_came, VALUE, 0),
    Pair(revised_row, row_as_it_was, PRICE, 0),
    Pair(restated_count, count_as_it_was, TRADES, 0),
)
"""Every leak of this room."""
