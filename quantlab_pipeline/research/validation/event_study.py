"""What happens around the events, minute by minute, with the estimator's own band; for reports.

Belongs here: curves, days and slices of single candidates, to explain a verdict, and the one way in
which a path after events is measured. Not here: anything that a verdict reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.research.validation.cells import BPS, choose, kernel_events
from quantlab_pipeline.research.validation.family import Candidate
from quantlab_pipeline.research.validation.inputs import EventArrays
from quantlab_pipeline.research.validation.paths import reachable
from quantlab_pipeline.research.validation.slices import days_of, parts_of, slice_table
from quantlab_pipeline.research.validation.spec import CandidateFamily, horizon_minutes

if TYPE_CHECKING:
    from quantlab_pipeline.kernels.calendar_time import Market

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BAND_Z = 1.959963984540054
"""Normal quantile of 0.975: the half-width of a pointwise 95 % band in standard errors."""
CURVE_POINTS = 25
BEFORE_POINTS = 12
BEFORE_MIN = (15, 240)
"""Least and most minutes before the entry that a curve shows; between them, the horizon."""


class PathPoint(NamedTuple):
    """A mean price path `minute` minutes from its anchor, with its pointwise 95 % band, bps."""

    minute: int
    mean_bps: float
    se_bps: float
    low_bps: float
    high_bps: float
    n_events: int


class Traded(NamedTuple):
    """A candidate's events: `chosen` indexes `EventArrays`, `sign` is that of its own side."""

    h: int
    horizon_min: int
    chosen: IntArray
    sign: FloatArray


def traded(arrays: EventArrays, family: CandidateFamily, candidate: Candidate) -> Traded:
    """What the candidate trades, by symbol and entry."""
    h = family.horizons.index(candidate.horizon)
    names = (candidate.event_type, candidate.bucket.name)
    chosen, _ = choose(arrays, *names, h, candidate.template.name)
    sign = candidate.side * arrays.signs[candidate.template.name][chosen]
    return Traded(h, horizon_minutes(candidate.horizon), chosen, sign)


def path_point(
    world: Market,
    symbol: IntArray,
    anchor: IntArray,
    sign: FloatArray,
    minute: int,
    y: FloatArray,
) -> PathPoint:
    """The mean signed path of n > 0 events at `minute` from their anchors; y[T] is overwritten.

    After the anchor it is the mean signed return since then; before it, minus the return up to
    then; at 0 it is 0. The standard error is the calendar-time estimator's. Anchors are sorted by
    symbol and minute, and every price on the way is finite.
    """
    from quantlab_pipeline.kernels.calendar_time import Events, raw_sums

    if minute == 0:
        return PathPoint(0, 0.0, 0.0, 0.0, 0.0, anchor.size)
    held = Events(symbol, anchor + min(minute, 0), sign)
    total, variance = raw_sums(held, abs(minute), world, y)
    mean = math.copysign(1.0, minute) * BPS * total / anchor.size
    se = BPS * math.sqrt(variance) / anchor.size
    return PathPoint(minute, mean, se, mean - BAND_Z * se, mean + BAND_Z * se, anchor.size)


def candidate_curve(
    arrays: EventArrays, family: CandidateFamily, events: Traded
) -> list[PathPoint]:
    """The candidate's mean gross path around its entries, before its side's costs.

    The events are those of the full horizon, so that the last point is its `gross_bps`. Before the
    entry a point holds those among them whose prices reach back over the whole stretch. No events:
    no points.
    """
    y = np.empty(arrays.paths.world.prices.shape[1])
    symbol, entry = arrays.symbol[events.chosen], arrays.entry[events.chosen]
    back = min(max(events.horizon_min, BEFORE_MIN[0]), BEFORE_MIN[1])
    known = entry >= back
    known[known] = reachable(
        arrays.paths.observed, symbol[known], entry[known] - back, back, family
    )
    before = [-m for m in reversed(_spaced(back, BEFORE_POINTS))] if known.any() else []
    after = [0, *_spaced(events.horizon_min, CURVE_POINTS)] if entry.size else []
    world = arrays.paths.world
    early = symbol[known], entry[known], events.sign[known]
    points = [path_point(world, *early, minute, y) for minute in before]
    points += [path_point(world, symbol, entry, events.sign, minute, y) for minute in after]
    return points


def _spaced(end: int, n_points: int) -> list[int]:
    """At most `n_points` whole minutes, evenly spaced from 1 to `end` itself."""
    points = np.linspace(1, end, min(n_points, end))
    return [int(m) for m in np.unique(np.round(points))]


def day_rows(
    arrays: EventArrays, events: Traded, y: FloatArray, days: Sequence[date]
) -> pl.DataFrame:
    """P&L of each of `days` in bps of one event's notional; y[T] is the candidate's own series.

    Columns: day, gross_bps (of the day's minutes), cost_bps (of the day's decisions), net_bps, and
    both effects so far.
    """
    cost = arrays.costs.total[events.h, events.chosen]
    gross = BPS * y.reshape(-1, DAY_MINUTES).sum(axis=1)
    costs = np.bincount(arrays.day[events.chosen], weights=cost, minlength=len(days))
    net = gross - costs
    return pl.DataFrame(
        {
            "day": list(days),
            "gross_bps": gross,
            "cost_bps": costs.astype(np.float64),
            "net_bps": net,
            "gross_so_far_bps": np.cumsum(gross),
            "net_so_far_bps": np.cumsum(net),
        }
    )


def slice_rows(
    arrays: EventArrays, family: CandidateFamily, candidate: Candidate, min_days: int
) -> pl.DataFrame:
    """The candidate's slices of at least `min_days` decision days, in the order of `slices`.

    Columns: partition, label, n_events, days, mean_bps and se_bps of the gross effect, net_bps
    after the slice's own cost, the gross effect's z, `holm_p` (that it is negative, one-sided, Holm
    over the slices: the least of them is V1's `slice_holm_p`), and `excess_z`, the z of its mean
    over that of all other events (null where the two are one series).
    """
    from scipy.special import ndtr

    from quantlab_pipeline.kernels.calendar_time import raw_sums

    h, minutes, chosen, sign = traded(arrays, family, candidate)
    n, cost = arrays.paths.world.prices.shape[1], arrays.costs.total[h, chosen] / BPS
    whole = np.empty(n)
    raw_sums(kernel_events(arrays, chosen, sign), minutes, arrays.paths.world, whole)
    space = np.empty(n), np.empty(n)
    table = slice_table(arrays, chosen, sign, cost, minutes, min_days, whole, space)
    deviation = np.sqrt(table.variance)
    z = table.total / deviation
    day = arrays.day[chosen]
    days = {(p, label): days_of(day[part]) for p, label, part in parts_of(arrays, chosen, min_days)}
    slices = list(zip(table.partition, table.label, strict=True))
    return pl.DataFrame(
        {
            "partition": list(table.partition),
            "label": list(table.label),
            "n_events": table.n_events.astype(np.int64),
            "days": [days[key] for key in slices],
            "mean_bps": BPS * table.total / table.n_events,
            "se_bps": BPS * deviation / table.n_events,
            "net_bps": BPS * (table.total - table.cost) / table.n_events,
            "z": z,
            "holm_p": holm(ndtr(z)),
            "excess_z": table.excess_z,
        },
        schema_overrides={"partition": pl.String, "label": pl.String, "days": pl.Int64},
    ).with_columns(pl.col("excess_z").fill_nan(None))


def holm(p: FloatArray) -> FloatArray:
    """Holm-adjusted p-values, shape [K]: family-wise error under any dependence (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    out = np.empty(p.size)
    out[order] = np.minimum(steps, 1.0)
    return out
