"""What other costs and other sizes would leave of a candidate: sweeps, break-evens, capacity.

Belongs here: pure functions of one candidate's events and the sums of its estimator. The cost
itself is `simulation.costs`' function, so that a sweep at 1 is the cost of V1. Gross effects and
variances do not change with cost or size; impact follows the square-root law (Donier and Bonart
2015), each event on the volatility and volume that were known at its decision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.research.validation.study_schema import COST_AXES
from quantlab_pipeline.simulation.capacity import best_participation, break_even_participation
from quantlab_pipeline.simulation.costs import (
    CostModel,
    CostScale,
    ProfileName,
    cost_sweep,
    event_cost_bps,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Row = dict[str, Any]
BPS = 1e4

MULTIPLIERS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
SLIPPAGES_BPS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
NOTIONALS_USD = tuple(float(f"{10 ** (k / 8):.3g}") for k in range(24, 65))
"""1,000 to 100 million USD, eight a decade."""
PARTICIPATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
SURFACE_MULTIPLIERS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
SURFACE_USD = (1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7)
MINUTE_CAP = 0.1
"""A trade is within the cap up to this share of the trailing minute's volume."""


class Trades(NamedTuple):
    """n events of one candidate, in its own side: gross return, and what its costs are made of.

    `gross` is in units of return, `taker_bps` the fee of a side, `spread_bps` both half-spreads in
    calm; `sigma_d_bps` and `volume_usd` are a day's as known at each decision, `volume_usd` is
    positive. No NaN.
    """

    gross: FloatArray
    taker_bps: FloatArray
    spread_bps: FloatArray
    sigma_d_bps: FloatArray
    volume_usd: FloatArray
    stress: BoolArray


class Totals(NamedTuple):
    """Sums of the raw and the contrast series, and their standard errors, in units of return."""

    raw: float
    raw_se: float
    contrast: float
    contrast_se: float

    def z_net(self, total_cost: float) -> float | None:
        """The smaller z net of `total_cost`; None without variance."""
        if not (self.raw_se > 0.0 and self.contrast_se > 0.0):
            return None
        raw = (self.raw - total_cost) / self.raw_se
        return min(raw, (self.contrast - total_cost) / self.contrast_se)


class SizeLaw(NamedTuple):
    """net(Q) = surplus - 2 Y s sqrt(Q), in bps, for one size Q in USD for all events.

    `surplus_bps` is the mean effect after all but impact, `s` the mean of sigma_d / sqrt(V_d):
    impact is paid on entry and on exit.
    """

    surplus_bps: float
    s: float
    impact_y: float

    def net_bps(self, notional_usd: float) -> float:
        """Mean effect after cost at that size."""
        return self.surplus_bps - 2.0 * self.impact_y * self.s * math.sqrt(notional_usd)

    @property
    def break_even_usd(self) -> float:
        """Size at which nothing is left; 0 where no size pays, infinite without impact."""
        return break_even_participation(self.surplus_bps, 0.0, self.s, self.impact_y)

    @property
    def best_usd(self) -> float:
        """Size that earns most, 4/9 of break-even."""
        return best_participation(self.surplus_bps, 0.0, self.s, self.impact_y)


def size_law(trades: Trades, model: CostModel, profile: ProfileName) -> SizeLaw:
    """The law of these trades: what is left of them at size zero, and how impact grows."""
    left = BPS * trades.gross - _fixed(trades, model, profile)
    s = trades.sigma_d_bps / np.sqrt(trades.volume_usd)
    return SizeLaw(float(left.mean()), float(s.mean()), model.profiles[profile].impact_y)


def cost_rows(trades: Trades, totals: Totals, model: CostModel, profile: ProfileName) -> list[Row]:
    """Rows of `cost_sweep`: net is non-increasing along every axis; at 1 (0) it is V1's."""
    n, gross = trades.gross.size, BPS * float(trades.gross.mean())
    liquidity = trades.sigma_d_bps, model.notional_usd / trades.volume_usd
    rows = []
    for axis in COST_AXES:
        values = SLIPPAGES_BPS if axis == "slippage" else MULTIPLIERS
        scales = [_scale(axis, value) for value in values]
        costs = cost_sweep(model, profile, *_paid(trades), *liquidity, trades.stress, scales)
        for value, cost in zip(values, costs.tolist(), strict=True):
            z = totals.z_net(n * cost / BPS)
            rows.append(
                {"axis": axis, "value": value, "cost_bps": cost, "net_bps": gross - cost, "z": z}
            )
    return rows


def break_evens(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Where net is zero along each axis of `cost_rows`: each is a line from some value on.

    The line is that of the last two values. None where costs do not grow along it, or where the
    effect is below zero even at its start.
    """
    found = []
    for axis in COST_AXES:
        mine = [row for row in rows if row["axis"] == axis]
        (x0, net0), (x1, net1) = ((r["value"], r["net_bps"]) for r in mine[-2:])
        falls = (net0 - net1) / (x1 - x0)
        reached = falls > 0.0 and mine[0]["net_bps"] >= 0.0
        found.append({"axis": axis, "value": x1 + net1 / falls if reached else None})
    return found


def capacity_rows(trades: Trades, model: CostModel, profile: ProfileName, n_days: int) -> list[Row]:
    """Rows of `capacity_sweep`: one size for all, or each at a share of its trailing minute.

    Net is non-increasing along both. For `notional` the cap is `MINUTE_CAP`; for `participation`
    `share_allowed` counts the events in which the cost model's own notional is within the share.
    """
    law, n = size_law(trades, model, profile), trades.gross.size
    minute = trades.volume_usd / DAY_MINUTES
    rows = []
    for usd in NOTIONALS_USD:
        allowed = float(np.mean(usd <= MINUTE_CAP * minute))
        rows.append(_size_row("notional", usd, usd, law.net_bps(usd), allowed, usd * n / n_days))
    left = BPS * trades.gross - _fixed(trades, model, profile)
    full = 2.0 * law.impact_y * trades.sigma_d_bps
    for share in PARTICIPATIONS:
        sizes = share * minute
        net = float(np.sum(sizes * (left - full * math.sqrt(share / DAY_MINUTES))) / np.sum(sizes))
        allowed = float(np.mean(model.notional_usd <= sizes))
        mean, a_day = float(sizes.mean()), float(sizes.sum()) / n_days
        rows.append(_size_row("participation", share, mean, net, allowed, a_day))
    return rows


def cap_usd(trades: Trades) -> float:
    """The size that half of the trades could have within `MINUTE_CAP` of their trailing minute."""
    return MINUTE_CAP * float(np.median(trades.volume_usd)) / DAY_MINUTES


def surface_rows(trades: Trades, model: CostModel, profile: ProfileName) -> list[Row]:
    """Rows of `surface`, by multiplier and size: net is non-increasing in both."""
    gross, law = BPS * float(trades.gross.mean()), size_law(trades, model, profile)
    return [
        {
            "multiplier": multiplier,
            "notional_usd": usd,
            "net_bps": gross - multiplier * (gross - law.net_bps(usd)),
        }
        for multiplier in SURFACE_MULTIPLIERS
        for usd in SURFACE_USD
    ]


def _size_row(
    axis: str, value: float, usd: float, net_bps: float, allowed: float, usd_per_day: float
) -> Row:
    return {
        "axis": axis,
        "value": value,
        "notional_usd": usd,
        "net_bps": net_bps,
        "share_allowed": allowed,
        "pnl_usd_per_day": usd_per_day * net_bps / BPS,
    }


def _scale(axis: str, value: float) -> CostScale:
    if axis == "all":
        return CostScale(fee=value, spread=value, impact=value)
    return CostScale(**{"slippage_bps" if axis == "slippage" else axis: value})


def _fixed(trades: Trades, model: CostModel, profile: ProfileName) -> FloatArray:
    """Each event's round trip without impact, bps."""
    nothing = np.zeros(trades.gross.size)
    return event_cost_bps(model, profile, *_paid(trades), nothing, nothing, trades.stress)


def _paid(trades: Trades) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fee and both half-spreads, as the cost model takes them: only the spreads' sum counts."""
    return trades.taker_bps, trades.spread_bps, np.zeros(trades.gross.size)
