"""Leaks of statistics that were fitted on everything loaded, later days among them.

The honest twin fits on the day before, or on the window that ends at the row.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from quantlab_pipeline.calibration.leak_zoo.pair import (
    Floats,
    Pair,
    by_day,
    closes,
    column_of,
    day_before,
    deviation_of,
    each,
    from_days,
    known,
    mean_of,
    of_yesterday,
    share_of,
    trailing,
    volumes,
)
from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.research.features.inputs import FeatureInputs

CLOSE, VOLUME = pl.col("close"), pl.col("volume_base")
RETURN = (CLOSE / CLOSE.shift(1)).log()
WINDOW = 120


def _quantile(days: Floats, share: float) -> Floats:
    """The `share` quantile of each day [symbol, day]; NaN for a day without a value."""
    ordered = np.sort(days, axis=-1)
    count = (~np.isnan(days)).sum(axis=-1)
    place = np.maximum(np.ceil(share * count).astype(np.int64) - 1, 0)
    return np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0]


def full_sample_z(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A z-score by the mean and deviation of the whole column."""
    return each((CLOSE - CLOSE.mean()) / CLOSE.std(), closes(inputs, grid))


def trailing_z(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A z-score in the window that ends at the row."""
    close = closes(inputs, grid)["close"]
    window = trailing(close, grid, WINDOW)
    return (close - column_of(mean_of(window))) / column_of(deviation_of(window))


def full_sample_rank(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A percentile among all rows of the column."""
    return each(VOLUME.rank() / VOLUME.count(), volumes(inputs, grid))


def trailing_rank(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A percentile in the window that ends at the row."""
    window = trailing(volumes(inputs, grid)["volume_base"], grid, WINDOW)
    last = window[:, -1:]
    below = (window < last).sum(axis=1) + 0.5 * (window == last).sum(axis=1)
    rank = share_of(below, (~np.isnan(window)).sum(axis=1))
    return column_of(np.where(np.isnan(last[:, 0]), np.nan, rank))


def regime_edges_on_all(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Where volume lies between regimes whose edges are terciles of the whole column."""
    low, high = VOLUME.quantile(1 / 3), VOLUME.quantile(2 / 3)
    return each((VOLUME - low) / (high - low), volumes(inputs, grid))


def regime_edges_of_yesterday(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Where volume lies between regimes whose edges are terciles of the day before."""
    days = by_day(volumes(inputs, grid)["volume_base"], grid)
    low, high = (day_before(_quantile(days, share))[..., None] for share in (1 / 3, 2 / 3))
    return from_days(share_of(days - low, high - low), grid)


def scaled_before_the_split(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Volume scaled by one mean and deviation, fitted before the rows were split for training."""
    volume = pl.col("volume_base")
    return volumes(inputs, grid).select((volume - volume.mean()) / volume.std()).to_series()


def scaled_by_the_train_day(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Volume scaled by one mean and deviation, fitted on each day and put to use on the next."""
    days = by_day(volumes(inputs, grid)["volume_base"], grid)
    train = np.moveaxis(days, 0, 1).reshape(days.shape[1], -1)
    mean, deviation = (
        np.broadcast_to(fitted, days.shape[:2]) for fitted in (mean_of(train), deviation_of(train))
    )
    centred = days - day_before(mean)[..., None]
    return from_days(centred / day_before(deviation)[..., None], grid)


def winsorised_on_all(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Returns clipped at quantiles of the whole column, to tame the outliers."""
    clipped = RETURN.clip(RETURN.quantile(0.05), RETURN.quantile(0.95))
    return each(clipped, closes(inputs, grid))


def winsorised_by_yesterday(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Returns clipped at quantiles of the day before."""
    days = by_day(each(RETURN, closes(inputs, grid)), grid)
    low, high = (day_before(_quantile(days, share))[..., None] for share in (0.05, 0.95))
    return from_days(np.clip(days, low, high), grid)


def encoded_by_hour(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The hour of the day, encoded by its mean return over the whole sample."""
    rows = closes(inputs, grid).with_columns(
        pl.col("ts").dt.hour().alias("hour"), RETURN.over("symbol").alias("return")
    )
    return rows.select(pl.col("return").mean().over("symbol", "hour")).to_series()


def encoded_by_yesterdays_hour(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The hour of the day, encoded by its mean return on the day before."""
    days = by_day(each(RETURN, closes(inputs, grid)), grid)
    hours = mean_of(days.reshape(*days.shape[:2], 24, 60))
    return from_days(np.repeat(day_before(hours), 60, axis=-1), grid)


def volume_profile_of_all(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Volume over the usual volume of its quarter-hour, on average of the whole sample."""
    rows = volumes(inputs, grid).with_columns(
        (pl.col("ts").dt.hour().cast(pl.Int32) * 4 + pl.col("ts").dt.minute() // 15).alias("slot")
    )
    return rows.select(VOLUME / VOLUME.mean().over("symbol", "slot")).to_series()


def volume_profile_of_yesterday(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Volume over the mean volume of its quarter-hour on the day before."""
    days = by_day(volumes(inputs, grid)["volume_base"], grid)
    slots = mean_of(days.reshape(*days.shape[:2], 96, 15))
    usual = np.repeat(day_before(slots), 15, axis=-1)
    return from_days(share_of(days, usual), grid)


def detrended_on_all(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The price without its trend: a straight line fitted to the whole sample."""
    rows = closes(inputs, grid).with_columns(pl.int_range(pl.len()).over("symbol").alias("t"))
    seen = pl.when(CLOSE.is_not_null()).then(pl.col("t"))
    slope = pl.cov(CLOSE, seen) / seen.var()
    return each(CLOSE - CLOSE.mean() - slope * (seen - seen.mean()), rows)


def detrended_by_yesterday(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The price without its trend: the line through the means of yesterday's two halves."""
    close = closes(inputs, grid)["close"]
    days = by_day(close, grid)
    first, second = np.moveaxis(mean_of(days.reshape(*days.shape[:2], 2, -1)), -1, 0)
    ahead = np.broadcast_to(0.5 + np.arange(1, DAY_MINUTES + 1) / DAY_MINUTES, days.shape)
    rise = of_yesterday(2 * (second - first), grid) * from_days(ahead, grid)
    return close - of_yesterday((first + second) / 2, grid) - rise


def share_of_the_sample(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """How far into the sample the row lies: its number over the number of rows."""
    rows = inputs.bars_perp.sort("symbol", "ts").with_columns(
        (pl.int_range(pl.len()) / pl.len()).over("symbol").alias("elapsed")
    )
    return known(rows, grid, "elapsed")["elapsed"]


def share_of_the_day(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """How far into its day the row lies, where there is a bar."""
    minute = pl.col("ts").dt.hour().cast(pl.Float64) * 60 + pl.col("ts").dt.minute()
    return closes(inputs, grid).select(
        pl.when(CLOSE.is_not_null()).then(minute / DAY_MINUTES)
    ).to_series()  # fmt: skip


def ties_broken_by_a_ramp(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Ties broken by a tiny ramp over the column, whose steps depend on its length."""
    ramp = 1.0 + 1e-12 * pl.int_range(pl.len()) / pl.len()
    rows = inputs.bars_perp.sort("symbol", "ts").with_columns(
        (VOLUME * ramp.over("symbol")).alias("untied")
    )
    return known(rows, grid, "untied")["untied"]


def ties_broken_by_the_minute(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Ties broken by a tiny ramp over the hour."""
    ramp = 1.0 + 1e-12 * pl.col("ts").dt.minute().cast(pl.Float64) / 60
    return volumes(inputs, grid).select(VOLUME * ramp).to_series()


PRICE = ("bars_1m_perp.close",)
TRADED = ("bars_1m_perp.volume_base",)
ROWS = "bars_1m_perp"
YESTERDAY = 2 * DAY_MINUTES - 1

PAIRS = (
    Pair(full_sample_z, trailing_z, PRICE, WINDOW - 1),
    Pair(full_sample_rank, trailing_rank, TRADED, WINDOW - 1),
    Pair(regime_edges_on_all, regime_edges_of_yesterday, TRADED, YESTERDAY),
    Pair(scaled_before_the_split, scaled_by_the_train_day, TRADED, YESTERDAY),
    Pair(winsorised_on_all, winsorised_by_yesterday, PRICE, YESTERDAY + 1),
    Pair(encoded_by_hour, encoded_by_yesterdays_hour, PRICE, YESTERDAY + 1),
    Pair(volume_profile_of_all, volume_profile_of_yesterday, TRADED, YESTERDAY),
    Pair(detrended_on_all, detrended_by_yesterday, PRICE, YESTERDAY),
    Pair(share_of_the_sample, share_of_the_day, PRICE, 0, through=ROWS),
    Pair(ties_broken_by_a_ramp, ties_broken_by_the_minute, TRADED, 0, through=ROWS),
)
"""Every leak of this room."""
