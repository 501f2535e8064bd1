"""Findings as the QA page and its table tell them: each beside the threshold that it was held to.

Belongs here: weighing, by the gate itself, and the flat table for other programs. No check and no
threshold is named: what the gate looks for is its own matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from quantlab_pipeline.core.findings import Finding
from quantlab_pipeline.core.verdicts import ADMITTED, ItemVerdict, Outcome
from quantlab_pipeline.reports.qa_places import instant_text, places_text

Judge = Callable[[pl.DataFrame], Mapping[date, Sequence[ItemVerdict]]]
"""Gate D0 under today's thresholds: a QA report to each day's verdicts, one a symbol."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A finding, and what the gate says of it alone.

    `measured` is the count in the threshold's unit. Without a threshold (`limit` None) a finding is
    only counted, or, if the outcome is NOT_EVALUABLE, it is the absence of a required dataset.
    """

    finding: Finding
    outcome: Outcome
    threshold: str | None
    measured: float | None
    limit: float | None

    @property
    def stops(self) -> bool:
        """Whether this finding alone keeps its symbol's day out."""
        return self.outcome not in ADMITTED


def weigh(report: pl.DataFrame, judge: Judge) -> tuple[Weighed, ...]:
    """Every finding (count above zero) of `report` with what the gate says of it alone, in order.

    The gate sees each row as a symbol of its own, so that no finding hides another.
    """
    found = report.filter(pl.col("count") > 0)
    alone = found.with_columns(pl.int_range(pl.len()).cast(pl.String).alias("symbol"))
    told = {v.item: v for items in judge(alone).values() for v in items}
    names = ("dataset", "check", "symbol", "day", "count", "first_ts", "detail", "places")
    rows = found.select(names).iter_rows()
    return tuple(_weighed(row, told[str(i)]) for i, row in enumerate(rows))


def _weighed(row: tuple[Any, ...], verdict: ItemVerdict) -> Weighed:
    dataset, check, symbol, day, count, first_ts, detail, places = row
    finding = Finding(
        dataset, check, symbol, day, count, first_ts, detail or "", tuple(places or ())
    )
    held = [(name, pair) for name, pair in verdict.measured.items() if pair[1] is not None]
    if not held:
        return Weighed(finding, verdict.outcome, None, None, None)
    name, (measured, limit) = held[0]
    return Weighed(finding, verdict.outcome, name, measured, limit)


_TABLE: dict[str, Any] = {
    **dict.fromkeys(("day",), pl.Date),
    **dict.fromkeys(("symbol", "dataset", "check"), pl.String),
    **dict.fromkeys(("count",), pl.Int64),
    **dict.fromkeys(("verdict", "threshold"), pl.String),
    **dict.fromkeys(("measured", "limit"), pl.Float64),
    **dict.fromkeys(("first", "places", "detail"), pl.String),
}


def findings_table(weighed: Sequence[Weighed]) -> pl.DataFrame:
    """Every finding as a flat row, places as text: what other programs read. In page order."""

    def flat(w: Weighed) -> dict[str, Any]:
        f = w.finding
        return {
            "day": f.day,
            "symbol": f.symbol,
            "dataset": f.dataset,
            "check": f.check,
            "count": f.count,
            "verdict": w.outcome.value,
            "threshold": w.threshold,
            "measured": w.measured,
            "limit": w.limit,
            "first": None if f.first_ts is None else instant_text(f.first_ts, f.day),
            "places": places_text(f.places, f.day),
            "detail": f.detail,
        }

    return pl.DataFrame([flat(w) for w in weighed], schema=_TABLE)
