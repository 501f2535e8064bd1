"""One cell of the grid (event type, bucket, horizon, template): both sides from one pass.

Belongs here: everything a candidate's row holds that does not depend on other candidates. Mirrored
sides share the series, for y becomes -y. Not here: multiplicity and the verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.research.validation.inputs import EventArrays
from quantlab_pipeline.research.validation.secondary import hac_variance, two_way_variance
from quantlab_pipeline.research.validation.slices import SliceTable, days_of, slice_table, summary
from quantlab_pipeline.simulation.capacity import best_participation

if TYPE_CHECKING:
    from quantlab_pipeline.kernels.calendar_time import CalendarSums, Events

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BPS = 1e4
POWER_Z = 0.8416212335729143
"""Normal quantile of 0.8: the margin for a power of 80 %."""
BAND_Z = 1.959963984540054
"""Normal quantile of 0.975: the half-width of a pointwise 95 % band in standard errors."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's events and sums: `chosen` int64[n] indexes `EventArrays`, `sign` [n] the rule's.

    `day_sums` and `day_costs` [D] are the P&L of each day's minutes and the costs of each day's
    decisions, both in units of one event's notional. `hac` and `two_way` are variances of the sum
    of event returns (`secondary`).
    """

    chosen: IntArray
    sign: FloatArray
    n_dropped: int
    sums: CalendarSums
    day_sums: FloatArray
    day_costs: FloatArray
    gross: FloatArray
    cost: FloatArray
    hac: float
    two_way: float
    fixed_bps: float
    sigma_d_bps: float
    volume_usd: float
    active_days: int
    assumed: float
    slices: SliceTable


class Workspace:
    """The series of T minutes that every cell overwrites, `y` with the blocks it touched."""

    def __init__(self, n_minutes: int) -> None:
        from quantlab_pipeline.kernels.calendar_moments import blocks_of

        self.y = np.zeros(n_minutes)
        self.touched = blocks_of(self.y)
        self.part = np.zeros(n_minutes)


def choose(
    arrays: EventArrays, event_type: str, bucket: str, h: int, template: str
) -> tuple[IntArray, int]:
    """Events that the cell trades (indices by symbol and entry), and how many it leaves out.

    Left out of both sides alike: no sign, no price at entry or exit, too few prices on the way, an
    exit beyond the window, unknown costs.
    """
    where = arrays.where.get(event_type, slice(0, 0))
    wanted = arrays.buckets[bucket][where]
    traded = wanted & arrays.usable[h, where] & (arrays.signs[template][where] != 0)
    dropped = int(np.count_nonzero(wanted) - np.count_nonzero(traded))
    return np.flatnonzero(traded) + where.start, dropped


def kernel_events(arrays: EventArrays, chosen: IntArray, sign: FloatArray) -> Events:
    """The chosen events as the kernel takes them."""
    from quantlab_pipeline.kernels.calendar_time import Events

    return Events(arrays.symbol[chosen], arrays.entry[chosen], sign)


def measure_cell(
    arrays: EventArrays,
    chosen: IntArray,
    n_dropped: int,
    h: int,
    horizon_min: int,
    template: str,
    slice_min_days: int,
    space: Workspace,
) -> Cell:
    """Sums, costs and slices of one cell; `space` is overwritten."""
    from quantlab_pipeline.kernels.calendar_time import held_sums

    sign = arrays.signs[template][chosen]
    events = kernel_events(arrays, chosen, sign)
    sums = held_sums(events, horizon_min, arrays.paths.world, space.y, space.touched)
    costs = arrays.costs
    gross = sign * arrays.paths.long_return[h, chosen]
    day_sums = space.y.reshape(-1, DAY_MINUTES).sum(axis=1)
    cost = costs.total[h, chosen] / BPS
    free = (space.part,)
    slices = slice_table(arrays, chosen, sign, cost, horizon_min, slice_min_days, space.y, free)
    return Cell(
        chosen=chosen,
        sign=sign,
        n_dropped=n_dropped,
        sums=sums,
        day_sums=day_sums,
        day_costs=_by_day(arrays.day[chosen], cost, day_sums.size),
        gross=gross,
        cost=cost,
        hac=hac_variance(arrays.entry[chosen], gross, horizon_min),
        two_way=two_way_variance(arrays.symbol[chosen], arrays.day[chosen], gross),
        fixed_bps=_mean(costs.fixed[h, chosen]),
        sigma_d_bps=_median(costs.sigma_d_bps[chosen]),
        volume_usd=_median(costs.volume_usd[chosen]),
        active_days=days_of(arrays.day[chosen]),
        assumed=_mean(costs.assumed[h, chosen]),
        slices=slices,
    )


def side_of(cell: Cell, side: int, impact_y: float, z_first: float) -> dict[str, Any]:
    """The columns of one side. `z_first` is the z that the best of the budget needs.

    Undefined figures (no event, no variance) are None.
    """
    n, total_cost = cell.chosen.size, float(cell.cost.sum())
    gross, cost = _ratio(side * cell.sums.total, n), _ratio(total_cost, n)
    return {
        **_counts(cell, side),
        "gross_bps": _bps(gross),
        "cost_bps": _bps(cost),
        "net_bps": None if gross is None or cost is None else (gross - cost) * BPS,
        **_interval(cell, side, total_cost),
        "mde80_bps": _bps(smallest_effect(cell.sums, n, total_cost, z_first + POWER_Z)),
        "cost_breakeven": None if gross is None or cost is None else _ratio(gross, cost),
        **_inference(cell, side, total_cost),
        **summary(cell.slices, side),
        "capacity_usd": _capacity(cell, gross, impact_y),
        "assumed_spread_share": cell.assumed if n else None,
    }


def _inference(cell: Cell, side: int, total_cost: float) -> dict[str, Any]:
    """Every z net of cost, the larger p, and the binding statistic's standard error.

    The binding statistic is the one with the smaller z, of which `p` is. The contrast shows only
    the share `kept` of an effect, so that in units of the effect its standard error is
    sqrt(V) / (n kept): an event type that is nearly always on has a large one, and none where the
    contrast keeps nothing.
    """
    from scipy.special import ndtr

    n, sums = cell.chosen.size, cell.sums
    net = side * sums.total - total_cost
    deviations = math.sqrt(sums.variance), math.sqrt(sums.contrast_variance)
    z_raw = _ratio(net, deviations[0])
    z_contrast = _ratio(side * sums.contrast_total - total_cost, deviations[1])
    out = {
        "z_raw": z_raw,
        "z_contrast": z_contrast,
        "z_hac": _ratio(net, math.sqrt(cell.hac)),
        "z_two_way": _ratio(net, math.sqrt(cell.two_way)),
        "p": None,
        "se_bps": None,
    }
    if z_raw is not None and z_contrast is not None:
        raw_binds = z_raw < z_contrast
        se = _ratio(deviations[0], n) if raw_binds else _ratio(deviations[1], n * sums.kept)
        out |= {"p": float(ndtr(-min(z_raw, z_contrast))), "se_bps": _bps(se)}
    return out


def smallest_effect(sums: CalendarSums, n: int, total_cost: float, z_needed: float) -> float | None:
    """Net effect per event that both statistics show at `z_needed`, in expectation.

    `total_cost` is that of the n events. The raw statistic sees a net effect m whole: it needs
    z sqrt(V_raw) / n. The contrast keeps a share of the gross effect m + c and is charged the whole
    cost c: it needs (z sqrt(V_contrast) / n + c) / kept - c. The larger of the two; None where
    nothing varies, or where the contrast keeps nothing, so that no effect would do.
    """
    if n == 0 or sums.kept <= 0.0 or min(sums.variance, sums.contrast_variance) <= 0.0:
        return None
    cost = total_cost / n
    raw = z_needed * math.sqrt(sums.variance) / n
    contrast = (z_needed * math.sqrt(sums.contrast_variance) / n + cost) / sums.kept - cost
    return max(raw, contrast)


def _interval(cell: Cell, side: int, total_cost: float) -> dict[str, Any]:
    """95 % interval of the net mean by the raw calendar-time variance."""
    n, net = cell.chosen.size, side * cell.sums.total - total_cost
    if n == 0 or cell.sums.variance <= 0.0:
        return {"ci95_low_bps": None, "ci95_high_bps": None}
    half = BAND_Z * math.sqrt(cell.sums.variance)
    return {"ci95_low_bps": BPS * (net - half) / n, "ci95_high_bps": BPS * (net + half) / n}


def _counts(cell: Cell, side: int) -> Mapping[str, Any]:
    n = cell.chosen.size
    net = side * cell.gross - cell.cost
    squares = float(np.sum(cell.day_sums**2))
    spread = float(np.var(cell.gross)) if n > 1 else None
    active = cell.day_sums[cell.day_sums != 0.0]
    return {
        "n_events": n,
        "n_dropped": cell.n_dropped,
        "active_days": cell.active_days,
        "n_eff": None if spread is None else _ratio(n * n * spread, cell.sums.variance),
        "eff_days": _ratio(squares**2, float(np.sum(cell.day_sums**4))),
        "sigma_h_bps": None if spread is None else math.sqrt(spread) * BPS,
        "z_naive": _student(net),
        "t_day": _student(side * active),
    }


def _student(values: FloatArray) -> float | None:
    """Mean over its iid standard error; None below two values."""
    if values.size < 2:
        return None
    return _ratio(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size))


def _capacity(cell: Cell, gross: float | None, impact_y: float) -> float | None:
    """Most profitable notional of one trade at the events' median volatility and volume, USD.

    A trade never takes more than a day's volume. Square-root law of `simulation.impact`.
    """
    if gross is None:
        return None
    share = best_participation(gross * BPS, cell.fixed_bps, cell.sigma_d_bps, impact_y)
    return min(share, 1.0) * cell.volume_usd


def _by_day(day: IntArray, values: FloatArray, n_days: int) -> FloatArray:
    return np.bincount(day, weights=values, minlength=n_days).astype(np.float64)


def _ratio(value: float, by: float) -> float | None:
    return value / by if by > 0.0 else None


def _bps(value: float | None) -> float | None:
    return None if value is None else value * BPS


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else math.nan


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if values.size else math.nan
