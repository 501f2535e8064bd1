"""Family-wise error over all candidates at once, from one set of bootstrap draws.

Belongs here: Hansen's test of superior predictive ability and Romano and Wolf's step-down. Both
work on gains: a larger sum is better. Not here: how the draws are made (`bootstrap`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Recentring = Literal["lower", "consistent", "upper"]
_CHUNK_ROWS = 256


@dataclass(frozen=True, slots=True)
class FamilyWise:
    """`spa_p` of the whole family, and `step_down_p` [K]; NaN where a candidate was left out."""

    spa_p: float
    step_down_p: FloatArray


def family_wise(
    totals: FloatArray, sums: FloatArray, n_days: int, recentring: Recentring = "consistent"
) -> FamilyWise:
    """Is the best of K candidates better than nothing, and which of them are?

    `totals` [K] are sums of daily net P&L over `n_days`, `sums` [K, B] the same over bootstrap
    draws with common indices. The statistic is total / deviation of its draws, at least 0, so that
    it does not depend on a candidate's scale. H0 of `spa_p`: no candidate has a positive mean
    (Hansen 2005, "A test for superior predictive ability"). `step_down_p` is the adjusted p of each
    candidate: rejecting those at most alpha holds the chance of any false rejection at alpha,
    asymptotically and under any dependence across candidates (Romano and Wolf 2005, 2016,
    "Efficient computation of adjusted p-values for resampling-based stepdown multiple testing").
    `recentring` says how a bad candidate enters the null: `upper` as if its mean were 0 (White's
    reality check), `consistent` with its own mean where that is more than sqrt(2 log log D)
    deviations below 0, `lower` with every negative one. No p is below 1 / (B + 1). Measured size
    of `spa_p` at 5 % with heavy tails, 20 candidates, 1,500 worlds: 0.064 on 60 independent days,
    0.097 on 250 days whose autocorrelation is 0.2. The draws of a candidate of a few days are
    lumpy: many such in the family make the test conservative.
    Candidates with a NaN, or whose draws do not vary, are left out; NaN for all if none is left.
    """
    from quantlab_pipeline.kernels.step_down import exceedances

    deviation = _deviations(totals, sums)
    live = np.isfinite(totals) & np.isfinite(deviation) & (deviation > 0.0)
    step_down_p = np.full(totals.shape, np.nan)
    if not live.any():
        return FamilyWise(math.nan, step_down_p)
    statistic = np.full(totals.shape, np.nan)
    np.divide(totals, deviation, out=statistic, where=live)
    kept = np.flatnonzero(live)
    order = kept[np.argsort(statistic[kept], kind="stable")]
    centre = np.where(statistic >= _tolerated(n_days, recentring), totals, 0.0)
    if recentring == "lower":
        centre = np.maximum(centre, 0.0)
    counts = exceedances(sums, centre, deviation, np.maximum(statistic, 0.0), order)
    p = (1.0 + counts) / (1.0 + sums.shape[1])
    # No candidate may be rejected before every stronger one is.
    step_down_p[order] = np.maximum.accumulate(p[::-1])[::-1]
    return FamilyWise(float(p[-1]), step_down_p)


def _deviations(totals: FloatArray, sums: FloatArray) -> FloatArray:
    """Deviation of each row's draws about the sample's own sum, which is their expectation."""
    out = np.empty(totals.shape)
    for start in range(0, totals.size, _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        apart = sums[rows] - totals[rows, None]
        out[rows] = np.sqrt(np.einsum("kb,kb->k", apart, apart) / sums.shape[1])
    return out


def _tolerated(n_days: int, recentring: Recentring) -> float:
    """The statistic below which a candidate is known to be bad, and keeps its own mean."""
    if recentring != "consistent":
        return -math.inf
    return -math.sqrt(2.0 * math.log(max(math.log(max(n_days, 2)), 1.0)))
