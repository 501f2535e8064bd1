"""Verbs of the volatility family: what bars alone say of range, wicks and price impact.

Belongs here: verbs of several bar columns. Returns and realised deviations are `windows`' verbs.
"""

from __future__ import annotations

import numpy as np

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.kernels.rolling_ewm import anchored_ewm
from quantlab_pipeline.kernels.rolling_extremes import rolling_max, rolling_min
from quantlab_pipeline.kernels.rolling_moments import rolling_mean_deviation
from quantlab_pipeline.research.features import verbs
from quantlab_pipeline.research.features.windows import (
    Floats,
    Grid,
    Inputs,
    lagged,
    quotient_or_missing,
)


def average_range(inputs: Inputs, params: verbs.AverageRangeParams, grid: Grid) -> Floats:
    """Average true range in bps of the close before, smoothed as in Wilder (1978).

    Inputs: high, low, close. True range: max(high, close before) - min(low, close before).
    """
    high, low, close = inputs
    before = lagged(close, 1)
    true_range = np.maximum(high, before) - np.minimum(low, before)
    return anchored_ewm(
        1e4 * quotient_or_missing(true_range, before),
        grid.start - 1,
        1.0 / params.window_min,
        DAY_MINUTES,
        params.restart_before_day_min,
        grid.min_valid,
    )


def wick(inputs: Inputs, _params: verbs.Params, _grid: Grid) -> Floats:
    """Lower minus upper wick in bps of the close: positive after a rejected low.

    Inputs: open, high, low, close.
    """
    open_, high, low, close = inputs
    lower = np.minimum(open_, close) - low
    upper = high - np.maximum(open_, close)
    return 1e4 * quotient_or_missing(lower - upper, close)


def range_position(inputs: Inputs, params: verbs.WindowParams, grid: Grid) -> Floats:
    """(close - lowest low) / (highest high - lowest low) of the window; NaN where it has no range.

    Inputs: high, low, close. In [0, 1].
    """
    high, low, close = inputs
    top = rolling_max(high, grid.start, params.window_min, grid.min_valid)
    bottom = rolling_min(low, grid.start, params.window_min, grid.min_valid)
    return np.clip(quotient_or_missing(close - bottom, top - bottom), 0.0, 1.0)


def amihud(inputs: Inputs, params: verbs.WindowParams, grid: Grid) -> Floats:
    """Mean of |return in bps| per million of traded value, over the window's traded minutes.

    Inputs: return in bps, value traded, volume in base, close; where the value is missing it is
    volume times close. Amihud (2002), on minutes.
    """
    move, value, volume, close = inputs
    traded = np.where(np.isnan(value), volume * close, value)
    impact = 1e6 * quotient_or_missing(np.abs(move), traded)
    return rolling_mean_deviation(impact, grid.start, params.window_min, grid.min_valid)[0]
