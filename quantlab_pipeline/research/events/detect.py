"""Find occurrences: minutes at which a trigger begins to hold, one row each.

Reads features at t0 and before, nothing later; labels are strangers. Which triggering minutes are
occurrences, `merging` says; whether a type is any good is gate E-1's question.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, day_of, from_us, minute_index
from quantlab_pipeline.core.fingerprints import digest, short
from quantlab_pipeline.research.events.expression import compile_expression
from quantlab_pipeline.research.events.merging import occurrence_rows
from quantlab_pipeline.research.events.regimes import regime_of
from quantlab_pipeline.research.events.schema import EVENTS
from quantlab_pipeline.research.events.spec import EventRegistry, EventType

_SYMBOL_STRIDE = 1 << 40
"""Larger than any minute since 1970: puts each symbol's minutes on its own stretch of one axis."""


def detect_events(
    features: pl.DataFrame, registry: EventRegistry, days: Sequence[date]
) -> pl.DataFrame:
    """Occurrences on `days` of every type whose fields are in `features`, of schema `events`.

    `features` holds `days` and the day before the first (as far as any rule reaches back); its rows
    may come in any order. Which triggering minutes are occurrences is each type's `merge`, a local
    rule, so that a day alone and a range give the same rows. `n_triggers_1d` counts triggering
    minutes of the day up to t0, itself among them. A type with a field that is not a column of
    `features` gives no rows, a regime without its columns reads unknown.
    """
    ordered = features.sort("symbol", "ts")
    types = [t for t in registry.event_types if set(t.required_fields) <= set(ordered.columns)]
    if ordered.is_empty() or not types:
        return EVENTS.empty()
    axis = (
        ordered.select(
            pl.col("symbol").rank("dense").cast(pl.Int64) * _SYMBOL_STRIDE + minute_index()
        )
        .to_series()
        .to_numpy()
    )
    wanted = ordered.select(day_of().is_in(list(days))).to_series().to_numpy()
    triggered = ordered.select(trigger_of(t).alias(t.name) for t in types)
    context = regime_of(ordered, registry)
    parts = []
    for event_type in types:
        rows, counts = _occurrences(triggered[event_type.name].to_numpy(), axis, event_type)
        inside = wanted[rows]
        rows, counts = rows[inside], counts[inside]
        # On the whole frame: polars divides one row exactly, but many by a number's reciprocal.
        severity = ordered.select(compile_expression(event_type.severity_tree).alias("s"))
        parts.append(_rows(event_type, context[rows], severity["s"][rows], counts))
    return EVENTS.conform(pl.concat(parts))


def trigger_of(event_type: EventType) -> pl.Expr:
    """Whether a minute triggers `event_type`; false, not null, where a field is missing."""
    severity = compile_expression(event_type.severity_tree)
    holds = compile_expression(event_type.trigger_tree) & severity.is_not_null()
    return (holds & evaluable(event_type)).fill_null(value=False)


def evaluable(event_type: EventType) -> pl.Expr:
    """Whether a minute has every field that `event_type` requires."""
    return pl.all_horizontal(
        pl.col(f).is_not_null() & pl.col(f).is_finite() for f in event_type.required_fields
    )


def event_id(event_type: EventType, symbol: str, ts: datetime) -> str:
    """Sixteen hex digits that name this occurrence, the same on every machine."""
    return short(digest([event_type.name, event_type.version, symbol, ts]), 16)


def _occurrences(
    triggered: npt.NDArray[np.bool_], axis: npt.NDArray[np.int64], event_type: EventType
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row numbers of the occurrences, and each one's triggering minutes in the day up to it."""
    rows = np.flatnonzero(triggered)
    at = axis[rows]
    chosen = occurrence_rows(at, event_type)
    since = np.searchsorted(at, at[chosen] - DAY_MINUTES, side="right")
    return rows[chosen], chosen + 1 - since


def _rows(
    event_type: EventType,
    context: pl.DataFrame,
    severity: pl.Series,
    counts: npt.NDArray[np.int64],
) -> pl.DataFrame:
    instants = context["ts"].dt.epoch("us").to_list()
    ids = [
        event_id(event_type, symbol, from_us(at))
        for symbol, at in zip(context["symbol"], instants, strict=True)
    ]
    return context.with_columns(
        pl.col("ts").alias("available_at"),
        pl.Series("event_id", ids, pl.String),
        pl.lit(event_type.name).alias("event_type"),
        pl.lit(event_type.version, pl.Int64).alias("version"),
        severity.alias("severity"),
        pl.Series("n_triggers_1d", counts, pl.Int64),
    )
