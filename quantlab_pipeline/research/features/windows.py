"""Verbs of no one family: levels, changes, ratios, and rolling means, deviations, ranks and
quantiles.

Belongs here: a verb takes its inputs as arrays on one symbol's minute grid, its parameters and the
`Grid`, and returns one array of the same length. NaN is missing, and no verb returns an infinity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.kernels.rolling_moments import rolling_mean_deviation
from quantlab_pipeline.kernels.rolling_quantile import rolling_quantile
from quantlab_pipeline.kernels.rolling_rank import rolling_rank
from quantlab_pipeline.research.features import verbs

Floats = npt.NDArray[np.float64]
Inputs = Sequence[Floats]


@dataclass(frozen=True, slots=True)
class Grid:
    """Where a symbol's arrays lie in time: minute index (since 1970) of the first row, and how many
    valid rows the verb's window needs.
    """

    start: int
    min_valid: int

    def now(self, n: int) -> Floats:
        """Minute index of each of `n` rows."""
        return np.arange(self.start, self.start + n, dtype=np.float64)


def quotient_or_missing(above: Floats, below: Floats) -> Floats:
    """Quotient above / below; NaN where `below` is not above 0, or too small for a finite value."""
    out = np.full(above.size, np.nan)
    with np.errstate(over="ignore"):
        np.divide(above, below, out=out, where=below > 0)
    out[np.isinf(out)] = np.nan
    return out


def log_bps(above: Floats, below: Floats) -> Floats:
    """1e4 ln(above / below); NaN where either is not above 0."""
    ratio = quotient_or_missing(above, below)
    ratio[ratio <= 0] = np.nan
    return 1e4 * np.log(ratio)


def lagged(x: Floats, rows: int) -> Floats:
    """x[t - rows]; NaN before the array began."""
    out = np.full(x.size, np.nan)
    out[rows:] = x[: max(x.size - rows, 0)]
    return out


def level(inputs: Inputs, params: verbs.LevelParams, _grid: Grid) -> Floats:
    """The input times `scale`."""
    return params.scale * inputs[0]


def difference(inputs: Inputs, params: verbs.ChangeParams, _grid: Grid) -> Floats:
    """x[t] - x[t - window]."""
    return inputs[0] - lagged(inputs[0], params.window_min)


def log_change(inputs: Inputs, params: verbs.ChangeParams, _grid: Grid) -> Floats:
    """1e4 ln(x[t] / x[t - window]), in bps; NaN where either is not above 0."""
    return log_bps(inputs[0], lagged(inputs[0], params.window_min))


def log_ratio(inputs: Inputs, _params: verbs.Params, _grid: Grid) -> Floats:
    """1e4 ln(x / y), in bps; NaN where either is not above 0."""
    return log_bps(inputs[0], inputs[1])


def quotient(inputs: Inputs, _params: verbs.Params, _grid: Grid) -> Floats:
    """First over second input; NaN where the second is not above 0."""
    return quotient_or_missing(inputs[0], inputs[1])


def gap(inputs: Inputs, params: verbs.LevelParams, _grid: Grid) -> Floats:
    """First minus second input, times `scale`."""
    return params.scale * (inputs[0] - inputs[1])


def flag(inputs: Inputs, params: verbs.FlagParams, _grid: Grid) -> Floats:
    """1.0 where x is at or past the bound, else 0.0; NaN stays NaN."""
    x = inputs[0]
    if params.at_least is not None:
        past = x >= params.at_least
    else:
        past = x <= (params.at_most if params.at_most is not None else np.nan)
    return np.where(np.isnan(x), np.nan, past.astype(np.float64))


def rolling_mean(inputs: Inputs, params: verbs.WindowParams, grid: Grid) -> Floats:
    """Mean of the window's valid rows."""
    return rolling_mean_deviation(inputs[0], grid.start, params.window_min, grid.min_valid)[0]


def rolling_deviation(inputs: Inputs, params: verbs.WindowParams, grid: Grid) -> Floats:
    """Sample deviation of the window's valid rows."""
    return rolling_mean_deviation(inputs[0], grid.start, params.window_min, grid.min_valid)[1]


def rolling_z(inputs: Inputs, params: verbs.WindowParams, grid: Grid) -> Floats:
    """(x - mean) / deviation of the window that ends with x; NaN where the deviation is 0."""
    mean, deviation = rolling_mean_deviation(
        inputs[0], grid.start, params.window_min, grid.min_valid
    )
    return quotient_or_missing(inputs[0] - mean, deviation)


def rank(inputs: Inputs, params: verbs.RankParams, grid: Grid) -> Floats:
    """Midrank percentile of x (or of its magnitude) in the window that ends with it, in (0, 1)."""
    x = np.abs(inputs[0]) if params.magnitude else inputs[0]
    return rolling_rank(x, params.window_min, grid.min_valid)


def quantile(inputs: Inputs, params: verbs.QuantileParams, grid: Grid) -> Floats:
    """The q-quantile of the window's valid rows, linear between two of them."""
    return rolling_quantile(inputs[0], params.window_min, params.q, grid.min_valid)


def ratio_to_mean(inputs: Inputs, params: verbs.WindowParams, grid: Grid) -> Floats:
    """Value over the mean of the window that ends with x; NaN where the mean is not above 0."""
    return quotient_or_missing(inputs[0], rolling_mean(inputs, params, grid))
