"""Capacity: the size at which square-root impact eats an edge, and that which earns most.

Belongs here: closed forms in shares of a day's volume. Not here: impact itself (`impact`), and
sweeps over sizes. Impact is paid on entry and exit, so that with edge e, fixed round trip c and one
side's coefficient Y a trade of participation q earns q (e - c - 2 Y sigma_d sqrt(q)).
"""

from __future__ import annotations

from typing import NamedTuple

NORMAL_975 = 1.959963984540054
"""Normal quantile of 0.975: the half-width of a 95 % interval in standard errors."""


class CapacityInterval(NamedTuple):
    """Most profitable participation at the edge's lower 95 % bound, itself, and its upper bound."""

    low: float
    best: float
    high: float


def break_even_participation(
    edge_bps: float, fixed_cost_bps: float, sigma_d_bps: float, impact_y: float
) -> float:
    """Share of a day's volume at which impact eats the whole edge: ((e - c) / (2 Y sigma_d))^2.

    `fixed_cost_bps` is the round trip without impact. 0 where the edge does not cover it; infinite
    where there is no impact.
    """
    surplus = edge_bps - fixed_cost_bps
    if surplus <= 0:
        return 0.0
    slope = 2.0 * impact_y * sigma_d_bps
    return (surplus / slope) ** 2 if slope > 0 else float("inf")


def best_participation(
    edge_bps: float, fixed_cost_bps: float, sigma_d_bps: float, impact_y: float
) -> float:
    """Share of a day's volume that earns most: 4/9 of break-even.

    P&L per day is proportional to q (e - c) - 2 Y sigma_d q^(3/2); its derivative is zero there.
    """
    return 4.0 / 9.0 * break_even_participation(edge_bps, fixed_cost_bps, sigma_d_bps, impact_y)


def capacity_interval(
    edge_bps: float, se_bps: float, fixed_cost_bps: float, sigma_d_bps: float, impact_y: float
) -> CapacityInterval:
    """Capacity of an estimated edge: at edge - 1.96 se, edge, and edge + 1.96 se.

    Capacity goes with the square of the surplus: to know it within 10 % takes a z of about 39, so
    that the interval is the honest figure. `se_bps` below 0 raises ValueError.
    """
    if not se_bps >= 0.0:
        raise ValueError("a standard error cannot be negative or unknown")
    low, best, high = (
        best_participation(edge_bps + step * se_bps, fixed_cost_bps, sigma_d_bps, impact_y)
        for step in (-NORMAL_975, 0.0, NORMAL_975)
    )
    return CapacityInterval(low, best, high)
