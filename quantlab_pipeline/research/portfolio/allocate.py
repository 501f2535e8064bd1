"""Weights at one rebalance: mean against risk, less the cost of getting there, under caps.

maximise  mu'w - gamma/2 w'Sw - kappa sum|dw| - lambda sum|dw|^1.5,  dw = w - drifted weights,
subject to 0 <= w <= cap, sum of a cluster <= cluster cap, sum w <= gross cap. The 3/2 power is the
square-root impact law integrated over size (Almgren et al. 2005). Convex, solved by Clarabel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantlab_pipeline.research.portfolio.spec import PortfolioSpec

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Allocation:
    """Weights with the reason why there are none, if so (all zero then)."""

    weights: Vector
    failure: str | None = None


def shrunk_covariance(returns: Vector) -> Vector:
    """Ledoit-Wolf shrinkage towards a scaled identity: (days, n) to (n, n), positive definite."""
    from sklearn.covariance import ledoit_wolf

    covariance = np.asarray(ledoit_wolf(returns)[0], dtype=np.float64)
    floor = 1e-12 * max(1.0, float(np.trace(covariance)))
    return (covariance + covariance.T) / 2 + floor * np.eye(len(covariance))


def allocate(
    mean: Vector,
    covariance: Vector,
    drifted: Vector,
    clusters: NDArray[np.int64],
    spec: PortfolioSpec,
) -> Allocation:
    """Weights of n strategies. `mean` and `covariance` are daily, as fractions of capital.

    Costs are paid once per rebalance and amortised over `rebalance_days`, the period that the mean
    is earned in. A problem that the solver cannot finish gives zero weights with its status.
    """
    import cvxpy as cp

    n = len(mean)
    weights = cp.Variable(n, nonneg=True)
    change = cp.abs(weights - drifted)
    per_day = 1e-4 / spec.rebalance_days
    impact = cp.sum(cp.power(change, 1.5))
    cost = per_day * (spec.turnover_cost_bps * cp.sum(change) + spec.impact_cost_bps * impact)
    risk = cp.quad_form(weights, cp.psd_wrap(covariance))
    limits = [weights <= spec.weight_cap, cp.sum(weights) <= spec.gross_cap]
    limits += [
        cp.sum(weights[np.flatnonzero(clusters == c)]) <= spec.cluster_cap
        for c in np.unique(clusters)
    ]
    problem = cp.Problem(
        cp.Maximize(mean @ weights - 0.5 * spec.risk_aversion * risk - cost), limits
    )
    problem.solve(solver=cp.CLARABEL)
    if problem.status != cp.OPTIMAL or weights.value is None:
        return Allocation(np.zeros(n), f"solver: {problem.status}")
    cleaned = np.where(weights.value < 1e-6, 0.0, np.round(weights.value, 9))
    return Allocation(np.minimum(cleaned, spec.weight_cap))
