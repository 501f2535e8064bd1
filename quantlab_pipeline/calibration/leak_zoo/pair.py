"""A leak and its honest twin, and the few words in which animals of the zoo read the market.

Belongs here: what an animal is, and reading that is right in itself. What is wrong with a leak
stands in the leak.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE_US, minute_index, to_us
from quantlab_pipeline.core.point_in_time import asof_rows
from quantlab_pipeline.research.features.build import CustomVerb
from quantlab_pipeline.research.features.inputs import FeatureInputs

Floats = npt.NDArray[np.float64]

AT_ONCE = timedelta(0)
"""Of a table kept by the minute, only this minute's row will do."""

Sin = Literal["future", "lookback", "warmup"]
"""`future`: it sees what was not known. `lookback`: it depends on older facts than it declares.
`warmup`: its recursion begins too late to have forgotten where it began."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A leak, and the honest twin to the same end.

    Each verb's name is its column's, its docstring the story. `reads` are the inputs that the
    leak's author declares, `lookback_min` how far back, both in good faith; `twin_reads` and
    `twin_lookback_min` are the twin's, where they are not the same. `through` is the input that the
    leak sees through (default: the first that it reads): `table.column`, or the table alone where
    what matters is which rows there are.
    """

    leak: CustomVerb
    twin: CustomVerb
    reads: tuple[str, ...]
    lookback_min: int
    through: str | None = None
    twin_reads: tuple[str, ...] | None = None
    twin_lookback_min: int | None = None
    sin: Sin = "future"

    @property
    def sees(self) -> str | None:
        """The input that a finding must name; null for a warm-up, which sees nothing forbidden."""
        return None if self.sin == "warmup" else self.through or self.reads[0]


def known(
    frame: pl.DataFrame, grid: pl.DataFrame, *columns: str, age: timedelta = AT_ONCE
) -> pl.DataFrame:
    """The grid and `columns` of `frame`, each as a decision at that row knows it; else null."""
    symbols = grid["symbol"].unique(maintain_order=True).to_list()
    first_minute, n_minutes = to_us(grid["ts"][0]) // MINUTE_US, grid.height // len(symbols)
    rows = pl.Series(asof_rows(symbols, first_minute, n_minutes, frame, age).ravel())
    seen = frame.select(pl.col(*columns).gather(rows.set(rows < 0, None)))
    return grid.with_columns(seen.get_columns())


def closes(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.DataFrame:
    """The grid and each minute's close, as it was known at the close."""
    return known(inputs.bars_perp, grid, "close")


def volumes(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.DataFrame:
    """The grid and each minute's traded volume, as it was known at the close."""
    return known(inputs.bars_perp, grid, "volume_base")


def each(expression: pl.Expr, frame: pl.DataFrame) -> pl.Series:
    """`expression` over each symbol's rows by themselves, in the order of `frame`."""
    return frame.select(expression.over("symbol")).to_series()


def by_day(values: pl.Series, grid: pl.DataFrame) -> Floats:
    """A column of the grid as [symbol, day, minute]; NaN for null, and before the grid begins."""
    first = grid.select(minute_index()).item(0, 0) - 1
    flat = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    rows = flat.reshape(grid["symbol"].n_unique(), -1)
    padded = np.pad(rows, ((0, 0), (first % DAY_MINUTES, 0)), constant_values=np.nan)
    return padded.reshape(rows.shape[0], -1, DAY_MINUTES)


def from_days(values: Floats, grid: pl.DataFrame) -> pl.Series:
    """The inverse of `by_day`: [symbol, day, minute] as a column of the grid; NaN is null."""
    n_symbols = values.shape[0]
    rows = values.reshape(n_symbols, -1)[:, -grid.height // n_symbols :]
    return column_of(rows)


def day_before(figures: Floats) -> Floats:
    """Figures of each day [symbol, day, ...], moved to the day after it; the first has none."""
    moved = np.full_like(figures, np.nan)
    moved[:, 1:] = figures[:, :-1]
    return moved


def of_yesterday(figures: Floats, grid: pl.DataFrame) -> pl.Series:
    """A figure of each day [symbol, day] as a column: on every minute, that of the day before."""
    return from_days(np.repeat(day_before(figures)[..., None], DAY_MINUTES, axis=-1), grid)


def column_of(values: Floats) -> pl.Series:
    """An array in the order of the grid, of any shape, as a column; NaN is null."""
    return pl.Series(values.ravel(), nan_to_null=True)


def trailing(values: pl.Series, grid: pl.DataFrame, window: int) -> Floats:
    """The `window` values that end at each row [row, window]; null, or not loaded, is NaN."""
    flat = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    rows = flat.reshape(grid["symbol"].n_unique(), -1)
    padded = np.pad(rows, ((0, 0), (window - 1, 0)), constant_values=np.nan)
    views = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)
    return np.ascontiguousarray(views.reshape(-1, window))


def share_of(part: Floats, whole: Floats) -> Floats:
    """Part over whole, shapes alike; NaN where the whole is not above 0."""
    out = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def mean_of(values: Floats) -> Floats:
    """Mean of the numbers on the last axis; NaN where fewer than half are there.

    Every row is summed by itself, so that it does not depend on its neighbours, as a running sum
    does.
    """
    there = ~np.isnan(values)
    count = there.sum(axis=-1)
    total = np.where(there, values, 0.0).sum(axis=-1)
    return np.where(2 * count >= values.shape[-1], share_of(total, count), np.nan)


def deviation_of(values: Floats) -> Floats:
    """Deviation of the numbers on the last axis from their mean; NaN where that is."""
    from_mean = values - mean_of(values)[..., None]
    deviation: Floats = np.sqrt(mean_of(from_mean * from_mean))
    return deviation
