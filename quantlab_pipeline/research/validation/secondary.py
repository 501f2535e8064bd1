"""Two other standard errors of a cell's mean, from the list of its events; no verdict reads them.

Belongs here: variances of the sum of event returns under HAC on the minute grid and under two-way
clustering. The estimator of the gate is the calendar-time series (`cells`); these are what other
tools would report, so that a reader can compare.

Both are of demeaned gross returns, as the calendar-time variance is of gross ones: u_e = s_e R_e
less their mean, the score of a regression on a constant. The net effect is tested over them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ROUNDING = 1e-12
"""Share of the events' own squares below which a variance is the rounding of a zero."""


def hac_variance(entry: IntArray, gross: FloatArray, horizon_min: int) -> float:
    """Variance of the sum of `gross` [n] laid on the minutes `entry` [n]; 0 where nothing varies.

    All symbols are one series x_t = sum of u_e over the events entered at t, zero at all other
    minutes; Bartlett's kernel with ceil(1.5 H) lags reaches beyond the overlap of H minutes (METHOD
    1.2). It is blind to what two events share when they stand further apart than that.
    """
    from quantlab_pipeline.kernels.event_bartlett import sparse_bartlett

    if gross.size == 0:
        return 0.0
    order = np.argsort(entry, kind="stable")
    scores = gross - gross.mean()
    variance = sparse_bartlett(entry[order], scores[order], math.ceil(1.5 * horizon_min))
    return _positive(variance, scores)


def two_way_variance(symbol: IntArray, day: IntArray, gross: FloatArray) -> float:
    """Variance of the sum of `gross` [n] with clusters by `symbol` and by decision `day`, both [n].

    V_symbol + V_day - V_both without corrections for few clusters; where that is not positive, the
    larger of the first two; 0 where nothing varies. Cameron, Gelbach and Miller (2011), "Robust
    inference with multiway clustering".
    """
    if gross.size == 0:
        return 0.0
    scores = gross - gross.mean()
    n_days = int(day.max()) + 1
    by_symbol, by_day, by_both = (
        float(np.sum(np.bincount(group, weights=scores) ** 2))
        for group in (symbol, day, symbol * n_days + day)
    )
    both_ways = _positive(by_symbol + by_day - by_both, scores)
    return both_ways if both_ways > 0.0 else _positive(max(by_symbol, by_day), scores)


def _positive(variance: float, scores: FloatArray) -> float:
    """`variance`, or 0 where it is negative or no more than the rounding of `scores`."""
    return variance if variance > ROUNDING * float(np.sum(scores**2)) else 0.0
