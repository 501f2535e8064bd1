"""Leaks of one symbol's own bars: windows, shifts, fills and swings. Statistics are `samples`'."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.calibration.leak_zoo.pair import (
    Pair,
    by_day,
    closes,
    each,
    known,
    mean_of,
    of_yesterday,
    volumes,
)
from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE
from quantlab_pipeline.research.features.inputs import FeatureInputs

CLOSE = pl.col("close")
DECIDED = pl.col("ts").dt.minute() == 55
"""Hourly decisions are taken five minutes before the hour."""


def shift_minus_one(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The last return, shifted the wrong way: it is the next minute's."""
    return each((CLOSE.shift(-1) / CLOSE).log(), closes(inputs, grid))


def last_return(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The last minute's return."""
    return each((CLOSE / CLOSE.shift(1)).log(), closes(inputs, grid))


def reversed_change(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The change over five minutes, taken while the frame still stood newest first."""
    newest_first = closes(inputs, grid).reverse()
    return each(CLOSE / CLOSE.shift(5) - 1.0, newest_first).reverse()


def sorted_change(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The change over five minutes, oldest first."""
    oldest_first = closes(inputs, grid).sort("symbol", "ts")
    return each(CLOSE / CLOSE.shift(5) - 1.0, oldest_first)


def lag_with_the_wrong_sign(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Volume of ten minutes ago, the gaps filled first and the lag's sign mistaken."""
    filled = pl.col("volume_base").forward_fill(limit=5)
    return each(filled.shift(-10), volumes(inputs, grid))


def lag(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Volume of ten minutes ago, the gaps filled first."""
    filled = pl.col("volume_base").forward_fill(limit=5)
    return each(filled.shift(10), volumes(inputs, grid))


def centred_window(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The highest close of a window with its middle at the row."""
    return each(CLOSE.rolling_max(15, min_samples=1, center=True), closes(inputs, grid))


def trailing_window(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The highest close of a window that ends at the row."""
    return each(CLOSE.rolling_max(15, min_samples=1), closes(inputs, grid))


def below_the_swing(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The bar's high below the swing high, of five bars on either side, told on the bar itself."""
    swing = pl.col("high").rolling_max(11, min_samples=1, center=True)
    return each(pl.col("high") / swing - 1.0, known(inputs.bars_perp, grid, "high"))


def below_the_confirmed_swing(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The same of the bar five minutes ago, once the bars after it have confirmed the swing."""
    swing = pl.col("high").rolling_max(11, min_samples=1)
    return each(pl.col("high").shift(5) / swing - 1.0, known(inputs.bars_perp, grid, "high"))


def label_as_feature(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The hour's forward return: the target was not dropped from the frame of features."""
    return each((CLOSE.shift(-60) / CLOSE).log(), closes(inputs, grid))


def hours_return(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The return of the hour that has just passed."""
    return each((CLOSE / CLOSE.shift(60)).log(), closes(inputs, grid))


def outcome_at_entry(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """How each hour's trade ended four hours later, kept on the row on which it was entered."""
    outcome = (CLOSE.shift(-240) / CLOSE).log()
    return each(pl.when(DECIDED).then(outcome), closes(inputs, grid))


def outcome_at_exit(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """How the trade that was entered four hours ago ended, on the row on which it ends."""
    outcome = (CLOSE / CLOSE.shift(240)).log()
    return each(pl.when(DECIDED).then(outcome), closes(inputs, grid))


def back_fill(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Missing minutes filled from the next bar: `bfill`, since the first rows were null."""
    return each(CLOSE.backward_fill(), closes(inputs, grid))


def short_fill(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Missing minutes filled from the last bar, for five minutes at most."""
    return each(CLOSE.forward_fill(limit=5), closes(inputs, grid))


def unfinished_bar(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """What takers bought in the minute that has only begun: bars joined on their open stamp."""
    opened = inputs.bars_perp.with_columns(pl.col("ts", "available_at") - MINUTE)
    return known(opened, grid, "taker_buy_base")["taker_buy_base"]


def finished_bar(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """What takers bought in the minute that has just closed."""
    return known(inputs.bars_perp, grid, "taker_buy_base")["taker_buy_base"]


def imputed_by_the_mean(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Missing volume imputed by the column's mean, later days among them."""
    volume = pl.col("volume_base")
    return each(volume.fill_null(volume.mean()), volumes(inputs, grid))


def imputed_by_yesterday(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Missing volume imputed by the mean of the day before."""
    volume = volumes(inputs, grid)["volume_base"]
    return volume.fill_null(of_yesterday(mean_of(by_day(volume, grid)), grid))


PRICE = ("bars_1m_perp.close",)
VOLUME = ("bars_1m_perp.volume_base",)
HIGH = ("bars_1m_perp.high",)
TAKEN = ("bars_1m_perp.taker_buy_base",)

PAIRS = (
    Pair(shift_minus_one, last_return, PRICE, 1),
    Pair(reversed_change, sorted_change, PRICE, 5),
    Pair(lag_with_the_wrong_sign, lag, VOLUME, 15),
    Pair(centred_window, trailing_window, PRICE, 14),
    Pair(below_the_swing, below_the_confirmed_swing, HIGH, 10),
    Pair(label_as_feature, hours_return, PRICE, 60),
    Pair(outcome_at_entry, outcome_at_exit, PRICE, 240),
    Pair(back_fill, short_fill, PRICE, 5),
    Pair(unfinished_bar, finished_bar, TAKEN, 1),
    Pair(imputed_by_the_mean, imputed_by_yesterday, VOLUME, 2 * DAY_MINUTES - 1),
)
"""Every leak of this room."""
