"""What happens after the event, minute by minute, with the estimator's own band; for reports.

Belongs here: curves and event lists of single candidates, to explain a verdict. Not here: anything
that a verdict reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from quantlab_pipeline.research.validation.cells import BPS, choose, kernel_events
from quantlab_pipeline.research.validation.family import Candidate
from quantlab_pipeline.research.validation.inputs import EventArrays
from quantlab_pipeline.research.validation.slices import slice_table
from quantlab_pipeline.research.validation.spec import CandidateFamily, horizon_minutes

BAND_Z = 1.959963984540054
"""Normal quantile of 0.975: the half-width of a pointwise 95 % band in standard errors."""


def after_event_curve(
    arrays: EventArrays, family: CandidateFamily, candidate: Candidate, n_points: int = 25
) -> pl.DataFrame:
    """Mean gross return of the candidate's events after each delay, with a calendar-time band.

    Columns: minutes (since entry, rising, up to the horizon), mean_bps, se_bps, low_bps, high_bps
    (95 %, pointwise), n_events. The events are those of the candidate at its full horizon, so that
    the last point is its `gross_bps`. No events: no rows.
    """
    from quantlab_pipeline.kernels.calendar_time import raw_sums

    h = family.horizons.index(candidate.horizon)
    names = (candidate.event_type, candidate.bucket.name)
    chosen, _ = choose(arrays, *names, h, candidate.template.name)
    sign = candidate.side * arrays.signs[candidate.template.name][chosen]
    y = np.empty(arrays.paths.world.prices.shape[1])
    rows = []
    for minutes in _delays(horizon_minutes(candidate.horizon), n_points) if chosen.size else ():
        events = kernel_events(arrays, chosen, sign)
        total, variance = raw_sums(events, minutes, arrays.paths.world, y)
        mean, se = BPS * total / chosen.size, BPS * math.sqrt(variance) / chosen.size
        rows.append((minutes, mean, se, mean - BAND_Z * se, mean + BAND_Z * se, chosen.size))
    schema = {
        "minutes": pl.Int64,
        "mean_bps": pl.Float64,
        "se_bps": pl.Float64,
        "low_bps": pl.Float64,
        "high_bps": pl.Float64,
        "n_events": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _delays(horizon_min: int, n_points: int) -> Sequence[int]:
    """At most `n_points` whole minutes, evenly spaced from 1 to the horizon itself."""
    points = np.linspace(1, horizon_min, min(n_points, horizon_min))
    return [int(m) for m in np.unique(np.round(points))]


def candidate_events(
    arrays: EventArrays, family: CandidateFamily, candidate: Candidate
) -> pl.DataFrame:
    """The events that the candidate trades: symbol, entry_min, sign, gross_bps, cost_bps.

    `entry_min` counts minutes from the window's first minute; sorted by symbol and entry.
    """
    h = family.horizons.index(candidate.horizon)
    names = (candidate.event_type, candidate.bucket.name)
    chosen, _ = choose(arrays, *names, h, candidate.template.name)
    sign = candidate.side * arrays.signs[candidate.template.name][chosen]
    return pl.DataFrame(
        {
            "symbol": [arrays.symbols[i] for i in arrays.symbol[chosen]],
            "entry_min": arrays.entry[chosen],
            "sign": sign,
            "gross_bps": BPS * sign * arrays.paths.long_return[h, chosen],
            "cost_bps": arrays.costs.total[h, chosen],
        },
        schema_overrides={"symbol": pl.String},
    )


def slice_rows(
    arrays: EventArrays, family: CandidateFamily, candidate: Candidate, min_days: int
) -> pl.DataFrame:
    """The candidate's slices of at least `min_days` decision days, in the order of `slices`.

    Columns: partition, label, n_events, mean_bps and se_bps of the gross effect, its z, and
    `excess_z`, the z of its mean over that of all other events (null where the two are one series).
    """
    from quantlab_pipeline.kernels.calendar_time import raw_sums

    h = family.horizons.index(candidate.horizon)
    names = (candidate.event_type, candidate.bucket.name)
    chosen, _ = choose(arrays, *names, h, candidate.template.name)
    sign = candidate.side * arrays.signs[candidate.template.name][chosen]
    minutes, n = horizon_minutes(candidate.horizon), arrays.paths.world.prices.shape[1]
    whole, cost = np.empty(n), arrays.costs.total[h, chosen] / BPS
    raw_sums(kernel_events(arrays, chosen, sign), minutes, arrays.paths.world, whole)
    space = np.empty(n), np.empty(n)
    table = slice_table(arrays, chosen, sign, cost, minutes, min_days, whole, space)
    deviation = np.sqrt(table.variance)
    return pl.DataFrame(
        {
            "partition": list(table.partition),
            "label": list(table.label),
            "n_events": table.n_events.astype(np.int64),
            "mean_bps": BPS * table.total / table.n_events,
            "se_bps": BPS * deviation / table.n_events,
            "z": table.total / deviation,
            "excess_z": table.excess_z,
        },
        schema_overrides={"partition": pl.String, "label": pl.String},
    ).with_columns(pl.col("excess_z").fill_nan(None))
