"""Verbs of the derivatives family: funding, basis, mark against index.

Belongs here: what depends on settlements or on how a spread between two prices behaves.
"""

from __future__ import annotations

import numpy as np

from quantlab_pipeline.kernels.rolling_autoregression import rolling_ar1
from quantlab_pipeline.kernels.rolling_moments import rolling_mean_deviation
from quantlab_pipeline.kernels.sign_runs import sign_runs
from quantlab_pipeline.research.features import verbs
from quantlab_pipeline.research.features.windows import Floats, Grid, Inputs, lagged


def minutes_until(inputs: Inputs, _params: verbs.Params, grid: Grid) -> Floats:
    """Minutes from t to the instant in the input (minutes since 1970); NaN once it has passed."""
    left = inputs[0] - grid.now(inputs[0].size)
    return np.where(left >= 0, left, np.nan)


def sign_run(inputs: Inputs, params: verbs.RunParams, grid: Grid) -> Floats:
    """Signed length of the run of equal signs among the facts of the window, the newest included.

    Inputs: the newest known value at each row, and the instant that it describes in minutes.
    """
    value, fact_at = inputs
    now = grid.now(value.size)
    return sign_runs(value, fact_at, now, float(params.window_min), params.cap_facts)


def half_life(inputs: Inputs, params: verbs.HalfLifeParams, grid: Grid) -> Floats:
    """Minutes in which the input halves its distance: ln 2 / -ln b, b the window's AR(1) slope.

    NaN outside 0 < b < 1. The model is an Ornstein-Uhlenbeck process sampled each minute.
    """
    slope = rolling_ar1(inputs[0], grid.start, params.window_min, grid.min_valid)
    out = np.full(slope.size, np.nan)
    reverting = (slope > 0) & (slope < 1)
    out[reverting] = np.log(2.0) / -np.log(slope[reverting])
    return out


def jump_flag(inputs: Inputs, params: verbs.JumpParams, grid: Grid) -> Floats:
    """1.0 where the change over one minute is past the floor and past `deviations` times the sample
    deviation of the window's changes before it, else 0.0.
    """
    change = inputs[0] - lagged(inputs[0], 1)
    _, deviation = rolling_mean_deviation(change, grid.start, params.window_min, grid.min_valid)
    usual = lagged(deviation, 1)
    limit = np.maximum(params.deviations * usual, params.floor_bps)
    missing = np.isnan(change) | np.isnan(usual)
    return np.where(missing, np.nan, (np.abs(change) >= limit).astype(np.float64))
