"""Gate E-1: is an event type fit to be tested? A pure function of `event_quality`."""

from __future__ import annotations

from typing import Any

import polars as pl

from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.events.spec import E1Thresholds

TOO_RARE = "TOO_RARE"
TOO_FREQUENT = "TOO_FREQUENT"
MOSTLY_DUPLICATES = "MOSTLY_DUPLICATES"
JOIN_FAILED = "JOIN_FAILED"
ALIAS_OF = "ALIAS_OF"
DATASET_ABSENT = "DATASET_ABSENT"
NO_EVALUABLE_MINUTE = "NO_EVALUABLE_MINUTE"

_AT_LEAST = {
    "min_events": ("n_events", TOO_RARE),
    "min_active_days": ("active_days", TOO_RARE),
    "min_per_symbol_day": ("per_symbol_day", TOO_RARE),
    "min_join_share": ("join_share", JOIN_FAILED),
}
_AT_MOST = {
    "max_per_symbol_day": ("per_symbol_day", TOO_FREQUENT),
    "max_trigger_share": ("trigger_share", TOO_FREQUENT),
    "max_duplicate_share": ("duplicate_share", MOSTLY_DUPLICATES),
    "max_jaccard": ("max_jaccard", ALIAS_OF),
}


def judge_e1(event_quality: pl.DataFrame, thresholds: E1Thresholds) -> list[ItemVerdict]:
    """One verdict per row of `event_quality`, in its order.

    NOT_EVALUABLE with DATASET_ABSENT:<name> where the market lacks a dataset that the type
    requires, or with NO_EVALUABLE_MINUTE where its features are null throughout. Else FAIL with
    every reason that holds, PASS without any. A value on its threshold is inside. A null share has
    no part in the verdict: it is null only where there are no events, which is TOO_RARE already, or
    no senior type to overlap with.
    """
    return [_judge(row, thresholds) for row in event_quality.iter_rows(named=True)]


def _judge(row: dict[str, Any], thresholds: E1Thresholds) -> ItemVerdict:
    limits = thresholds.model_dump()
    measured = {
        name: (row[column], limits[name]) for name, (column, _) in {**_AT_LEAST, **_AT_MOST}.items()
    }
    absent = row["missing_dataset"]
    if absent or row["trigger_share"] is None:
        reasons = (
            tuple(f"{DATASET_ABSENT}:{name}" for name in absent.split(","))
            if absent
            else (NO_EVALUABLE_MINUTE,)
        )
        return ItemVerdict(row["event_type"], Outcome.NOT_EVALUABLE, reasons, measured)
    low = [r for n, (c, r) in _AT_LEAST.items() if row[c] is not None and row[c] < limits[n]]
    high = [r for n, (c, r) in _AT_MOST.items() if row[c] is not None and row[c] > limits[n]]
    reasons = tuple(
        f"{ALIAS_OF}:{row['overlaps_with']}" if reason == ALIAS_OF else reason
        for reason in dict.fromkeys([*low, *high])
    )
    outcome = Outcome.FAIL if reasons else Outcome.PASS
    return ItemVerdict(row["event_type"], outcome, reasons, measured)
