"""Leaks of memory: filters run both ways, and state that reaches further back than it declares."""

from __future__ import annotations

import numpy as np
import polars as pl

from quantlab_pipeline.calibration.leak_zoo.pair import (
    Pair,
    by_day,
    closes,
    column_of,
    day_before,
    each,
    from_days,
    known,
    mean_of,
    share_of,
    trailing,
)
from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.research.features.inputs import FeatureInputs

CLOSE = pl.col("close")
SPAN, FORGOTTEN_MIN, WILDER = 30, 180, 14


def _weighted(inputs: FeatureInputs, grid: pl.DataFrame, window: int) -> pl.Series:
    """The exponential mean of the last `window` closes, heavier the newer; span `SPAN`."""
    values = trailing(closes(inputs, grid)["close"], grid, window)
    weights = (1.0 - 2.0 / (SPAN + 1)) ** np.arange(window - 1, -1, -1)
    there = ~np.isnan(values)
    total = np.where(there, values * weights, 0.0).sum(axis=-1)
    return column_of(share_of(total, np.where(there, weights, 0.0).sum(axis=-1)))


def smoothed_both_ways(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """An exponential mean without its lag: run forwards, then backwards, as `filtfilt` does."""
    forwards = CLOSE.forward_fill().ewm_mean(span=SPAN)
    return each(forwards.reverse().ewm_mean(span=SPAN).reverse(), closes(inputs, grid))


def smoothed_one_way(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """An exponential mean with its lag, over a window with an end."""
    return _weighted(inputs, grid, FORGOTTEN_MIN)


def ewm_from_the_first_row(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """An exponential mean that begins wherever the frame begins, said to forget in three hours."""
    return each(CLOSE.ewm_mean(span=4 * SPAN, ignore_nulls=True), closes(inputs, grid))


def ewm_of_a_window(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """An exponential mean of the last three hours and of nothing before."""
    return _weighted(inputs, grid, FORGOTTEN_MIN + 1)


def expanding_mean(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The mean of all closes so far: of whatever was loaded."""
    return each(CLOSE.cum_sum() / CLOSE.cum_count(), closes(inputs, grid))


def mean_since_midnight(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The mean of the day's closes so far."""
    days = by_day(closes(inputs, grid)["close"], grid)
    there = ~np.isnan(days)
    total, count = np.where(there, days, 0.0).cumsum(axis=-1), there.cumsum(axis=-1)
    return from_days(share_of(total, count), grid)


def drawdown_from_the_first_row(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The fall from the highest close so far: of whatever was loaded."""
    return each(CLOSE / CLOSE.cum_max() - 1.0, closes(inputs, grid))


def drawdown_of_a_day(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The fall from the highest close of the last day."""
    high = CLOSE.rolling_max(DAY_MINUTES, min_samples=1)
    return each(CLOSE / high - 1.0, closes(inputs, grid))


def rolling_mean_of_running_sums(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The library's rolling mean: a running sum, which keeps the rounding of all rows before."""
    mean = CLOSE.rolling_mean(60, min_samples=30)
    return each(CLOSE / mean - 1.0, closes(inputs, grid))


def rolling_mean_of_windows(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A rolling mean whose windows are each summed anew."""
    close = closes(inputs, grid)["close"]
    return close / column_of(mean_of(trailing(close, grid, 60))) - 1.0


def fill_without_end(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Gaps filled from the last bar, however old it is; said to look back five minutes."""
    return each(pl.col("low").forward_fill(), known(inputs.bars_perp, grid, "low"))


def fill_of_five_minutes(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Gaps filled from the last bar while it is at most five minutes old."""
    return each(pl.col("low").forward_fill(limit=5), known(inputs.bars_perp, grid, "low"))


def change_by_rows(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The change from the row before, as if rows were minutes: after a gap it is an older one."""
    rows = known(inputs.bars_perp, grid, "open").drop_nulls("open")
    change = (pl.col("open") / pl.col("open").shift(1) - 1.0).over("symbol")
    changes = rows.select("symbol", "ts", change)
    return grid.join(changes, on=["symbol", "ts"], how="left", maintain_order="left")["open"]


def change_of_a_minute(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The change over a minute; after a gap there is none."""
    change = pl.col("open") / pl.col("open").shift(1) - 1.0
    return each(change, known(inputs.bars_perp, grid, "open"))


def range_begun_late(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Wilder's average range, begun half an hour before the day, too late to forget its start."""
    rows = known(inputs.bars_perp, grid, "high", "low")
    spread = pl.col("high") - pl.col("low")
    return each(spread.ewm_mean(alpha=1 / WILDER, adjust=False, ignore_nulls=True), rows)


def range_begun_a_day_before(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Wilder's average range, begun anew for each day at the midnight that opens the one before."""
    rows = known(inputs.bars_perp, grid, "high", "low")
    days = by_day(rows["high"] - rows["low"], grid)
    both = np.concatenate([day_before(days), days], axis=-1)
    average = np.full(days.shape[:2], np.nan)
    averages = np.empty_like(both)
    for minute in range(both.shape[-1]):
        now = both[..., minute]
        moved = average + (now - average) / WILDER
        moved = np.where(np.isnan(average), now, moved)
        average = np.where(np.isnan(now), average, moved)
        averages[..., minute] = average
    return from_days(np.ascontiguousarray(averages[..., DAY_MINUTES:]), grid)


PRICE, LOW, OPEN = ("bars_1m_perp.close",), ("bars_1m_perp.low",), ("bars_1m_perp.open",)
RANGE = ("bars_1m_perp.high", "bars_1m_perp.low")
BARS = "bars_1m_perp"
DAY = DAY_MINUTES - 1

PAIRS = (
    Pair(smoothed_both_ways, smoothed_one_way, PRICE, FORGOTTEN_MIN - 1),
    Pair(ewm_from_the_first_row, ewm_of_a_window, PRICE, FORGOTTEN_MIN, sin="lookback"),
    Pair(expanding_mean, mean_since_midnight, PRICE, DAY, sin="lookback"),
    Pair(drawdown_from_the_first_row, drawdown_of_a_day, PRICE, DAY, sin="lookback"),
    Pair(rolling_mean_of_running_sums, rolling_mean_of_windows, PRICE, 59, BARS, sin="lookback"),
    Pair(fill_without_end, fill_of_five_minutes, LOW, 5, sin="lookback"),
    Pair(change_by_rows, change_of_a_minute, OPEN, 1, sin="lookback"),
    Pair(
        range_begun_late,
        range_begun_a_day_before,
        RANGE,
        30,
        twin_lookback_min=DAY + DAY_MINUTES,
        sin="warmup",
    ),
)
"""Every leak of this room."""
